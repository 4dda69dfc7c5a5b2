/** Volumes that nobody uses any more, or that lie on a node which is gone. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import { since } from './workload-facts.ts'

const volumes = each('PersistentVolume', (volume, index) => {
  if (volume.metadata.deletionTimestamp) return undefined // told where a finalizer keeps it
  const { phase, lastPhaseTransitionTime, message, reason } = volume.status ?? {}
  const claim = volume.spec?.claimRef
  const owner = claim ? `${claim.namespace}/${claim.name}` : 'nobody'
  if (phase === 'Released' && since(index, lastPhaseTransitionTime, volume.metadata.creationTimestamp) > 120)
    return [
      {
        subject: refOf(volume),
        rule: 'volume-released',
        verdict: 'warning',
        cause: `nobody uses it any more: its claim ${owner} was deleted, and its data is kept`,
        evidence: [`reclaim policy ${volume.spec?.persistentVolumeReclaimPolicy}`],
        remedy: {
          text: 'bind it to a new claim by removing spec.claimRef.uid, or back its data up and delete it',
          command: `kubectl describe pv ${volume.metadata.name}`,
        },
        // A new claim of the same name that waits for it tells it.
        symptom: true,
        causedBy: claim ? [refTo('PersistentVolumeClaim', claim.namespace, claim.name)] : [],
      },
    ]
  if (phase === 'Pending' && since(index, volume.metadata.creationTimestamp) > 600)
    return {
      rule: 'volume-pending',
      verdict: 'warning',
      cause: 'is Pending: nothing has made it available to claims',
      evidence: [short([reason, message].filter(Boolean).join(': '))].filter(Boolean),
      text: 'see what its events say, and whether its class and driver exist',
      command: `kubectl describe pv ${volume.metadata.name}`,
    }
  if (phase === 'Failed')
    return {
      rule: 'volume-failed',
      verdict: 'warning',
      cause: `its data could not be deleted after its claim ${owner} was`,
      evidence: [short([reason, message].filter(Boolean).join(': '))].filter(Boolean),
      text: /no deletable volume plugin/.test(String(message))
        ? 'nothing deletes volumes of its kind: delete its data by hand unless somebody needs it, then the volume; give others the reclaim policy Retain'
        : 'remove its folder on the server, then the volume',
      command: `kubectl describe pv ${volume.metadata.name}`,
    }
  return phase === 'Bound' ? elsewhere(volume, index) : undefined
})

/** The names of the nodes that a local volume lies on, and those of them that are in the cluster. Pure. */
export function nodesOfVolume(
  volume: KubeObject,
  index: Index,
): { wanted: readonly string[]; there: readonly KubeObject[] } {
  type Term = { matchExpressions?: { key?: string; values?: string[] }[] }
  const wanted = ((volume.spec?.nodeAffinity?.required?.nodeSelectorTerms ?? []) as Term[]).flatMap(term =>
    (term?.matchExpressions ?? []).flatMap(({ key, values }) =>
      key === 'kubernetes.io/hostname' ? (values ?? []) : [],
    ),
  )
  const there = index
    .all('Node')
    .filter(({ metadata }) => wanted.includes(metadata.labels?.['kubernetes.io/hostname'] ?? metadata.name))
  return { wanted, there }
}

/** A local volume whose node is not in the cluster (any more). */
function elsewhere(volume: KubeObject, index: Index): Finding[] {
  const { wanted, there } = nodesOfVolume(volume, index)
  if (wanted.length === 0 || there.length > 0 || index.all('Node').length === 0) return []
  return [
    tell(volume, {
      rule: 'volume-node-missing',
      cause: `it lies on the node ${wanted.join(', ')}, which is not in the cluster`,
      evidence: [`path ${volume.spec?.local?.path ?? volume.spec?.hostPath?.path ?? 'unknown'}`],
      text: 'bring that node back under its old name: its data exists nowhere else; or restore it from a backup into a new claim',
      command: 'kubectl get nodes --show-labels',
    }),
  ]
}

export const rules: Rule[] = [volumes]
