/** Claims: those that are missing, not bound, about to go, or not as large as they should be. */

import { condition, standing } from '../../flux/flux.ts'
import { claimsOfPod } from '../../kubectl/claims.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { each, type Finding, patching, type Rule, type Telling, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { asRoot, refTo } from './failure.ts'
import { lastLinesOf, meaningOf } from './last-words.ts'
import { quantity } from './quantity.ts'
import {
  containersOf,
  eventsOf,
  kustomizationOf,
  podsOf,
  since,
  suffersFrom,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'
import { pods } from './workloads.ts'

const DEFAULT = 'storageclass.kubernetes.io/is-default-class'
const SELECTED = 'volume.kubernetes.io/selected-node'

const describe = ({ kind, name, namespace }: Ref) =>
  `kubectl ${namespace ? `-n ${namespace} ` : ''}describe ${kind === 'PersistentVolume' ? 'pv' : 'pvc'} ${name}`

/** Claims that pods name and that do not exist. */
const missingClaims: Rule = index => {
  if (index.blind('PersistentVolumeClaim')) return []
  const found = new Map<string, Finding>()
  for (const pod of podsOf(index)) {
    const { namespace = '' } = pod.metadata
    if (
      pod.spec?.nodeName ||
      pod.status?.phase !== 'Pending' ||
      since(index, pod.metadata.creationTimestamp) < 10
    )
      continue
    for (const name of claimsOfPod(pod)) {
      if (index.get('PersistentVolumeClaim', namespace, name) || found.has(`${namespace}/${name}`)) continue
      const subject: Ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name }
      found.set(
        `${namespace}/${name}`,
        tell(subject, {
          rule: 'claim-missing',
          cause: `${refText(refOf(pod))} needs it, and it does not exist`,
          text: `correct the name of the claim ${whereToChange(workloadOf(pod, index), index)}; if it was deleted, recreate it and restore its data`,
          command: `kubectl -n ${namespace} get pvc`,
        }),
      )
    }
  }
  return [...found.values()]
}

/** Claims that are not bound, have lost their volume, or are about to go. */
const claims = each('PersistentVolumeClaim', (claim, index) => {
  if (claim.status?.phase === 'Lost') return lost(claim)
  if (claim.metadata.deletionTimestamp) return leaving(claim, index)
  return claim.status?.phase === 'Pending' ? pending(claim, index) : resizing(claim, index)
})

function lost(claim: KubeObject): Telling {
  return {
    rule: 'claim-lost',
    cause: `its volume ${claim.spec?.volumeName ?? ''} is gone, and its data with it as far as Kubernetes knows`,
    text: 'the folder may still be in the local storage of the server: check there before the claim is recreated; else restore the data from a backup',
    command: asRoot('ls -l /var/lib/OpenAppStack/local-storage'),
  }
}

/** Kubernetes keeps a deleted claim for as long as a pod uses it, and deletes its data after that. */
function leaving(claim: KubeObject, index: Index): Telling | undefined {
  if (since(index, claim.metadata.deletionTimestamp) < 60) return undefined
  const user = podsOf(index).find(
    pod =>
      pod.metadata.namespace === claim.metadata.namespace && claimsOfPod(pod).includes(claim.metadata.name),
  )
  if (user && !user.spec?.nodeName)
    return {
      rule: 'claim-being-deleted',
      cause: `was deleted, but ${refText(refOf(user))} still needs it: each waits for the other`,
      evidence: [`deleted at ${claim.metadata.deletionTimestamp}`],
      text: `set the reclaim policy of its volume to Retain if the data is needed, delete the pods that use the claim, then let the workload recreate it`,
      command: `kubectl patch pv ${claim.spec?.volumeName} -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`,
    }
  const waiting = kustomizationOf(claim, index)
  return {
    rule: 'claim-being-deleted',
    // Whoever has deleted it may wait for its end.
    verdict: waiting && standing(waiting).state !== 'ready' ? 'broken' : 'warning',
    cause: user
      ? `was deleted: it and its data go as soon as ${refText(refOf(user))} ends`
      : 'was deleted, and its finalizer keeps it: a pod that used it may still be ending',
    evidence: [`finalizers: ${((claim.metadata as { finalizers?: string[] }).finalizers ?? []).join(', ')}`],
    text: user
      ? 'do not restart that pod: back its data up first, and set the reclaim policy of the volume to Retain'
      : 'see which pods use it (Used By): the finalizer kubernetes.io/pvc-protection goes with the last of them',
    command: user
      ? `kubectl patch pv ${claim.spec?.volumeName} -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`
      : describe(refOf(claim)),
  }
}

