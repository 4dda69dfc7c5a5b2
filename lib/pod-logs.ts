import { ApiError } from './api-error.ts'
import { APP_NAMES, CORE_KUSTOMIZATIONS } from './apps.ts'
import { variablesOf } from './configure.ts'
import { ExpectedError, messageOf, UsageError } from './errors.ts'
import { suggestion } from './flags.ts'
import { type Condition, condition, HELM_RELEASE, KUSTOMIZATION } from './flux.ts'
import type { Kubectl, KubeObject, LogOptions } from './kubectl.ts'
import { loadCatalogue, secretRef, secretValues } from './secrets.ts'
import { sleep } from './wait.ts'

/** What the logs are wanted of: one pod, or everything that belongs to a Kustomization or to a HelmRelease. */
export type Target =
  | { name: string; pod: { namespace: string; name: string } }
  | { name: string; kustomization?: string; releases: ReleaseRef[]; namespaces: string[] }

/** A HelmRelease, and how Helm calls its release. */
export interface ReleaseRef {
  namespace: string
  name: string
  /** `app.kubernetes.io/instance` of its pods, in this namespace. */
  instance: string
  targetNamespace: string
}

/** A container of a pod, and whether it has a log. */
export interface Container {
  namespace: string
  pod: string
  container: string
  /** Tells this run of the container from the one before and the one after. */
  run: string
  running: boolean
  /** Whether there is a log to read. */
  readable: boolean
  /** Why there is none; or, where there is one, why the container does not run now. */
  why?: string
}

/** One line of a log. */
export interface Line {
  /** As the kubelet has it, to the nanosecond; empty where it put none. */
  time: string
  namespace: string
  pod: string
  container: string
  text: string
}

const POD = { apiVersion: 'v1', kind: 'Pod' }

/** Registers every generated secret and those of the configuration, so that no log shows one. */
export async function registerClusterSecrets(kubectl: Kubectl): Promise<void> {
  const catalogue = await loadCatalogue()
  const variables = { name: 'oas-cluster-variables', namespace: 'flux-system' }
  await Promise.all([
    ...catalogue.map(async entry => secretValues(await kubectl.get(secretRef(entry)))),
    kubectl.get(secretRef(variables)).then(variablesOf),
  ])
}

/**
 * What a name means: NAMESPACE/POD, a Kustomization (an application, or a part of the core), or a HelmRelease.
 * Throws a UsageError with a suggestion for anything else.
 */
export async function findTarget(kubectl: Kubectl, name: string): Promise<Target> {
  const [namespace, pod, rest] = name.split('/')
  if (namespace && pod && rest === undefined) {
    if (!(await kubectl.get({ ...POD, namespace, name: pod }))) {
      const pods = (await kubectl.list('v1', 'Pod', { namespace })).map(({ metadata }) => metadata.name)
      throw new UsageError(
        `there is no pod ${name}`,
        pods.length > 0 ? suggestion(pod, pods) : `there are no pods in ${namespace}`,
      )
    }
    return { name, pod: { namespace, name: pod } }
  }
  const [kustomizations, releases] = await Promise.all([
    kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind),
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
  ])
  return targetNamed(name, kustomizations, releases)
}

/** The Kustomization or the HelmReleases of this name. Pure. */
export function targetNamed(
  name: string,
  kustomizations: readonly KubeObject[],
  releases: readonly KubeObject[],
): Target {
  const owner = 'kustomize.toolkit.fluxcd.io/name'
  const kustomization = kustomizations.find(({ metadata }) => metadata.name === name)
  const wanted = releases.filter(({ metadata }) =>
    kustomization ? metadata.labels?.[owner] === name : metadata.name === name,
  )
  if (!kustomization && wanted.length === 0) {
    if (APP_NAMES.includes(name))
      throw new ExpectedError(
        `${name} is not installed`,
        `install it with \`npx tsx scripts/install-app.ts ${name}\``,
      )
    const known = [...kustomizations, ...releases].map(({ metadata }) => metadata.name)
    throw new UsageError(
      `there is no application or release ${JSON.stringify(name)}`,
      known.length > 0
        ? suggestion(name, [...new Set(known)])
        : 'nothing is installed here; for any other pod give NAMESPACE/POD',
    )
  }
  const refs = wanted.map(releaseRef)
  const inventory = (kustomization?.status?.inventory?.entries ?? []) as { id: string }[]
  const namespaces = [
    ...refs.map(({ targetNamespace }) => targetNamespace),
    ...inventory.map(({ id }) => id.split('_')[0] ?? ''),
  ]
  return {
    name,
    kustomization: kustomization?.metadata.name,
    releases: refs,
    namespaces: [...new Set(namespaces)].filter(Boolean).sort(),
  }
}

