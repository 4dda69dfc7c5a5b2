import { UsageError } from '../../lib/script/errors.ts'
import { rangeOf } from './range.ts'

/** The flags that say which part of which logs is wanted. */
export interface LogFlags {
  follow: boolean
  previous: boolean
  since?: string
  until?: string
  tail?: string
  container?: string
  grep: string[]
  query?: string
  source?: string
}

/** Where logs are read. */
export type LogSource = 'pods' | 'loki'

/** Throws what of the flags does not go together. */
export function checkLogFlags(flags: LogFlags, name: string | undefined): void {
  const { follow, previous, until, query, source, container, grep } = flags
  const refuse = (what: string, fix: string) => {
    throw new UsageError(what, fix)
  }
  if (source !== undefined && !['pods', 'loki'].includes(source))
    refuse(`--source ${JSON.stringify(source)} is unknown`, 'give --source pods or --source loki')
  if (follow && previous)
    refuse('a run that is over cannot be followed', 'give --follow or --previous, not both')
  if (follow && until !== undefined)
    refuse('what has an end cannot be followed', 'give --follow or --until, not both')
  if (previous && source === 'loki')
    refuse('Loki does not tell runs of a container apart', 'give --since in place of --previous')
  rangeOf(flags, Date.now())
  if (query === undefined) return
  if (name !== undefined) refuse(`a query needs no ${name}`, 'put it into the query')
  if (previous || container !== undefined || grep.length > 0)
    refuse(
      'a query takes no further filters',
      'put it into the query: {container_name="hydra"} |= "text"; for --previous give a name',
    )
  if (source === 'pods') refuse('a query is for Loki', 'omit --source, or give a name')
}

/** The number of lines that are wanted at most; undefined for all. Throws a UsageError. */
export function tailLines({ tail, since, follow }: LogFlags): number | undefined {
  if (tail === undefined) return since !== undefined ? undefined : follow ? 10 : 100
  if (tail === 'all') return undefined
  if (!/^\d{1,9}$/.test(tail))
    throw new UsageError(`--tail ${JSON.stringify(tail)} is not a number of lines`, 'give a number, or `all`')
  return Number(tail)
}