function pending(claim: KubeObject, index: Index): Telling | undefined {
  const { spec, metadata } = claim
  const age = since(index, metadata.creationTimestamp)
  const [unfilled] = eventsOf(index, claim, /^UnrecognizedDataSourceKind$/)
  // Whatever is applied beside it may come a little later.
  if (unfilled && age >= 120)
    return {
      rule: 'claim-not-provisioned',
      cause: `nothing fills a volume from its dataSourceRef: ${short(String(unfilled.message ?? ''))}`,
      text: 'install the populator of that kind (its controller and a VolumePopulator), or correct dataSourceRef: a claim is immutable, so recreate it',
      command: describe(refOf(claim)),
    }
  const failed = eventsOf(index, claim, /^(ProvisioningFailed|FailedBinding|VolumeMismatch)$/)[0]
  const evidence = failed ? [`${failed.reason}: ${short(failed.message ?? '')}`] : []
  if (spec?.volumeName) {
    const volume = index.get('PersistentVolume', undefined, spec.volumeName)
    if (age < 30) return undefined
    if (volume && isHeld(volume, claim)) return held(volume, claim)
    return {
      rule: 'claim-volume-taken',
      cause: volume
        ? `its volume ${spec.volumeName} ${claimedBy(volume, claim)}`
        : `its volume ${spec.volumeName} does not exist`,
      evidence,
      text: 'correct spec.volumeName, or free the volume',
      command: describe(refOf(claim)),
    }
  }
  const classes = index.all('StorageClass')
  if (index.blind('StorageClass') || age < 10) return undefined
  if (spec?.storageClassName === undefined || spec.storageClassName === null) {
    if (classes.some(({ metadata: { annotations } }) => annotations?.[DEFAULT] === 'true')) return undefined
    return {
      rule: 'claim-without-class',
      cause: 'it names no StorageClass, and no class is the default',
      evidence,
      ...(classes[0]
        ? {
            text: `make ${classes[0].metadata.name} the default class`,
            command: `kubectl annotate storageclass ${classes[0].metadata.name} ${DEFAULT}=true`,
            action: patching(
              classes[0],
              { metadata: { annotations: { [DEFAULT]: 'true' } } },
              'make it the default class',
            ),
          }
        : { text: 'there is no StorageClass: the release local-path-provisioner in oas brings one' }),
    }
  }
  if (spec.storageClassName === '') return unfitting(claim, index)
  const storage = classes.find(each => each.metadata.name === spec.storageClassName)
  // Volumes that are created by hand need no class that exists.
  const byHand = index
    .all('PersistentVolume')
    .some(each => each.spec?.storageClassName === spec.storageClassName)
  if (!storage && byHand) return unfitting(claim, index)
  if (!storage)
    return {
      rule: 'claim-class-missing',
      cause: `its StorageClass ${spec.storageClassName} does not exist`,
      evidence,
      text: `there is ${classes.map(each => each.metadata.name).join(', ') || 'none'}: a claim is immutable, so correct its class in the values, delete the claim while it is empty, and recreate it`,
      command: `kubectl -n ${metadata.namespace} delete pvc ${metadata.name}`,
    }
  return unprovisioned(claim, storage, failed, index)
}

