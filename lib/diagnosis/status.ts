import { DRILL_MARK, PROOF_MARK, startOf, VELERO } from '../backup/objects.ts'
import { type Condition, condition, standing } from '../flux/flux.ts'
import { type KubeObject, refOf, refText } from '../kubectl/kubectl.ts'
import { durationText } from '../script/duration.ts'
import type { Diagnosis } from './diagnose.ts'
import { type RootCause, remedyText } from './finding.ts'
import { controllerOf, keyOf, reach } from './graph.ts'
import type { Ignored } from './ignore.ts'
import { backupsOfSchedule } from './rules/backups.ts'
import { gapError, type Index } from './snapshot.ts'

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
  /** Where the finding behind it is ignored: until when, and why. */
  ignored?: string
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

/** A Flux object: its revision when it is ready, its message when it is not. */
function fluxItem(object: KubeObject): StatusItem {
  const { state, message } = standing(object)
  const history = object.status?.history as { chartVersion?: string }[] | undefined
  const revision =
    object.status?.artifact?.revision ??
    object.status?.lastAppliedRevision ??
    history?.[0]?.chartVersion ??
    ''
  return item(object, state === 'ready', state === 'ready' ? String(revision) : message)
}

/** A workload: how many of its pods are ready. */
function workloadItem(object: KubeObject): StatusItem {
  const wanted = object.status?.desiredNumberScheduled ?? object.spec?.replicas ?? 1
  const ready = object.status?.readyReplicas ?? object.status?.numberReady ?? 0
  return item(object, ready >= wanted, `${ready}/${wanted}`)
}

/** A volume claim: its size and class when it is bound. */
function volumeItem(object: KubeObject): StatusItem {
  const bound = object.status?.phase === 'Bound'
  const size = object.status?.capacity?.storage ?? object.spec?.resources?.requests?.storage ?? ''
  return item(
    object,
    bound,
    bound ? `${size} ${object.spec?.storageClassName ?? ''}` : (object.status?.phase ?? ''),
  )
}

/** A certificate: until when it is valid, or why it is not. */
function certificateItem(object: KubeObject): StatusItem {
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

/** A line for an object of a kind that has a state; undefined for others. Pure. */
export function itemOf(object: KubeObject): StatusItem | undefined {
  if (controllerOf(object.kind)) return fluxItem(object)
  return SECTIONS.find(([, kinds]) => kinds.includes(object.kind))?.[2](object)
}

/** Whether an item needs somebody: it is not ready, and the finding behind it is not ignored. Pure. */
export function isNotReady({ ready, ignored }: StatusItem): boolean {
  return !ready && ignored === undefined
}

/** What a diagnosis tells, and what is ignored of it. */
type Judgement = Pick<Diagnosis, 'causes' | 'ignored'>

/** By object: what was found of it, or what explains what was found of it. */
function bySubject<T>(found: readonly T[], causeOf: (each: T) => RootCause): Map<string, T> {
  const told = new Map<string, T>()
  for (const each of found)
    for (const { subject } of [causeOf(each), ...causeOf(each).explains])
      if (!told.has(keyOf(subject))) told.set(keyOf(subject), each)
  return told
}

/** What of a snapshot belongs on one screen, with the causes of its diagnosis for what is not ready. Pure. */
export function statusOf(index: Index, { causes, ignored }: Judgement): StatusSection[] {
  const isStopping = ({ verdict, rule }: RootCause) => verdict === 'broken' || rule.endsWith('-suspended')
  const told = bySubject(
    causes.filter(({ verdict }) => verdict === 'broken'),
    cause => cause,
  )
  const hidden = bySubject(
    ignored.filter(({ finding }) => isStopping(finding)),
    ({ finding }) => finding,
  )
  const sections = SECTIONS.map(([title, kinds, lineOf]) => {
    const ours = ({ kind, metadata }: KubeObject) =>
      !/^(Deployment|StatefulSet|DaemonSet|PersistentVolumeClaim)$/.test(kind) ||
      NAMESPACES.some(namespace => namespace === metadata.namespace)
    const objects = kinds.flatMap(kind => index.all(kind)).filter(ours)
    const items = objects.map(object => {
      const shown = lineOf(object)
      if (shown.ready) return shown
      // An object that only waits for a broken one is not broken itself.
      const keys = reach([refOf(object)], index).map(keyOf)
      const cause = keys.flatMap(key => told.get(key) ?? [])[0]
      if (cause) return explained(shown, object, cause)
      const by = keys.flatMap(key => hidden.get(key)?.by ?? [])[0]
      return by ? passedOver(shown, by) : shown
    })
    return {
      title,
      items: items.sort((a, b) => `${a.namespace}/${a.name}`.localeCompare(`${b.namespace}/${b.name}`)),
    }
  })
  return [...sections, { title: 'Backups', items: backupItems(index, { causes, ignored }) }]
}

/** The schedules of Velero with their newest backup, and the age of the newest proof and drill: ready without a cause. */
function backupItems(index: Index, { causes, ignored }: Judgement): StatusItem[] {
  const told = bySubject(causes, cause => cause)
  const hidden = bySubject(ignored, ({ finding }) => finding)
  const judged = (object: KubeObject, state: string): StatusItem => {
    const key = keyOf(refOf(object))
    const [cause, by] = [told.get(key), hidden.get(key)?.by]
    const shown = item(object, cause === undefined && by === undefined, state)
    return cause ? explained(shown, object, cause) : by ? passedOver(shown, by) : shown
  }
  const old = (time: number) => `${durationText(Math.max(0, index.now - time))} old`
  const schedules = index.all('Schedule').map(schedule => {
    const [newest] = backupsOfSchedule(schedule, index)
    return judged(
      schedule,
      newest
        ? `${newest.metadata.name}: ${newest.status?.phase ?? 'New'}, ${old(startOf(newest))}`
        : 'no backup yet',
    )
  })
  const marks = [
    ['the last proved backup', PROOF_MARK],
    ['the last restore drill', DRILL_MARK],
  ].flatMap(([title, name]): StatusItem[] => {
    const mark = index.get('ConfigMap', VELERO, name!)
    const made = Date.parse(mark?.metadata.creationTimestamp ?? '')
    return mark && !Number.isNaN(made) ? [judged(mark, `${title} is ${old(made)}`)] : []
  })
  return [...schedules, ...marks]
}

/** An item with the cause of its state; that of another object with its name. */
function explained(shown: StatusItem, object: KubeObject, cause: RootCause): StatusItem {
  const own = keyOf(cause.subject) === keyOf(refOf(object))
  return {
    ...shown,
    cause: own ? cause.cause : `${refText(cause.subject)}: ${cause.cause}`,
    fix: remedyText(cause.remedy),
  }
}

const passedOver = (shown: StatusItem, { until, reason }: Ignored): StatusItem => ({
  ...shown,
  ignored: `until ${until}: ${reason}`,
})

/**
 * The status in a snapshot: nodes, sources, Kustomizations, releases, workloads, volumes, certificates, backups. Throws
 * an ExpectedError where the snapshot lacks what is shown. Pure.
 */
export function readStatus(index: Index, diagnosis: Judgement): StatusSection[] {
  const shown = SECTIONS.flatMap(([, kinds]) => kinds)
  const gap = index.snapshot.gaps.find(({ what }) => shown.includes(what) || what === 'the APIs of Flux')
  if (gap) throw gapError(gap)
  return statusOf(index, diagnosis)
}
