import { condition, failures, handled, standing } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { CHECK_LABEL } from '../../platform/overrides.ts'
import { type Action, each, type Rule } from '../finding.ts'
import { graceOf } from '../grace.ts'
import { dependenciesOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import {
  type Failure,
  findingOf,
  goDurationSeconds,
  isFetching,
  type KnownFailure,
  LONGEST_GRACE,
  lasted,
  recognise,
  refTo,
} from './failure.ts'
import { isHome } from './ownership.ts'
import { rules as pending } from './pending.ts'
import { isGone, passing, refusals, refusedBy, releaseLocked, retryOf } from './refusals.ts'
import { lackingKeys } from './secrets.ts'
import { kustomizationOf } from './workload-facts.ts'

/** Messages of Helm that another try does not change. */
const finalMessages =
  /values don't meet the specifications of the schema|parse error|execution error at|template: |cannot unmarshal|is invalid: |unable to build kubernetes objects|error validating|Unsupported value|Invalid value|unknown field/i

/** What a value that is there and empty makes charts say. */
const emptyValue = /<b64enc>|expected string|got null|nil pointer|must not be empty|is required|minLength/i

const values = ({ metadata }: KubeObject) =>
  `correct the values (flux2/, or the override: npx tsx scripts/override-app.ts ${metadata.name})`

const retried = ({ metadata }: KubeObject) =>
  `then have it retried: flux reconcile helmrelease ${metadata.name} -n ${metadata.namespace} --reset`

const known: readonly KnownFailure[] = [
  ...refusals,
  {
    rule: 'release-kubernetes-too-old',
    timing: 'rule',
    pattern: /chart requires kubeVersion: (.+?) which is incompatible with Kubernetes (v[\d.]+)/,
    cause: (_object, [, wanted, version]) =>
      `the chart requires Kubernetes ${wanted}, and this is ${version}`,
    fix: () =>
      'upgrade Kubernetes (`npx tsx scripts/install-cluster.ts` for k3s), or pin an older chart in flux2/',
  },
  releaseLocked,
  {
    rule: 'release-leftover',
    pattern: /cannot re-?use a name that is still in use|has no deployed releases/,
    cause: () => 'an earlier installation by Helm has left its record behind, and none of them is good',
    fix: ({ metadata, spec }) =>
      `uninstall the leftovers (helm uninstall), or delete the Secrets sh.helm.release.v1.${spec?.releaseName ?? metadata.name}.v… in ${spec?.storageNamespace ?? metadata.namespace}: objects stay, and are adopted when they carry Helm’s annotations`,
  },
  {
    rule: 'release-patch-unfit',
    pattern: /post[- ]?render|unique target for patch/i,
    fix: () =>
      'correct spec.postRenderers: the object that the patch is for is not in the chart under that name',
  },
  {
    rule: 'release-chart-incomplete',
    pattern: /missing in charts\/? directory|Chart\.(yaml|lock) .*(missing|out of sync)/i,
    fix: () => 'package the chart with its dependencies (helm dependency update), then publish it again',
  },
  { rule: 'release-values-empty', pattern: /<b64enc>|got null/, fix: values, timing: 'rule' },
  { rule: 'release-values-rejected', pattern: finalMessages, fix: values, timing: 'rule' },
  {
    rule: 'release-timeout',
    pattern: /timed? ?out|deadline exceeded|not ready|connection refused/i,
    fix: ({ metadata }) => `see its pods: kubectl -n ${metadata.namespace} get pods; wait for what it needs`,
    causedBy: (_object, { input }) =>
      [...input.matchAll(/\bresource (\w+)\/([\w.-]+)\/([\w.-]+) not ready/g)].map(
        ([, kind, namespace, name]) => refTo(kind!, namespace, name!),
      ),
    symptom: true,
  },
]

/** The last failure of a release, also while Helm tries again. */
function lastFailure(release: KubeObject): { reason: string; message: string; over: boolean } | undefined {
  const { state, reason, message } = standing(release)
  const released = condition(release, 'Released')
  const last = released?.status === 'False' ? (released.message ?? '') : ''
  if (state === 'failed')
    // After a rollback Ready only says that there was one.
    return {
      reason,
      message: /^Helm (rollback|uninstall) .*succeeded/.test(message) && last ? last : message,
      over: true,
    }
  // While Helm tries again, Ready is unknown and the last failure stands in Released.
  if (state === 'waiting' && handled(release) && failures(release) > 0 && last)
    return { reason: released?.reason ?? '', message: last, over: false }
  return undefined
}

/** Why a release is not installed. Pure. */
export function releaseFailure(release: KubeObject): Failure | undefined {
  const last = lastFailure(release)
  if (!last) return undefined
  const { reason, message, over } = last
  const interrupted = interruption(release, message)
  if (interrupted)
    return {
      rule: 'release-interrupted',
      fix: `no cause is left to remove: ${retried(release).replace('then ', '')}`,
      ...interrupted,
    }
  if (reason === 'ValuesError')
    return {
      ...(/not found|missing key/i.test(message)
        ? {
            rule: 'release-values-missing',
            fix: /missing key/i.test(message)
              ? 'add the key to that object, or correct valuesKey in spec.valuesFrom; what the platform’s scripts create they also complete'
              : isHome(release.metadata.namespace)
                ? 'create what is missing: the script that installs it does'
                : `create what is missing, or correct its name in spec.valuesFrom of HelmRelease ${release.metadata.name}`,
            symptom: true,
          }
        : { rule: 'release-values-rejected', fix: values(release) }),
      cause: short(message, 400),
      ...(over ? {} : { timing: 'retried' as const }),
    }
  // The chart is named by its own finding.
  if (waitsForChart(reason, message)) return undefined
  const timing = passing.test(message) ? ('passing' as const) : undefined
  const exhausted =
    reason === 'RetriesExceeded' || /retries (exhausted|exceeded)|exceeded maximum retries/i.test(message)
  const failure = recognise(known, release, message, timing) ?? {
    rule: 'release-failed',
    cause: short(message, 400),
    fix: `correct what it says, in the values, the chart or the cluster; see its pods: kubectl -n ${release.spec?.targetNamespace ?? release.metadata.namespace} get pods`,
    timing,
  }
  if (!exhausted) return over || graceOf(failure) === 0 ? failure : { ...failure, timing: 'retried' }
  const own = ['release-timeout', 'release-failed'].includes(failure.rule)
  return {
    ...failure,
    rule: own ? 'release-retries-exhausted' : failure.rule,
    fix: `${own ? 'remove the cause' : failure.fix}, ${retried(release)}`,
    timing: 'final',
  }
}

/**
 * How Helm's last action was cut off, by a newer change or by the end of helm-controller; undefined when it was not.
 * Once its retries are used up by that, no further one comes by itself.
 * Source: https://github.com/fluxcd/helm-controller/blob/v1.6.4/internal/reconcile/atomic_release.go
 */
function interruption(release: KubeObject, message: string): Pick<Failure, 'cause' | 'timing'> | undefined {
  const stalled = condition(release, 'Stalled')
  const over = stalled?.status === 'True'
  if (/\bcontext canceled$/m.test(message))
    return {
      cause: 'Helm was cut off by a newer change, or as helm-controller ended',
      timing: over ? 'final' : 'retried',
    }
  if (!over) return undefined
  if (stalled.reason === 'MissingRollbackTarget')
    return {
      cause: 'Helm was cut off by a newer change, and cannot roll back: there is no good revision',
      timing: 'final',
    }
  return condition(release, 'Ready')?.reason === 'HealthCheckCanceled'
    ? { cause: 'Helm was cut off by a newer change, and its retries are exhausted', timing: 'final' }
    : undefined
}

const waitsForChart = (reason: string, message: string) =>
  reason === 'SourceNotReady' || reason === 'ArtifactFailed' || /HelmChart .* not ready/.test(message)

/** The namespace of what a release takes its chart from. */
const chartHome = ({ spec, metadata }: KubeObject): string | undefined =>
  spec?.chartRef?.namespace ?? spec?.chart?.spec?.sourceRef?.namespace ?? metadata.namespace

const failing = each('HelmRelease', (release, index) => {
  const last = lastFailure(release)
  if (!last || release.metadata.labels?.[CHECK_LABEL]) return undefined // a check of values always ends so
  const [, kind, name] =
    /\b([A-Z]\w{2,40})\.source\.toolkit\.fluxcd\.io "([^"]{1,253})" not found/.exec(last.message) ?? []
  if (name)
    return [
      findingOf(release, {
        rule: 'release-source-missing',
        cause: `its ${kind} ${name} does not exist`,
        fix: `create ${kind} ${name}, or correct ${release.spec?.chartRef ? 'spec.chartRef' : 'spec.chart.spec.sourceRef'} (name and namespace)`,
        symptom: true,
        causedBy: [refTo(kind!, chartHome(release), name)],
      }),
    ]
  if (isFetching(release, last.message, index)) return undefined
  if (waitsForChart(last.reason, last.message))
    return [
      findingOf(release, {
        rule: 'release-waits-for-chart',
        cause: short(last.message),
        fix: 'repair its chart or repository first',
        symptom: true,
      }),
    ]
  const failure = releaseFailure(release)
  if (!failure) return undefined
  const since = Math.max(...['Ready', 'Released'].map(type => lasted(index, condition(release, type))))
  // What passes by itself is told once it has not.
  if (graceOf(failure) > LONGEST_GRACE && since < LONGEST_GRACE && failures(release) < 2) return undefined
  if (failure.rule === 'field-immutable' && isGone(release, index))
    return [
      findingOf(release, retryOf(failure), { action: { do: 'reconcile', ref: refOf(release), reset: true } }),
    ]
  const secrets = emptyValue.test(last.message) ? lackingSecrets(release, index) : []
  return [
    findingOf(release, secrets.length > 0 ? { ...failure, symptom: true, causedBy: secrets } : failure, {
      action: mend(release, failure, index),
    }),
  ]
})