/** A claim that waits for the scheduler to place its pod, which names its node itself. */
function passedBy(claim: KubeObject, index: Index): Telling | undefined {
  const pod = podsOf(index).find(
    each =>
      each.spec?.nodeName &&
      each.status?.phase === 'Pending' &&
      each.metadata.namespace === claim.metadata.namespace &&
      claimsOfPod(each).includes(claim.metadata.name),
  )
  if (!pod || since(index, pod.metadata.creationTimestamp) < 120) return undefined
  return {
    rule: 'claim-not-provisioned',
    cause: `it waits for the scheduler to choose a node, but ${refText(refOf(pod))} bypasses the scheduler (spec.nodeName)`,
    text: `name the node by nodeSelector (kubernetes.io/hostname) in place of nodeName ${whereToChange(workloadOf(pod, index), index)}`,
    command: describe(refOf(claim)),
  }
}

/** A claim that its provisioner does not serve. Until a pod is placed there may be nothing to do. */
function unprovisioned(
  claim: KubeObject,
  storage: KubeObject,
  failed: KubeObject | undefined,
  index: Index,
): Telling | undefined {
  const waitsForPod = storage.volumeBindingMode === 'WaitForFirstConsumer'
  const provisioner = String(storage.provisioner ?? '')
  if (provisioner === 'kubernetes.io/no-provisioner') return unfitting(claim, index)
  if (waitsForPod && !failed && !claim.metadata.annotations?.[SELECTED]) return passedBy(claim, index)
  const servers = serversOf(provisioner, index)
  const down = servers.every(server => pods(server).available === 0)
  const age = since(index, claim.metadata.creationTimestamp)
  if (age < (down || failed ? 15 : 180)) return undefined
  const reason = String(failed?.message ?? '')
  // What the provisioner says itself proves that it answers.
  const [, gone] = /^failed to get target node: node "([^"]+)" not found/.exec(reason) ?? []
  if (gone)
    return {
      rule: 'claim-not-provisioned',
      cause: `the node ${gone} was selected for its volume, and is not in the cluster any more`,
      evidence: [`${failed!.reason}: ${short(reason)}`],
      text: 'remove the annotation that names that node: the scheduler selects another one',
      command: `kubectl -n ${claim.metadata.namespace} annotate pvc ${claim.metadata.name} ${SELECTED}-`,
    }
  if (/^failed to provision volume with StorageClass/.test(reason)) {
    const helper = helperOf(reason, index)
    const words = helper && containersOf(helper).map(({ name }) => lastLinesOf(helper, name, index))
    const known = words && meaningOf(...words)
    const [, kind, name] = /\bType (\w+) by Name ([\w.-]+)/.exec(reason) ?? []
    if (kind && name)
      return {
        rule: 'claim-not-provisioned',
        cause: `its data source ${kind} ${name} does not exist or is not ready`,
        evidence: [`${failed!.reason}: ${short(reason)}`],
        text: `see ${kind} ${name}; without it, omit dataSource from the claim and restore its data otherwise`,
        command: `kubectl -n ${claim.metadata.namespace} describe ${kind.toLowerCase()} ${name}`,
        symptom: true,
        causedBy: [refTo(kind, claim.metadata.namespace, name)],
      }
    return {
      rule: 'claim-not-provisioned',
      cause: `${provisioner} cannot create its volume: ${known?.cause ?? short(lastClause(reason), 200)}`,
      evidence: [`${failed!.reason}: ${short(reason)}`],
      text: helper
        ? `${known ? `${known.fix('on the server')}, or allow it in SELinux; ` : ''}see ${refText(refOf(helper))}, which creates the folder by the scripts in ConfigMap ${helper.metadata.namespace}/local-path-config: these have to fit the version of the provisioner`
        : provisionFix(reason, provisioner, storage.metadata.name),
      command: `kubectl -n ${claim.metadata.namespace} describe pvc ${claim.metadata.name}`,
      ...suffersFrom(helper ? [refOf(helper)] : []),
    }
  }
  return {
    rule: 'claim-not-provisioned',
    cause:
      servers.length === 0
        ? `nothing creates volumes of its class ${storage.metadata.name}: the provisioner ${provisioner} is not installed`
        : `${provisioner} has not created its volume for ${durationText(age * 1000)}`,
    evidence: failed ? [`${failed.reason}: ${short(failed.message ?? '')}`] : [],
    text: servers[0] ? `see ${refText(refOf(servers[0]))}` : `install ${provisioner}, or name another class`,
    command: servers[0]
      ? `kubectl -n ${servers[0].metadata.namespace} logs deployment/${servers[0].metadata.name}`
      : 'kubectl get storageclass',
    ...suffersFrom(down ? servers.map(refOf) : []),
  }
}

