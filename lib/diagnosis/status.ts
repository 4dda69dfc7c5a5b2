import { DRILL_MARK, PROOF_MARK, startOf, VELERO } from '../backup/objects.ts'
import { type Condition, condition, standing } from '../flux/flux.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import { durationText } from '../script/duration.ts'
import { ExpectedError } from '../script/errors.ts'
import { diagnose } from './diagnose.ts'
import type { RootCause } from './finding.ts'
import { gather } from './gather.ts'
import { keyOf, reach } from './graph.ts'
import { RULES } from './rules/index.ts'
import { Index, type Snapshot } from './snapshot.ts'

/** Where the platform runs. */
export const NAMESPACES = ['flux-system', 'oas', 'oas-apps', 'cert-manager', 'velero'] as const

/** One line of the status: an object, whether it is ready, and its state. */
export interface StatusItem {
  kind: string
  namespace: string
  name: string
  ready: boolean
  detail: string
  /** Why it is not ready, and what to do, as the diagnosis says it. */
  cause?: string
  fix?: string
}

/** A group of lines under one heading. */
export interface StatusSection {
  title: string
  items: StatusItem[]
}

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

/** A workload: how many of its pods are ready. Pure. */
export function workloadItem(object: KubeObject): StatusItem {
  const wanted = object.status?.desiredNumberScheduled ?? object.spec?.replicas ?? 1
  const ready = object.status?.readyReplicas ?? object.status?.numberReady ?? 0
  return item(object, ready >= wanted, `${ready}/${wanted}`)
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

function nodeItem(node: KubeObject): StatusItem {
  const ready: Condition | undefined = condition(node, 'Ready')
  return item(node, ready?.status === 'True', node.status?.nodeInfo?.kubeletVersion ?? '')
}

const SECTIONS: readonly [
  title: string,
  kinds: readonly string[],
  item: (object: KubeObject) => StatusItem,
][] = [
  ['Nodes', ['Node'], nodeItem],
  ['Sources', ['GitRepository', 'HelmRepository', 'HelmChart'], fluxItem],
  ['Kustomizations', ['Kustomization'], fluxItem],
  ['HelmReleases', ['HelmRelease'], fluxItem],
  ['Workloads', ['Deployment', 'StatefulSet', 'DaemonSet'], workloadItem],
  ['Volumes', ['PersistentVolumeClaim'], volumeItem],
  ['Certificates', ['Certificate'], certificateItem],
]

/**
 * What of a snapshot belongs on one screen, with the causes of the diagnosis for what is not ready; `index` is the
 * snapshot’s, where there is one already. Pure.
 */
export function statusOf(snapshot: Snapshot, index = new Index(snapshot)): StatusSection[] {
  const { causes } = diagnose(snapshot, RULES, { index })
  const told = new Map<string, RootCause>()
  for (const cause of causes)
    for (const { subject } of [cause, ...cause.explains])
      if (cause.verdict === 'broken' && !told.has(keyOf(subject))) told.set(keyOf(subject), cause)
  const sections = SECTIONS.map(([title, kinds, itemOf]) => {
    const ours = ({ kind, metadata }: KubeObject) =>
      !/^(Deployment|StatefulSet|DaemonSet|PersistentVolumeClaim)$/.test(kind) ||
      NAMESPACES.some(namespace => namespace === metadata.namespace)
    const objects = kinds.flatMap(kind => index.all(kind)).filter(ours)
    const items = objects.map(object => {
      const shown = itemOf(object)
      if (shown.ready) return shown
      // An object that only waits for a broken one is not broken itself.
      const near = reach([refOf(object)], index).find(ref => told.has(keyOf(ref)))
      return near ? explained(shown, object, told.get(keyOf(near))!) : shown
    })
    return {
      title,
      items: items.sort((a, b) => `${a.namespace}/${a.name}`.localeCompare(`${b.namespace}/${b.name}`)),
    }
  })
  return [...sections, { title: 'Backups', items: backupItems(index, causes) }]
}

/** The schedules of Velero with their newest backup, and the age of the newest proof and drill. Pure. */
function backupItems(index: Index, causes: readonly RootCause[]): StatusItem[] {
  const schedules = index.all('Schedule').map((schedule): StatusItem => {
    const ref = keyOf(refOf(schedule))
    const cause = causes.find(each => [each, ...each.explains].some(({ subject }) => keyOf(subject) === ref))
    const newest = index
      .within('Backup', schedule.metadata.namespace)
      .filter(({ metadata }) => metadata.labels?.['velero.io/schedule-name'] === schedule.metadata.name)
      .sort((a, b) => startOf(b) - startOf(a))[0]
    const state = newest
      ? `${newest.metadata.name}: ${newest.status?.phase ?? 'New'}, ${durationText(Math.max(0, index.now - startOf(newest)))} old`
      : 'no backup yet'
    const shown = item(schedule, cause === undefined, state)
    return cause ? explained(shown, schedule, cause) : shown
  })
  const marks = [
    ['the last proved backup', PROOF_MARK],
    ['the last restore drill', DRILL_MARK],
  ].flatMap(([title, name]): StatusItem[] => {
    const mark = index.get('ConfigMap', VELERO, name!)
    const made = Date.parse(mark?.metadata.creationTimestamp ?? '')
    if (!mark || Number.isNaN(made)) return []
    return [item(mark, true, `${title} is ${durationText(Math.max(0, index.now - made))} old`)]
  })
  return [...schedules, ...marks]
}

/** An item with the cause of its state; that of another object with its name. */
function explained(shown: StatusItem, object: KubeObject, cause: RootCause): StatusItem {
  const own = keyOf(cause.subject) === keyOf(refOf(object))
  const { text, command } = cause.remedy
  return {
    ...shown,
    cause: own ? cause.cause : `${refText(cause.subject)}: ${cause.cause}`,
    fix: command && !text.includes(command) ? `${text}: ${command}` : text,
  }
}

/**
 * Everything on one screen, read in one go: nodes, sources, Kustomizations, releases, workloads, volumes,
 * certificates. Throws an ExpectedError when one of these could not be read.
 */
export async function gatherStatus(kubectl: Kubectl): Promise<StatusSection[]> {
  return readStatus(await gather(kubectl))
}

/** The status in a snapshot. Throws an ExpectedError where that lacks what is shown. Pure. */
export function readStatus(snapshot: Snapshot): StatusSection[] {
  const shown = SECTIONS.flatMap(([, kinds]) => kinds)
  const gap = snapshot.gaps.find(({ what }) => shown.includes(what) || what === 'the APIs of Flux')
  if (gap)
    throw new ExpectedError(
      `${gap.what} could not be read: ${gap.why}`,
      'use the kubeconfig of the cluster administrator, then run it again',
    )
  return statusOf(snapshot)
}
