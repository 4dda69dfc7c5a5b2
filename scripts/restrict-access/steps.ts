import { gather } from '../../lib/diagnosis/gather.ts'
import { reconcile, standing } from '../../lib/flux/flux.ts'
import { type Kubectl, type KubeObject, type Ref, refOf } from '../../lib/kubectl/kubectl.ts'
import { overrideText } from '../../lib/platform/overrides.ts'
import { inquiry, obstacleError, obstaclesOf, progressText, tellingWhy } from '../../lib/rollout/obstacles.ts'
import { PATIENCE } from '../../lib/rollout/rollout.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { until } from '../../lib/script/wait.ts'
import { INGRESS_RELEASE } from './override.ts'

/** What the user of the kubeconfig has to be allowed, to restrict everything or a host. */
export const ACCESS_RIGHTS = [
  ['create', '', 'secrets', 'oas'],
  ['patch', 'helm.toolkit.fluxcd.io', 'helmreleases', 'oas'],
  ['create', 'traefik.io', 'middlewares', 'oas'],
  ['create', 'traefik.io', 'ingressroutes', 'oas'],
] as const

const SECRET = { apiVersion: 'v1', kind: 'Secret', name: 'oas-nginx-override', namespace: 'oas' }

/**
 * Writes the override: nothing but its values.yaml changes. An empty one is deleted, unless it holds more. Throws an
 * ExpectedError when the Secret is no longer `before`: somebody else's change of it is not overwritten.
 */
export async function writeOverride(
  kubectl: Kubectl,
  before: KubeObject | undefined,
  text: string,
): Promise<void> {
  const others = Object.keys(before?.data ?? {}).filter(key => key !== 'values.yaml')
  if (text === '' && others.length === 0) {
    if (!before) return
    const { uid, resourceVersion } = before.metadata
    await kubectl.delete(SECRET, { uid, resourceVersion })
    return
  }
  const labels = { 'reconcile.fluxcd.io/watch': 'Enabled' }
  const data = { 'values.yaml': text === '' ? null : Buffer.from(text).toString('base64') }
  if (before) {
    const { resourceVersion } = before.metadata
    await kubectl.patch(SECRET, { metadata: { resourceVersion, labels }, data })
    return
  }
  const { name, namespace, ...kind } = SECRET
  if (!(await kubectl.create({ ...kind, metadata: { name, namespace, labels }, data })))
    throw new ExpectedError(
      'the Secret oas/oas-nginx-override was created meanwhile',
      'run the same command again',
    )
}

/**
 * Writes the override from before a change, unless it is in force. Throws an ExpectedError when the override is not
 * what the change writes: it was changed before that, which refused the change, or since.
 */
export async function takeBackOverride(
  kubectl: Kubectl,
  { text, textBefore }: { text: string; textBefore: string },
): Promise<void> {
  const secret = await kubectl.get(SECRET)
  const now = overrideText(secret) ?? ''
  if (now === textBefore) return
  if (now !== text)
    throw new ExpectedError(
      'Secret oas/oas-nginx-override is not as this run writes it, and stays as it is',
      'run the same command again',
    )
  await writeOverride(kubectl, secret, textBefore)
}

/**
 * Has Flux install the ingress with the changed values, and waits until it is ready. Throws an ExpectedError with the
 * cause as soon as that has failed.
 */
export async function rollOut(
  kubectl: Kubectl,
  deadline: number,
  { log, signal }: Pick<Run, 'log' | 'signal'>,
): Promise<void> {
  await reconcile(kubectl, INGRESS_RELEASE, { reset: true })
  const known = inquiry<Ref>(kubectl, obstaclesOf)
  await until(
    async () => {
      const release = await kubectl.get(INGRESS_RELEASE)
      if (!release)
        throw new ExpectedError(
          'HelmRelease oas/ingress does not exist',
          'run `npx tsx scripts/install-core.ts`',
        )
      const { state, message } = standing(release)
      if (state === 'ready') return { done: undefined }
      if (state === 'failed') {
        const [cause] = obstaclesOf([INGRESS_RELEASE], await gather(kubectl))
        if (cause) throw obstacleError(cause)
        throw new ExpectedError(`HelmRelease oas/ingress: ${message}`, 'correct the override')
      }
      if (state === 'suspended')
        throw new ExpectedError(
          'HelmRelease oas/ingress is suspended',
          'resume it: npx tsx scripts/diagnose.ts --fix',
        )
      const seen = { line: message, found: await known([INGRESS_RELEASE]) }
      log.progress(progressText(seen.line, seen.found))
      return { last: seen }
    },
    {
      deadline,
      signal,
      patience: PATIENCE,
      ...tellingWhy('find the cause with `npx tsx scripts/diagnose.ts`, then run the same command again'),
    },
  )
}

/** Creates the objects of restricted hosts, or removes them. */
export async function writeHosts(
  kubectl: Kubectl,
  objects: readonly KubeObject[],
  remove: boolean,
): Promise<undefined> {
  // The middleware before the route that names it, and the other way round when they go.
  for (const object of remove ? [...objects].reverse() : objects)
    if (remove) await kubectl.delete(refOf(object))
    else await kubectl.apply(object)
  return undefined
}

/** Takes back what was written for hosts: those that were not restricted before are open again. */
export async function restoreHosts(
  kubectl: Kubectl,
  written: readonly KubeObject[],
  before: readonly KubeObject[],
): Promise<void> {
  const names = new Set(before.map(({ metadata }) => metadata.name))
  await writeHosts(
    kubectl,
    written.filter(({ metadata }) => !names.has(metadata.name)),
    true,
  )
  await writeHosts(kubectl, before, false)
}
