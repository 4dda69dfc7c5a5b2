/** What last words mean beside the objects that they do not name: who is bound, what has changed, who else is there. */
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { claimsOfPod } from '../../kubectl/volumes.ts'
import type { Index } from '../snapshot.ts'
import type { Meaning } from './last-words.ts'
import { readsOfVariables } from './reads.ts'
import { boundElsewhere, refusedRight, roleBindingsOf } from './refused-rights.ts'
import { middlewareCalled } from './routes.ts'
import { tellingLine } from './telling-lines.ts'
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
  return known ?? withoutProvider(words, index)
}

/** A binding that names the account in another namespace tells what is wrong. */
function withBindings(known: Meaning, words: readonly string[], index: Index): Meaning {
  const right = refusedRight(words.join('\n'))
  const by = right ? boundElsewhere(right, index) : []
  if (by.length > 0) return { ...known, by }
  if (!right || right.place !== undefined || !/at the cluster scope/.test(words.join('\n'))) return known
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
  if (!other) return known
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
