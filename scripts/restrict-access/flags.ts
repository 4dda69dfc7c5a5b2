import { type ConnectTo, parseConnectTo } from '../../lib/preflight/host-name.ts'
import { timeoutOf } from '../../lib/script/duration.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { parseRanges } from './ranges.ts'

/** What a run is told. */
export interface AccessFlags {
  allow: string[]
  'behind-proxy': string[]
  app?: string | undefined
  open: boolean
  show: boolean
  'connect-to'?: string | undefined
  timeout?: string | undefined
}

/** The flags, read. Throws a UsageError for values that are not valid, and for flags that do not go together. Pure. */
export function readAccessFlags(flags: AccessFlags): {
  given: string[]
  proxies: string[]
  connectTo: ConnectTo | undefined
  deadline: number
} {
  const given = parseRanges('--allow', flags.allow)
  const proxies = parseRanges('--behind-proxy', flags['behind-proxy'])
  if ([given.length > 0, flags.open, flags.show].filter(Boolean).length > 1)
    throw new UsageError('--allow, --open and --show do not go together', 'give one of them')
  if (proxies.length > 0 && (flags.app !== undefined || given.length === 0))
    throw new UsageError(
      '--behind-proxy goes with --allow for everything, not for one host',
      'behind a proxy, restrict one host at the proxy, or everything here',
    )
  const direct = flags['connect-to']
  const connectTo = direct === undefined ? undefined : parseConnectTo(direct)
  return { given, proxies, connectTo, deadline: timeoutOf(flags.timeout, 10) }
}
