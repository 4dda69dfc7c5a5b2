/** Writing overrides, and keeping the ones before until a change has proved itself. */

import { isDeepStrictEqual } from 'node:util'
import type { HelmValues } from '../../lib/flux/stored-release.ts'
import type { Kubectl, KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { overrideText } from '../../lib/platform/overrides.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import type { OverrideKind, ValuesLayer } from './layers.ts'
import { valuesText } from './values.ts'

/** Flux takes a change over at once of what has this label. */
const WATCH = { 'reconcile.fluxcd.io/watch': 'Enabled' }

/** What the user of the kubeconfig has to be allowed, to change the override of a release in a namespace. Pure. */
export function overrideRights(namespace: string) {
  return [
    ['create', '', 'secrets', namespace],
    ['patch', '', 'secrets', namespace],
    ['patch', '', 'configmaps', namespace],
    ['patch', 'helm.toolkit.fluxcd.io', 'helmreleases', namespace],
  ] as const
}

/** The content of the overrides of one release: text of the values, or null for one that is absent. */
export type OverrideTexts = Record<OverrideKind, string | null>

/** Where a release's overrides are; one for each kind that the release reads. */
export interface Places {
  namespace: string
  layers: readonly ValuesLayer[]
}

/** The overrides among the layers of a release. */
export function placesOf(namespace: string, layers: readonly ValuesLayer[]): Places {
  return { namespace, layers: layers.filter(layer => layer.override) }
}

const layerOf = ({ layers }: Places, kind: OverrideKind) => layers.find(layer => layer.source?.kind === kind)

/** What the overrides contain, as they were read. */
export function contentsOf(places: Places): OverrideTexts {
  const text = (kind: OverrideKind) => {
    const { object, source } = layerOf(places, kind) ?? {}
    return overrideText(object, source?.valuesKey) ?? null
  }
  return { ConfigMap: text('ConfigMap'), Secret: text('Secret') }
}

/**
 * The contents with other values in one of the kinds; without values there is none. What does not change keeps its
 * text, with the comments in it.
 */
export async function contentsWith(
  places: Places,
  values: Record<OverrideKind, HelmValues>,
): Promise<OverrideTexts> {
  const now = contentsOf(places)
  const text = async (kind: OverrideKind) => {
    const layer = layerOf(places, kind)
    if (layer && !layer.problem && isDeepStrictEqual(layer.values, values[kind])) return now[kind]
    return Object.keys(values[kind]).length === 0 ? null : valuesText(values[kind])
  }
  return { ConfigMap: await text('ConfigMap'), Secret: await text('Secret') }
}

const refFor = (places: Places, layer: ValuesLayer): Ref => ({
  apiVersion: 'v1',
  kind: layer.source!.kind,
  namespace: places.namespace,
  name: layer.source!.name,
})

/** Makes the overrides be as given. An existing object keeps its other keys, labels and annotations. */
export async function writeContents(
  kubectl: Kubectl,
  places: Places,
  contents: OverrideTexts,
): Promise<void> {
  for (const layer of places.layers) {
    const { kind, valuesKey = 'values.yaml' } = layer.source!
    const ref = refFor(places, layer)
    const text = contents[kind]
    const found = await kubectl.get(ref)
    if (text === null) {
      const others = Object.keys(found?.data ?? {}).filter(key => key !== valuesKey)
      if (found && others.length === 0) await kubectl.delete(ref, { uid: found.metadata.uid })
      else if (found) await kubectl.patch(ref, { data: { [valuesKey]: null } })
      continue
    }
    const data = { [valuesKey]: kind === 'Secret' ? Buffer.from(text).toString('base64') : text }
    const { resourceVersion } = found?.metadata ?? {}
    if (found) await kubectl.patch(ref, { metadata: { resourceVersion, labels: WATCH }, data })
    else {
      const { name, namespace } = ref
      await kubectl.create({ apiVersion: 'v1', kind, metadata: { name, namespace, labels: WATCH }, data })
    }
  }
}

/** Throws an ExpectedError when an override was changed since it was read. */
export async function refuseChanged(kubectl: Kubectl, places: Places): Promise<void> {
  for (const layer of places.layers) {
    const now = await kubectl.get(refFor(places, layer))
    if (now?.metadata.resourceVersion !== layer.object?.metadata.resourceVersion)
      throw new ExpectedError(
        `${layer.origin} was changed meanwhile; nothing was written`,
        'run the same command again: it shows a new plan',
      )
  }
}

/** Where the overrides before an unfinished change are. */
function beforeRef(places: Places): Ref {
  const name = `${places.layers[0]!.source!.name}-before`
  return { apiVersion: 'v1', kind: 'Secret', namespace: places.namespace, name }
}

/** The overrides before an unfinished change; undefined when there is none. */
export async function readBefore(kubectl: Kubectl, places: Places): Promise<OverrideTexts | undefined> {
  const secret = await kubectl.get(beforeRef(places))
  const text = Buffer.from(secret?.data?.contents ?? '', 'base64').toString('utf8')
  if (!text) return undefined
  const { ConfigMap, Secret } = JSON.parse(text) as Partial<OverrideTexts>
  if (Secret) registerSecret(Secret)
  return { ConfigMap: ConfigMap ?? null, Secret: Secret ?? null }
}

/** Keeps the overrides as they are before a change, unless an unfinished change has kept those before it. */
export async function keepBefore(kubectl: Kubectl, places: Places, contents: OverrideTexts): Promise<void> {
  const { name, namespace } = beforeRef(places)
  const data = { contents: Buffer.from(JSON.stringify(contents)).toString('base64') }
  await kubectl.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
    data,
  } as KubeObject)
}

/** Forgets the overrides before a change: it has proved itself, or was taken back. */
export async function forgetBefore(kubectl: Kubectl, places: Places): Promise<void> {
  await kubectl.delete(beforeRef(places))
}
