/** DaemonSets that do not run where they should. */
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { each, type Rule, type Telling } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { type Taint, taintsOf, tolerates } from './taints.ts'
import { podsIn, podsOf, since } from './workload-facts.ts'

/** DaemonSets that are wanted on no node although there are nodes: nothing of them runs. */
const onNoNode = each('DaemonSet', (daemon, index) => {
  const { namespace, name, creationTimestamp } = daemon.metadata
  const { desiredNumberScheduled } = daemon.status ?? {}
  if (index.all('Node').length === 0 || since(index, creationTimestamp) < 300) return undefined
  if (name === 'node-agent' && desiredNumberScheduled > 0) return notEverywhere(daemon, index)
  if (desiredNumberScheduled !== 0) return undefined
  if (daemon.metadata.labels?.['svccontroller.k3s.cattle.io/svcname']) return undefined // told of its Service
  const agent = name === 'node-agent'
  if (!agent && isForOtherMachines(daemon, index)) return undefined
  return {
    rule: 'daemonset-on-no-node',
    verdict: agent ? 'broken' : 'warning',
    cause: `matches no node${agent ? ': no volume is backed up' : ': it does not run'}`,
    evidence: selection(daemon),
    text: 'correct its nodeSelector, affinity or tolerations, or label the node',
    command: `kubectl -n ${namespace} describe daemonset ${name}`,
  }
})

/** Labels of a node that its kubelet sets from its machine. */
const OF_MACHINE = /^(beta\.)?kubernetes\.io\/(os|arch)$/

/**
 * Whether it is for machines that this cluster does not have: another system or processor, or hardware that the maker
 * of its driver marks by labels of a domain of their own. Charts bring such ones to every cluster.
 */
function isForOtherMachines({ spec }: KubeObject, index: Index): boolean {
  const labels = index.all('Node').map(({ metadata }) => metadata.labels ?? {})
  return Object.entries(spec?.template?.spec?.nodeSelector ?? {}).some(([key, value]) =>
    OF_MACHINE.test(key)
      ? !labels.some(each => each[key] === value)
      : key.includes('/') && !/(kubernetes|k8s)\.io\//.test(key) && !labels.some(each => key in each),
  )
}

/** Why no pod of a DaemonSet runs on a node: a taint, or its nodeSelector; undefined where neither keeps it off. Pure. */
export function keptOff(daemon: KubeObject, node: KubeObject): { cause: string; fix: string } | undefined {
  const pod = daemon.spec?.template?.spec
  const where = `in the manifest of DaemonSet ${daemon.metadata.name}`
  const toleratesAll = ((pod?.tolerations ?? []) as Taint[]).some(({ key }) => !key)
  const taint = taintsOf(node).find(
    ({ key, effect }) =>
      effect !== 'PreferNoSchedule' &&
      // The controller of DaemonSets gives their pods a toleration of these.
      !/^node\.kubernetes\.io\//.test(key ?? '') &&
      !toleratesAll &&
      !tolerates(pod, { key }),
  )
  if (taint)
    return {
      cause: `it does not tolerate the taint ${taint.key} of that node`,
      fix: `add a toleration of ${taint.key} ${where}, or take the taint off`,
    }
  const [label, value] =
    Object.entries((pod?.nodeSelector ?? {}) as Record<string, string>).find(
      ([key, value]) => node.metadata.labels?.[key] !== value,
    ) ?? []
  return label === undefined
    ? undefined
    : {
        cause: `its nodeSelector ${label}=${value} does not fit that node`,
        fix: `label the node (kubectl label node ${node.metadata.name} ${label}=${value}), or correct nodeSelector ${where}`,
      }
}

/** A node-agent that does not run on a node with volumes that it should read. */
function notEverywhere(daemon: KubeObject, index: Index): Telling | undefined {
  const { namespace } = daemon.metadata
  const reads =
    index.within('PodVolumeBackup', namespace).length > 0 ||
    index.within('Backup', namespace).some(({ spec }) => spec?.defaultVolumesToFsBackup)
  const there = new Set(
    podsIn(namespace, index)
      .filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === daemon.metadata.uid))
      .map(({ spec }) => spec?.nodeName),
  )
  const lacking = podsOf(index).find(
    ({ spec, status }) =>
      spec?.nodeName &&
      !there.has(spec.nodeName) &&
      status?.phase === 'Running' &&
      spec.volumes?.some((volume: { persistentVolumeClaim?: object }) => volume.persistentVolumeClaim),
  )
  if (!reads || !lacking || there.size === 0) return undefined
  const { nodeName } = lacking.spec ?? {}
  const node = index.get('Node', undefined, nodeName)
  const why = node && keptOff(daemon, node)
  return {
    rule: 'daemonset-not-on-node',
    cause: `does not run on Node ${nodeName}: no volume of ${refText(refOf(lacking))} is backed up`,
    evidence: why ? [why.cause] : selection(daemon),
    text: why?.fix ?? 'correct its affinity, or label the node',
    command: `kubectl -n ${namespace} describe daemonset node-agent`,
  }
}

function selection({ spec }: KubeObject): string[] {
  const labels = Object.entries(spec?.template?.spec?.nodeSelector ?? {}).map(
    ([key, value]) => `${key}=${value}`,
  )
  return labels.length > 0 ? [`nodeSelector ${labels.join(', ')}`] : []
}

/** The rule for DaemonSets. */
export const rules: readonly Rule[] = [onNoNode]
