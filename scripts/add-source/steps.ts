import { GIT_REPOSITORY, reconcile, standing } from '../../lib/flux/flux.ts'
import { CLIENTS, isOfOwnSource, type OwnSource, ownSources } from '../../lib/flux/own-sources.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { podRangesOf } from '../../lib/kubectl/pod-ranges.ts'
import { secretValues } from '../../lib/platform/secrets.ts'
import { reconcileAll, waitForKustomizations } from '../../lib/rollout/rollout.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'

/** Seconds for which a failure may last: Flux tries again, and the source may just have been pushed. */
const LASTS = 20

/** Throws when the namespace of a source, or its client of single sign-on, belongs to somebody else. */
export async function checkFree(kubectl: Kubectl, name: string, login: boolean): Promise<void> {
  const refs = [
    { apiVersion: 'v1', kind: 'Namespace', name },
    ...(login
      ? [{ apiVersion: 'hydra.ory.sh/v1alpha1', kind: 'OAuth2Client', name, namespace: CLIENTS }]
      : []),
  ]
  for (const ref of refs) {
    const found = await kubectl.get(ref)
    if (found?.metadata.deletionTimestamp)
      throw new ExpectedError(
        `${ref.kind} ${name} is being deleted`,
        'wait until it is gone, then run this again',
      )
    if (found && !isOfOwnSource(found))
      throw new ExpectedError(
        `${ref.kind} ${name} exists and is not that of an own source`,
        'give the source another name',
      )
  }
}

/** The password of the client of single sign-on that exists already. */
export async function clientSecretOf(kubectl: Kubectl, name: string): Promise<string | undefined> {
  const secret = await kubectl.get({
    apiVersion: 'v1',
    kind: 'Secret',
    name: `${name}-login`,
    namespace: CLIENTS,
  })
  return secret && secretValues(secret).CLIENT_SECRET
}

/** Where pods have their addresses on a cluster that does not say it on its nodes (RFC 1918, RFC 4193). */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']

/** The ranges of the cluster's pods, which the internet does not hold; all private ones where the nodes name none. */
export async function podNetworks(kubectl: Kubectl): Promise<string[]> {
  const named = await podRangesOf(kubectl)
  return named.length > 0 ? named : PRIVATE
}

/**
 * Has Flux fetch and apply the source, and waits until both are ready. Throws an ExpectedError with the cause that the
 * diagnosis knows, and how to take the source back.
 */
export async function waitForSource(
  kubectl: Kubectl,
  name: string,
  wait: { deadline: number; log: Log; signal: AbortSignal },
): Promise<void> {
  await reconcile(kubectl, { ...GIT_REPOSITORY, name, namespace: name })
  await reconcileAll(kubectl, [name], wait.signal, name)
  try {
    await waitForKustomizations(kubectl, [name], { ...wait, namespace: name, lasts: LASTS })
  } catch (error) {
    if (wait.signal.aborted || !(error instanceof ExpectedError)) throw error
    const fix = `${error.fix}. To take the source back: npx tsx scripts/remove-source.ts ${name}`
    throw new ExpectedError(error.message, fix, { cause: error })
  }
}

/** The own sources as rows of a table. */
export async function sourceRows(kubectl: Kubectl): Promise<string[][]> {
  return (await ownSources(kubectl)).map(rowOfSource)
}

/** One own source as a row. Pure. */
function rowOfSource({ name, isLeaving, repository, kustomization }: OwnSource): string[] {
  const { url = '', ref } = repository?.spec ?? {}
  const states = [repository, kustomization].map(object => (object ? standing(object).state : 'removed'))
  const state = isLeaving ? 'being removed' : (states.find(each => each !== 'ready') ?? 'ready')
  return [name, `${url} ${ref?.tag ?? ref?.branch ?? ''}`.trim(), state]
}

/** Applies objects in their order: each needs those before it. */
export async function applyInOrder(kubectl: Kubectl, objects: readonly KubeObject[]): Promise<undefined> {
  for (const object of objects) await kubectl.apply(object)
  return undefined
}
