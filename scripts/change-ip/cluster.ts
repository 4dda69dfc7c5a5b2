import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { allowedPart, type Shape } from '../../lib/diagnosis/allowed/pick.ts'
import {
  explainApiError,
  Kubectl,
  type KubeObject,
  MOST_OBJECTS,
  refOf,
  refText,
} from '../../lib/kubectl/kubectl.ts'
import { VARIABLES } from '../../lib/platform/variables.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { readIfExists, writeFileAtomic } from '../../lib/script/files.ts'
import { inUrl, mentions, replaceAddress } from './address.ts'
import type { VariableEdit } from './state.ts'

/**
 * The API server of a cluster at an address, whatever the kubeconfig says; undefined without a kubeconfig. With
 * `anyName` the certificate need not name the address yet: every certificate of k3s names `kubernetes`
 * (github.com/k3s-io/k3s, pkg/cluster/https.go), and only this cluster's authority can have signed it.
 */
export async function apiAt(
  cluster: Cluster,
  host: string,
  options: { anyName?: boolean; signal?: AbortSignal } = {},
): Promise<Kubectl | undefined> {
  const text = readIfExists(cluster.kubeconfig)
  if (text === undefined) return undefined
  const { load, dump } = await import('js-yaml')
  // biome-ignore lint/suspicious/noExplicitAny: a kubeconfig may be anything, and what fails is caught
  let config: any
  try {
    config = load(text)
    const context = config.contexts.find((each: { name: string }) => each.name === config['current-context'])
    const { cluster: target } = config.clusters.find(
      (each: { name: string }) => each.name === context.context.cluster,
    )
    const url = new URL(target.server)
    target.server = `https://${inUrl(host)}:${url.port || 443}`
    if (options.anyName) target['tls-server-name'] = 'kubernetes'
    else delete target['tls-server-name']
  } catch (error) {
    throw new ExpectedError(
      `${cluster.kubeconfig} is not a kubeconfig with a server`,
      'fetch it from the server again',
      { cause: error },
    )
  }
  // In the same folder, since the files that it may name are relative to it; it is read at once.
  const file = join(cluster.folder, `.change-ip.${randomBytes(6).toString('hex')}.yml`)
  try {
    writeFileAtomic(file, dump(config, { lineWidth: -1 }))
    return await Kubectl.connect(file, options.signal)
  } finally {
    rmSync(file, { force: true })
  }
}

/** The edits of the values in the cluster's variables that hold the old address. */
export async function planVariables(kubectl: Kubectl, old: string, address: string): Promise<VariableEdit[]> {
  return editsOf((await kubectl.get(VARIABLES))?.data ?? {}, old, address)
}

/** The same for the data of a Secret. Pure. */
export function editsOf(data: Record<string, string>, old: string, address: string): VariableEdit[] {
  return Object.entries(data).flatMap(([key, encoded]) => {
    const before = Buffer.from(encoded, 'base64').toString()
    const after = replaceAddress(before, old, address)
    return after === before ? [] : [{ key, before, after }]
  })
}

/** Brings the cluster's variables to what they are to become; 'unchanged' when they are that already. */
export async function writeVariables(kubectl: Kubectl, edits: readonly VariableEdit[]): Promise<string> {
  const secret = await kubectl.get(VARIABLES)
  const encode = (text: string) => Buffer.from(text).toString('base64')
  const open = edits.filter(({ key, after }) => secret?.data?.[key] !== encode(after))
  if (!secret || open.length === 0) return 'unchanged'
  await kubectl.patch(VARIABLES, {
    metadata: { resourceVersion: secret.metadata.resourceVersion },
    data: Object.fromEntries(open.map(({ key, after }) => [key, encode(after)])),
  })
  return open.map(({ key }) => key).join(', ')
}

/** Kinds that say by themselves where things are, and follow a change without being asked. */
const FOLLOWING = new Set([
  'ComponentStatus',
  'ControllerRevision',
  'CSINode',
  'Endpoints',
  'EndpointSlice',
  'Event',
  'Lease',
  'Node',
  'Pod',
  'ReplicaSet',
])

