/** What last words mean beside the objects that they do not name: who is bound, what has changed, who else is there. */

import { claimsOfPod } from '../../kubectl/claims.ts'
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { fits } from '../../kubectl/selector.ts'
import type { Index } from '../snapshot.ts'
import type { Meaning } from './last-words.ts'
import { readsOfVariables, volumeOf } from './reads.ts'
import { boundElsewhere, refusedRight, roleBindingsOf } from './refused-rights.ts'
import { middlewareCalled } from './routes.ts'
import { tellingLine, textLines } from './telling-lines.ts'
import { type Container, makerOf, workloadOf } from './workload-facts.ts'

/** A meaning, or none, beside what else is in the cluster. Pure. */
export function asBeside(
  known: Meaning | undefined,
  pod: KubeObject,
  container: Container,
  words: readonly string[],
  index: Index,
): Meaning | undefined {
  if (known?.rule === 'container-rights-missing') return withBindings(known, words, index)
  if (known?.rule === 'container-login-refused') return withNewerSecret(known, pod, container, index)
  if (known?.rule === 'container-data-in-use') return withSharedVolume(known, pod, index)
  if (known?.rule === 'container-eviction-refused') return withBudgets(known, index)
  if (known?.rule === 'container-disk-full') return withFullClaim(known, pod, container, words, index)
  return known ?? withoutProvider(words, index)
}

/** The budgets of the pod that is not evicted. */
function withBudgets(known: Meaning, index: Index): Meaning {
  const [, name, namespace] = /pods\/"([\w.-]+)" -n "([\w-]+)"/.exec(known.line ?? '') ?? []
  const kept = name ? index.get('Pod', namespace, name) : undefined
  const by = index
    .within('PodDisruptionBudget', namespace)
    .filter(({ spec }) => kept && fits(spec?.selector, kept.metadata.labels))
    .map(refOf)
  return by.length > 0 ? { ...known, by } : known
}

/** The claim below which a file cannot be written, where its class lets it grow: the disk of the server has room then. */
function withFullClaim(
  known: Meaning,
  pod: KubeObject,
  { spec }: Container,
  words: readonly string[],
  index: Index,
): Meaning {
  type Mount = { name?: string; mountPath?: string }
  const line = textLines(words).find(each => /no space left|ENOSPC/i.test(each)) ?? ''
  const mount = ((spec?.volumeMounts ?? []) as Mount[])
    .filter(({ mountPath }) => mountPath && line.includes(mountPath))
    .sort((a, b) => b.mountPath!.length - a.mountPath!.length)[0]
  const { claimName = '' } = volumeOf(pod, mount)?.persistentVolumeClaim ?? {}
  const claim = index.get('PersistentVolumeClaim', pod.metadata.namespace, claimName)
  const storage = index.get('StorageClass', undefined, claim?.spec?.storageClassName ?? '')
  if (!claim || !storage?.allowVolumeExpansion) return known
  const { namespace, name } = claim.metadata
  return {
    ...known,
    cause: `its claim ${name} of ${claim.status?.capacity?.storage ?? claim.spec?.resources?.requests?.storage} is full: ${known.cause}`,
    fix: () =>
      `enlarge claim ${namespace}/${name} (spec.resources.requests.storage: its class allows it), or remove data from it`,
    command: `kubectl -n ${namespace} edit pvc ${name}`,
  }
}

/** A binding that names the account in another namespace tells what is wrong. */
function withBindings(known: Meaning, words: readonly string[], index: Index): Meaning {
  const text = words.join('\n')
  const right = refusedRight(text)
  const by = right ? boundElsewhere(right, index) : []
  if (by.length > 0) return { ...known, by }
  if (!right || right.place !== undefined || !/at the cluster scope/.test(text)) return known
  const [bound] = roleBindingsOf(right, index)
  return {
    ...known,
    fix: () =>
      bound
        ? `bind ClusterRole ${bound.roleRef?.name} by a ClusterRoleBinding: ${refText(refOf(bound))} grants it in its own namespace alone`
        : 'grant the right by a ClusterRole and a ClusterRoleBinding of its ServiceAccount: it is for the whole cluster',
  }
}

