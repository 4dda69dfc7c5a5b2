/** A namespace beside the running one: nothing in it is public, and it reaches nothing outside. */
import { type Kubectl, type KubeObject, refOf } from '../kubectl/kubectl.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { until } from '../script/wait.ts'
import type { AppParts } from './back-up.ts'
import type { Held } from './held.ts'
import { throwFlaws } from './judge.ts'
import { isUnfinished, VELERO } from './objects.ts'
import { readVolumeRestores, restoreObject, wrongWithRestore } from './restoring.ts'
import { MADE_BY, RESTORED_BY, untilEnded, VELERO_API, veleroRef } from './velero.ts'

/** The annotation of such a namespace with the Restore that fills it: that of a killed run is continued. */
const FILLED_BY = 'openappstack.net/restore'

/**
 * The namespace, and the rule that keeps what runs in it to itself: pods may reach each other and DNS, and nothing
 * else, so that no mail is sent and nobody outside is asked. Pure.
 */
export function scratchObjects(name: string, madeBy: string, restore: string): KubeObject[] {
  const dns = [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ]
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name,
        labels: { [MADE_BY]: madeBy, 'pod-security.kubernetes.io/enforce': 'baseline' },
        annotations: { [FILLED_BY]: restore },
      },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace: name, name: 'alone' },
      spec: {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [{ podSelector: {} }] }],
        egress: [{ to: [{ podSelector: {} }] }, { ports: dns }],
      },
    },
  ]
}

/**
 * Creates it, or takes the one that this script has made earlier. Returns the name of the Restore that fills it. Throws
 * (exit code 4) when a namespace of this name exists that this script has not made.
 */
export async function makeScratch(kubectl: Kubectl, name: string, madeBy: string): Promise<string> {
  const existing = await kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name })
  if (existing && existing.metadata.labels?.[MADE_BY] !== madeBy)
    throw new ExpectedError(`the namespace ${name} exists`, 'give the name of a new one', {
      exitCode: EXIT.refused,
    })
  const restore = existing?.metadata.annotations?.[FILLED_BY] ?? `${name}-${Math.floor(Date.now() / 1000)}`
  for (const object of scratchObjects(name, madeBy, restore)) await kubectl.apply(object)
  return restore
}

/** The name of the Restore that fills such a namespace; undefined where there is none of this name. */
export async function scratchRestore(kubectl: Kubectl, name: string): Promise<string | undefined> {
  const namespace = await kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name })
  return namespace?.metadata.annotations?.[FILLED_BY]
}

/**
 * Waits until Velero has ended with a Restore, and has it give up the volumes that it still copies: it would go on
 * filling what is being removed, and then the next of that name.
 */
export async function giveUpRestore(kubectl: Kubectl, restore: string, signal?: AbortSignal): Promise<void> {
  const copiesOf = { namespace: VELERO, labelSelector: `${RESTORED_BY}=${restore}` }
  await until<string, true>(
    async () => {
      const object = await kubectl.get(veleroRef('Restore', restore))
      if (!object || !isUnfinished(object)) return { done: true }
      for (const copy of await kubectl.list(VELERO_API, 'PodVolumeRestore', copiesOf))
        if (!copy.spec?.cancel) await kubectl.patch(refOf(copy), { spec: { cancel: true } })
      return { last: String(object.status?.phase ?? 'New') }
    },
    {
      deadline: 600_000,
      patience: 60_000,
      describe: last => `Restore ${restore} of an earlier run is ${last}`,
      fix: 'see why Velero does not end it: npx tsx scripts/logs.ts velero; then run the same command again',
      signal,
    },
  )
}

/**
 * Deletes it with everything in it, once nothing fills it any more, and waits for that. A namespace that this script has
 * not made is left alone.
 */
export async function removeScratch(
  kubectl: Kubectl,
  name: string,
  madeBy: string,
  signal?: AbortSignal,
): Promise<void> {
  const ref = { apiVersion: 'v1', kind: 'Namespace', name }
  const existing = await kubectl.get(ref)
  if (!existing || existing.metadata.labels?.[MADE_BY] !== madeBy) return
  const restore = existing.metadata.annotations?.[FILLED_BY]
  if (restore) await giveUpRestore(kubectl, restore, signal)
  await kubectl.delete(ref)
  await until(async () => ((await kubectl.get(ref)) ? { last: name } : { done: true }), {
    deadline: 600_000,
    patience: 60_000,
    describe: last => `the namespace ${last} is still there`,
    fix: `see what keeps it: kubectl get namespace ${name} -o yaml`,
    signal,
  })
}

/**
 * Restores the releases of an application into such a namespace, or goes on waiting for the Restore of an earlier run.
 * Throws everything that is wrong. Returns the Restore and how many milliseconds it took.
 */
export async function restoreToScratch(
  kubectl: Kubectl,
  name: string,
  options: { backup: string; madeBy: string; into: string; parts: AppParts; held: readonly Held[] },
  wait: { deadline: number; log: Pick<Log, 'progress'>; signal: AbortSignal },
): Promise<{ restore: KubeObject; took: number }> {
  const { backup, madeBy, into, parts, held } = options
  const began = performance.now()
  const { releases, namespaces } = parts
  const ref = veleroRef('Restore', name)
  if (!(await kubectl.get(ref)))
    await kubectl.create(restoreObject(name, { backup, madeBy, releases, namespaces, into }))
  const restore = await untilEnded(kubectl, ref, wait)
  const wrong = wrongWithRestore(restore, await readVolumeRestores(kubectl), held)
  throwFlaws(wrong)
  return { restore, took: performance.now() - began }
}
