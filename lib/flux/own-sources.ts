import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { UsageError } from '../script/errors.ts'
import { GIT_REPOSITORY, KUSTOMIZATION } from './flux.ts'

/** The label of everything that add-source creates; its value is the name of the source. */
export const SOURCE_LABEL = 'openappstack.net/own-source'

/** The ServiceAccount as which Flux applies an own source, in the source's namespace. */
export const SOURCE_ACCOUNT = 'flux-source'

/** What an own source may write, in its namespace alone. */
export const SOURCE_RIGHTS: readonly [group: string, resources: readonly string[]][] = [
  ['', ['configmaps', 'secrets', 'services', 'persistentvolumeclaims', 'serviceaccounts', 'pods']],
  ['apps', ['deployments', 'statefulsets', 'daemonsets', 'replicasets']],
  ['batch', ['jobs', 'cronjobs']],
  ['autoscaling', ['horizontalpodautoscalers']],
  ['policy', ['poddisruptionbudgets']],
  ['networking.k8s.io', ['ingresses']],
  ['cert-manager.io', ['certificates']],
]

/** The namespace of the single sign-on clients: hydra-maester serves no other. */
export const CLIENTS = 'oas-apps'

/** Namespaces that belong to somebody else, and applications, whose clients have their names. */
const TAKEN =
  /^(default|flux-system|oas(-.*)?|openappstack|cert-manager|velero|kube-.*|core|infrastructure(-configs)?|traefik|local-path-storage|nextcloud|onlyoffice|rocketchat|wekan|wordpress|grafana|userpanel)$/

/**
 * Checks the name of a source, which becomes a namespace. Throws a UsageError. Pure.
 * Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
 */
export function parseSourceName(name: string): string {
  const shown = JSON.stringify(name.slice(0, 60))
  if (!/^[a-z]([a-z\d-]{0,38}[a-z\d])?$/.test(name))
    throw new UsageError(
      `${shown} is not a name for a source`,
      'give 1 to 40 lower-case letters, digits and hyphens, a letter first: shop',
    )
  if (TAKEN.test(name))
    throw new UsageError(`${shown} belongs to the platform`, 'give the source another name')
  return name
}

/** An own source: the objects that make it up, as far as they exist. */
export interface OwnSource {
  name: string
  /** Whether its namespace is being deleted. */
  isLeaving: boolean
  repository: KubeObject | undefined
  kustomization: KubeObject | undefined
}

/** All own sources of a cluster, by the namespaces that carry their label. */
export async function ownSources(kubectl: Kubectl): Promise<OwnSource[]> {
  const namespaces = await kubectl.list('v1', 'Namespace', { labelSelector: SOURCE_LABEL })
  return Promise.all(
    namespaces.map(async ({ metadata: { name, deletionTimestamp } }) => {
      const place = { name, namespace: name }
      const [repository, kustomization] = await Promise.all([
        kubectl.get({ ...GIT_REPOSITORY, ...place }),
        kubectl.get({ ...KUSTOMIZATION, ...place }),
      ])
      return { name, isLeaving: deletionTimestamp !== undefined, repository, kustomization }
    }),
  )
}

/** Whether an object is one that add-source has created. Pure. */
export function isOfOwnSource({ metadata }: KubeObject): boolean {
  return metadata.labels?.[SOURCE_LABEL] !== undefined
}
