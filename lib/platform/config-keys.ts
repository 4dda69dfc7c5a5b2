import { isIP } from 'node:net'

/** One key of `.flux.env`. */
export interface ConfigKey {
  name: string
  /** Its description, as a question on the terminal. */
  ask: string
  /** The value when the file has none; keys without a default are required where they matter. */
  default?: string
  /** Never shown: passwords and keys. */
  secret?: boolean
  /** The switch that makes this key required: `outgoing_mail_enabled`, `backup_s3_enabled`. */
  neededBy?: string
  /** What is wrong with a value, or undefined. */
  check: (value: string) => string | undefined
  /**
   * Where the value is used: Flux substitutes variables into manifests, references travel in a Secret of their own
   * and are never pasted into YAML, settings are for the scripts alone.
   */
  use: 'variable' | 'reference' | 'setting'
}

const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
const domainPattern = new RegExp(`^${label}(\\.${label})+$`)

const checkDomain = (value: string) =>
  value.length <= 200 && domainPattern.test(value) && !/\.\d+$/.test(value)
    ? undefined
    : 'must be a domain in lower case, like oas.example.org'
const checkMail = (value: string) => {
  const [local, domain, ...rest] = value.split('@')
  return local &&
    /^[\w.+-]+$/.test(local) &&
    domain &&
    rest.length === 0 &&
    !checkDomain(domain.toLowerCase())
    ? undefined
    : 'must be a mail address, like admin@example.org'
}
const checkIp = (value: string) => (isIP(value) ? undefined : 'must be an IP address, like 203.0.113.7')
const checkSwitch = (value: string) => (/^(true|false)$/.test(value) ? undefined : 'must be true or false')
// Alertmanager and Grafana need HOST:PORT, which an IPv6 address breaks.
const checkHost = (value: string) =>
  isIP(value) === 4 || new RegExp(`^${label}(\\.${label})*$`).test(value) ? undefined : 'must be a host name'
const checkPort = (value: string) =>
  /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65535 ? undefined : 'must be a port, from 1 to 65535'
const checkUrl = (value: string) => {
  const url = URL.parse(value)
  // URL.parse repairs what Flux does not: white space, missing slashes.
  if (!url || !/^https?:\/\/\S+$/.test(value)) return 'must be an http or https URL'
  return url.username || url.password ? 'must not hold a user name or password' : undefined
}
const checkGitUrl = (value: string) => {
  const url = URL.parse(value)
  if (!url || !/^(https?|ssh):\/\/\S+$/.test(value)) return 'must be an http, https or ssh URL'
  return url.password ? 'must not hold a password' : undefined
}
const matches = (pattern: RegExp, what: string) => (value: string) => (pattern.test(value) ? undefined : what)
const anything = () => undefined