/** What to do about what a provisioner refuses. */
function provisionFix(reason: string, provisioner: string, storageClass: string): string {
  if (/selector is not supported/i.test(reason))
    return 'recreate the claim without spec.selector: a volume is created for it, not chosen; to choose one, create it by hand and name it in spec.volumeName'
  if (/access mode/i.test(reason))
    return 'set accessModes to ReadWriteOnce, with which all pods of one node may use it, or name a class that can do more'
  if (/config|\bpath\b/i.test(reason))
    return `correct the configuration of ${provisioner}: its nodes and their folders (nodePathMap in ConfigMap local-path-config), or what it names there`
  return (
    adviceOn(reason, `in the parameters of class ${storageClass}`) ??
    `correct what ${provisioner} names: free or enlarge its storage, or name another class`
  )
}

/** Parts of the name of a CSI driver that many have, besides its own: `ebs.csi.aws.com`, `driver.longhorn.io`. */
const OF_MANY = /^(csi|driver|storage|k8s|aws|azure|gke|google|example|\w{1,2}|com|org|net|dev)$/

/** The workloads that serve a provisioner: their names or namespaces have a part of its name. */
function serversOf(provisioner: string, index: Index): KubeObject[] {
  const [, word] = provisioner.split('/')
  const words = word ? [word] : provisioner.split('.').filter(each => !OF_MANY.test(each))
  return ['Deployment', 'StatefulSet']
    .flatMap(kind => index.all(kind))
    .filter(({ metadata: { name, namespace = '' } }) =>
      words.some(
        each => name.includes(each) || (namespace.includes(each) && /csi|driver|provisioner/.test(name)),
      ),
    )
}

/** Whether a volume still belongs to an earlier claim of the same name. */
const isHeld = ({ spec, status }: KubeObject, { metadata }: KubeObject) =>
  status?.phase === 'Released' &&
  spec?.claimRef?.namespace === metadata.namespace &&
  spec?.claimRef?.name === metadata.name

const held = (volume: KubeObject, claim: KubeObject): Telling => ({
  rule: 'claim-volume-held',
  cause: `its volume ${volume.metadata.name} ${claimedBy(volume, claim)}`,
  text: 'remove spec.claimRef of the volume: its data is kept, and the claim gets it',
  command: `kubectl patch pv ${volume.metadata.name} --type merge -p '{"spec":{"claimRef":null}}'`,
})

/** A claim of a class without a provisioner: why the existing volumes do not fit. */
function unfitting(claim: KubeObject, index: Index): Telling | undefined {
  const { spec, metadata } = claim
  const used = podsOf(index).some(
    pod => pod.metadata.namespace === metadata.namespace && claimsOfPod(pod).includes(metadata.name),
  )
  if (!used || since(index, metadata.creationTimestamp) < 60) return undefined
  const wanted = String(spec?.resources?.requests?.storage ?? '')
  const ofClass = index
    .all('PersistentVolume')
    .filter(volume => (volume.spec?.storageClassName ?? '') === spec?.storageClassName)
  const former = ofClass.find(volume => isHeld(volume, claim))
  if (former) return held(former, claim)
  const evidence = ofClass.map(volume => {
    const { capacity, accessModes = [] } = volume.spec ?? {}
    const modes = ((spec?.accessModes ?? []) as string[]).filter(mode => !accessModes.includes(mode))
    const why =
      volume.status?.phase !== 'Available'
        ? `is ${volume.status?.phase}`
        : quantity(capacity?.storage) < quantity(wanted)
          ? `has ${capacity?.storage}, and ${wanted} are wanted`
          : modes.length > 0
            ? `lacks ${modes.join(', ')}`
            : 'is on a node on which the pod cannot run, or has other labels'
    return `volume ${volume.metadata.name} ${why}`
  })
  return {
    rule: 'claim-without-volume',
    cause: `it needs a volume that is created by hand, and none fits: ${evidence.slice(0, 3).join('; ') || 'there is none of its class'}`,
    evidence: [],
    text: 'create a volume that fits by size, access mode and class, or name another StorageClass',
    command: describe(refOf(claim)),
  }
}

