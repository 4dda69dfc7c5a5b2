/**
 * What is in the volumes of a cluster, counted in the containers that mount them: the rows of databases, the files, and
 * checksums of a sample of them. Names and checksums of files leave here sealed with a key of the cluster: they are written into the
 * bucket, which is to tell nothing of the data.
 */
import { createHmac } from 'node:crypto'
import { claimsOfPod } from '../kubectl/claims.ts'
import type { Access } from '../kubectl/kubeconfig.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import {
  type ContainerPlace,
  type Executed,
  type RunLimits,
  runInContainer,
} from '../kubectl/run-in-container.ts'
import { countText } from '../script/count.ts'
import { messageOf } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'
import { type DatabaseKind, databaseOf, HOOK, tablesOf } from './databases.ts'

/** What one claim has. Either of a database its rows by table, or its files. */
export interface ClaimContents {
  /** `namespace/name`. */
  claim: string
  database?: string
  tables?: Record<string, number>
  files?: number
  /** Checksums of a few files, by their paths below the volume: both sealed. */
  sample?: Record<string, string>
  /** The paths of the sample by their seals: for messages, not for the bucket. */
  paths?: Record<string, string>
  /** Why it was not counted. */
  unread?: string
}

/** Where the contents of a claim can be counted. */
export interface ClaimPlace {
  claim: string
  /** The containers that mount it, and where: an application may mount parts of one volume in several places. */
  containers: { place: ContainerPlace; paths: string[] }[]
  database?: DatabaseKind
}

/** How contents are counted. */
export interface Counting {
  run: RunIn
  /** What seals names and checksums: the password of the repositories, which the bucket does not have. */
  key: string
}

/** Runs a command in a container. */
export type RunIn = (
  place: ContainerPlace,
  command: readonly string[],
  limits?: RunLimits,
) => Promise<Executed>

/** `RunIn` with a kubeconfig and a run's signal. */
export function runIn(kubeconfig: string | Access, signal?: AbortSignal): RunIn {
  return (place, command, limits) => runInContainer(kubeconfig, place, command, { signal, ...limits })
}

/** How contents are counted with an access and a key. */
export function countingWith(access: string | Access, key: string, signal?: AbortSignal): Counting {
  return { run: runIn(access, signal), key }
}

/** Containers that are asked at a time. Most of what a small one takes is spent in setting up its streams. */
const AT_ONCE = 16
/** Files of a volume whose checksums are compared. */
const SAMPLE = 12
/** Milliseconds for one volume: a million files are listed in less. */
const PATIENCE = 300_000
/**
 * Files that come and go while an application does nothing: neither counted nor compared. Velero leaves a file in the
 * folder .velero of each volume that it restores, and removes earlier ones (velero v1.18, pkg/podvolume/restore_micro_service.go).
 */
const PASSING = /(^|\/)(cache|sessions?|tmp|temp|\.velero)\/|\.(log|pid|lock|sock)$|-(wal|shm)$/

/** Where the claims that running pods mount can be counted. Pure. */
export function claimPlaces(pods: readonly KubeObject[], isWanted: (claim: string) => boolean): ClaimPlace[] {
  const places = new Map<string, ClaimPlace>()
  for (const pod of pods.filter(({ status }) => status?.phase === 'Running'))
    for (const name of claimsOfPod(pod)) {
      const claim = `${pod.metadata.namespace}/${name}`
      if (!isWanted(claim)) continue
      const place = places.get(claim) ?? { claim, containers: [] }
      places.set(claim, place)
      const { [`${HOOK}/container`]: dumps, [`${HOOK}/command`]: hook } = pod.metadata.annotations ?? {}
      const containers = mountsOf(pod, name)
      place.containers.push(...containers)
      const dumper = containers.find(({ place }) => place.container === dumps)
      const database = dumper && databaseOf(hook)
      if (database) Object.assign(place, { database, containers: [dumper] })
    }
  return [...places.values()].sort((a, b) => (a.claim < b.claim ? -1 : 1))
}