/** Every key of `.flux.env` (docs 0.7.0, "Flux configuration"; the advanced ones are our own). */
export const CONFIG_KEYS: readonly ConfigKey[] = [
  { name: 'ip_address', ask: 'IP address of the cluster', check: checkIp, use: 'setting' },
  { name: 'domain', ask: 'Domain of the cluster', check: checkDomain, use: 'variable' },
  { name: 'admin_email', ask: 'Mail address of the administrator', check: checkMail, use: 'variable' },
  {
    name: 'outgoing_mail_enabled',
    ask: 'Send mail (true or false)?',
    default: 'false',
    check: checkSwitch,
    use: 'variable',
  },
  ...(
    [
      ['outgoing_mail_from_address', 'Address that mail is sent from', checkMail],
      [
        'outgoing_mail_from_local_part',
        'Its part before the @',
        matches(/^[\w.+-]+$/, 'must be the part before the @'),
      ],
      ['outgoing_mail_domain', 'Its part after the @', checkDomain],
      ['outgoing_mail_smtp_user', 'SMTP user', anything],
      ['outgoing_mail_smtp_password', 'SMTP password', anything],
      ['outgoing_mail_smtp_host', 'SMTP host', checkHost],
      [
        'outgoing_mail_smtp_authtype',
        'SMTP authentication',
        matches(/^(LOGIN|PLAIN|CRAM-MD5)$/, 'must be LOGIN, PLAIN or CRAM-MD5'),
      ],
      ['outgoing_mail_smtp_port', 'SMTP port', checkPort],
    ] as const
  ).map(
    ([name, ask, check]): ConfigKey => ({
      name,
      ask,
      check,
      neededBy: 'outgoing_mail_enabled',
      secret: name.endsWith('password'),
      default: name.endsWith('authtype') ? 'LOGIN' : name.endsWith('port') ? '587' : undefined,
      use: check === anything ? 'reference' : 'variable',
    }),
  ),
  {
    name: 'backup_s3_enabled',
    ask: 'Back up to S3 every night (true or false)?',
    default: 'false',
    check: checkSwitch,
    use: 'variable',
  },
  ...(
    [
      ['backup_s3_url', 'URL of the S3 service', checkUrl],
      ['backup_s3_region', 'S3 region', matches(/^[\w-]+$/, 'must be letters, digits and dashes')],
      [
        'backup_s3_bucket',
        'S3 bucket',
        matches(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket'),
      ],
      [
        'backup_s3_prefix',
        'Prefix in the bucket',
        matches(/^[\w][\w./-]*$/, 'must be letters, digits, dots, slashes and dashes'),
      ],
      ['backup_s3_aws_access_key_id', 'S3 access key', anything],
      ['backup_s3_aws_secret_access_key', 'S3 secret key', anything],
    ] as const
  ).map(
    ([name, ask, check]): ConfigKey => ({
      name,
      ask,
      check,
      neededBy: 'backup_s3_enabled',
      default: name.endsWith('prefix') ? '' : undefined,
      secret: name.includes('aws'),
      use: check === anything ? 'reference' : 'variable',
    }),
  ),
  {
    name: 'cluster_issuer',
    ask: 'Certificate issuer',
    default: 'letsencrypt-production',
    check: matches(
      /^letsencrypt-(production|staging)$/,
      'must be letsencrypt-production or letsencrypt-staging',
    ),
    use: 'variable',
  },
  {
    name: 'wordpress_domain',
    ask: 'Domain of WordPress',
    // www.DOMAIN; somebody without a subdomain of their own gives the root domain (docs, "Configure DNS").
    default: 'www.DOMAIN',
    check: checkDomain,
    use: 'variable',
  },
  {
    name: 'legacy_access',
    ask: 'May users of before 0.7 open every application (true or false)?',
    default: 'true',
    check: checkSwitch,
    use: 'variable',
  },
  { name: 'charts_mirror', ask: 'Mirror of the Helm charts', default: '', check: checkUrl, use: 'variable' },
  {
    name: 'acme_server',
    ask: 'Directory of another ACME server',
    default: '',
    check: checkUrl,
    use: 'variable',
  },
  {
    name: 'flux_manifest',
    ask: 'Install manifest of Flux',
    default: '',
    check: matches(/^\//, 'must be the absolute path of a file'),
    use: 'setting',
  },
  {
    name: 'git_url',
    ask: 'Git repository that Flux follows',
    // The origin of the checkout, see scripts/install-core/origin.ts.
    default: '',
    check: checkGitUrl,
    use: 'setting',
  },
  {
    name: 'git_branch',
    ask: 'Branch that Flux follows',
    default: '',
    check: matches(/^(?!.*(\.\.|\/\/))[\w][\w./-]*$/, 'must be the name of a branch'),
    use: 'setting',
  },
]

const LONGEST = 1024

/**
 * Characters that no variable may hold. Variables are substituted into YAML by Flux, where a quote ends the string
 * that the value stands in and `$` begins another substitution.
 */
const forbidden = /["'`$\\]/

/** What is wrong with a value of this key, or undefined. An empty value counts as absent and is fine here. */
export function checkValue(key: ConfigKey, value: string): string | undefined {
  if (value === '') return undefined
  if (value.length > LONGEST) return `is longer than ${LONGEST} characters`
  // Also what YAML takes for a line break, or refuses.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what we look for
  if (/[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]/.test(value) || !value.isWellFormed())
    return 'holds a control character or a line break'
  if (key.use !== 'reference' && forbidden.test(value))
    return 'holds one of " \' ` $ \\, which YAML and Flux would misread: use a value without them'
  if (value !== value.trim()) return 'begins or ends with white space'
  return key.check(value)
}
