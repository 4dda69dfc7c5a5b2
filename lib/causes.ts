import { CORE_KUSTOMIZATIONS } from './apps.ts'
import { type Condition, condition, failures, handled, standing } from './flux.ts'
import { type KubeObject, refOf, refText } from './kubectl.ts'

/** What is looked at to find out why something does not become ready. */
export interface Facts {
  /** GitRepositories, HelmRepositories and HelmCharts. */
  sources: KubeObject[]
  kustomizations: KubeObject[]
  helmReleases: KubeObject[]
  pods: KubeObject[]
  /** The Deployments of flux-system: Flux itself. */
  controllers: KubeObject[]
  /** The kinds of which Flux is working on an object right now. */
  busy: string[]
}

/** Why something does not become ready, and what to do about it. */
export interface Cause {
  subject: string
  cause: string
  fix: string
  /** Seconds that it may last before it counts: some failures pass by themselves. */
  grace: number
}

const again = 'then run the same command again'

/**
 * The causes among the facts, the deepest first: a source before what is built from it, a pod before the
 * release that waits for it. Whatever may still become ready by itself is none. Pure.
 */
export function findCauses(facts: Facts): Cause[] {
  const deep = [
    ...facts.controllers.flatMap(controllerCause),
    ...[...facts.sources, ...facts.kustomizations, ...facts.helmReleases].flatMap(object =>
      ignoredCause(object, facts.busy),
    ),
    ...facts.sources.flatMap(sourceCause),
    ...facts.pods.flatMap(podCause),
    ...facts.helmReleases.flatMap(releaseCause),
  ]
  const kustomizations = facts.kustomizations.flatMap(kustomizationCause)
  // A failed health check only repeats that something below is not ready.
  return deep.length > 0
    ? [...deep, ...kustomizations.filter(cause => !cause.cause.startsWith('health check'))]
    : kustomizations
}

function controllerCause(deployment: KubeObject): Cause[] {
  const wanted = deployment.spec?.replicas ?? 1
  if (wanted > 0 && (deployment.status?.readyReplicas ?? 0) >= wanted) return []
  return [
    {
      subject: refText(refOf(deployment)),
      cause: wanted === 0 ? 'Flux’s controller is scaled down to 0' : 'Flux’s controller is not running',
      fix: `look at its pods: kubectl -n flux-system describe pods -l app=${deployment.metadata.name}; ${again}`,
      grace: 60,
    },
  ]
}

/**
 * An object that Flux does not look at, although it was asked to and works on no other of the kind (then it
 * would only be waiting for its turn): its controller is down, whatever the Deployment says.
 */
function ignoredCause(object: KubeObject, busy: readonly string[]): Cause[] {
  const looked = handled(object) && object.status?.conditions !== undefined
  if (
    looked ||
    object.spec?.suspend === true ||
    object.metadata.deletionTimestamp ||
    busy.includes(object.kind)
  )
    return []
  const name = { Kustomization: 'kustomize-controller', HelmRelease: 'helm-controller' }[object.kind]
  const controller = name ?? 'source-controller'
  return [
    {
      subject: refText(refOf(object)),
      cause: `${controller} has not looked at it since it was asked to`,
      fix: `see whether it runs: kubectl -n flux-system get pods -l app=${controller} (in the sandbox: npx tsx scripts/sandbox.ts up); ${again}`,
      grace: 25,
    },
  ]
}

/** Where a source comes from; a HelmChart from its repository. */
const placeOf = (source: KubeObject) => source.spec?.url ?? `the repository ${source.spec?.sourceRef?.name}`

/** Messages of source-controller, each with what to do. The first that matches counts. */
const sourceRemedies: readonly [RegExp, (object: KubeObject) => string][] = [
  [
    /couldn't find remote ref|reference not found|branch .* not found/i,
    object =>
      `the branch ${JSON.stringify(object.spec?.ref?.branch)} is not in ${object.spec?.url}: correct git_branch in .flux.env, then run install-core again`,
  ],
  [
    /authentication required|authorization failed|\b40[13]\b|invalid credentials/i,
    object => `${placeOf(object)} wants credentials: use a public address, or add a secretRef to this source`,
  ],
  [
    /repository not found|\b404\b/i,
    object =>
      `nothing is served at ${placeOf(object)}: correct the address (git_url or charts_mirror in .flux.env)`,
  ],
  [
    /no such host|connection refused|timeout|timed out|deadline|unreachable|EOF|unable to (connect|clone)|failed to (fetch|list)/i,
    object =>
      `the cluster cannot reach ${placeOf(object)}: check the address, DNS and the firewall of the server; ${again}`,
  ],
  [
    /no .* chart .*found|no chart (name|version) found|chart .* not found|improper constraint/i,
    object =>
      `the repository ${object.spec?.sourceRef?.name} does not offer ${object.spec?.chart} ${object.spec?.version}: check the version in flux2/, or the contents of charts_mirror`,
  ],
]

