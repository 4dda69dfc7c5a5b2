/** What a restore or a drill does with restored volumes: databases start, dumps are loaded, the contents are counted. */
import { condition } from '../flux/flux.ts'
import { claimsOfPod } from '../kubectl/claims.ts'
import { type Kubectl, type KubeObject, type Ref, refOf } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { asOneLine } from '../script/printable.ts'
import { sleep, until } from '../script/wait.ts'
import { type Counted, losses } from './compare.ts'
import { type ClaimContents, type ClaimPlace, type Counting, claimPlaces, countContents } from './contents.ts'
import { claimIn } from './restoring.ts'

/** How long a restored database may take until it is ready: it recovers what was copied while it ran. */
const STARTING = 15 * 60_000
/** How long the load of a dump may take. */
const LOADING = 2 * 3_600_000
/** Times that a container of an application is asked, 10 s apart: beside the running one it may keep crashing. */
const TRIES = 6
/** The exit code of a `load` that finds no whole dump. */
const NO_DUMP = 4

/** What to do about a database that does not start on its files. */
const FILES = 'a database that does not start on its files: "By hand" in runbooks/restore.md'

/** Waiting for what was restored. */
export interface Waiting {
  log: Pick<Log, 'progress'>
  signal: AbortSignal
  /** What the diagnosis knows of pods: `inquiry` of lib/rollout. The drill in the cluster carries no diagnosis. */
  known?: (pods: readonly Ref[]) => Promise<readonly { subject: string; cause: string; fix: string }[]>
}

const isReady = (pod: KubeObject) => condition(pod, 'Ready')?.status === 'True'

/**
 * Waits until every database of these claims (`namespace/name`) is ready, and every other claim has a running pod.
 * Throws when a database does not become ready. Returns where the claims can be counted.
 */
export async function untilStarted(
  kubectl: Kubectl,
  claims: ReadonlySet<string>,
  { log, signal, known = async () => [] }: Waiting,
): Promise<ClaimPlace[]> {
  const namespaces = [...new Set([...claims].map(claim => claim.split('/')[0]!))]
  const end = performance.now() + STARTING / 3
  return until<{ text: string; fix?: string }, ClaimPlace[]>(
    async () => {
      const pods = (
        await Promise.all(namespaces.map(namespace => kubectl.list('v1', 'Pod', { namespace })))
      ).flat()
      const running = { status: { phase: 'Running' } }
      // Where each would be if it ran already: a database that does not start is not forgotten.
      const all = claimPlaces(
        pods.map(pod => ({ ...pod, ...running })),
        claim => claims.has(claim),
      )
      const ready = claimPlaces(pods.filter(isReady), claim => claims.has(claim))
      const started = claimPlaces(pods, claim => claims.has(claim))
      const databases = all.filter(({ database }) => database)
      const waiting = databases.filter(({ claim }) => !ready.some(each => each.claim === claim))
      const stopped = [...claims].filter(claim => !started.some(each => each.claim === claim))
      if (waiting.length === 0 && (stopped.length === 0 || performance.now() > end))
        return { done: started.map(place => ready.find(({ claim }) => claim === place.claim) ?? place) }
      const text = waiting
        .map(({ claim, database }) => `the ${database!.name} of ${claim} is not ready`)
        .concat(waiting.length > 0 ? [] : stopped.map(claim => `no pod with ${claim} runs`))
        .join(', ')
      const mounts = (pod: KubeObject) =>
        claimsOfPod(pod).some(name => claims.has(`${pod.metadata.namespace}/${name}`))
      const [cause] = await known(pods.filter(pod => !isReady(pod) && mounts(pod)).map(refOf))
      const told = cause ? `${text} · ${cause.subject}: ${cause.cause}` : text
      log.progress(told)
      return { last: { text: told, fix: cause?.fix } }
    },
    {
      deadline: STARTING,
      every: 2000,
      patience: 120_000,
      describe: last => last?.text ?? 'nothing',
      fix: last =>
        last?.fix
          ? `${last.fix}; ${FILES}`
          : `see why: kubectl -n ${namespaces[0]} get pods, kubectl -n ${namespaces[0]} logs POD; ${FILES}; then run the same command again`,
      signal,
    },
  )
}

/**
 * Loads the dump of every database: its files were copied while it ran, the dump is of one moment. Returns the claims
 * whose dump was loaded, and those that have no whole dump. Throws when the load of one fails.
 */
export async function loadDumps(
  { run }: Counting,
  places: readonly ClaimPlace[],
): Promise<{ loaded: string[]; without: string[] }> {
  const [loaded, without]: [string[], string[]] = [[], []]
  for (const { claim, database, containers } of places) {
    const place = containers[0]?.place
    if (!database || !place) continue
    const { code, stderr } = await run(place, ['sh', '-c', database.load], { patience: LOADING })
    if (code === 0) loaded.push(claim)
    else if (code === NO_DUMP) without.push(claim)
    else
      throw new ExpectedError(
        `loading the dump of ${claim} into ${database.name} has ended with ${code}: ${asOneLine(stderr.trim().slice(-300))}`,
        `correct what it says (pod ${place.namespace}/${place.pod}), then run the same command again`,
      )
  }
  return { loaded, without }
}

/**
 * Counts what was restored and compares it with what the backup had. With `into` the claims are in that namespace.
 * Claims of which nobody knows what they had are counted only. `lost` is what is less than the backup had, one line each.
 * Never throws but for an aborted run.
 */
export async function compareRestored(
  counting: Counting,
  places: readonly ClaimPlace[],
  known: readonly Counted[],
  { into, signal }: { into?: string; signal: AbortSignal },
): Promise<{ contents: ClaimContents[]; lost: string[] }> {
  const here = (claim: string) => (into === undefined ? claim : claimIn(into, claim))
  const readable = known.filter(({ unread }) => unread === undefined)
  const wanted = readable.map(each => ({ ...each, claim: here(each.claim) }))
  let contents = await countContents(counting, places, wanted)
  const isOpen = ({ claim, unread }: ClaimContents) =>
    unread !== undefined && wanted.some(each => each.claim === claim)
  for (let tries = 1; tries < TRIES && contents.some(isOpen); tries++) {
    await sleep(10_000, signal)
    const open = places.filter(({ claim }) => contents.some(each => each.claim === claim && isOpen(each)))
    const again = await countContents(counting, open, wanted)
    contents = contents.map(each => again.find(({ claim }) => claim === each.claim) ?? each)
  }
  const lost = readable.flatMap(each => {
    const found = contents.find(({ claim }) => claim === here(each.claim))
    if (!found) return [`${each.claim}: no running pod mounts it`]
    return found.unread === undefined
      ? losses(each, found)
      : [`${each.claim}: it cannot be compared: ${found.unread}`]
  })
  return { contents, lost }
}
