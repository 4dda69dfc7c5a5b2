/** Whether a restored application has its data and answers. */
import type { AppParts } from '../../lib/backup/back-up.ts'
import type { Counted, Counting } from '../../lib/backup/contents.ts'
import { compareRestored, loadDumps, untilStarted, type Waiting } from '../../lib/backup/restored.ts'
import type { Held } from '../../lib/backup/restoring.ts'
import { backendsOf } from '../../lib/diagnosis/graph.ts'
import { ApiError } from '../../lib/kubectl/api-error.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { countText } from '../../lib/script/count.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { until } from '../../lib/script/wait.ts'

/** What was restored, and what the backup had of it. */
export interface RestoredData {
  held: readonly Held[]
  known: readonly Counted[]
}

/** How long an application may take until its service answers: its pods are ready by then. */
const ANSWERING = 60_000

const claimsOf = (held: readonly Held[]) => new Set(held.map(({ claim }) => claim))

/**
 * Waits for the restored databases, and loads the dump of each: its files were copied while it ran. What has no whole
 * dump keeps its files. Throws when a database does not start, or a load fails. Returns a note.
 */
export async function loadRestored(
  kubectl: Kubectl,
  counting: Counting,
  { held }: RestoredData,
  wait: Waiting,
): Promise<string> {
  const places = await untilStarted(kubectl, claimsOf(held), wait)
  const { loaded, without } = await loadDumps(counting, places)
  const kept = without.map(claim => `${claim} has no whole dump: its files stay as they were copied`)
  return [countText(loaded.length, 'dump'), ...kept].join('; ')
}

/** What the restored claims lack, one line each, by what was counted at the time of the backup. */
export async function lostRows(
  kubectl: Kubectl,
  counting: Counting,
  { held, known }: RestoredData,
  wait: Waiting,
): Promise<string[]> {
  const claims = claimsOf(held)
  const ours = known.filter(({ claim }) => claims.has(claim))
  if (ours.length === 0) return []
  const places = await untilStarted(kubectl, claims, wait)
  return (await compareRestored(counting, places, ours, { signal: wait.signal })).lost
}

/**
 * Asks every service behind an ingress of the application over HTTP, through the API server. Any answer below 500 is
 * one. Returns what does not answer, one line each.
 */
export async function silentServices(
  kubectl: Kubectl,
  { releases, namespaces }: AppParts,
  signal: AbortSignal,
): Promise<string[]> {
  const lists = await Promise.all(
    namespaces.map(namespace => kubectl.list('networking.k8s.io/v1', 'Ingress', { namespace })),
  )
  const isOf = (labels: Record<string, string> = {}) =>
    [labels['app.kubernetes.io/instance'], labels.release].some(name => releases.includes(name ?? ''))
  const services = new Set(
    lists
      .flat()
      .filter(({ metadata }) => isOf(metadata.labels))
      .flatMap(ingress =>
        backendsOf(ingress).map(
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
