import { type Condition, condition, handled } from '../../flux/flux.ts'
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { type Finding, patching, type Rule, restarting, tell } from '../finding.ts'
import { controllerOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { type Failure, findingOf, fluxKind, goDurationSeconds, LONGEST_GRACE, lasted } from './failure.ts'
import { SOURCES } from './sources.ts'
import { since } from './workload-facts.ts'

const KINDS = [...SOURCES, 'Kustomization', 'HelmRelease'] as const
const CONTROLLERS = ['source-controller', 'kustomize-controller', 'helm-controller'] as const

/** Whether anything of Flux is there; what could not be read may be. */
function installed(index: Index): boolean {
  if (['the served APIs', 'Deployment', 'Kustomization'].some(kind => index.blind(kind))) return true
  return (
    index.snapshot.groups.some(group => group.includes('.toolkit.fluxcd.io/')) &&
    (index.all('Kustomization').length > 0 ||
      CONTROLLERS.some(name => index.get('Deployment', 'flux-system', name)))
  )
}

const absent: Rule = index => {
  if (installed(index)) return []
  return [
    tell(
      { apiVersion: 'v1', kind: 'Namespace', name: 'flux-system' },
      {
        rule: 'flux-not-installed',
        cause: 'Flux and its Kustomizations do not exist: OpenAppStack is not installed',
        text: 'is it the right cluster? Then install the core',
        command: 'npx tsx scripts/install-core.ts',
        action: { do: 'script', script: 'install-core', args: [] },
      },
    ),
  ]
}

/** Why a controller of Flux does not run; undefined when it does. Pure. */
function controllerFailure(deployment: KubeObject): Failure | undefined {
  const wanted = deployment.spec?.replicas ?? 1
  if (wanted > 0 && (deployment.status?.readyReplicas ?? 0) >= wanted) return undefined
  const fix = `see its pods: kubectl -n flux-system describe pods -l app=${deployment.metadata.name}`
  const rule = 'flux-controller-down'
  return wanted === 0
    ? { rule, cause: 'Flux’s controller is scaled to 0', fix }
    : { rule, cause: 'Flux’s controller is not running', fix, symptom: true }
}

const down: Rule = index => {
  if (!installed(index) || index.blind('Deployment') || index.blind('the served APIs')) return []
  // While Flux is installed, its controllers come one after another.
  const isNew = CONTROLLERS.some(name => {
    const created = index.get('Deployment', 'flux-system', name)?.metadata.creationTimestamp
    return created !== undefined && since(index, created) < LONGEST_GRACE
  })
  return CONTROLLERS.flatMap((name): Finding[] => {
    const deployment = index.get('Deployment', 'flux-system', name)
    if (!deployment && isNew) return []
    if (!deployment)
      return [
        findingOf(
          { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'flux-system' } },
          {
            rule: 'flux-controller-missing',
            cause: 'Flux’s controller does not exist: its Deployment was deleted',
            fix: 'install the core again: that installs Flux',
            script: ['install-core'],
          },
        ),
      ]
    const failure = controllerFailure(deployment)
    if (!failure) return []
    if (deployment.spec?.replicas === 0)
      return [
        findingOf(
          deployment,
          { ...failure, fix: 'if nobody works on it: scale it to 1' },
          {
            command: `kubectl -n flux-system scale deployment ${name} --replicas=1`,
            action: patching(deployment, { spec: { replicas: 1 } }, 'scale to 1'),
          },
        ),
      ]
    return lasted(index, condition(deployment, 'Available')) < LONGEST_GRACE
      ? []
      : [findingOf(deployment, failure)]
  })
}

/** Why an object is not reconciled, although that was requested. Pure. */
function silentFailure(controller: string): Failure {
  return {
    rule: 'flux-controller-silent',
    cause: `${controller} has not reconciled it since that was requested`,
    fix: `read its log: npx tsx scripts/logs.ts ${controller}; see whether it runs: kubectl -n flux-system get pods -l app=${controller}`,
    symptom: true,
  }
}

/** Objects that wait in vain for their controller, which says that it runs. */
const silent: Rule = index =>
  CONTROLLERS.flatMap((name): Finding[] => {
    const deployment = index.get('Deployment', 'flux-system', name)
    if (!deployment || controllerFailure(deployment)) return []
    const objects = KINDS.filter(kind => controllerOf(kind) === name).flatMap(kind => index.all(kind))
    if (objects.some(object => isBusy(object, index))) return []
    const ignored = objects.filter(object => isIgnored(object, index))
    if (ignored.length === 0) return []
    const { fix } = silentFailure(name)
    return [
      findingOf(
        deployment,
        {
          ...silentFailure(name),
          cause: `runs but processes no requests: ${ignored.length} objects wait for it`,
          fix: `${fix}; if its log shows nothing, restart it`,
        },
        {
          evidence: ignored.slice(0, 5).map(object => `${refText(refOf(object))} was requested to reconcile`),
          command: `kubectl -n flux-system rollout restart deployment ${name}`,
          action: restarting(deployment, index, 'restart its pods'),
        },
      ),
    ]
  })