function sourceCause(source: KubeObject): Cause[] {
  const { state, message } = standing(source)
  if (state === 'suspended') return [suspended(source)]
  if (state !== 'failed') {
    // While a fetch is retried, Ready is unknown and the reason for the retry stands in FetchFailed.
    const failed = condition(source, 'FetchFailed')
    return failed?.status === 'True' ? sourceFailure(source, failed.message ?? message) : []
  }
  return sourceFailure(source, message)
}

function sourceFailure(source: KubeObject, message: string): Cause[] {
  // A chart fails with its repository; the repository is the cause.
  if (source.kind === 'HelmChart' && /HelmRepository .* not ready|no artifact available/i.test(message))
    return []
  const remedy = sourceRemedies.find(([pattern]) => pattern.test(message))
  return [
    {
      subject: refText(refOf(source)),
      cause: firstLine(message),
      fix: remedy ? remedy[1](source) : `correct the source in flux2/ or .flux.env, ${again}`,
      grace: 4,
    },
  ]
}

function suspended(object: KubeObject): Cause {
  const { namespace, name } = object.metadata
  return {
    subject: refText(refOf(object)),
    cause: 'is suspended: somebody told Flux to leave it alone',
    fix: `resume it when that is over: flux resume ${fluxKind(object.kind)} ${name} -n ${namespace}; ${again}`,
    grace: 0,
  }
}

function fluxKind(kind: string): string {
  const names: Record<string, string> = {
    GitRepository: 'source git',
    HelmRepository: 'source helm',
    HelmChart: 'source chart',
  }
  return names[kind] ?? kind.toLowerCase()
}

/** Waiting reasons of a container that do not go away by themselves, with the seconds they may last. */
const containerProblems: Record<string, { grace: number; fix: (pod: string) => string }> = {
  CrashLoopBackOff: {
    grace: 5,
    fix: pod => `read why it ends: kubectl logs ${pod} --previous; correct its configuration, ${again}`,
  },
  ImagePullBackOff: {
    grace: 8, // it is the second refusal already: ErrImagePull comes first
    fix: () => `check the name of the image and that the server reaches its registry, ${again}`,
  },
  ErrImagePull: {
    grace: 30,
    fix: () => `check the name of the image and that the server reaches its registry, ${again}`,
  },
  InvalidImageName: { grace: 0, fix: () => `correct the name of the image, ${again}` },
  CreateContainerConfigError: {
    grace: 10,
    fix: () => `run install-core again: it adds the keys that a generated secret lacks; ${again}`,
  },
  RunContainerError: { grace: 15, fix: pod => `look at its events: kubectl describe pod ${pod}; ${again}` },
}

function podCause(pod: KubeObject): Cause[] {
  const { namespace, name } = pod.metadata
  const handle = `-n ${namespace} ${name}`
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  for (const status of statuses) {
    const waiting = status.state?.waiting
    const problem = containerProblems[waiting?.reason ?? '']
    if (!problem) continue
    const last = status.lastState?.terminated
    const ended = last
      ? ` (ended with ${last.reason ?? 'Error'}, exit code ${last.exitCode}, ${status.restartCount} restarts)`
      : ''
    const killed = last?.reason === 'OOMKilled'
    return [
      {
        subject: refText(refOf(pod)),
        cause: `container ${status.name} is in ${waiting.reason}${ended}${waiting.message ? `: ${firstLine(waiting.message)}` : ''}`,
        fix: killed ? `it needs more memory: raise its limit by an override, ${again}` : problem.fix(handle),
        grace: problem.grace,
      },
    ]
  }
  const scheduled = (pod.status?.conditions as Condition[] | undefined)?.find(c => c.type === 'PodScheduled')
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable')
    return [
      {
        subject: refText(refOf(pod)),
        cause: `cannot be placed on a node: ${firstLine(scheduled.message ?? '')}`,
        fix: 'give the server more memory or CPU, or remove what it does not need; for volumes look at the storage class',
        // No node grows by itself; a volume may take a while.
        grace: /Insufficient/.test(scheduled.message ?? '') ? 15 : 45,
      },
    ]
  return []
}

/** What passes by itself: another release brings the CRDs, a webhook's pod starts. */
const passing = /no matches for kind|failed calling webhook|connection refused|timed? ?out/i