function releaseRef({ metadata, spec }: KubeObject): ReleaseRef {
  const { name, namespace = '' } = metadata
  const targetNamespace = spec?.targetNamespace ?? namespace
  const prefixed = spec?.targetNamespace ? `${spec.targetNamespace}-${name}` : name
  return { namespace, name, instance: spec?.releaseName ?? prefixed, targetNamespace }
}

/** The names that can be given, applications first. */
export async function targetNames(kubectl: Kubectl): Promise<string[]> {
  const [kustomizations, releases] = await Promise.all([
    kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind),
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
  ])
  const installed = kustomizations.map(({ metadata }) => metadata.name)
  return [
    ...new Set([
      ...APP_NAMES.filter(name => installed.includes(name)),
      ...CORE_KUSTOMIZATIONS.filter(name => installed.includes(name)),
      ...releases.map(({ metadata }) => metadata.name).sort(),
    ]),
  ]
}

/** What may own a pod, and what may own that. */
const OWNERS = [
  ['apps/v1', 'ReplicaSet'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
] as const

/** The pods of a target as they are now, sorted by name. */
export async function findPods(kubectl: Kubectl, target: Target): Promise<KubeObject[]> {
  if ('pod' in target) {
    const pod = await kubectl.get({ ...POD, ...target.pod })
    return pod ? [pod] : []
  }
  const everywhere = async (apiVersion: string, kind: string) =>
    (
      await Promise.all(target.namespaces.map(namespace => kubectl.list(apiVersion, kind, { namespace })))
    ).flat()
  const [pods, ...owners] = await Promise.all([
    everywhere('v1', 'Pod'),
    ...OWNERS.map(([apiVersion, kind]) => everywhere(apiVersion, kind)),
  ])
  return podsOf(target, pods!, owners.flat())
}

/**
 * The pods that belong to a target: by the labels that Flux puts on what it applies, followed from a pod to its
 * owners, or by the labels that charts give their pods (hooks and what operators make have no others). Pure.
 */
export function podsOf(
  target: Exclude<Target, { pod: unknown }>,
  pods: readonly KubeObject[],
  owners: readonly KubeObject[],
): KubeObject[] {
  const byUid = new Map(owners.map(owner => [owner.metadata.uid, owner]))
  const belongs = (object: KubeObject): boolean => {
    const labels = object.metadata.labels ?? {}
    if (target.kustomization && labels['kustomize.toolkit.fluxcd.io/name'] === target.kustomization)
      return true
    const ofRelease = target.releases.some(
      ({ namespace, name, instance, targetNamespace }) =>
        (labels['helm.toolkit.fluxcd.io/name'] === name &&
          labels['helm.toolkit.fluxcd.io/namespace'] === namespace) ||
        (object.metadata.namespace === targetNamespace &&
          [labels['app.kubernetes.io/instance'], labels.release].includes(instance)),
    )
    if (ofRelease) return true
    const owner = byUid.get(object.metadata.ownerReferences?.find(({ controller }) => controller)?.uid)
    return owner !== undefined && belongs(owner)
  }
  const id = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`
  return pods.filter(belongs).sort((a, b) => id(a).localeCompare(id(b)))
}

/**
 * The containers of a pod in the order in which they start, and which of them have a log. `previous`: of the run
 * before the last restart. The kubelet serves the log of the last run while a container waits for its next.
 * Pure.
 */
export function containersOf(pod: KubeObject, previous: boolean): Container[] {
  const { status = {}, spec = {} } = pod
  const statuses = [
    ...(status.initContainerStatuses ?? []),
    ...(status.containerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ]
  const containers = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ] as { name: string }[]
  return containers.map(({ name }) => {
    const found = statuses.find(each => each.name === name)
    const base = {
      namespace: pod.metadata.namespace ?? '',
      pod: pod.metadata.name,
      container: name,
      run: `${pod.metadata.uid}/${name}/${found?.restartCount ?? 0}`,
      running: found?.state?.running !== undefined,
    }
    const last = found?.lastState?.terminated !== undefined
    if (previous)
      return {
        ...base,
        readable: last,
        ...(last ? {} : { why: 'it was not restarted: there is no run before' }),
      }
    if (found?.state?.running || found?.state?.terminated) return { ...base, readable: true }
    return { ...base, readable: last, why: whyWaiting(pod, found?.state?.waiting) }
  })
}

/** Why a container does not run. */
function whyWaiting(pod: KubeObject, waiting: { reason?: string; message?: string } | undefined): string {
  const { reason, message } = pod.status ?? {}
  const scheduled: Condition | undefined = condition(pod, 'PodScheduled')
  const parts =
    waiting?.reason || waiting?.message
      ? [`waits: ${waiting.reason ?? ''}`, waiting.message]
      : reason
        ? [`the pod was ended: ${reason}`, message]
        : scheduled?.status === 'False'
          ? [`the pod has no node: ${scheduled.reason ?? ''}`, scheduled.message]
          : [`not started yet; the pod is ${pod.status?.phase ?? 'new'}`]
  return parts.filter(Boolean).join(': ').replaceAll(/\s+/g, ' ')
}

/** The pieces of a log as lines, each with its time. */
export async function* lines(
  pieces: AsyncIterable<string>,
  { namespace, pod, container }: Pick<Container, 'namespace' | 'pod' | 'container'>,
): AsyncGenerator<Line, void> {
  let rest: string[] = []
  const line = (all: string): Line => {
    // A message of the kubelet itself has no time.
    const [, time = '', text = all] = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) ?(.*)$/s.exec(all) ?? []
    return { time, namespace, pod, container, text: text.replace(/\r$/, '') }
  }
  for await (const piece of pieces) {
    const [first = '', ...more] = piece.split('\n')
    rest.push(first) // a line of many pieces is put together once
    for (const next of more) {
      yield line(rest.join(''))
      rest = [next]
    }
  }
  if (rest.join('') !== '') yield line(rest.join(''))
}

/** Several logs as one, by time; lines without a time stay with the line before. */
export async function* merge(logs: readonly AsyncGenerator<Line, void>[]): AsyncGenerator<Line, void> {
  const heads: { line: Line; at: number; log: AsyncGenerator<Line, void> }[] = []
  const advance = async (log: AsyncGenerator<Line, void>, before: number) => {
    const { value } = await log.next()
    if (!value) return
    const time = Date.parse(value.time)
    heads.push({ line: value, at: Number.isNaN(time) ? before : time, log })
  }
  try {
    await Promise.all(logs.map(log => advance(log, 0)))
    for (;;) {
      // Within a millisecond the digits decide: kubelets of one cluster write the same form.
      heads.sort(
        (a, b) => a.at - b.at || (a.line.time < b.line.time ? -1 : a.line.time > b.line.time ? 1 : 0),
      )
      const head = heads.shift()
      if (!head) return
      yield head.line
      await advance(head.log, head.at)
    }
  } finally {
    await Promise.all(logs.map(log => log.return()))
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const COLOUR = /\x1b\[[\d;]*m/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

/**
 * A text that a terminal shows and does not obey: whoever can write into a log (a visitor's user agent is
 * enough) could otherwise move the cursor or rename the window. Pure.
 */
export function printable(text: string): string {
  return text
    .replaceAll(COLOUR, '')
    .replaceAll(CONTROL, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** Which part of the logs is wanted. */
export interface Wanted {
  previous: boolean
  container?: string
  tailLines?: number
  sinceSeconds?: number
}

/** The containers of a target, those of one name when it is given. Throws when there are none. */
export async function findContainers(kubectl: Kubectl, target: Target, wanted: Wanted): Promise<Container[]> {
  const all = (await findPods(kubectl, target)).flatMap(pod => containersOf(pod, wanted.previous))
  const found = all.filter(({ container }) => [undefined, container].includes(wanted.container))
  if (all.length > 0 && found.length === 0)
    throw new UsageError(
      `${target.name} has no container ${JSON.stringify(wanted.container)}`,
      suggestion(wanted.container!, [...new Set(all.map(({ container }) => container))]),
    )
  return found
}

/** The log of one container. `refused` is told why the kubelet has none, when it has none. */
async function* readLog(
  kubectl: Kubectl,
  container: Container,
  options: LogOptions,
  refused: (container: Container, why: string) => void,
): AsyncGenerator<Line, void> {
  const pod = { namespace: container.namespace, name: container.pod }
  try {
    yield* lines(kubectl.logs(pod, container.container, { ...options, timestamps: true }), container)
  } catch (error) {
    const cause = error instanceof ExpectedError ? error.cause : undefined
    // Whoever may not read logs may read none of them; any other answer is about this container.
    if (!(cause instanceof ApiError) || cause.code === 401 || cause.code === 403) throw error
    refused(container, cause.message.trim())
  }
}

/** The logs of these containers as far as they go now, merged by time. */
export function readLogs(
  kubectl: Kubectl,
  containers: readonly Container[],
  { previous, tailLines, sinceSeconds }: Wanted,
  refused: (container: Container, why: string) => void,
): AsyncGenerator<Line, void> {
  const options = { previous: previous || undefined, tailLines, sinceSeconds }
  return merge(containers.filter(each => each.readable).map(each => readLog(kubectl, each, options, refused)))
}

/** Milliseconds between two looks for new containers. */
const LOOK = 2000
/** Milliseconds that the API server may be away while logs are followed: a server restarts in this time. */
const PATIENCE = 300_000

/** What `followLogs` tells. */
export interface Follower {
  /** A line; the next of the same container is read when this is done. */
  line: (line: Line) => Promise<void>
  /** Why a container has no log or does not run; once for each reason. */
  silent: (container: Container, why: string) => void
  warn: (text: string) => void
}

/**
 * Follows the logs of a target until the signal ends it: through restarts, of new pods too, and after the
 * connection was lost from where it was. That of a single pod ends with the pod.
 */
export async function followLogs(
  kubectl: Kubectl,
  target: Target,
  wanted: Wanted,
  { line, silent, warn }: Follower,
  signal: AbortSignal,
): Promise<void> {
  /** Runs of containers that were or are read: the time of the last line, and whether they are read now. */
  const runs = new Map<string, { last: string; open: boolean }>()
  const told = new Map<string, string>()
  const tell = (container: Container, why: string) => {
    if (told.get(container.run) !== why) silent(container, why)
    told.set(container.run, why)
  }
  let connection = new AbortController()
  let failure: unknown
  let awaySince: number | undefined
  let first = true

  const read = async (container: Container, options: LogOptions) => {
    const run = runs.get(container.run) ?? { last: '', open: true }
    runs.set(container.run, run)
    run.open = true
    const { last } = run
    const follow = { ...options, follow: true, signal: connection.signal }
    try {
      for await (const each of readLog(kubectl, container, follow, tell)) {
        // sinceTime counts in seconds: what was shown of that second comes again.
        if (last !== '' && each.time !== '' && each.time <= last) continue
        if (each.time !== '') run.last = each.time
        await line(each)
      }
    } catch (error) {
      // A lost connection is taken up again at the next look, which tells when the server is away.
      const lost = error instanceof ExpectedError && !(error.cause instanceof ApiError)
      if (!lost && !follow.signal.aborted) failure = error
    }
    run.open = false
  }

  try {
    for (;;) {
      try {
        const containers = await findContainers(kubectl, target, wanted)
        if (awaySince !== undefined) warn('the API server answers again')
        awaySince = undefined
        for (const container of containers) {
          if (container.why) tell(container, container.why)
          const run = runs.get(container.run)
          if (!container.readable || run?.open || (run && !container.running)) continue
          const { tailLines, sinceSeconds } = wanted
          const start = first ? { tailLines, sinceSeconds } : {}
          void read(container, run?.last ? { sinceTime: run.last } : start)
        }
        first = false
        const over = containers.every(({ running, run }) => !running && !runs.get(run)?.open)
        if ('pod' in target && over && (await isOver(kubectl, target.pod))) return
      } catch (error) {
        signal.throwIfAborted()
        const answered = error instanceof ExpectedError && error.cause instanceof ApiError
        if (error instanceof UsageError || (answered && (error.cause as ApiError).code < 429)) throw error
        if (awaySince === undefined) warn(`${messageOf(error)}; trying again`)
        awaySince ??= performance.now()
        if (performance.now() - awaySince > PATIENCE) throw error
        // What hangs on the old connections may never notice.
        connection.abort()
        connection = new AbortController()
      }
      await sleep(LOOK, signal)
      if (failure) throw failure
    }
  } finally {
    connection.abort()
  }
}

/** Whether a pod has come to its end, or is gone. */
async function isOver(kubectl: Kubectl, ref: { namespace: string; name: string }): Promise<boolean> {
  const pod = await kubectl.get({ ...POD, ...ref })
  return !pod || ['Succeeded', 'Failed'].includes(pod.status?.phase)
}
