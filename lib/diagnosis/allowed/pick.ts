import { scrub } from '../../script/scrub.ts'

/**
 * Which part of a value is kept, and of what type it has to be:
 * `text` and `message` are strings (a message is written by programs: bounded, without what looks like a secret, and
 * without words that look random),
 * `scalar` is a string, a number or a boolean, a `url` loses its credentials and its query, of a `path` only usual words are left, of a
 * `folder` those that folders of programs are usually called by, of a `file` also names that end as those of settings do,
 * `certificates` are PEM in base64. A list holds the same in each item, a record named fields of its own, and with `'*'` fields of any name.
 */
export type Shape =
  | 'text'
  | 'message'
  | 'number'
  | 'flag'
  | 'scalar'
  | 'url'
  | 'path'
  | 'folder'
  | 'file'
  | 'certificates'
  | readonly [Shape]
  | Fields

/** Fields of a record. */
export type Fields = { readonly [field: string]: Shape }

/** Characters of a text and of a message, and items of a list or a map. */
const LONGEST_TEXT = 1024
const LONGEST_MESSAGE = 4096
const LONGEST_CERTIFICATES = 64 << 10
const MOST_ITEMS = 5000

/** The part of a value that its shape allows; undefined when it is of another type. Pure. */
export function allowedPart(value: unknown, shape: Shape): unknown {
  if (typeof shape === 'string') return pickScalar(value, shape)
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return undefined
    const items = value.slice(0, MOST_ITEMS).map(item => allowedPart(item, shape[0]))
    // What `filter` makes has room for 16 more items: of ten thousands of pods that is memory.
    return items.includes(undefined) ? items.filter(item => item !== undefined) : items
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const fields = shape as Fields
  const record = value as Record<string, unknown>
  const result: Record<string, unknown> = {}
  for (const name of '*' in fields ? Object.keys(record).slice(0, MOST_ITEMS) : Object.keys(fields)) {
    const kept = Object.hasOwn(record, name)
      ? allowedPart(record[name], fields[name] ?? fields['*']!)
      : undefined
    if (kept !== undefined && name !== '__proto__') result[name] = kept
  }
  return result
}

function pickScalar(value: unknown, shape: Extract<Shape, string>): unknown {
  if (typeof value === 'string') {
    if (shape === 'text' || shape === 'scalar')
      return shared(texts, value, text => text.slice(0, LONGEST_TEXT))
    if (shape === 'url') return withoutQuery(withoutCredentials(value.slice(0, LONGEST_TEXT)))
    if (shape === 'certificates') return isCertificates(value) ? value : undefined
    if (shape === 'path') return usualPath(value.slice(0, LONGEST_TEXT), USUAL)
    if (shape === 'folder') return usualPath(value.slice(0, LONGEST_TEXT), FOLDERS)
    if (shape === 'file') return usualPath(value.slice(0, LONGEST_TEXT), FILES)
    return shape === 'message' ? shared(messages, value, messageOf) : undefined
  }
  if (typeof value === 'number') return shape === 'number' || shape === 'scalar' ? value : undefined
  if (typeof value === 'boolean') return shape === 'flag' || shape === 'scalar' ? value : undefined
  return undefined
}

/** What a long list repeats: each text is held once, and each message is looked at once. */
const texts = new Map<string, string>()
const messages = new Map<string, string>()
const MOST_SHARED = 5000

function shared(known: Map<string, string>, value: string, of: (value: string) => string): string {
  const found = known.get(value)
  if (found !== undefined) return found
  const made = of(value)
  if (known.size === MOST_SHARED) known.clear()
  if (value.length <= LONGEST_TEXT) known.set(value, made)
  return made
}

function messageOf(text: string): string {
  const safe = withoutCredentials(scrub(text.slice(0, 4 * LONGEST_MESSAGE))).slice(0, LONGEST_MESSAGE)
  return safe.replaceAll(/[\w+=]{16,}/g, word => (/\d/.test(word) && /[a-z]/i.test(word) ? '***' : word))
}

function isCertificates(base64: string): boolean {
  if (base64.length > LONGEST_CERTIFICATES) return false
  const pem = Buffer.from(base64, 'base64').toString('latin1')
  return pem.includes('-----BEGIN CERTIFICATE-----') && !pem.includes('PRIVATE KEY')
}

/** A text without the user and password of URLs in it. Pure. */
export function withoutCredentials(text: string): string {
  return text.replaceAll(/:\/\/[^/\s@"'\\]+@/g, '://***@')
}

/** Parts of paths that programs use to say how they are: any other may be a token, as in https://HOST/hooks/TOKEN. */
const USUAL =
  /^(|-|_?health(z|y|_check|check)?|livez?|liveness|alive|readyz?|readiness|startup|started|status(\.php)?|ping|up|ok|metrics|api|v\d|info|version|login|index\.(html|php)|actuator|admin|system|robots\.txt|favicon\.ico)$/

/** Parts of the paths of folders and files that are the same everywhere: any other is a name that was chosen. */
const FOLDERS =
  /^(|etc|usr|local|share|lib|libexec|var|run|opt|srv|tmp|home|root|app|bin|data|db|www|html|public|log|logs|cache|conf|config|configs|configuration|conf\.d|settings|secret|secrets|ssl|tls|pki|cert|certs|certificates|keys|private|env|templates|scripts|rules|provisioning|dashboards|datasources|plugins|nginx|apache2|httpd|caddy|traefik|haproxy|envoy|php|mysql|mariadb|postgresql|redis|mongo|mongodb|rabbitmq|kafka|prometheus|alertmanager|grafana|loki|tempo|otel|fluent-bit|fluentd|vault|consul|coredns|kubernetes|docker-entrypoint\.d|docker-entrypoint-initdb\.d|tls\.(crt|key)|ca\.crt|nginx\.conf|default\.conf|my\.cnf|redis\.conf|mongod\.conf|config\.(ya?ml|json|toml)|prometheus\.yml|grafana\.ini|Corefile|Caddyfile)$/

/** Names of files as the keys of ConfigMaps have them, which are known, too. */
const FILES = new RegExp(
  `${FOLDERS.source}|^[\\w-]{1,60}\\.(conf|cfg|cnf|ini|ya?ml|json|toml|xml|properties|php|sh|sql|env|html|lua|rules)$`,
)

const usualPath = (path: string, usual: RegExp) =>
  path
    .replace(/[?#].*$/s, '')
    .split('/')
    .map(part => (usual.test(part) ? part : '***'))
    .join('/')

const withoutQuery = (url: string) => url.replace(/\?.*$/s, '?***')
