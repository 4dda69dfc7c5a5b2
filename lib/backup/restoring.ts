/** What a restore and a drill share: what a backup holds, Velero's Restore, and whether the volumes came back. */

import { releaseSelectors } from '../flux/release-labels.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import type { KubeletSummary } from '../kubectl/kubelet-stats.ts'
import { ExpectedError } from '../script/errors.ts'
import { sizeText } from '../script/size.ts'
import type { Held } from './held.ts'
import type { BackupFlaw } from './judge.ts'
import { VELERO } from './objects.ts'
import { MADE_BY, RESTORED_BY, VELERO_API } from './velero.ts'

/** The kinds that hold data and what runs on it: nothing that Flux or Helm has beside them. */
const DATA = [
  'persistentvolumeclaims',
  'persistentvolumes',
  'pods',
  'replicasets.apps',
  'deployments.apps',
  'statefulsets.apps',
]
/** What pods need to start where nothing else is: no Ingress, no Certificate, no OAuth2Client, no Job. */
const NEEDED = ['secrets', 'configmaps', 'services', 'serviceaccounts']

/** A Restore of the releases of one application. With `into` their namespace becomes that one. Pure. */
export function restoreObject(
  name: string,
  options: {
    backup: string
    madeBy: string
    releases: readonly string[]
    namespaces: readonly string[]
    into?: string
  },
): KubeObject {
  const { backup, madeBy, releases, namespaces, into } = options
  return {
    apiVersion: VELERO_API,
    kind: 'Restore',
    metadata: { namespace: VELERO, name, labels: { [MADE_BY]: madeBy } },
    spec: {
      backupName: backup,
      includedNamespaces: [...namespaces],
      includedResources: into ? [...DATA, ...NEEDED] : DATA,
      // What pods mount and what is named by no label comes along by Velero's own item actions.
      orLabelSelectors: releaseSelectors(releases),
      restorePVs: true,
      existingResourcePolicy: 'none',
      itemOperationTimeout: '4h',
      // Sparse files come back full otherwise.
      uploaderConfig: { writeSparseFiles: true },
      ...(into ? { namespaceMapping: Object.fromEntries(namespaces.map(each => [each, into])) } : {}),
    },
  }
}

/**
 * What is wrong with a Restore that has ended: its phase, and each claim that should have come back and whose
 * PodVolumeRestore is not Completed. Pure.
 */
export function wrongWithRestore(
  restore: KubeObject,
  volumeRestores: readonly KubeObject[],
  held: readonly Held[],
): BackupFlaw[] {
  const { name } = restore.metadata
  const { phase, failureReason, validationErrors = [] } = restore.status ?? {}
  const why = [failureReason, ...validationErrors].filter(Boolean).join('; ')
  const flaws: BackupFlaw[] = []
  const fix = 'read its log (npx tsx scripts/logs.ts velero), then run the same command again'
  if (phase !== 'Completed')
    flaws.push({ what: `restore ${name} has ended as ${phase}${why ? `: ${why}` : ''}`, fix })
  const ours = volumeRestores.filter(({ metadata }) => metadata.labels?.[RESTORED_BY] === name)
  for (const { claim, pod, volume } of held) {
    const copy = ours.find(({ spec }) => spec?.pod?.name === pod && spec.volume === volume)
    const state = copy?.status?.phase
    if (state === 'Completed') continue
    const said = copy?.status?.message ? `: ${copy.status.message}` : ''
    flaws.push({
      what: `the volume of ${claim} was not restored (${state ?? 'Velero has not started with it'}${said})`,
      fix,
    })
  }
  return flaws
}

/** A claim (`namespace/name`) as it is called in another namespace. Pure. */
export const claimIn = (namespace: string, claim: string): string => `${namespace}/${claim.split('/')[1]}`

/** Bytes that stay free on a server beside restored data. */
const SPARE = 256 << 20

/**
 * What stands against restoring this data: the disk of no server has space for it. Nothing where no kubelet tells. With
 * several servers the one with the most space counts. Pure.
 */
export function spaceProblems(held: readonly Held[], summaries: readonly KubeletSummary[]): ExpectedError[] {
  const free = summaries.flatMap(({ node }) => node?.fs?.availableBytes ?? [])
  const needed = held.reduce((sum, { bytes }) => sum + bytes, 0) * 1.05 + SPARE
  if (free.length === 0 || Math.max(...free) >= needed) return []
  return [
    new ExpectedError(
      `the restored data needs ${sizeText(needed)} on the server, and ${sizeText(Math.max(...free))} are free`,
      'free some space there: npx tsx scripts/ssh.ts -- df -h',
    ),
  ]
}

/** One line a claim, for a plan. Pure. */
export function heldLines(held: readonly Held[], verb: string): string[] {
  return held.map(({ claim, bytes }) => `${verb} ${claim} (${sizeText(bytes)})`)
}

/** Backup's and restore's lists of volumes that Velero has read or written. */
export async function readVolumeRestores(kubectl: Kubectl): Promise<KubeObject[]> {
  return kubectl.list(VELERO_API, 'PodVolumeRestore', { namespace: VELERO })
}