/**
 * A Secret that was changed after a container was started, which has its variables from before.
 * Source: https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-environment-variables
 */
function withNewerSecret(
  known: Meaning,
  pod: KubeObject,
  { spec, status }: Container,
  index: Index,
): Meaning {
  const started = Date.parse(status.state?.running?.startedAt ?? '')
  const newer = readsOfVariables(spec).find(({ kind, name }) => {
    const secret = kind === 'Secret' ? index.secret(pod.metadata.namespace ?? '', name) : undefined
    return Date.parse(secret?.changed ?? secret?.created ?? '') > started
  })
  if (!newer) return known
  const workload = workloadOf(pod, index)
  return {
    ...known,
    cause: `Secret ${newer.name} was changed after it was started, and its variables are from before: ${known.cause}`,
    fix: () =>
      `restart ${workload.kind} ${workload.metadata.name}: it reads its variables at its start alone`,
    ...(workload.kind === 'Pod'
      ? {}
      : {
          command: `kubectl -n ${pod.metadata.namespace} rollout restart ${workload.kind.toLowerCase()}s/${workload.metadata.name}`,
        }),
  }
}

/** Another pod of the same workload that runs with the same volume holds the lock. */
function withSharedVolume(known: Meaning, pod: KubeObject, index: Index): Meaning {
  const claims = claimsOfPod(pod)
  const workload = workloadOf(pod, index)
  // An earlier pod of a rolling update is among them.
  const other = index
    .within('Pod', pod.metadata.namespace)
    .find(
      each =>
        each !== pod &&
        each.status?.phase === 'Running' &&
        workloadOf(each, index) === workload &&
        claimsOfPod(each).some(claim => claims.includes(claim)),
    )
  if (!other) return withRemoteVolume(known, pod, index)
  const isEarlier = makerOf(other) !== makerOf(pod)
  return {
    ...known,
    cause: `${refText(refOf(other))} runs with the same volume: ${known.cause}`,
    fix: where =>
      isEarlier
        ? `set strategy Recreate ${where}, so that the earlier pod ends first, and delete that one now`
        : `lower its replicas to 1, or give each a claim of its own (volumeClaimTemplates of a StatefulSet) ${where}`,
  }
}

/** A volume of a file server, where SQLite and others cannot rely on locks. */
function withRemoteVolume(known: Meaning, pod: KubeObject, index: Index): Meaning {
  const remote = claimsOfPod(pod)
    .map(name => index.get('PersistentVolumeClaim', pod.metadata.namespace, name))
    .map(claim => index.get('PersistentVolume', undefined, claim?.spec?.volumeName ?? ''))
    .find(volume => volume?.spec?.nfs || /nfs|smb|cifs/i.test(volume?.spec?.csi?.driver ?? ''))
  if (!remote) return known
  return {
    ...known,
    cause: `its volume ${remote.metadata.name} is one of a file server (NFS or SMB), on which locks do not work for a database of files: ${known.cause}`,
    fix: where =>
      `give it a volume on a disk of the server (class local-path) ${where}, or another database than SQLite, and copy its data there`,
  }
}

/** A Middleware that is there, and that Traefik does not find: it reads no objects of its own kinds. */
function withoutProvider(words: readonly string[], index: Index): Meaning | undefined {
  const text = words.join('\n')
  const [, full = ''] = /middleware \\?"([\w.-]{1,250})@kubernetescrd\\?" does not exist/.exec(text) ?? []
  const there = full ? index.find(middlewareCalled(full, index)) : undefined
  if (!there) return undefined
  return {
    rule: 'container-provider-off',
    cause: `it does not read ${refText(refOf(there))}, which exists: ${tellingLine(...words)}`,
    fix: where => `switch its provider kubernetesCRD on ${where}: what names that Middleware answers 404`,
  }
}