/** Objects of k3s itself: it writes them again, or they only tell what its certificate was once asked for. */
const OF_K3S = /^kube-system\/(k3s-serving|coredns|.*\.node-password\.k3s)$/

/** Levels of an object that are looked through; kinds of Kubernetes have 20. */
const DEEPEST = 100

/** Where an object holds an address, as paths into it; values of Secrets are decoded. Pure. */
export function placesIn(object: KubeObject, address: string): string[] {
  const { kind, metadata, status: _status, ...rest } = object
  const { namespace = '', name, managedFields: _fields, ...meta } = metadata
  if (FOLLOWING.has(kind) || OF_K3S.test(`${namespace}/${name}`)) return []
  // What has an owner follows it; a release of Helm is a compressed copy of what was applied.
  if (metadata.ownerReferences?.some(owner => owner.controller) || object.type === 'helm.sh/release.v1')
    return []
  const { 'kubectl.kubernetes.io/last-applied-configuration': _last, ...annotations } = meta.annotations ?? {}
  const places: string[] = []
  const walk = (value: unknown, path: string, depth = 0): void => {
    if (depth === DEEPEST) return
    if (typeof value === 'string') {
      const text =
        kind === 'Secret' && path.startsWith('data.') ? Buffer.from(value, 'base64').toString() : value
      if (mentions(text, address)) places.push(path)
    } else if (Array.isArray(value))
      for (const [i, item] of value.entries()) walk(item, `${path}[${i}]`, depth + 1)
    else if (typeof value === 'object' && value !== null)
      for (const [key, item] of Object.entries(value))
        walk(item, path === '' ? key : `${path}.${key}`, depth + 1)
  }
  walk({ ...rest, metadata: { ...meta, annotations } }, '')
  return places
}

/** What an API server tells of what it serves. */
const SERVED: Shape = {
  groups: [{ preferredVersion: { groupVersion: 'text' } }],
  resources: [{ name: 'text', kind: 'text', verbs: ['text'] }],
}
interface Served {
  groups?: { preferredVersion?: { groupVersion?: string } }[]
  resources?: { name?: string; kind?: string; verbs?: string[] }[]
}

/** Places that are told at most. */
const MOST_PLACES = 200

/**
 * Everything in the cluster that holds an address and does not follow by itself, as `Kind namespace/name: path`. Throws
 * an ExpectedError for more objects than a cluster of ours has.
 */
export async function findInCluster(kubectl: Kubectl, address: string): Promise<string[]> {
  const served = async (path: string) => {
    try {
      return allowedPart(await kubectl.call({ path }), SERVED) as Served
    } catch (error) {
      throw explainApiError(error, `looking for ${address}`)
    }
  }
  const { groups = [] } = await served('/apis')
  const found: string[] = []
  const ofVariables = `${refText(VARIABLES)}: data.`
  let [count, more] = [0, 0]
  for (const version of ['v1', ...groups.flatMap(group => group.preferredVersion?.groupVersion ?? [])]) {
    const { resources = [] } = await served(version === 'v1' ? '/api/v1' : `/apis/${version}`)
    for (const { name, kind, verbs } of resources) {
      if (!kind || name?.includes('/') || !verbs?.includes('list') || FOLLOWING.has(kind)) continue
      for await (const page of kubectl.pages(version, kind)) {
        count += page.length
        if (count > MOST_OBJECTS)
          throw new ExpectedError(
            `looking for ${address}: the cluster has more than ${MOST_OBJECTS} objects`,
            'delete what is not needed, e.g. finished Jobs, then run the same command again',
          )
        for (const object of page)
          for (const path of placesIn(object, address)) {
            const place = `${refText(refOf(object))}: ${path}`
            if (place.startsWith(ofVariables)) continue
            if (found.length < MOST_PLACES) found.push(place)
            else more++
          }
      }
    }
  }
  return [...found.sort(), ...(more > 0 ? [`${more} more fields of objects`] : [])]
}
