/** What belongs to the platform: --fix touches nothing else. */
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { APP_NAMES } from '../../platform/apps.ts'
import type { Action } from '../finding.ts'
import type { Index } from '../snapshot.ts'

/** Where the platform, and what k3s brings with it, lives. */
export const OURS: ReadonlySet<string> = new Set([
  'flux-system',
  'oas',
  'oas-apps',
  'cert-manager',
  'velero',
  'kube-system',
])

/** Whether a namespace is one of the platform’s. Pure. */
export const isHome = (namespace: string | undefined): boolean => OURS.has(namespace ?? '')

/** Whether a Kustomization is one of the platform: built from its repository. Pure. */
export function isOurs({ metadata, spec }: KubeObject): boolean {
  const { name, namespace = metadata.namespace } = spec?.sourceRef ?? {}
  return metadata.namespace === 'flux-system' && name === 'openappstack' && namespace === 'flux-system'
}

/** Whether an object belongs to the platform: by its namespace, or the release or Kustomization that brought it. */
function belongs(ref: Ref, index: Index): boolean {
  if (ref.kind === 'Node' || ref.kind === 'StorageClass') return true
  const { labels = {}, annotations = {} } = index.find(ref)?.metadata ?? {}
  const kustomization = labels['kustomize.toolkit.fluxcd.io/name']
  if (kustomization) {
    const found = index.get('Kustomization', labels['kustomize.toolkit.fluxcd.io/namespace'], kustomization)
    return !found || isOurs(found)
  }
  const home = labels['helm.toolkit.fluxcd.io/namespace'] ?? annotations['meta.helm.sh/release-namespace']
  return OURS.has(home ?? ref.namespace ?? (ref.kind === 'Namespace' ? ref.name : ''))
}

/** Whether --fix may do an action; of everything else the command is told. Pure. */
export function isAllowed(action: Action, subject: Ref, index: Index): boolean {
  if (action.do !== 'script') return belongs(action.ref, index)
  if (action.script === 'install-app')
    return belongs(subject, index) && APP_NAMES.includes(action.args[0] ?? '')
  return action.script === 'install-core' || belongs(subject, index)
}
