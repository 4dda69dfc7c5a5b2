import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { editConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS } from '../../lib/platform/config-keys.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { throwAll, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import type { Migration } from './settings-migration.ts'

const LONGEST_COMMENT = 240
const MOST_COMMENTS = 40

/**
 * The remaining settings, as comments for `.flux.env`. Secrets are not copied into them.
 * Pure.
 */
export function leftComments({ left, apps, unknownApps }: Migration, file: string): string[] {
  const lines = left.map(({ path, why, value }) => {
    const shown = value === undefined ? '(not copied)' : JSON.stringify(value)
    return `# ${path} (${why}): ${shown}`
  })
  const more = lines.length - MOST_COMMENTS
  return [
    `### From ${file}: settings without a place above`,
    ...(apps ? [`# applications: ${[...apps, ...unknownApps].join(' ') || 'none'}`] : []),
    ...lines.slice(0, MOST_COMMENTS),
    ...(more > 0 ? [`# and ${more} more`] : []),
  ].map(line => line.replaceAll(/[\r\n]/g, ' ').slice(0, LONGEST_COMMENT))
}

/** The changes that the old settings make to a `.flux.env`. */
export interface SettingsPlan {
  /** The keys to set. */
  news: Record<string, string>
  /** In words: `+` set, `~` changed. */
  lines: string[]
  /** In words: the keys whose other value `.flux.env` keeps. */
  kept: string[]
}

/**
 * Compares the old settings with a `.flux.env`. Its values win, except for the defaults of the example and
 * those that `replace` names. Throws a UsageError for an unknown name. Pure.
 */
export function planSettings(
  migration: Migration,
  config: Record<string, string>,
  replace: readonly string[],
): SettingsPlan {
  const plan: SettingsPlan = { news: {}, lines: [], kept: [] }
  const names = Object.keys(migration.values)
  throwAll(
    replace
      .filter(name => !names.includes(name))
      .map(
        name =>
          new UsageError(`--replace ${name}: the old settings do not have this key`, suggestion(name, names)),
      ),
  )
  for (const [name, value] of Object.entries(migration.values)) {
    const key = CONFIG_KEYS.find(candidate => candidate.name === name)!
    const old = config[name] ?? ''
    const show = (text: string) => (key.secret ? '(hidden)' : text)
    if (old === value) continue
    if (old === '' || old === key.default || replace.includes(name)) {
      plan.news[name] = value
      plan.lines.push(old === '' ? `+ ${name} = ${show(value)}` : `~ ${name}: ${show(old)} → ${show(value)}`)
    } else plan.kept.push(`${name}: ${show(old)} stays, the old settings have ${show(value)}`)
  }
  return plan
}

/** The places of the old settings in a cluster folder; docs, "Upgrading to 0.3.0" and "to 0.6.0". */
const FILES = ['settings.yaml', 'settings.yml', 'group_vars/all/settings.yaml', 'group_vars/all/settings.yml']

/** The file with the old settings: the named one, else the only one in the cluster folder. */
export function findSettings(cluster: Cluster, named: string | undefined): string {
  if (named !== undefined) return resolve(named)
  const found = FILES.map(file => join(cluster.folder, file)).filter(file => existsSync(file))
  if (found.length === 1) return found[0]!
  throw new UsageError(
    found.length === 0
      ? `${cluster.folder} has no ${FILES.join(' or ')}`
      : `there are several files with settings: ${found.join(', ')}`,
    'give the right one with --settings FILE',
  )
}

/** The text of a `.flux.env` with the new values, and with the comments that it does not have yet. Pure. */
export function settingsText(before: string, plan: SettingsPlan, comments: readonly string[]): string {
  const text = Object.keys(plan.news).length > 0 ? editConfig(before, plan.news) : before
  const lines = new Set(text.split('\n'))
  const more = comments.filter(line => !lines.has(line))
  return more.length === 0 ? text : `${text.trimEnd()}\n\n${more.join('\n')}\n`
}
