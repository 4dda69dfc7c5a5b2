/** The sources of a release's values, one over the other, and which of them are overrides. */

import type { HelmValue, HelmValues } from '../../lib/flux/stored-release.ts'
import { leaves, type Path, parseValues, parseYaml, textsIn } from '../../lib/flux/values.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { isOverride, overrideText, sourcesOf, type ValuesSource } from '../../lib/platform/overrides.ts'
import { ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { nearest } from '../../lib/script/flags.ts'
import { inQuotes } from '../../lib/script/printable.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import { mergeValues, withValue } from './values.ts'

/** The values of one source. */
export interface ValuesLayer {
  source?: ValuesSource
  /** In words: `ConfigMap oas-apps/oas-wekan-values`. */
  origin: string
  secret: boolean
  /** Whether it is the administrator's: optional, and called `…-override`. */
  override: boolean
  values: HelmValues
  /** Why it could not be read; only of overrides, which can be replaced. */
  problem?: string
  /** The object as it was read. */
  object?: KubeObject
}

/** The kinds of overrides: the Secret lies over the ConfigMap. */
export type OverrideKind = ValuesSource['kind']

/** The releases that take an override, by the name under which `override-app` knows them. */
export function overridable(releases: readonly KubeObject[]): KubeObject[] {
  return releases.filter(release => sourcesOf(release).some(isOverride))
}

/** The names of the releases that take an override, sorted. Pure. */
export function overridableNames(releases: readonly KubeObject[]): string[] {
  return overridable(releases)
    .map(({ metadata }) => metadata.name)
    .sort()
}

/** Throws an ExpectedError for a release that is suspended: Flux would not take a change of its values. Pure. */
export function refuseSuspended({ spec, metadata }: KubeObject): void {
  if (spec?.suspend)
    throw new ExpectedError(`HelmRelease ${metadata.name} is suspended`, 'ask why, then resume it')
}

/** The release with a name. Throws an ExpectedError that names the nearest one. */
export function releaseNamed(name: string, releases: readonly KubeObject[]): KubeObject {
  const candidates = overridable(releases)
  const [found, ...more] = candidates.filter(
    ({ metadata }) => name === metadata.name || name === `${metadata.namespace}/${metadata.name}`,
  )
  if (!found) {
    const names = overridableNames(releases)
    const near = nearest(name, names)
    throw new ExpectedError(
      `${inQuotes(name)} is not an installed release that takes an override`,
      near
        ? `did you mean ${near}?`
        : `install it first, or choose one of: ${names.join(', ') || 'none is installed'}`,
      { exitCode: 2 },
    )
  }
  if (more.length > 0)
    throw new ExpectedError(`${name} exists in several namespaces`, 'write NAMESPACE/NAME', { exitCode: 2 })
  return found
}

/**
 * Reads the sources of a release's values, the lowest first. Values of Secrets are registered, so that nothing shows
 * them. Throws an ExpectedError for a source that is missing and not optional.
 */
export async function readLayers(kubectl: Kubectl, release: KubeObject): Promise<ValuesLayer[]> {
  const { namespace } = release.metadata
  const layers = await Promise.all(
    sourcesOf(release).map(async (source): Promise<ValuesLayer> => {
      const { kind, name, valuesKey = 'values.yaml', targetPath } = source
      const secret = kind === 'Secret'
      const origin = `${kind} ${namespace}/${name}`
      const override = isOverride(source)
      const object = await kubectl.get({ apiVersion: 'v1', kind, namespace, name })
      const text = overrideText(object, valuesKey)
      const layer = { source, origin, secret, override, object, values: {} }
      if (text === undefined) {
        if (object === undefined && source.optional) return layer
        const problem = object ? `${origin} lacks the key ${valuesKey}` : `${origin} does not exist`
        if (override) return { ...layer, problem }
        throw new ExpectedError(problem, 'run `npx tsx scripts/diagnose.ts`: it names what creates it')
      }
      try {
        const values = targetPath
          ? atTarget(targetPath, await parseYaml(text, origin))
          : await parseValues(text, origin)
        if (secret) for (const each of textsIn(values)) registerSecret(each)
        return { ...layer, values }
      } catch (error) {
        if (override) return { ...layer, problem: messageOf(error) }
        throw error
      }
    }),
  )
  const inline = release.spec?.values as HelmValues | undefined
  if (!inline || Object.keys(inline).length === 0) return layers
  const origin = `HelmRelease ${namespace}/${release.metadata.name} spec.values`
  return [...layers, { origin, secret: false, override: false, values: inline }]
}

const atTarget = (path: string, value: HelmValue | undefined): HelmValues =>
  withValue({}, path.split('.') as Path, value ?? '', {})

/** All values of these layers, merged. Pure. */
export function merged(layers: readonly ValuesLayer[]): HelmValues {
  return layers.reduce<HelmValues>((values, layer) => mergeValues(values, layer.values), {})
}

/** The layers with other values in the overrides. Pure. */
export function withOverrides(
  layers: readonly ValuesLayer[],
  values: Record<OverrideKind, HelmValues>,
): ValuesLayer[] {
  return layers.map(layer =>
    layer.override ? { ...layer, values: values[layer.source!.kind], problem: undefined } : layer,
  )
}

/** A value in force, and where it comes from. */
export interface ValueOrigin {
  path: readonly string[]
  value: HelmValue
  origin: string
  secret: boolean
  override: boolean
}

/** Where a value comes from that nobody has set. */
export const CHART = 'the chart'

/**
 * Every value in force with the topmost layer that sets it, or something in it: the chart's own defaults are the
 * lowest layer, where they are given. Pure.
 */
export function origins(layers: readonly ValuesLayer[], defaults?: HelmValues): ValueOrigin[] {
  const chart: ValuesLayer = { origin: CHART, secret: false, override: false, values: defaults ?? {} }
  const all = [chart, ...layers]
  return leaves(merged(all)).map(([path, value]) => {
    const top = [...all].reverse().find(layer => reaches(layer.values, path)) ?? chart
    // A list that an override copied from a Secret would show what only the Secret may.
    return { path, value, origin: top.origin, secret: top.secret, override: top.override }
  })
}

/** Whether a map has a value at a path. */
function reaches(values: HelmValues, path: readonly string[]): boolean {
  let map: HelmValue | undefined = values
  for (const key of path) {
    if (typeof map !== 'object' || map === null || Array.isArray(map) || !Object.hasOwn(map, key))
      return false
    map = map[key]
  }
  return true
}
