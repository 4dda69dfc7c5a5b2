import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../script/cluster.ts'
import { ExpectedError, throwAll, UsageError } from '../script/errors.ts'
import { privateFolder, ROOT, readIfExists, writeFileAtomic } from '../script/files.ts'
import { suggestion } from '../script/flags.ts'
import { registerSecret } from '../script/redact.ts'
import { CONFIG_KEYS, type ConfigKey, checkValue } from './config-keys.ts'

const byName = new Map(CONFIG_KEYS.map(key => [key.name, key]))
/** The values of a cluster's configuration by key, complete and valid. */
export type Config = Readonly<Record<string, string>>

/**
 * Parses the text of a `.flux.env`: `key=value` a line, `#` comments, values up to the end of the line
 * (quotes and all, without white space at the ends), as `kubectl apply -k` takes them. Throws all problems at once: lines that cannot be read, unknown keys
 * (with a suggestion), keys given twice, values that are not valid. Never quotes the value of a secret.
 */
export function parseConfig(text: string, file = '.flux.env'): Record<string, string> {
  const problems: ExpectedError[] = []
  const values: Record<string, string> = {}
  if (text.length > 20_000) throw new UsageError(`${file} is larger than 20 kB`, 'is it the right file?')
  text.split(/\r?\n/).forEach((raw, i) => {
    const line = raw.trimStart()
    if (line === '' || line.startsWith('#')) return
    const at = `${file} line ${i + 1}`
    const equals = line.indexOf('=')
    const name = line.slice(0, Math.max(0, equals)).trim()
    if (equals < 1 || !/^\w+$/.test(name)) {
      problems.push(new UsageError(`${at} is not of the form key=value`, 'correct it, or begin it with #'))
      return
    }
    const key = byName.get(name)
    if (!key) {
      problems.push(new UsageError(`${at}: unknown key ${name}`, suggestion(name, [...byName.keys()])))
      return
    }
    const value = line.slice(equals + 1).trim()
    if (key.secret) registerSecret(value)
    if (Object.hasOwn(values, name))
      problems.push(new UsageError(`${at}: ${name} is given twice`, 'keep one of them'))
    values[name] = value
    const problem = checkValue(key, value)
    if (problem)
      problems.push(
        new UsageError(
          `${at}: ${name} ${problem}`,
          'correct the value; install/.flux.env.example explains it',
        ),
      )
  })
  throwAll(problems)
  return values
}

/** Both halves of the sender's address: they are taken from it when they are not given. */
const halves = ['outgoing_mail_from_local_part', 'outgoing_mail_domain']

/** The keys that a configuration still lacks, in the order to ask for them. */
export function missingKeys(values: Record<string, string>): ConfigKey[] {
  return CONFIG_KEYS.filter(key => {
    if (values[key.name] || key.default !== undefined || halves.includes(key.name)) return false
    return key.neededBy === undefined || values[key.neededBy] === 'true'
  })
}

/** A complete configuration: defaults filled in, and empty what is neither given nor needed. Pure. */
export function completeConfig(values: Record<string, string>): Config {
  const complete: Record<string, string> = {}
  for (const key of CONFIG_KEYS) {
    complete[key.name] = values[key.name] || (key.default ?? '').replace('DOMAIN', values.domain ?? '')
  }
  const [localPart, mailDomain] = (values.outgoing_mail_from_address ?? '').split('@')
  complete.outgoing_mail_from_local_part ||= localPart ?? ''
  complete.outgoing_mail_domain ||= mailDomain ?? ''
  return complete
}

/** The values of the keys of one use, of those whose name begins so. Pure. */
export function valuesFor(config: Config, use: ConfigKey['use'], prefix = ''): Record<string, string> {
  const keys = CONFIG_KEYS.filter(key => key.use === use && key.name.startsWith(prefix))
  return Object.fromEntries(keys.map(({ name }) => [name, config[name] ?? '']))
}

/** The text of a `.flux.env` with these values set: lines that are there are replaced, others appended. Pure. */
export function editConfig(text: string, values: Record<string, string>): string {
  const left = new Map(Object.entries(values))
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n')
  const edited = lines.map(line => {
    const name = /^\s*(\w+)\s*=/.exec(line)?.[1]
    if (name === undefined || !left.has(name)) return line
    const value = left.get(name)
    left.delete(name)
    return `${name}=${value}`
  })
  return `${[...edited, ...[...left].map(([name, value]) => `${name}=${value}`)].join('\n')}\n`
}

/** Reads a cluster's `.flux.env` as far as it goes; empty when there is none yet. Throws what is wrong in it. */
export function readConfig(file: string): Record<string, string> {
  return parseConfig(readIfExists(file) ?? '', file)
}

/**
 * Writes the `.flux.env`, 0600 in the cluster's 0700 folder, and beside it the kustomization.yaml with which
 * `kubectl apply -k clusters/NAME` brings it into the cluster by hand (docs, "Install core applications").
 */
export function saveConfig(cluster: Cluster, text: string): void {
  privateFolder(cluster.folder)
  writeFileAtomic(cluster.env, text)
  const kustomization = join(cluster.folder, 'kustomization.yaml')
  if (readIfExists(kustomization) === undefined)
    writeFileAtomic(kustomization, readFileSync(join(ROOT, 'install', 'kustomization.yaml')))
}

/**
 * The same over the text that a plan was made from, undefined without one. Throws an ExpectedError when the file was
 * changed since: it may have been corrected meanwhile, and what was planned comes from what it said.
 */
export function saveOver(cluster: Cluster, before: string | undefined, text: string): void {
  if (readIfExists(cluster.env) !== before)
    throw new ExpectedError(
      `${cluster.env} was changed meanwhile; nothing else was written`,
      'run the same command again: it shows a new plan',
    )
  saveConfig(cluster, text)
}

/** The complete configuration of an installed cluster. Throws a UsageError when it was never completed. */
export function installedConfig(cluster: Cluster): Config {
  const values = readConfig(cluster.env)
  const missing = missingKeys(values)
  if (missing.length > 0)
    throw new UsageError(
      `${cluster.env} lacks ${missing.map(key => key.name).join(', ')}`,
      `run \`npx tsx scripts/install-core.ts --cluster ${cluster.name}\` first`,
    )
  return completeConfig(values)
}

/**
 * The complete configuration of an installed cluster with a storage for backups; `config` where it is read already.
 * Throws a UsageError when none is configured.
 */
export function storageConfig(cluster: Cluster, config = installedConfig(cluster)): Config {
  if (config.backup_s3_enabled === 'true') return config
  throw new UsageError(
    `no S3 storage for backups is configured in ${cluster.env}`,
    'set backup_s3_enabled=true and the other backup_s3_ keys there, then run install-core and `install-app velero`',
  )
}
