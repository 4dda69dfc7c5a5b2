import type { Document, Node, Scalar } from 'yaml'
import { APP_NAMES } from '../../lib/platform/apps.ts'
import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { registerSecret } from '../../lib/script/redact.ts'

/** A setting older than 0.6 without a place in `.flux.env`, or with a value that is not valid there. */
export interface LeftSetting {
  /** Its keys, joined by dots. */
  path: string
  why: string
  /** Undefined if it looks like a secret. */
  value?: string
  /** The key of `.flux.env` that needs a value from the user. */
  key?: string
}

/** What a `settings.yaml` says, in the words of 0.7. */
export interface Migration {
  values: Record<string, string>
  left: LeftSetting[]
  /** The applications that it enables, by the names that install-app takes; undefined when it names none. */
  apps?: string[]
  /** Names among them that 0.7 does not know. */
  unknownApps: string[]
}

const TRUE = /^(y|yes|true|on)$/i
const FALSE = /^(n|no|false|off)$/i

/** A switch as `.flux.env` has it; any other text stays, so that the check of the key names it. */
const onOff = (text: string) => (TRUE.test(text) ? 'true' : FALSE.test(text) ? 'false' : text)
const issuer = (staging: RegExp) => (text: string) =>
  `letsencrypt-${staging.test(text) ? 'staging' : 'production'}`
const upper = (text: string) => text.toUpperCase()
const lower = (text: string) => text.toLowerCase()

/**
 * The key that each setting became. Those of `backup.s3` are in the docs ("Upgrading from 0.3.0 to 0.4.0"); a
 * setting with the name of a key becomes that key, too.
 */
const PLACES: Readonly<Record<string, readonly [key: string, convert?: (text: string) => string]>> = {
  domain: ['domain', lower],
  acme_staging: ['cluster_issuer', issuer(TRUE)],
  acme_live_environment: ['cluster_issuer', issuer(FALSE)],
  'outgoing_mail.enabled': ['outgoing_mail_enabled', onOff],
  'outgoing_mail.from': ['outgoing_mail_from_address'],
  'outgoing_mail.from_address': ['outgoing_mail_from_address'],
  'outgoing_mail.smtp.host': ['outgoing_mail_smtp_host'],
  'outgoing_mail.smtp.port': ['outgoing_mail_smtp_port'],
  'outgoing_mail.smtp.user': ['outgoing_mail_smtp_user'],
  'outgoing_mail.smtp.username': ['outgoing_mail_smtp_user'],
  'outgoing_mail.smtp.password': ['outgoing_mail_smtp_password'],
  'outgoing_mail.smtp.authtype': ['outgoing_mail_smtp_authtype', upper],
  'backup.s3.enabled': ['backup_s3_enabled', onOff],
  'backup.s3.url': ['backup_s3_url'],
  'backup.s3.region': ['backup_s3_region'],
  'backup.s3.bucket': ['backup_s3_bucket'],
  'backup.s3.prefix': ['backup_s3_prefix'],
  'backup.s3.access_key_id': ['backup_s3_aws_access_key_id'],
  'backup.s3.aws_access_key_id': ['backup_s3_aws_access_key_id'],
  'backup.s3.secret_access_key': ['backup_s3_aws_secret_access_key'],
  'backup.s3.aws_secret_access_key': ['backup_s3_aws_secret_access_key'],
}

/** What `enabled_applications` calls the parts of the core of 0.7; docs, the same section. */
const CORE = new Set([
  ...['cert-manager', 'letsencrypt-production', 'letsencrypt-staging', 'ingress', 'local-path-provisioner'],
  ...['single-sign-on', 'grafana', 'loki', 'promtail', 'prometheus'],
])

/** A setting as the file has it: a text with its tag, or a list. */
interface Leaf {
  path: string
  text: string
  tag?: string
  list?: string[]
}

const LARGEST = 200_000
const MOST = 5000

/**
 * Reads a `settings.yaml` (or `settings.yml`) of 0.3 to 0.5. Throws a UsageError for any other file, and
 * never quotes it: it holds passwords.
 */
