import { refText } from '../kubectl/kubectl.ts'
import { UsageError } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'
import type { Finding } from './finding.ts'

/** A finding that somebody knows of and does not want to be told until a day. */
export interface Ignored {
  rule: string
  /** As findings are titled, e.g. `HelmRelease oas-apps/wekan`. Every subject when it is left out. */
  subject?: string
  reason: string
  /** The last day on which it is ignored, YYYY-MM-DD. */
  until: string
}

/** The name of the file in a cluster's folder. */
export const IGNORED_FILE = 'ignored-findings.yaml'

/**
 * Reads the findings that a cluster's administrator ignores; none when there is no such file. Throws a UsageError
 * that names everything that is wrong with it: an entry without a reason or an end would be forgotten.
 */
export async function readIgnored(file: string): Promise<Ignored[]> {
  const text = readIfExists(file)
  if (text === undefined || text.trim() === '') return []
  const { load } = await import('js-yaml')
  let entries: unknown
  try {
    entries = load(text)
  } catch {
    throw new UsageError(`${file} is not YAML`, `correct it; ${EXAMPLE}`)
  }
  if (!Array.isArray(entries)) throw new UsageError(`${file} is not a list`, EXAMPLE)
  const problems = entries.flatMap((entry, i) => problem(entry).map(what => `entry ${i + 1} ${what}`))
  if (problems.length > 0) throw new UsageError(`${file}: ${problems.join('; ')}`, EXAMPLE)
  return entries
}

const EXAMPLE =
  'an entry looks like this: - { rule: release-suspended, subject: HelmRelease oas-apps/wekan, reason: is being moved, until: "2027-01-31" }'

function problem(entry: Partial<Record<keyof Ignored, unknown>> | null): string[] {
  if (typeof entry !== 'object' || entry === null) return ['is not an entry']
  const text = (name: keyof Ignored) => typeof entry[name] === 'string' && entry[name] !== ''
  return [
    ...(['rule', 'reason'] as const).flatMap(name => (text(name) ? [] : [`has no ${name}`])),
    ...(text('until') && isDay(entry.until as string)
      ? []
      : ['has no day `until`, in quotes as "YYYY-MM-DD"']),
    ...(entry.subject === undefined || text('subject') ? [] : ['has a subject that is not text']),
  ]
}

function isDay(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))
}

/**
 * Takes ignored findings away. What only the ignored one explains stays folded: findings are ignored after they
 * were folded. An entry whose last day is over ignores nothing. Pure.
 */
export function withoutIgnored<T extends Finding>(
  findings: readonly T[],
  ignored: readonly Ignored[],
  now: number,
): { told: T[]; ignored: { finding: T; by: Ignored }[] } {
  const told: T[] = []
  const hidden: { finding: T; by: Ignored }[] = []
  for (const finding of findings) {
    const by = ignored.find(
      ({ rule, subject, until }) =>
        rule === finding.rule &&
        (subject === undefined || subject === refText(finding.subject)) &&
        now < Date.parse(until) + 24 * 3_600_000,
    )
    if (by) hidden.push({ finding, by })
    else told.push(finding)
  }
  return { told, ignored: hidden }
}