/** The generated Secrets with a key that is missing or empty, from which the Kustomization of a release is built. */
function lackingSecrets(release: KubeObject, index: Index): Ref[] {
  const owner = kustomizationOf(release, index)
  const named = (owner?.spec?.postBuild?.substituteFrom ?? []) as { kind: string; name: string }[]
  return named
    .filter(({ kind, name }) => kind === 'Secret' && lackingKeys(index, 'flux-system', name))
    .map(({ name }) => refTo('Secret', 'flux-system', name))
}

/** A retry; an immutable object is deleted before, except for data. */
function mend(release: KubeObject, failure: Failure, index: Index): Action | undefined {
  const tries: Action = { do: 'reconcile', ref: refOf(release), reset: true }
  if (failure.rule === 'kind-missing') {
    const bringer = failure.causedBy?.[0] && index.find(failure.causedBy[0])
    return bringer ? { do: 'reconcile', ref: refOf(bringer), force: true } : tries
  }
  if (failure.rule !== 'field-immutable') return tries
  const refused = refusedBy(release, index)
  if (refused?.kind === 'PersistentVolumeClaim') return undefined
  return refused?.metadata.uid ? { do: 'delete', ref: refOf(refused), uid: refused.metadata.uid } : undefined
}

/** Releases that wait for pods which do not start: Helm's own timeout is minutes away. */
const waiting = each('HelmRelease', (release, index) => {
  const ready = condition(release, 'Ready')
  if (ready?.status !== 'Unknown' || !/^Running '/.test(ready.message ?? '') || lastFailure(release))
    return undefined
  const overdue = lasted(index, ready) > goDurationSeconds(release.spec?.timeout ?? '5m') + 60
  if (!overdue && !dependenciesOf(release, index).some(ref => stuck(index.find(ref)))) return undefined
  const { targetNamespace = release.metadata.namespace, releaseName = release.metadata.name } =
    release.spec ?? {}
  const [newest] = (release.status?.history ?? []) as { status?: string }[]
  const isLost = overdue && newest?.status === 'deployed'
  if (isLost)
    return [
      findingOf(
        release,
        {
          rule: 'release-forgotten',
          cause: `Helm has installed ${releaseName}, and helm-controller still says: ${short(ready.message ?? '')}`,
          fix: 'have helm-controller reconcile it again; if it does not, restart helm-controller',
        },
        { action: { do: 'reconcile', ref: refOf(release), reset: true } },
      ),
    ]
  return [
    findingOf(release, {
      rule: 'release-waits-for-pods',
      cause: short(ready.message ?? ''),
      fix: `see why its pods do not become ready: kubectl -n ${targetNamespace} get pods`,
      symptom: true,
    }),
  ]
})

/** Whether a pod has a container that does not start, or has no place. */
function stuck(pod: KubeObject | undefined): boolean {
  if (pod?.kind !== 'Pod') return false
  const { initContainerStatuses = [], containerStatuses = [], conditions = [] } = pod.status ?? {}
  return (
    [...initContainerStatuses, ...containerStatuses].some(each =>
      /BackOff|Err|Invalid/.test(each.state?.waiting?.reason ?? ''),
    ) || conditions.some((each: { reason?: string }) => each.reason === 'Unschedulable')
  )
}

/** What is wrong with HelmReleases. */
export const rules: Rule[] = [failing, waiting, ...pending]
