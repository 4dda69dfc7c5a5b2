/** What a source keeps that is added again: whatever no flag says. */
import { GIT_REPOSITORY, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { WantedSource } from './flags.ts'

/** A source with everything that it shall have. */
export interface Source extends WantedSource {
  ref: NonNullable<WantedSource['ref']>
  path: string
  memory: string
  storage: string
  /** Whether its token, and the keys that have to sign its commits, are in the cluster and stay. */
  keeps: { token: boolean; keys: boolean }
}

/** The objects that hold the settings of a source. */
export interface SourceSettings {
  repository?: KubeObject | undefined
  kustomization?: KubeObject | undefined
  quota?: KubeObject | undefined
}

/**
 * The source as it shall be: the flags, else what it has, else the defaults. A token stays with the address that it
 * was given for; nobody else is to see it. Pure.
 */
export function completed(wanted: WantedSource, has: SourceSettings): Source {
  const { url, ref, secretRef, verify } = has.repository?.spec ?? {}
  const kept = ref?.tag ? { tag: String(ref.tag) } : ref?.branch ? { branch: String(ref.branch) } : undefined
  const { hard } = has.quota?.spec ?? {}
  return {
    ...wanted,
    ref: wanted.ref ?? kept ?? { branch: 'main' },
    path: wanted.path ?? has.kustomization?.spec?.path ?? './',
    memory: wanted.memory ?? hard?.['limits.memory'] ?? '2Gi',
    storage: wanted.storage ?? hard?.['requests.storage'] ?? '20Gi',
    keeps: { token: secretRef !== undefined && url === wanted.url, keys: verify !== undefined },
  }
}

/** Reads what a source has, and completes what is wanted of it. */
export async function completedFrom(kubectl: Kubectl, wanted: WantedSource): Promise<Source> {
  const place = { name: wanted.name, namespace: wanted.name }
  const [repository, kustomization, quota] = await Promise.all([
    kubectl.get({ ...GIT_REPOSITORY, ...place }),
    kubectl.get({ ...KUSTOMIZATION, ...place }),
    kubectl.get({ apiVersion: 'v1', kind: 'ResourceQuota', name: 'own-source', namespace: wanted.name }),
  ])
  return completed(wanted, { repository, kustomization, quota })
}