/** Who has the volume that a claim names. */
function claimedBy(volume: KubeObject, { metadata }: KubeObject): string {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {}
  if (!name) return 'does not fit: size, access mode or class differ'
  if (namespace !== metadata.namespace || name !== metadata.name)
    return `is bound to claim ${namespace}/${name}`
  return uid && uid !== metadata.uid
    ? 'still belongs to a deleted claim of the same name: remove spec.claimRef.uid of the volume'
    : 'does not fit: size, access mode or class differ'
}

/** The reason in a message of an external provisioner, behind the words of each layer. */
const lastClause = (message: string) =>
  /desc = (.+)$/s.exec(message)?.[1] ??
  message.replace(/^failed to provision volume with StorageClass "[^"]*": /, '')

/**
 * The pod by which local-path-provisioner creates a folder on the node, if it still is there.
 * Source: https://github.com/rancher/local-path-provisioner/blob/v0.0.31/provisioner.go
 */
function helperOf(message: string, index: Index): KubeObject | undefined {
  const [, volume] = /failed to create volume ([\w-]+)/.exec(message) ?? []
  return volume
    ? index.all('Pod').find(({ metadata }) => metadata.name.startsWith(`helper-pod-create-${volume}`))
    : undefined
}

function resizing(claim: KubeObject, index: Index): Telling | undefined {
  const wanted = claim.spec?.resources?.requests?.storage
  const has = claim.status?.capacity?.storage
  const waits = ['ControllerResizeError', 'NodeResizeError', 'FileSystemResizePending', 'Resizing']
    .map(type => condition(claim, type))
    .find(found => found?.status === 'True')
  if (!wanted || !has || quantity(wanted) <= quantity(has)) return undefined
  const [event] = eventsOf(index, claim, /^(VolumeResizeFailed|ExternalExpanding|FileSystemResizeFailed)$/)
  const told = /Error$/.test(waits?.type ?? '') ? waits : event?.type === 'Warning' ? event : undefined
  const refused =
    told?.message && !/plugin capable of expanding/.test(told.message) ? told.message : undefined
  if (!refused && waits && since(index, waits.lastTransitionTime) < 600) return undefined
  return {
    rule: 'claim-resize-pending',
    verdict: 'warning',
    cause: `it was enlarged to ${wanted}, and still has ${has}${refused ? `: ${short(lastClause(refused), 200)}` : ''}`,
    evidence: [
      ...(waits ? [`${waits.type}: ${short(waits.message ?? '')}`] : []),
      ...(event ? [`${event.reason}: ${short(event.message ?? '')}`] : []),
    ],
    text: /resize2fs|growfs|resize\.fs/.test(refused ?? '')
      ? 'check the file system of the volume on the server (fsck, while nothing uses it), then start the pod again'
      : waits?.type === 'FileSystemResizePending'
        ? 'restart the pod that uses it: the file system grows when it is mounted'
        : refused
          ? (adviceOn(lastClause(refused), 'in the claim') ??
            'correct what it says: ask for a size that its storage can give, and see what the controller of its driver logs')
          : 'local volumes have no size of their own and never grow: set the size that it has; the disk of the server is the limit',
    command: describe(refOf(claim)),
  }
}

export const rules: Rule[] = [missingClaims, claims]
