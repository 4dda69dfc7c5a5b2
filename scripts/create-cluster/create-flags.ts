import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { checkAddress, checkUser } from '../../lib/platform/inventory.ts'
import { checkProviderUrl, PROVIDERS } from '../../lib/provider/providers.ts'
import { checkClusterName } from '../../lib/script/cluster.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'

/** The flags of create-cluster. */
export const createFlags = {
  'ip-address': { type: 'string', value: 'IP', help: 'public address of the server, IPv4 or IPv6' },
  'admin-email': { type: 'string', value: 'MAIL', help: 'mail address of the administrator' },
  subdomain: {
    type: 'string',
    value: 'NAME',
    help: 'host the platform at NAME.DOMAIN; DOMAIN is then the domain as the provider lists it',
  },
  'root-domain': {
    type: 'boolean',
    help: 'WordPress is at DOMAIN itself (assumed for two labels, like example.org)',
  },
  hostname: {
    type: 'string',
    value: 'NAME',
    help: 'name of the server in inventory.yml (default: the domain)',
  },
  'ssh-user': { type: 'string', value: 'USER', help: 'user to log in as (default: root)' },
  provider: {
    type: 'string',
    value: 'PROVIDER',
    help: `${Object.keys(PROVIDERS).join(' or ')}; its token is read from ${Object.values(PROVIDERS)
      .map(spec => spec.tokenVariable)
      .join(' or ')}`,
  },
  'provider-url': { type: 'string', value: 'URL', help: 'another URL of its API' },
  'droplet-id': { type: 'string', value: 'ID', help: 'use this server of the provider' },
  'create-droplet': { type: 'boolean', help: 'create a server at the provider' },
  'create-hostname': { type: 'string', value: 'NAME', help: 'its host name (default: the domain)' },
  size: { type: 'string', value: 'SIZE', help: 'its size; all applications need 6 cores and 12 GB' },
  region: { type: 'string', value: 'REGION', help: 'its region' },
  image: { type: 'string', value: 'IMAGE', help: 'its operating system: name or id of a Debian image' },
  'ssh-key-id': { type: 'string', value: 'ID', help: 'id of the SSH key that may log in' },
  'create-domain-records': { type: 'boolean', help: 'create the DNS records at the provider' },
  timeout: { type: 'string', value: 'TIME', help: 'how long to wait for a new server (default 15m)' },
} as const
/** The flags that describe a new server. */
const ORDER_FLAGS = ['create-hostname', 'size', 'region', 'image', 'ssh-key-id'] as const
/** The flags that need a provider. */
const PROVIDER_FLAGS = [
  'provider-url',
  'droplet-id',
  'create-droplet',
  'create-domain-records',
  ...ORDER_FLAGS,
] as const

/** A run of create-cluster. */
export type CreateRun = Run<typeof createFlags>

/** All that is wrong with the command line, before anything else is checked. */
export function usageProblems({ args: [name, domain], flags: given }: CreateRun): UsageError[] {
  const problems: UsageError[] = []
  const check = (what: string, value: string | undefined, problem: (value: string) => string | undefined) => {
    const wrong = value === undefined ? undefined : value === '' ? 'is empty' : problem(value)
    if (wrong) problems.push(new UsageError(`${what} ${JSON.stringify(value)}: ${wrong}`, 'correct it'))
  }
  const exclude = (one: keyof typeof createFlags, other: keyof typeof createFlags) => {
    if (given[one] && given[other])
      problems.push(new UsageError(`--${one} and --${other} exclude each other`, 'give one of them'))
  }
  const id = (value: string) => (/^[1-9]\d{0,14}$/.test(value) ? undefined : 'must be a number')
  const word = (value: string) => (/^[\w][\w.-]{0,99}$/.test(value) ? undefined : 'must be a name or id')
  if (name === undefined && !interactive())
    problems.push(new UsageError('NAME is missing', 'give NAME and DOMAIN; see --help'))
  check('NAME', name, checkClusterName)
  check('DOMAIN', domain, value => checkKey('domain', value))
  check('--subdomain', given.subdomain, checkHostName)
  if (domain && given.subdomain && problems.length === 0)
    check('--subdomain and DOMAIN', `${given.subdomain}.${domain}`, value => checkKey('domain', value))
  check('--ip-address', given['ip-address'], value =>
    // fe80::1%eth0 is an address on one machine only
    value.includes('%') ? 'must be an address without a zone' : checkKey('ip_address', value),
  )
  check('--admin-email', given['admin-email'], value => checkKey('admin_email', value))
  check('--hostname', given.hostname, checkAddress)
  check('--ssh-user', given['ssh-user'], checkUser)
  check('--provider', given.provider, value =>
    Object.hasOwn(PROVIDERS, value) ? undefined : `is unknown; ${suggestion(value, Object.keys(PROVIDERS))}`,
  )
  check('--provider-url', given['provider-url'], checkProviderUrl)
  check('--droplet-id', given['droplet-id'], id)
  check('--create-hostname', given['create-hostname'], checkHostName)
  for (const flag of ['size', 'region', 'image'] as const) check(`--${flag}`, given[flag], word)
  check('--ssh-key-id', given['ssh-key-id'], id)
  exclude('ip-address', 'create-droplet')
  exclude('ip-address', 'droplet-id')
  exclude('droplet-id', 'create-droplet')
  exclude('subdomain', 'root-domain')
  for (const flag of PROVIDER_FLAGS)
    if (given[flag] && !given.provider)
      problems.push(new UsageError(`--${flag} needs a provider`, 'add --provider NAME'))
  for (const flag of ORDER_FLAGS)
    if (given[flag] && !given['create-droplet'])
      problems.push(new UsageError(`--${flag} is for a new server`, 'add --create-droplet, or omit it'))
  if (given.provider && !given['droplet-id'] && !given['create-droplet'] && !given['create-domain-records'])
    problems.push(
      new UsageError(
        '--provider alone does nothing',
        'add --droplet-id ID, --create-droplet or --create-domain-records',
      ),
    )
  if (given['create-domain-records'] && domain === undefined)
    problems.push(new UsageError('--create-domain-records needs DOMAIN', 'give it after NAME'))
  if (given.subdomain && domain === undefined)
    problems.push(new UsageError('--subdomain needs DOMAIN', 'give it after NAME'))
  return problems
}

/** What is wrong with a value of this key of `.flux.env`, or undefined. */
export function checkKey(name: string, value: string): string | undefined {
  return checkValue(CONFIG_KEYS.find(key => key.name === name)!, value)
}

/** What is wrong with a host name, or undefined. */
export function checkHostName(value: string): string | undefined {
  return value.length <= 200 &&
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(value)
    ? undefined
    : 'must be a host name in lower case'
}
