import { unknownKeys } from '../flux/chart-keys.ts'
import {
  deployedRelease,
  type HelmRevision,
  type HelmValue,
  type HelmValues,
  isMap,
} from '../flux/stored-release.ts'
import { leaves, parseValues, pathText, textsIn } from '../flux/values.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { EXPORTED, isOverrideName, overrideText, sourcesOf } from '../platform/overrides.ts'
import { sha256 } from '../script/digest.ts'
import { registerSecret } from '../script/redact.ts'
import type { OverrideFact, SecretShape } from './snapshot.ts'

/** Of how many overrides the values are read: there is at most one for each release. */
const MOST = 100

/** The places of overrides among these objects. */
function placesIn(objects: readonly KubeObject[], secrets: readonly SecretShape[]) {
  return [
    ...objects
      .filter(({ kind }) => kind === 'ConfigMap')
      .map(({ metadata }) => ({ kind: 'ConfigMap' as const, ...metadata })),
    ...secrets.map(secret => ({ kind: 'Secret' as const, ...secret })),
  ]
    .filter(({ name, namespace }) => isOverrideName(name) && namespace !== undefined)
    .slice(0, MOST)
    .map(({ kind, namespace, name }) => ({ kind, namespace: namespace!, name }))
}

/**
 * What is known of overrides: which keys their chart does not know, and whether they differ from an exported file.
 * Of values nothing is kept. One that is not valid YAML is left out: its release says so.
 */
export async function readOverrides(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
  secrets: readonly SecretShape[],
): Promise<OverrideFact[]> {
  const releases = objects.filter(({ kind }) => kind === 'HelmRelease')
  const facts = await Promise.all(
    placesIn(objects, secrets).map(async (place): Promise<OverrideFact[]> => {
      const { kind, namespace, name } = place
      const release = releases.find(
        each =>
          each.metadata.namespace === namespace &&
          sourcesOf(each).some(source => source.kind === kind && source.name === name),
      )
      const object = await kubectl.get({ apiVersion: 'v1', ...place })
      const stored = release && (await deployedRelease(kubectl, release).catch(() => undefined))
      return object ? await overrideFacts({ ...object, kind }, release, stored) : []
    }),
  )
  return facts.flat()
}

/** What is known of one override; nothing of one without values. Values of a Secret are registered. Pure otherwise. */
export async function overrideFacts(
  override: KubeObject,
  release: KubeObject | undefined,
  stored: HelmRevision | undefined,
): Promise<OverrideFact[]> {
  const { kind, metadata } = override
  const text = overrideText(override)
  if (text === undefined || (kind !== 'ConfigMap' && kind !== 'Secret')) return []
  const values = await parseValues(text, metadata.name).catch(() => undefined)
  if (kind === 'Secret' && values) for (const each of textsIn(values)) registerSecret(each)
  const exported = metadata.annotations?.[EXPORTED]
  const platform = stored?.config && values ? withoutOwn(stored.config, values) : {}
  const unknown = stored && values ? unknownKeys(values, stored, platform) : []
  return [
    {
      kind,
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      ...(release ? { release: release.metadata.name, chart: stored?.chart?.metadata?.name } : {}),
      unknown: unknown.map(({ path, meant }) => ({
        key: pathText(path),
        ...(meant ? { meant: pathText([...path.slice(0, -1), meant]) } : {}),
      })),
      changed: exported !== undefined && exported !== sha256(text),
    },
  ]
}

/** The values of a release without those that an override sets: the others are the platform's. */
function withoutOwn(config: HelmValues, own: HelmValues): HelmValues {
  const paths = new Set(leaves(own).map(([path]) => path.join('\0')))
  const visit = (values: HelmValues, path: readonly string[]): HelmValues =>
    Object.fromEntries(
      Object.entries(values).flatMap(([key, value]): [string, HelmValue][] => {
        const at = [...path, key]
        if (paths.has(at.join('\0'))) return []
        if (!isMap(value)) return [[key, value]]
        const below = visit(value, at)
        return Object.keys(below).length > 0 || Object.keys(value).length === 0 ? [[key, below]] : []
      }),
    )
  return visit(config, [])
}
