import { condition, standing } from '../flux/flux.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { gatherFacts, NAMESPACES } from './facts.ts'

/** One line of the status: an object, whether it is in order, and what there is to say. */
export interface StatusItem {
  kind: string
  namespace: string
  name: string
  ready: boolean
  detail: string
}

/** A group of lines under one heading. */
export interface StatusSection {
  title: string
  items: StatusItem[]
}

const CERTIFICATE = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate' }

function item(object: KubeObject, ready: boolean, detail: string): StatusItem {
  const { namespace = '', name } = object.metadata
  return { kind: object.kind, namespace, name, ready, detail: detail.split('\n')[0] ?? '' }
}

/** A Flux object: its revision when it is ready, its message when it is not. Pure. */
export function fluxItem(object: KubeObject): StatusItem {
  const { state, message } = standing(object)
  const history = object.status?.history as { chartVersion?: string }[] | undefined
  const revision =
    object.status?.artifact?.revision ??
    object.status?.lastAppliedRevision ??
    history?.[0]?.chartVersion ??
    ''
  return item(object, state === 'ready', state === 'ready' ? String(revision) : message)
}

/** A workload: how many of its pods are ready, and why one is not. Pure. */
export function workloadItem(object: KubeObject, pods: readonly KubeObject[]): StatusItem {
  const wanted = object.status?.desiredNumberScheduled ?? object.spec?.replicas ?? 1
  const ready = object.status?.readyReplicas ?? object.status?.numberReady ?? 0
  const trouble = pods
    .filter(pod => pod.metadata.namespace === object.metadata.namespace)
    .filter(pod => pod.metadata.name.startsWith(`${object.metadata.name}-`))
    .flatMap(pod => [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])])
    .map(status => status.state?.waiting?.reason)
    .find(reason => reason && !['ContainerCreating', 'PodInitializing'].includes(reason))
  return item(object, ready >= wanted, `${ready}/${wanted}${trouble && ready < wanted ? ` ${trouble}` : ''}`)
}

/** A volume claim: its size and class when it is bound. Pure. */
export function volumeItem(object: KubeObject): StatusItem {
  const bound = object.status?.phase === 'Bound'
  const size = object.status?.capacity?.storage ?? object.spec?.resources?.requests?.storage ?? ''
  return item(
    object,
    bound,
    bound ? `${size} ${object.spec?.storageClassName ?? ''}` : (object.status?.phase ?? ''),
  )
}

/** A certificate: until when it is valid, or why it is not. Pure. */
export function certificateItem(object: KubeObject): StatusItem {
  const ready = condition(object, 'Ready')
  const hosts = ((object.spec?.dnsNames ?? []) as string[]).join(' ')
  const until = object.status?.notAfter ? ` until ${String(object.status.notAfter).slice(0, 10)}` : ''
  return item(
    object,
    ready?.status === 'True',
    ready?.status === 'True' ? `${hosts}${until}` : `${hosts} ${ready?.message ?? 'not issued yet'}`,
  )
}

/** Everything on one screen, read in one go: sources, Kustomizations, releases, workloads, volumes, certificates. */
export async function gatherStatus(kubectl: Kubectl): Promise<StatusSection[]> {
  const everywhere = async (apiVersion: string, kind: string) =>
    (await Promise.all(NAMESPACES.map(namespace => kubectl.list(apiVersion, kind, { namespace })))).flat()
  const [facts, deployments, statefulSets, daemonSets, volumes, certificates, nodes] = await Promise.all([
    gatherFacts(kubectl),
    everywhere('apps/v1', 'Deployment'),
    everywhere('apps/v1', 'StatefulSet'),
    everywhere('apps/v1', 'DaemonSet'),
    everywhere('v1', 'PersistentVolumeClaim'),
    kubectl.list(CERTIFICATE.apiVersion, CERTIFICATE.kind),
    kubectl.list('v1', 'Node'),
  ])
  const sections: StatusSection[] = [
    {
      title: 'Nodes',
      items: nodes.map(node =>
        item(node, condition(node, 'Ready')?.status === 'True', node.status?.nodeInfo?.kubeletVersion ?? ''),
      ),
    },
    { title: 'Sources', items: facts.sources.map(fluxItem) },
    { title: 'Kustomizations', items: facts.kustomizations.map(fluxItem) },
    { title: 'HelmReleases', items: facts.helmReleases.map(fluxItem) },
    {
      title: 'Workloads',
      items: [...deployments, ...statefulSets, ...daemonSets].map(object => workloadItem(object, facts.pods)),
    },
    { title: 'Volumes', items: volumes.map(volumeItem) },
    { title: 'Certificates', items: certificates.map(certificateItem) },
  ]
  for (const section of sections)
    section.items.sort((a, b) => `${a.namespace}/${a.name}`.localeCompare(`${b.namespace}/${b.name}`))
  return sections
}
