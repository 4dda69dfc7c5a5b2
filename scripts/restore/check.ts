/** Whether a restored application has its data and answers. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { Counted } from '../../lib/backup/compare.ts'
import type { Counting } from '../../lib/backup/contents.ts'
import { compareRestored, loadDumps, untilStarted, type Waiting } from '../../lib/backup/restored.ts'
import { backendsOf, leadsTo } from '../../lib/diagnosis/graph.ts'
import { labelledReleases } from '../../lib/flux/release-labels.ts'
import { ApiError } from '../../lib/kubectl/api-error.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { countText } from '../../lib/script/count.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { until } from '../../lib/script/wait.ts'
import { listOf } from './writers.ts'

/** How long an application may take until its service answers: its pods are ready by then. */
const ANSWERING = 60_000

/**
 * Waits until what mounts these claims has started, and loads the dump of each database among them: its files were copied
 * while it ran; what has no whole dump keeps its files. Throws when a database does not start, or a load fails. Returns
 * a note.
 */
export async function loadData(
  kubectl: Kubectl,
  counting: Counting,
  claims: ReadonlySet<string>,
  wait: Waiting,
): Promise<string> {
  const { loaded, without } = await loadDumps(counting, await untilStarted(kubectl, claims, wait))
  const kept = without.map(claim => `${claim} has no complete dump: its files stay as they were copied`)
  return [countText(loaded.length, 'dump'), ...kept].join('; ')
}

/** What these claims have less than was counted at the time of the backup, one line each. */
export async function lossesOf(
  kubectl: Kubectl,
  counting: Counting,
  { claims, known }: { claims: ReadonlySet<string>; known: readonly Counted[] },
  wait: Waiting,
): Promise<string[]> {
  const ours = known.filter(({ claim }) => claims.has(claim))
  if (ours.length === 0) return []
  const places = await untilStarted(kubectl, claims, wait)
  return (await compareRestored(counting, places, ours, { signal: wait.signal })).lost
}

/**
 * Asks every service behind an ingress of the application over HTTP, through the API server. Any answer below 500 is
 * one. Of a service without any pod, ready or not, Flux knows whether that is right: an operator has made none. Returns
 * what does not answer, one line each.
 */
export async function silentServices(
  kubectl: Kubectl,
  parts: AppParts,
  signal: AbortSignal,
): Promise<string[]> {
  const [ingresses, all, pods] = await Promise.all([
    listOf(kubectl, parts, 'networking.k8s.io/v1', 'Ingress'),
    listOf(kubectl, parts, 'v1', 'Service'),
    listOf(kubectl, parts, 'v1', 'Pod'),
  ])
  const hasPods = (namespace?: string, name?: string) => {
    const found = all.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)
    return (
      !found?.spec?.selector ||
      pods.some(({ metadata }) => metadata.namespace === namespace && leadsTo(found, metadata.labels))
    )
  }
  const isOf = (labels: Record<string, string> = {}) =>
    labelledReleases(labels).some(name => parts.releases.includes(name))
  const services = new Set(
    ingresses
      .filter(({ metadata }) => isOf(metadata.labels))
      .flatMap(ingress =>
        backendsOf(ingress)
          .filter(({ name }) => hasPods(ingress.metadata.namespace, name))
          .map(
            ({ name, port }) =>
              `${ingress.metadata.namespace}/services/${name}:${port?.number ?? port?.name ?? 80}`,
          ),
      ),
  )
  const silent: string[] = []
  for (const service of services) {
    const why = await silence(kubectl, `/api/v1/namespaces/${service}/proxy/`, signal)
    if (why !== undefined)
      silent.push(`Service ${service.replace('/services/', '/')} does not answer over HTTP: ${why}`)
  }
  return silent
}

async function silence(kubectl: Kubectl, path: string, signal: AbortSignal): Promise<string | undefined> {
  let last = ''
  const answers = until(
    async () => {
      try {
        await kubectl.client.exchange({ path, timeout: 30_000, signal })
        return { done: true }
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof ApiError && error.code < 500) return { done: true }
        last = messageOf(error)
        return { last }
      }
    },
    { deadline: ANSWERING, every: 3000, describe: String, signal },
  )
  return answers.then(
    () => undefined,
    () => {
      signal.throwIfAborted()
      return last
    },
  )
}
