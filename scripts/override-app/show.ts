/** What is shown of values and overrides. Pure. */

import { isDeepStrictEqual } from 'node:util'
import { standing } from '../../lib/flux/flux.ts'
import type { HelmValue, HelmValues } from '../../lib/flux/stored-release.ts'
import { leaves, pathText } from '../../lib/flux/values.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { appOfOverride, isOverride, sourcesOf } from '../../lib/platform/overrides.ts'
import type { Run } from '../../lib/script/run.ts'
import { table } from '../../lib/script/table.ts'
import { CHART, origins, overridable, type ValueOrigin, type ValuesLayer } from './layers.ts'

/** The longest value on one line. */
const WIDEST = 60

/** A value on one line; nothing of a secret one. */
function valueText(value: HelmValue, secret: boolean): string {
  if (secret) return '***'
  const text = JSON.stringify(value)
  return text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text
}

/** The values in force as a table, each with where it comes from. */
function originTable(origins: readonly ValueOrigin[]): string {
  return table([
    ['VALUE', 'IN FORCE', 'FROM'],
    ...origins.map(({ path, value, origin, secret }) => [pathText(path), valueText(value, secret), origin]),
  ])
}

/** Shows the values in force: those that were set, with `all` also the chart's own. */
export function showValues(
  run: Pick<Run, 'log'> & { result: unknown },
  layers: readonly ValuesLayer[],
  defaults: HelmValues,
  all: boolean,
): void {
  const shown = origins(layers, defaults).filter(({ origin }) => all || origin !== CHART)
  run.result = shown.map(originDocument)
  run.log.print(originTable(shown))
}

/** A value in force for --json; nothing of a secret one. */
function originDocument({ path, value, origin, secret }: ValueOrigin) {
  return { path: pathText(path), value: secret ? undefined : value, origin, secret }
}

/** The changes of an override, as lines of a plan. */
export function overrideLines(origin: string, old: HelmValues, now: HelmValues, secret: boolean): string[] {
  const text = (values: HelmValues) => new Map(leaves(values).map(([path, value]) => [pathText(path), value]))
  const [before, after] = [text(old), text(now)]
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap(path => {
    const [from, to] = [before.get(path), after.get(path)]
    if (isDeepStrictEqual(from, to)) return []
    if (to === undefined) return [`remove ${path} from ${origin}`]
    const verb = from === undefined ? 'set' : 'change'
    return [`${verb} ${path} = ${valueText(to, secret)} in ${origin}`]
  })
}

/** What can be done after a change. */
export function afterChange(name: string): string[] {
  const command = `npx tsx scripts/override-app.ts ${name}`
  return [`${command}   # the values in force`, `${command} --reset   # back to the values of the platform`]
}

/** One override, or the place of one. */
export interface ListedOverride {
  release: string
  namespace: string
  kind: string
  name: string
  keys: number | undefined
  state: string
}

/**
 * The overrides of a cluster: those that releases read, and those that no release reads, whose `release` is empty.
 * `found` are all ConfigMaps and Secrets with such a name.
 */
export function listedOverrides(
  releases: readonly KubeObject[],
  found: readonly { object: KubeObject; keys: number | undefined }[],
): ListedOverride[] {
  const readers = overridable(releases).flatMap(release =>
    sourcesOf(release)
      .filter(isOverride)
      .map(({ kind, name }) => ({ release, kind, name, namespace: release.metadata.namespace })),
  )
  return found.map(({ object: { kind, metadata }, keys }) => {
    const reader = readers.find(
      each => each.kind === kind && each.name === metadata.name && each.namespace === metadata.namespace,
    )
    return {
      release: reader?.release.metadata.name ?? '',
      namespace: metadata.namespace ?? '',
      kind,
      name: metadata.name,
      keys,
      state: reader ? standing(reader.release).state : unreadState(metadata.name, releases),
    }
  })
}

/** Why no release reads an override: its application is not installed, or nothing is called so. */
function unreadState(name: string, releases: readonly KubeObject[]): string {
  const app = appOfOverride(name)
  const isInstalled = releases.some(({ metadata }) => metadata.name === app)
  return app && !isInstalled ? 'not installed' : 'no release reads it'
}

/** The overrides as a table. */
export function listTable(overrides: readonly ListedOverride[]): string {
  return table([
    ['RELEASE', 'OVERRIDE', 'VALUES', 'RELEASE IS'],
    ...overrides.map(({ release, namespace, kind, name, keys, state }) => [
      release || '-',
      `${kind} ${namespace}/${name}`,
      keys === undefined ? 'not valid YAML' : String(keys),
      state,
    ]),
  ])
}