/** Messages of Helm that another try does not change. */
const finalMessages =
  /values don't meet the specifications of the schema|parse error|execution error at|template: |cannot unmarshal|is invalid: |unable to build kubernetes objects|error validating|Unsupported value|Invalid value|unknown field/i

function releaseCause(release: KubeObject): Cause[] {
  const { state, reason, message } = standing(release)
  const subject = refText(refOf(release))
  if (state === 'suspended') return [suspended(release)]
  const { namespace, name } = release.metadata
  const values = `correct the values (flux2/, or the override ConfigMap or Secret in ${namespace}), ${again}`
  if (state === 'failed') {
    if (reason === 'ValuesError')
      return [
        {
          subject,
          cause: firstLine(message),
          fix: /not found|missing key/i.test(message)
            ? `create what is missing: the script that installs it does; ${again}`
            : values,
          grace: 5,
        },
      ]
    // The chart is named by its own finding.
    if (reason === 'SourceNotReady' || reason === 'ArtifactFailed' || /HelmChart .* not ready/.test(message))
      return []
    if (reason !== 'RetriesExceeded' && passing.test(message))
      return [{ subject, cause: firstLine(message), fix: `wait for what it needs, ${again}`, grace: 90 }]
    if (finalMessages.test(message)) return [{ subject, cause: firstLine(message), fix: values, grace: 0 }]
    const exhausted =
      reason === 'RetriesExceeded' || /retries (exhausted|exceeded)|exceeded maximum retries/i.test(message)
    return [
      {
        subject,
        cause: firstLine(message),
        fix: exhausted
          ? `remove the cause, then give it new tries: flux reconcile helmrelease ${name} -n ${namespace} --reset`
          : `look at its pods: kubectl -n ${namespace} get pods; ${again}`,
        grace: exhausted ? 0 : 45,
      },
    ]
  }
  // While Helm tries again, Ready is unknown and the last failure stands in Released.
  const released = condition(release, 'Released')
  const last = released?.message ?? ''
  if (handled(release) && failures(release) > 0 && finalMessages.test(last) && !passing.test(last))
    return [{ subject, cause: firstLine(released?.message ?? ''), fix: values, grace: 0 }]
  return []
}

/** The script that creates a Secret which a Kustomization needs. */
function installerOf({ metadata }: KubeObject, secret: string | undefined): string {
  const core = secret === 'oas-cluster-variables' || CORE_KUSTOMIZATIONS.some(name => name === metadata.name)
  return core ? 'install-core.ts' : `install-app.ts ${metadata.name}`
}

function kustomizationCause(kustomization: KubeObject): Cause[] {
  const { state, reason, message } = standing(kustomization)
  const subject = refText(refOf(kustomization))
  if (state === 'suspended') return [suspended(kustomization)]
  if (state !== 'failed') return []
  const variable = /variable not set \(strict mode\): "?(\w+)"?/.exec(message)?.[1]
  if (variable)
    return [
      {
        subject,
        cause: `the variable \${${variable}} is used in ${kustomization.spec?.path} and defined nowhere`,
        fix: `run install-core again: it adds missing variables; if it does not know ${variable}, correct flux2/`,
        grace: 4,
      },
    ]
  const named = /substitute from '?Secret\/([\w.-]+)'? error|secrets "([\w.-]+)" not found/.exec(message)
  const secret = named?.[1] ?? named?.[2]
  if (secret)
    return [
      {
        subject,
        cause: firstLine(message),
        fix: `run \`npx tsx scripts/${installerOf(kustomization, secret)}\`: it creates ${secret}`,
        grace: 4,
      },
    ]
  if (reason === 'HealthCheckFailed')
    return [
      {
        subject,
        cause: `health check: ${firstLine(message)}`,
        fix: 'see what is not ready: npx tsx scripts/status.ts',
        grace: 30,
      },
    ]
  // A source that is not ready is named by its own finding; a path that is not in it is not.
  if (reason === 'ArtifactFailed' && /^Source (artifact not found|is not ready)/.test(message)) return []
  return [
    {
      subject,
      cause: firstLine(message),
      fix: `correct ${kustomization.spec?.path} in the repository, ${again}`,
      grace: passing.test(message) ? 90 : 4,
    },
  ]
}

function firstLine(text: string): string {
  const lines = text
    .trim()
    .split('\n')
    .map(line => line.trim())
  // Helm puts the reason on lines of its own, below the place of a rejected value or of a template's error.
  const line = /:(\d+:\d+)?$/.test(lines[0] ?? '') ? lines.slice(0, 5).join(' ') : (lines[0] ?? '')
  return line.length > 400 ? `${line.slice(0, 400)}…` : line
}
