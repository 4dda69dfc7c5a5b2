/** What Helm has stored of a release: its chart, its values and what it has rendered. */
import { gunzipSync } from 'node:zlib'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { nearest } from '../../lib/script/flags.ts'
import { type ChartValues, isMap } from './values.ts'

/** A revision of a release, of which we use these fields. */
export interface HelmRevision {
  name: string
  version: number
  /** The values that were given, without those of the chart. */
  config?: ChartValues
  manifest?: string
  info?: { status?: string }
  chart?: {
    metadata?: { name?: string; version?: string; dependencies?: { name?: string; alias?: string }[] | null }
    values?: ChartValues | null
    templates?: { name?: string; data?: string }[] | null
    /** values.schema.json, in base64. */
    schema?: string | null
  }
}

/** Bytes of a release that we unpack; Helm cannot store one of more than 1 MiB, packed. */
const MOST_UNPACKED = 64 * 1024 * 1024

/** The release in one of Helm's Secrets. Throws an ExpectedError for a Secret that does not hold one. */
export function storedRelease(secret: KubeObject): HelmRevision {
  try {
    // Helm encodes once more than Kubernetes does.
    const packed = Buffer.from(
      Buffer.from(String(secret.data?.release), 'base64').toString('latin1'),
      'base64',
    )
    const release = JSON.parse(gunzipSync(packed, { maxOutputLength: MOST_UNPACKED }).toString('utf8'))
    if (typeof release?.name !== 'string') throw new Error('no name')
    return release
  } catch (cause) {
    throw new ExpectedError(
      `${refText(refOf(secret))} does not hold a release of Helm`,
      'have Flux install the release again: flux reconcile helmrelease NAME -n NAMESPACE --force',
      { cause },
    )
  }
}

/** The name that Helm knows a HelmRelease by. */
export function releaseName({ metadata, spec }: KubeObject): string {
  return (
    spec?.releaseName ?? (spec?.targetNamespace ? `${spec.targetNamespace}-${metadata.name}` : metadata.name)
  )
}

/** The revision of a release that is deployed, or the newest one; undefined before the first. */
export async function deployedRelease(
  kubectl: Kubectl,
  release: KubeObject,
): Promise<HelmRevision | undefined> {
  const namespace = release.spec?.storageNamespace ?? release.metadata.namespace
  const labelSelector = `owner=helm,name=${releaseName(release)}`
  const found = await kubectl.list('v1', 'Secret', { namespace, labelSelector, metadataOnly: true })
  const revision = ({ metadata }: KubeObject) => Number(metadata.labels?.version ?? 0)
  const [newest] = [
    ...found.filter(({ metadata }) => metadata.labels?.status === 'deployed'),
    ...found.sort((a, b) => revision(b) - revision(a)),
  ]
  const secret = newest && (await kubectl.get({ ...refOf(newest), apiVersion: 'v1', kind: 'Secret' }))
  return secret && storedRelease(secret)
}

/** A key that a chart does not know, and the one that was probably meant. */
export interface UnknownKey {
  path: readonly string[]
  meant?: string
}

/**
 * The keys of an override that the chart does not know: neither its defaults nor the platform's values have them,
 * and no template mentions them. What a chart leaves open is not judged: a map that is empty by default (labels,
 * annotations), and the values of charts that it depends on. Pure.
 */
export function unknownKeys(
  override: ChartValues,
  { chart }: HelmRevision,
  platform: ChartValues,
): UnknownKey[] {
  const defaults = chart?.values
  if (!isMap(defaults) || Object.keys(defaults).length === 0) return []
  const parts = new Set(
    (chart?.metadata?.dependencies ?? []).flatMap(({ name, alias }) => [name, alias]).concat('global'),
  )
  const templates = (chart?.templates ?? []).map(({ data }) =>
    Buffer.from(data ?? '', 'base64').toString('utf8'),
  )
  const visit = (values: ChartValues, known: readonly ChartValues[], path: readonly string[]): UnknownKey[] =>
    Object.entries(values).flatMap(([key, value]): UnknownKey[] => {
      if (path.length === 0 && parts.has(key)) return []
      const below = known.flatMap(map => (Object.hasOwn(map, key) ? [map[key]] : []))
      if (below.length === 0) {
        if (templates.some(text => mentions(text, key))) return []
        const names = known.flatMap(map => Object.keys(map))
        return [{ path: [...path, key], meant: nearest(key, names) }]
      }
      const maps = below.filter(isMap).filter(map => Object.keys(map).length > 0)
      const own = valueBelow(defaults, [...path, key])
      const open = !isMap(own) || Object.keys(own).length === 0
      return isMap(value) && maps.length > 0 && !open ? visit(value, maps, [...path, key]) : []
    })
  return visit(override, [defaults, platform], [])
}

const valueBelow = (values: ChartValues, path: readonly string[]): unknown =>
  path.reduce<unknown>((map, key) => (isMap(map) && Object.hasOwn(map, key) ? map[key] : undefined), values)

/** Whether a template uses a key: `.KEY` or `"KEY"`. Linear, with no pattern made of a name from outside. */
function mentions(text: string, key: string): boolean {
  if (text.includes(`"${key}"`)) return true
  for (let at = text.indexOf(`.${key}`); at >= 0; at = text.indexOf(`.${key}`, at + 1))
    if (!/[\w-]/.test(text[at + key.length + 1] ?? '')) return true
  return false
}
