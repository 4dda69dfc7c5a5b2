import { refText } from '../kubectl/kubectl.ts'
import { countText } from '../script/count.ts'
import type { Log } from '../script/log.ts'
import { asOneLine } from '../script/printable.ts'
import type { Diagnosis } from './diagnose.ts'
import type { Action, RootCause } from './finding.ts'

/** The first line of a diagnosis: how much is wrong, and of how many causes. Pure. */
export function headline({ causes, affected, gaps }: Diagnosis): string {
  const broken = causes.filter(({ verdict }) => verdict === 'broken').length
  const warnings = causes.length - broken
  const rest = [
    warnings > 0 ? `${countText(warnings, 'warning')}` : '',
    gaps.length > 0 ? `${countText(gaps.length, 'thing')} could not be read` : '',
  ].filter(Boolean)
  if (broken > 0) return [`${affected} not healthy, ${countText(broken, 'cause')}`, ...rest].join(' · ')
  // Only where everything was read, and works.
  return rest.join(' · ') || 'nothing is broken'
}

/** How many names are told of what a cause explains. */
const MOST = 6

/** A finding in lines: what is wrong, what was seen, what to do, and what it explains. Pure. */
export function causeLines(cause: RootCause): string[] {
  const explained = [...new Set(cause.explains.map(({ subject }) => refText(subject)))].filter(
    name => name !== refText(cause.subject),
  )
  const more = explained.length - MOST
  // What --fix can do needs no other command; a script of ours is one itself.
  const ours = cause.remedy.action !== undefined && cause.remedy.action.do !== 'script'
  return [
    `${cause.verdict === 'broken' ? '✗' : '!'} ${refText(cause.subject)}: ${cause.cause}`,
    ...cause.evidence.map(line => `    seen: ${line}`),
    `    do: ${cause.remedy.text}`,
    ...(ours ? ['    $ npx tsx scripts/diagnose.ts --fix'] : []),
    ...(cause.remedy.command ? [`    $ ${cause.remedy.command}${ours ? '   # the same by hand' : ''}`] : []),
    ...(explained.length > 0
      ? [`    explains: ${explained.slice(0, MOST).join(', ')}${more > 0 ? ` and ${more} more` : ''}`]
      : []),
  ].map(asOneLine)
}

/** Prints a diagnosis: the headline, every cause, what is ignored, and what could not be read. */
export function show(diagnosis: Diagnosis, log: Log): void {
  log.print(headline(diagnosis))
  for (const cause of diagnosis.causes) {
    log.print('')
    const [title = '', ...lines] = causeLines(cause)
    log.print(cause.verdict === 'broken' ? log.colour.red(title) : log.colour.yellow(title))
    for (const line of lines) log.print(line)
  }
  if (diagnosis.ignored.length > 0) log.print('')
  for (const { finding, by } of diagnosis.ignored)
    log.print(
      asOneLine(`ignored until ${by.until}: ${refText(finding.subject)}: ${finding.cause} (${by.reason})`),
    )
  if (diagnosis.gaps.length > 0) log.print('')
  for (const { what, why } of diagnosis.gaps) log.print(asOneLine(`? ${what}: could not be read: ${why}`))
}

/** An action in words, as it is asked about. Pure. */
export function actionText(action: Action): string {
  switch (action.do) {
    case 'reconcile': {
      const how = action.reset ? ', with a retry' : action.force ? ', even if nothing has changed' : ''
      return `have Flux reconcile ${refText(action.ref)} now${how}`
    }
    case 'resume':
      return `resume ${refText(action.ref)}`
    case 'delete':
      return `delete ${refText(action.ref)}`
    case 'patch':
      return `${action.why}: ${refText(action.ref)}`
    case 'script':
      return `run npx tsx scripts/${action.script}.ts ${action.args.join(' ')}`.trimEnd()
  }
}