function mountsOf({ metadata, spec }: KubeObject, claim: string): ClaimPlace['containers'] {
  type Volume = { name: string; persistentVolumeClaim?: { claimName?: string } }
  type Mount = { name: string; mountPath: string; subPath?: string }
  const volumes: Volume[] = spec?.volumes ?? []
  const volume = volumes.find(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === claim)?.name
  return (spec?.containers ?? []).flatMap((each: { name: string; volumeMounts?: Mount[] }) => {
    const mounted = (each.volumeMounts ?? []).filter(({ name }) => name === volume)
    const all = mounted.map(({ mountPath }) => mountPath.replace(/\/$/, ''))
    // What lies in another one is found there.
    const paths = all.filter(path => !all.some(other => path.startsWith(`${other}/`)))
    const place = { namespace: metadata.namespace ?? '', pod: metadata.name, container: each.name }
    return paths.length > 0 ? [{ place, paths }] : []
  })
}

/**
 * Counts what claims have; with `known`, the sample of each is the one that is known, and with its paths one call reads
 * it with the rest. Of a claim that cannot be counted it says why.
 */
export async function countContents(
  counting: Counting,
  places: readonly ClaimPlace[],
  known: readonly Known[] = [],
): Promise<ClaimContents[]> {
  const earlier = new Map(known.map(each => [each.claim, each]))
  const counted: ClaimContents[] = []
  const waiting = [...places]
  const worker = async () => {
    for (let place = waiting.shift(); place; place = waiting.shift())
      counted.push(await countOne(counting, place, earlier.get(place.claim)))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return counted.sort((a, b) => (a.claim < b.claim ? -1 : 1))
}

type Known = Pick<ClaimContents, 'claim' | 'sample' | 'paths'>

async function countOne(counting: Counting, place: ClaimPlace, known?: Known): Promise<ClaimContents> {
  const { claim, database, containers } = place
  let unread = 'no running container mounts it'
  for (const each of containers)
    try {
      if (database) {
        const tables = await rowsIn(counting.run, each.place, database)
        return { claim, database: database.name, tables }
      }
      return { claim, ...(await filesIn(counting, each, known)) }
    } catch (error) {
      unread = asOneLine(messageOf(error)).slice(0, 300)
    }
  return { claim, unread }
}

/** The rows of a database by table. Throws what its client says. */
async function rowsIn(
  run: RunIn,
  place: ContainerPlace,
  { name, count }: DatabaseKind,
): Promise<Record<string, number>> {
  return tablesOf(await said(run, place, ['sh', '-c', count], `counting the rows of ${name}`))
}

/**
 * Writes the files below each folder, with a NUL behind each; then, behind an empty one, the checksums of the files that
 * follow an empty argument. One that is gone has none.
 */
const READ = [
  ...['sh', '-c'],
  'while [ -n "$1" ]; do find "$1" -xdev -type f -print0 || exit; shift; done; shift; printf "\\0"; [ $# = 0 ] || sha256sum "$@" || [ $? = 1 ]',
  'sh',
]

async function filesIn(
  { run, key }: Counting,
  { place, paths }: ClaimPlace['containers'][number],
  known?: Known,
): Promise<Pick<ClaimContents, 'files' | 'sample' | 'paths'>> {
  const seal = (text: string | Buffer) => createHmac('sha256', key).update(text).digest('hex')
  const listing = new Listing(seal, Object.keys(known?.sample ?? {}), paths)
  const asked = Object.values(known?.paths ?? {})
  const take = (piece: Buffer) => listing.add(piece)
  await said(run, place, [...READ, ...paths, '', ...asked], 'listing its files', take)
  const { count, chosen } = listing
  const files = chosen.map(({ path }) => path)
  if (asked.length === 0 && files.length > 0)
    await said(run, place, [...READ, '', ...files], 'reading a sample of its files', take)
  const sums = listing.sums()
  const read = chosen.flatMap(({ path, digest }) => {
    const sum = sums.get(path)
    return sum ? [{ path, digest, sum: seal(sum) }] : []
  })
  return {
    files: count,
    sample: Object.fromEntries(read.map(({ digest, sum }) => [digest, sum])),
    paths: Object.fromEntries(read.map(({ digest, path }) => [digest, path])),
  }
}

/** What a command has written. Throws unless it ends with 0. */
async function said(
  run: RunIn,
  place: ContainerPlace,
  command: readonly string[],
  doing: string,
  take?: (piece: Buffer) => void,
): Promise<string> {
  const { stdout, stderr, code } = await run(place, command, { patience: PATIENCE, take })
  if (code === 0) return stdout
  throw new Error(
    `${doing} in container ${place.container} has ended with ${code}: ${stderr.trim().slice(-300)}`,
  )
}

/**
 * Counts a stream of paths, each with a NUL behind it, and keeps a few of them: those that are wanted by their seals,
 * or else those with the smallest seals, so that the same files are taken in whatever order they come. What follows an
 * empty path are checksums, as `sha256sum` writes them.
 */
export class Listing {
  count = 0
  readonly chosen: { path: string; digest: string }[] = []
  readonly #roots: readonly string[]
  readonly #seal: (text: Buffer) => string
  readonly #wanted: ReadonlySet<string> | undefined
  #rest: Buffer = Buffer.alloc(0)
  #sums: Buffer[] | undefined

  constructor(seal: (text: Buffer) => string, wanted: readonly string[], roots: readonly string[] = []) {
    this.#roots = roots
    this.#seal = seal
    this.#wanted = wanted.length > 0 ? new Set(wanted) : undefined
  }

  /** Takes a piece. */
  add(piece: Buffer): void {
    if (this.#sums) {
      this.#sums.push(Buffer.from(piece))
      return
    }
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0)) {
      const path = bytes.subarray(0, end)
      bytes = bytes.subarray(end + 1)
      if (path.length === 0) {
        this.#sums = [Buffer.from(bytes)]
        return
      }
      this.#path(path)
    }
    // A path of the kernel has at most 4096 bytes.
    this.#rest = Buffer.from(bytes.subarray(-8192))
  }

  /** The checksums by path. */
  sums(): Map<string, string> {
    const text = Buffer.concat(this.#sums ?? []).toString()
    return new Map(
      [...text.matchAll(/([0-9a-f]{64}) [ *](.+)/g)].map(([, sum = '', path = '']) => [path, sum]),
    )
  }

  #path(bytes: Buffer): void {
    const path = bytes.toString()
    const root = this.#roots.find(each => path.startsWith(each)) ?? ''
    if (PASSING.test(path.slice(root.length))) return
    this.count++
    // A name that is not UTF-8 cannot be asked for again, and `sha256sum` writes these characters as others.
    if (/[\uFFFD\\\n\r]/.test(path) || path.length > 1000) return
    const digest = this.#seal(bytes)
    if (this.#wanted) {
      if (this.#wanted.has(digest)) this.chosen.push({ path, digest })
      return
    }
    const last = this.chosen.at(-1)
    if (this.chosen.length >= SAMPLE && last && digest >= last.digest) return
    this.chosen.push({ path, digest })
    this.chosen.sort((a, b) => (a.digest < b.digest ? -1 : 1))
    this.chosen.length = Math.min(this.chosen.length, SAMPLE)
  }
}

/** What was counted in a claim, in words. Pure. */
export function contentsText({ database, tables, files, sample, unread }: ClaimContents): string {
  if (unread !== undefined) return `not counted: ${unread}`
  if (tables) {
    const rows = Object.values(tables).reduce((sum, each) => sum + each, 0)
    return `${database}: ${countText(Object.keys(tables).length, 'table')}, ${countText(rows, 'row')}`
  }
  return `${countText(files ?? 0, 'file')}, ${countText(Object.keys(sample ?? {}).length, 'checksum')} compared`
}
