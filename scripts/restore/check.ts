/** Whether a restored application has its data and answers. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { Counted } from '../../lib/backup/compare.ts'
import type { Counting } from '../../lib/backup/contents.ts'
import type { Held } from '../../lib/backup/held.ts'
import { compareRestored, loadDumps, untilStarted, type Waiting } from '../../lib/backup/restored.ts'
import { backendsOf, leadsTo } from '../../lib/diagnosis/graph.ts'
import { ApiError } from '../../lib/kubectl/api-error.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { countText } from '../../lib/script/count.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { until } from '../../lib/script/wait.ts'

/** What was restored, what the backup had of it, and whether its dumps are loaded already. */
export interface RestoredData {
  held: readonly Held[]
  known: readonly Counted[]
  isLoaded: boolean
}

/** How long an application may take until its service answers: its pods are ready by then. */
const ANSWERING = 60_000

/**
 * Waits for the restored databases, loads the dump of each (its files were copied while it ran; what has no whole dump
 * keeps its files), and compares with what was counted at the time of the backup. Throws when a database does not
 * start, or a load fails. Returns a note, and what is lost, one line each.
 */
export async function loadAndCompare(
  kubectl: Kubectl,
  counting: Counting,
  { held, known, isLoaded }: RestoredData,
  wait: Waiting,
): Promise<{ note: string; lost: string[] }> {
  const claims = new Set(held.map(({ claim }) => claim))
  const ours = known.filter(({ claim }) => claims.has(claim))
  if (isLoaded && ours.length === 0) return { note: 'unchanged', lost: [] }
  const places = await untilStarted(kubectl, claims, wait)
  const { loaded, without } = isLoaded ? { loaded: [], without: [] } : await loadDumps(counting, places)
  const kept = without.map(claim => `${claim} has no whole dump: its files stay as they were copied`)
  const note = isLoaded ? 'unchanged' : [countText(loaded.length, 'dump'), ...kept].join('; ')
  if (ours.length === 0) return { note, lost: [] }
  return { note, lost: (await compareRestored(counting, places, ours, { signal: wait.signal })).lost }
}

/**
 * Asks every service behind an ingress of the application over HTTP, through the API server. Any answer below 500 is
 * one. Of a service without any pod, ready or not, Flux knows whether that is right: an operator has made none. Returns
 * what does not answer, one line each.
 */
export async function silentServices(
  kubectl: Kubectl,
  { releases, namespaces }: AppParts,
  signal: AbortSignal,
): Promise<string[]> {
  const listed = async (apiVersion: string, kind: string) =>
    (await Promise.all(namespaces.map(namespace => kubectl.list(apiVersion, kind, { namespace })))).flat()
  const [ingresses, all, pods] = await Promise.all([
    listed('networking.k8s.io/v1', 'Ingress'),
    listed('v1', 'Service'),
    listed('v1', 'Pod'),
  ])
  const hasPods = (namespace?: string, name?: string) => {
    const found = all.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)
    return (
      !found?.spec?.selector ||
      pods.some(({ metadata }) => metadata.namespace === namespace && leadsTo(found, metadata.labels))
    )
  }
  const isOf = (labels: Record<string, string> = {}) =>
    [labels['app.kubernetes.io/instance'], labels.release].some(name => releases.includes(name ?? ''))
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
