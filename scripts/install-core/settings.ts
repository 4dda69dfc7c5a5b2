import {
  type Config,
  completeConfig,
  editConfig,
  missingKeys,
  parseConfig,
  readConfig,
  saveConfig,
  saveOver,
} from '../../lib/platform/config.ts'
import { CONFIG_KEYS, type ConfigKey, checkValue } from '../../lib/platform/config-keys.ts'
import { showsVariable } from '../../lib/platform/variables.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { throwAll, UsageError } from '../../lib/script/errors.ts'
import { readIfExists } from '../../lib/script/files.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { askSecret, askText, interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'

/** The values of repeated `--set KEY=VALUE`. Throws all that is wrong with them at once. Pure. */
export function parseSettings(settings: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {}
  throwAll(
    settings.flatMap(setting => {
      const equals = setting.indexOf('=')
      const name = setting.slice(0, Math.max(0, equals))
      const key = CONFIG_KEYS.find(candidate => candidate.name === name)
      if (equals < 1)
        return [new UsageError('--set expects KEY=VALUE', 'for example --set domain=oas.example.org')]
      if (!key)
        return [
          new UsageError(
            `--set ${name}: unknown key`,
            suggestion(
              name,
              CONFIG_KEYS.map(k => k.name),
            ),
          ),
        ]
      if (key.secret)
        return [new UsageError(`--set ${name}: a secret must not stand on a command line`, inFile(key))]
      if (Object.hasOwn(values, name))
        return [new UsageError(`--set ${name} was given twice`, 'give it once')]
      const value = setting.slice(equals + 1)
      const problem = value === '' ? 'is empty' : checkValue(key, value)
      if (problem) return [new UsageError(`--set ${name}: ${name} ${problem}`, 'correct the value')]
      values[name] = value
      return []
    }),
  )
  return values
}

const inFile = (key: ConfigKey) => `write ${key.name}=… into the cluster's .flux.env`

/**
 * Throws all that is wrong with a cluster's `.flux.env` at once: what is not valid, and without a terminal to
 * ask on also what is missing.
 */
export function checkConfig(cluster: Cluster, settings: Record<string, string>): void {
  const values = { ...readConfig(cluster.env), ...settings }
  if (interactive()) return
  throwAll(
    missingKeys(values).map(
      key =>
        new UsageError(
          `${cluster.env} lacks ${key.name}: ${key.ask}`,
          key.secret ? inFile(key) : `give --set ${key.name}=VALUE, or ${inFile(key)}`,
        ),
    ),
  )
}

/** What `configure` returns: the configuration, and what of it the `.flux.env` does not say yet. */
export interface Configured {
  config: Config
  /** The settings and the answers. */
  chosen: Record<string, string>
  /** The text of the file as it was read; undefined without one. */
  before: string | undefined
  /** Whether `chosen` changes the file. */
  changed: boolean
  /** Whether anything was asked. */
  answered: boolean
}

/**
 * The complete configuration of a cluster: what its `.flux.env` says, with `settings` over it; the rest is
 * asked for, and `answered` says so. Nothing is written here: see `settingsWriter`.
 */
export async function configure(cluster: Cluster, settings: Record<string, string>): Promise<Configured> {
  const before = readIfExists(cluster.env)
  const values = { ...parseConfig(before ?? '', cluster.env), ...settings }
  const answers: Record<string, string> = {}
  // One at a time: an answer may make further keys necessary.
  for (let key = missingKeys(values)[0]; key; key = missingKeys(values)[0]) {
    const current = key
    const question = {
      message: `${current.ask}:`,
      flag: current.secret ? inFile(current) : `--set ${current.name}=VALUE`,
      check: (text: string) => (text === '' ? 'it is needed' : checkValue(current, text)),
    }
    const answer = current.secret ? await askSecret(question) : await askText(question)
    answers[current.name] = answer
    values[current.name] = answer
  }
  const chosen = { ...settings, ...answers }
  return {
    config: completeConfig(values),
    chosen,
    before,
    changed: (before ?? '') !== editConfig(before ?? '', chosen),
    answered: Object.keys(answers).length > 0,
  }
}

/**
 * The function that writes what was chosen into the `.flux.env`, once the lock is held, over what it said when it was
 * read: it throws what `saveOver` does. When the run ends before that, answers that were typed are kept, but
 * for a dry run: nobody types them twice. What the file says by then stays, and after it was written the run does not
 * touch it: it may have been corrected meanwhile.
 */
export function settingsWriter(
  run: Pick<Run, 'onEnd' | 'log' | 'cluster'> & { flags: { 'dry-run': boolean } },
  { chosen, before, answered }: Pick<Configured, 'chosen' | 'before' | 'answered'>,
): () => void {
  const { cluster } = run
  let isWritten = false
  if (answered && !run.flags['dry-run'])
    run.onEnd(async () => {
      if (isWritten) return
      const values = readConfig(cluster.env)
      const lacking = Object.entries(chosen).filter(([name]) => !values[name])
      if (lacking.length === 0) return
      saveConfig(cluster, editConfig(readIfExists(cluster.env) ?? '', Object.fromEntries(lacking)))
      run.log.info(`Your answers are kept in ${cluster.env}`)
    })
  return () => {
    saveOver(cluster, before, editConfig(before ?? '', chosen))
    isWritten = true
  }
}

/**
 * What changes in the cluster's variables, line by line, with secrets hidden: `+` new, `~` changed. Keys that
 * only the cluster has are left alone: `kubectl apply -k` puts the settings of the scripts there, too. Pure.
 */
export function diffVariables(before: Record<string, string>, after: Record<string, string>): string[] {
  const show = (name: string, value: string) => (showsVariable(name) ? JSON.stringify(value) : '(hidden)')
  return Object.entries(after)
    .sort(([a], [b]) => a.localeCompare(b))
    .flatMap(([name, now]) => {
      const old = before[name]
      if (old === now) return []
      if (old === undefined) return [`+ ${name} = ${show(name, now)}`]
      return [`~ ${name}: ${show(name, old)} → ${show(name, now)}`]
    })
}
