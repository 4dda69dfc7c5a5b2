/** What Helm has stored of a release: its chart, its values and what it has rendered. */
import { gunzipSync } from 'node:zlib'
import { type Kubectl, type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'

/** A value as JSON has it. */
export type HelmValue = string | number | boolean | null | HelmValue[] | HelmValues

/** Values of a chart by key. */
export interface HelmValues {
  [key: string]: HelmValue
}

/** Whether a value is a map. */
export function isMap(value: unknown): value is HelmValues {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A revision of a release, of which we use these fields. */
export interface HelmRevision {
  name: string
  version: number
  /** The values that were given, without those of the chart. */
  config?: HelmValues
  manifest?: string
  info?: { status?: string }
  chart?: {
    metadata?: { name?: string; version?: string; dependencies?: { name?: string; alias?: string }[] | null }
    values?: HelmValues | null
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
