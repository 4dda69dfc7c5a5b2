import { ExpectedError, throwAll } from '../script/errors.ts'
import type { Log } from '../script/log.ts'

/** Something that a check found: what is wrong and what to do about it, as an ExpectedError tells it. */
export interface PreflightFinding {
  /** An error stands in the way of an installation; a warning does not. */
  severity: 'error' | 'warning'
  what: string
  fix: string
}

/** A finding that stands in the way. */
export const error = (what: string, fix: string): PreflightFinding => ({ severity: 'error', what, fix })

/** A finding that one may live with. */
export const warning = (what: string, fix: string): PreflightFinding => ({ severity: 'warning', what, fix })

/** For `run.preflight`: tells the warnings, then throws the errors, all at once. */
export function refuse(findings: readonly PreflightFinding[], log: Pick<Log, 'warn' | 'info'>): void {
  for (const { what, fix } of findings.filter(({ severity }) => severity === 'warning')) {
    log.warn(what)
    log.info(`  fix: ${fix}`)
  }
  throwAll(
    findings
      .filter(({ severity }) => severity === 'error')
      .map(({ what, fix }) => new ExpectedError(what, fix)),
  )
}

/** What another program said, in one line without control characters, for a message. */
export function quotedAnswer(text: string): string {
  return text
    .trim()
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .slice(0, 160)
}

/** Names as a list of the first few of them, so that a message stays readable. */
export function listed(names: readonly string[], most = 4): string {
  if (names.length <= most + 1) return names.join(', ')
  return `${names.slice(0, most).join(', ')} and ${names.length - most} more`
}