/** Whether Flux works on an object: not what a controller said that was killed long ago. */
function isBusy(object: KubeObject, index: Index): boolean {
  const found = condition(object, 'Reconciling')
  return (
    found?.status === 'True' && lasted(index, found) < goDurationSeconds(object.spec?.timeout ?? '5m') + 60
  )
}

function isIgnored(object: KubeObject, index: Index): boolean {
  const { annotations, creationTimestamp, deletionTimestamp } = object.metadata
  if (object.spec?.suspend === true || deletionTimestamp) return false
  // A repository of OCI is an address alone: https://fluxcd.io/flux/components/source/helmrepositories/#helm-oci-repository
  if (object.kind === 'HelmRepository' && object.spec?.type === 'oci') return false
  const asked = handled(object) ? undefined : annotations?.['reconcile.fluxcd.io/requestedAt']
  const since = asked ?? (object.status?.conditions === undefined ? creationTimestamp : undefined)
  return (index.now - Date.parse(since ?? '')) / 1000 > LONGEST_GRACE
}

/** What is known of an object that is suspended. Pure. */
function suspendedFailure(object: KubeObject): Failure {
  const { namespace, name } = object.metadata
  const layer = { Kustomization: 'kustomization', HelmRelease: 'release' }[object.kind] ?? 'source'
  return {
    rule: `${layer}-suspended`,
    cause: 'is suspended: Flux does not reconcile it',
    fix: `resume it when the work on it is over: flux resume ${fluxKind(object.kind)} ${name} -n ${namespace}`,
  }
}

const suspended: Rule = index =>
  KINDS.flatMap(kind => index.all(kind))
    .filter(({ spec, metadata }) => spec?.suspend === true && !metadata.deletionTimestamp)
    .map((object): Finding => {
      const found = findingOf(object, suspendedFailure(object), {
        action: { do: 'resume', ref: refOf(object) },
      })
      // What was ready goes on as it is, and gets neither changes nor repairs.
      return condition(object, 'Ready')?.status === 'True' ? { ...found, verdict: 'warning' } : found
    })

/** Seconds that a deletion may take: an uninstallation waits for pods to end, a stranger's finalizer for nobody we know. */
const DELETION = { own: 300, foreign: LONGEST_GRACE }

const undeletable: Rule = index =>
  KINDS.flatMap(kind => index.all(kind)).flatMap((object): Finding[] => {
    const { deletionTimestamp, resourceVersion } = object.metadata
    if (!deletionTimestamp) return []
    const age = (index.now - Date.parse(deletionTimestamp)) / 1000
    const finalizers = (object.metadata as { finalizers?: string[] }).finalizers ?? []
    const foreign = finalizers.filter(
      name => !/fluxcd\.io|kubernetes\.io|^foregroundDeletion$|^orphan$/.test(name),
    )
    if (finalizers.length === 0 || age < (foreign.length > 0 ? DELETION.foreign : DELETION.own)) return []
    const names = (foreign.length > 0 ? foreign : finalizers).join(', ')
    const kept = finalizers.filter(name => !foreign.includes(name))
    return [
      findingOf(
        object,
        {
          rule: 'deletion-stuck',
          cause: `was deleted ${Math.round(age / 60)} minutes ago and is still there: the finalizer ${names} holds it`,
          fix:
            foreign.length > 0
              ? `let the program finish that has set ${names}; if it was removed for good, remove the finalizer`
              : `see why ${controllerOf(object.kind)} does not finish: npx tsx scripts/logs.ts ${controllerOf(object.kind)}`,
          ...(foreign.length > 0 ? {} : { symptom: true as const }),
        },
        {
          evidence: statusText(condition(object, 'Ready')),
          action:
            foreign.length > 0
              ? {
                  do: 'patch',
                  ref: refOf(object),
                  // Refused when somebody else was faster.
                  patch: { metadata: { resourceVersion, finalizers: kept } },
                  why: `remove the finalizer ${foreign.join(', ')}`,
                }
              : undefined,
        },
      ),
    ]
  })

const statusText = (found: Condition | undefined) =>
  found?.message ? [`Ready=${found.status}: ${found.message}`] : []

/** What is wrong with Flux itself, and with objects of any of its kinds. */
export const rules: Rule[] = [absent, down, silent, suspended, undeletable]