export async function migrateSettings(text: string, file: string): Promise<Migration> {
  const leaves = await readLeaves(text, file)
  const migration: Migration = { values: {}, left: [], unknownApps: [] }
  for (const leaf of leaves) {
    if (leaf.path === 'enabled_applications' && leaf.list) takeApps(migration, leaf.list)
    else take(migration, leaf)
  }
  const known = migration.left.some(({ key }) => key !== undefined)
  if (!known && Object.keys(migration.values).length === 0 && migration.apps === undefined)
    throw new UsageError(
      `${file} has no known setting`,
      'give the settings.yaml of a cluster with --settings FILE',
    )
  return migration
}

function takeApps(migration: Migration, names: readonly string[]): void {
  const apps = names.map(name => (name === 'onlyoffice' ? 'nextcloud' : name)).filter(name => !CORE.has(name))
  migration.apps = APP_NAMES.filter(name => apps.includes(name))
  migration.unknownApps = apps.filter(name => !APP_NAMES.includes(name))
}

function take({ values, left }: Migration, { path, text, tag, list }: Leaf): void {
  const own = CONFIG_KEYS.some(({ name }) => name === path) ? ([path] as const) : undefined
  const [name, convert] = (Object.hasOwn(PLACES, path) ? PLACES[path] : own) ?? []
  const key = CONFIG_KEYS.find(candidate => candidate.name === name)
  const secret = key ? key.secret : /pass|secret|token|key|credential/i.test(path)
  if (secret) registerSecret(text)
  const leave = (why: string) =>
    left.push({ path, why, ...(secret || tag ? {} : { value: text }), ...(key ? { key: key.name } : {}) })
  if (tag) leave(`has the tag ${tag}, which only Ansible can read`)
  else if (/\{\{|\{%/.test(text)) leave('is a template, which only Ansible can fill in')
  else if (!key) leave('has no counterpart in 0.7')
  else if (list) leave('is a list; one value is expected')
  else if (text !== '') {
    const value = (convert ?? ((same: string) => same))(text.trim())
    const problem = checkValue(key, value)
    if (problem) leave(problem)
    else if (values[key.name] !== undefined && values[key.name] !== value)
      leave('is set twice, under two names, to different values')
    else values[key.name] = value
  }
}

/** Every setting of a file, with the keys above it. */
async function readLeaves(text: string, file: string): Promise<Leaf[]> {
  if (text.length > LARGEST)
    throw new UsageError(`${file} is larger than ${LARGEST / 1000} kB`, 'check that it is the right file')
  const yaml = await import('yaml')
  // Ansible reads YAML 1.1, where `yes` is true. With `silent` a second document would go unnoticed.
  const document: Document.Parsed = yaml.parseDocument(text, { version: '1.1', logLevel: 'error' })
  const [error] = document.errors
  if (error)
    throw new UsageError(
      `${file} is not valid YAML: ${error.code} in line ${error.linePos?.[0].line ?? '?'}`,
      'correct that line; a file that Ansible reads is valid here',
    )
  if (!yaml.isMap(document.contents))
    throw new UsageError(`${file} holds no settings`, 'give the settings.yaml of a cluster')
  const leaves: Leaf[] = []
  let visited = 0
  const walk = (node: Node | null, path: string, depth: number): void => {
    // Aliases of aliases can make a small file endless.
    if (depth > 20 || visited++ > MOST)
      throw new UsageError(`${file} holds far more than settings`, 'check that it is the right file')
    if (yaml.isAlias(node)) walk(node.resolve(document) ?? null, path, depth + 1)
    else if (yaml.isMap(node))
      for (const pair of node.items) {
        const key = yaml.isScalar(pair.key) ? plain(pair.key) : '?'
        const below = key === '<<' ? path : path === '' ? key : `${path}.${key}`
        walk(pair.value as Node | null, below, depth + 1)
      }
    else if (yaml.isSeq(node)) {
      const list = node.items.map(item => (yaml.isScalar(item) ? plain(item) : JSON.stringify(item)))
      leaves.push({ path, text: JSON.stringify(list), list })
    } else if (yaml.isScalar(node)) {
      const tag = node.tag?.startsWith('!') ? node.tag : undefined
      leaves.push({ path, text: plain(node), ...(tag ? { tag } : {}) })
    }
  }
  walk(document.contents, '', 0)
  return leaves
}

/** A scalar as it is written, without quotes: an unquoted password of digits stays what it looks like. */
function plain(scalar: Scalar): string {
  if (scalar.value === null || scalar.value === undefined) return ''
  return typeof scalar.value === 'string' ? scalar.value : (scalar.source ?? String(scalar.value))
}
