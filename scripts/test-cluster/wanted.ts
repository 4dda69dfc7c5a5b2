import { APP_NAMES, checkApp } from '../../lib/platform/apps.ts'
import { parseHostName } from '../../lib/preflight/host-name.ts'
import { timeoutOf } from '../../lib/script/duration.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { listedWords } from '../../lib/script/flags.ts'
import { inQuotes } from '../../lib/script/printable.ts'
import { TEST_SECTIONS, type TestSection } from './checks.ts'

/** What is tested unless it is asked for otherwise: a browser takes minutes, and creates users for a while. */
const USUAL_SECTIONS = (Object.keys(TEST_SECTIONS) as TestSection[]).filter(name => name !== 'browser')
/** What can be seen of a platform that is only a domain name. */
const OUTSIDE: readonly TestSection[] = ['certs', 'login']

/** What a run of test-cluster is asked for. */
export interface Wanted {
  wanted: TestSection[]
  app?: string
  fqdn?: string
  /** Milliseconds for which failed checks are repeated. */
  deadline: number
}

/** What the flags ask for. Throws a UsageError that names what is expected. Pure. */
export function wantedOf(flags: {
  only: readonly string[]
  app?: string
  fqdn?: string
  timeout?: string
  browser?: boolean
}): Wanted {
  const { app } = flags
  const fqdn = flags.fqdn === undefined ? undefined : parsePlatformDomain(flags.fqdn)
  if (flags.browser && fqdn !== undefined)
    throw new UsageError(
      '--browser: not with --fqdn',
      'omit --fqdn: the users of the test are created through the API server of a cluster folder',
    )
  const sections = sectionsOf(flags.only, { app, fqdn })
  const wanted = flags.browser && !sections.includes('browser') ? [...sections, 'browser' as const] : sections
  if (app !== undefined) checkApp(app, APP_NAMES)
  return { wanted, app, fqdn, deadline: timeoutOf(flags.timeout, 0.5) }
}

/** The parts of `--only`; without it the usual ones. Throws a UsageError for others. */
function sectionsOf(only: readonly string[], { app, fqdn }: { app?: string; fqdn?: string }): TestSection[] {
  const known = Object.keys(TEST_SECTIONS) as TestSection[]
  const possible = fqdn === undefined ? known : OUTSIDE
  const names = listedWords('--only', only, possible, name =>
    (known as string[]).includes(name) ? 'not with --fqdn' : 'unknown section',
  )
  if (names.length > 0) return names
  const usual = fqdn === undefined ? USUAL_SECTIONS : OUTSIDE
  return usual.filter(name => app === undefined || ['certs', 'app', 'login'].includes(name))
}

/**
 * The domain of `--fqdn`, with its port where one was given: `oas.example.org`, `oas.example.org:8443`. Throws a
 * UsageError that names what is expected. Pure.
 */
export function parsePlatformDomain(text: string): string {
  const [, name = text, port] = /^([^:/]*):([^:/]*)$/.exec(text.trim()) ?? []
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535))
    throw new UsageError(
      `--fqdn ${inQuotes(text)}: ${JSON.stringify(port.slice(0, 20))} is not a valid port`,
      'give DOMAIN or DOMAIN:PORT with a port from 1 to 65535: oas.example.org, oas.example.org:8443',
    )
  try {
    const domain = parseHostName(name)
    return port === undefined ? domain : `${domain}:${Number(port)}`
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw new UsageError(`--fqdn: ${error.message}`, error.fix.replace('chat.oas.', 'oas.'))
  }
}
