import { condition, inventory, standing } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../kubectl/kubectl.ts'
import { type Action, each, type Finding, type Rule, tell } from '../finding.ts'
import { graceOf } from '../grace.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { buildMistake } from './build-mistakes.ts'
import { rules as depending } from './dependencies.ts'
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
  scriptCommand,
  sourceOf,
} from './failure.ts'
import { refusedToSource } from './own-sources.ts'
import { isOurs } from './ownership.ts'
import { installerOf, invalidField, isGone, passing, refusals, refusedBy, retryOf } from './refusals.ts'

/** The folder of a Kustomization; without one it is the root of its repository (kustomize-controller's API reference). */
const folderOf = (spec: KubeObject['spec']): string => spec?.path ?? './'

const known: readonly KnownFailure[] = [
  ...refusals,
  {
    rule: 'kustomization-path-missing',
    pattern: /kustomization path not found/,
    fix: ({ spec }) =>
      `correct ${folderOf(spec)} in the repository: the branch that is followed has no such folder`,
  },
  {
    rule: 'variable-name-invalid',
    pattern: /'([^']+)' var name is invalid/,
    cause: (object, [, name]) =>
      `the key ${name} in one of ${valuesOf(object)} is not a valid name of a variable`,
    fix: (_object, [, name]) =>
      `rename the key ${name}: letters, digits and underscores only; or remove that Secret or ConfigMap from substituteFrom`,
  },
  {
    rule: 'kustomization-decryption-failed',
    pattern: /\bsops\b|decrypt/i,
    fix: ({ spec }, { input }) =>
      /data integrity|MAC mismatch/.test(input)
        ? 'bring back the file as it was, and change it by sops itself: it was changed after it was encrypted'
        : /configuring decryption is required/.test(input)
          ? 'add spec.decryption to it (provider: sops, and in secretRef the Secret with the private key), or to the Kustomization that applies it'
          : `put the private key for which the file is encrypted into Secret ${spec?.decryption?.secretRef?.name ?? 'of spec.decryption.secretRef'}, or encrypt the file again for the key that is there (sops updatekeys)`,
  },
  {
    rule: 'kustomization-artifact-unreachable',
    pattern: /failed to (download|fetch|verify|acquire) (archive|artifact)|source-controller\.[\w-]+\.svc/,
    cause: (_object, _match) =>
      'kustomize-controller does not get the files of its source from source-controller',
    fix: () =>
      'see whether source-controller runs and answers, and whether a NetworkPolicy in flux-system is in the way: kubectl -n flux-system rollout restart deployment source-controller',
    causedBy: () => [refTo('Deployment', 'flux-system', 'source-controller')],
    timing: 'passing',
    symptom: true,
  },
  {
    rule: 'kustomization-build-failed',
    pattern: /kustomize build failed|accumulating resources|yaml|unmarshal|post build failed/i,
    fix: ({ spec }, { input }) =>
      `correct ${folderOf(spec)} in the repository: ${buildMistake(input) ?? 'its manifests cannot be built'}`,
  },
  {
    rule: 'kustomization-refused',
    pattern: /dry-run failed|Invalid value|is invalid|Forbidden|unknown field|strict decoding/i,
    fix: ({ spec }, { input }) =>
      `correct ${folderOf(spec)} in the repository: the API server refuses its manifests${invalidField(input) ?? ''}`,
  },
]

/**
 * A value that Flux has put into the manifests and that is not a plain text to YAML there: it begins with a sign, or
 * is a number. kustomize-controller builds the manifests before it substitutes, so that they were YAML until then.
 * Sources: fluxcd/pkg kustomize/kustomize_varsub.go, sigs.k8s.io/structured-merge-diff typed/validate.go.
 */
function brokenSubstitution({ metadata, spec }: KubeObject, message: string): Failure | undefined {
  const [, object] = /post build failed for '([^']{1,300})'/.exec(message) ?? []
  if (UNREADABLE.test(message))
    return {
      rule: 'kustomization-substitution-unreadable',
      cause: `${object ? textOf(object) : `something in ${folderOf(spec)}`} has a \${ that Flux takes for one of its variables, and cannot read: ${short(message, 200)}`,
      fix: `write $\${ there for what is not Flux's, as in scripts, or give the object the annotation kustomize.toolkit.fluxcd.io/substitute: disabled, in ${folderOf(spec)}`,
    }
  const named = (spec?.postBuild?.substituteFrom ?? []) as { kind: string; name: string }[]
  const field = /(?<![\w.[\]-])(\.[\w.[\]-]{1,200}): expected string, got /.exec(message)?.[1]
  if (named.length === 0 || !(field || /\b(envsubst error|post build failed)\b/.test(message)))
    return undefined
  const origins = named.map(({ kind, name }) => `${kind} ${metadata.namespace}/${name}`).join(' or ')
  return {
    rule: 'kustomization-value-breaks-yaml',
    cause: field
      ? `the value of ${field} comes from ${origins}, and YAML reads it as a number or another type`
      : `a value from ${origins} breaks the YAML of ${folderOf(spec)}`,
    fix: `the repository is correct: set another value there (a letter first, then letters, digits and hyphens), or quote the variable in ${folderOf(spec)}`,
  }
}

/** The parser of variables does not come to an end: https://github.com/fluxcd/pkg/blob/main/envsubst/parse/parse.go */
const UNREADABLE =
  /missing closing brace|bad substitution|unable to parse (variable name|substitution within|default|string|function)/

/** An object as kustomize names it, `ConfigMap.v1.[noGrp]/name.namespace`, in words. */
const textOf = (id: string) => id.replace(/^(\w+)\.[^/]*\/([\w.-]+)\.([\w-]+)$/, '$1 $3/$2')

/** The Secrets and ConfigMaps that a Kustomization takes variables from, in words. */
function valuesOf({ spec, metadata }: KubeObject): string {
  const named = (spec?.postBuild?.substituteFrom ?? []) as { kind: string; name: string }[]
  return named.map(({ kind, name }) => `${kind} ${metadata.namespace}/${name}`).join(', ') || 'its variables'
}

const SOURCE_MISSING =
  /unable to get source '([^']+)'|^Source '(.+)' not found|(?:Git|OCI|Helm)?Repository\.source\.toolkit\.fluxcd\.io "([^"]+)" not found/

/** The object, in words, that the spec of a Kustomization has checked, and that does not exist. */
function checkedInVain(spec: KubeObject['spec'], message: string): string | undefined {
  const [, absent] = /\[((?:\w+\/){1,2}[\w.-]+) status: 'NotFound'\]/.exec(message) ?? []
  const isChecked = ((spec?.healthChecks ?? []) as { kind?: string; name?: string }[]).some(
    ({ kind, name }) => absent?.startsWith(`${kind}/`) && absent.endsWith(`/${name}`),
  )
  return isChecked ? absent?.replace('/', ' ') : undefined
}

/** Why a Kustomization is not applied. Pure. */
function kustomizationFailure(kustomization: KubeObject): Failure | undefined {
  const { state, reason, message } = standing(kustomization)
  if (state !== 'failed') return undefined
  const { spec } = kustomization
  const timing = passing.test(message) ? ('passing' as const) : undefined
  const variable = /variable not set \(strict mode\): "?(\w+)"?/.exec(message)?.[1]
  if (variable)
    return {
      rule: 'kustomization-variable-missing',
      cause: `the variable \${${variable}} is used in ${folderOf(spec)} and defined nowhere`,
      fix: `run install-core again: it adds missing variables; if it does not know ${variable}, correct flux2/`,
      script: ['install-core'],
      symptom: true,
    }
  const named = /substitute from '?Secret\/([\w.-]+)'? error|secrets "([\w.-]+)" not found/.exec(message)
  const secret = named?.[1] ?? named?.[2]
  const map = /configmaps? "([\w.-]+)" not found|substitute from '?ConfigMap\/([\w.-]+)'? error/i.exec(
    message,
  )
  if (map)
    return {
      rule: 'kustomization-configmap-missing',
      cause: short(message, 400),
      fix: `create ConfigMap ${map[1] ?? map[2]} in ${kustomization.metadata.namespace}, or correct its name in spec.postBuild.substituteFrom`,
      symptom: true,
    }
  if (secret) {
    if (spec?.sourceRef && !isOurs(kustomization))
      return {
        rule: 'kustomization-secret-missing',
        cause: short(message, 400),
        fix: `create Secret ${secret} in ${kustomization.metadata.namespace}, or correct its name in the Kustomization`,
        symptom: true,
      }
    const script = installerOf(kustomization, secret)
    return {
      rule: 'kustomization-secret-missing',
      cause: short(message, 400),
      fix: `run \`${scriptCommand(script)}\`: it creates ${secret}`,
      script,
      symptom: true,
    }
  }
  const absent = reason === 'HealthCheckFailed' ? checkedInVain(spec, message) : undefined
  if (absent)
    return {
      rule: 'kustomization-check-of-nothing',
      cause: `its health check names ${absent}, which does not exist`,
      fix: `correct spec.healthChecks of the Kustomization, or see why nothing creates ${absent}`,
    }
  if (reason === 'HealthCheckFailed')
    return {
      rule: 'kustomization-unhealthy',
      cause: `health check: ${short(message, 400)}`,
      fix: 'see what is not ready, and why: npx tsx scripts/diagnose.ts',
      // Flux could not write its status down: the API server was away, and Flux tries again.
      timing: /unable to update/.test(message) ? 'passing' : undefined,
      symptom: true,
      causedBy: [...message.matchAll(/(?<![\w.-])(\w+)\/([\w.-]+)\/([\w.-]+) status: /g)].map(
        ([, kind, namespace, name]) => refTo(kind!, namespace, name!),
      ),
    }
  const missing = SOURCE_MISSING.exec(message)
  if (missing) {
    const { kind = 'source', name = missing[1] ?? missing[2] ?? missing[3] } = spec?.sourceRef ?? {}
    const ours = isOurs(kustomization)
    return {
      rule: 'kustomization-source-missing',
      cause: `its ${kind} ${name} does not exist`,
      fix: ours
        ? `create ${kind} ${name} again: run \`npx tsx scripts/install-core.ts\``
        : `create ${kind} ${name} in ${spec?.sourceRef?.namespace ?? kustomization.metadata.namespace}, or correct spec.sourceRef`,
      ...(ours ? { script: ['install-core'] as const } : {}),
    }
  }
  // A source that is not ready is named by its own finding; a path that is not in it is not.
  if (reason === 'ArtifactFailed' && /^Source (artifact not found|is not ready)/.test(message))
    return undefined
  return (
    refusedToSource(message) ??
    brokenSubstitution(kustomization, message) ??
    recognise(known, kustomization, message, timing) ?? {
      rule: 'kustomization-failed',
      cause: short(message, 400),
      fix: `correct what it says, most often in ${folderOf(spec)} in the repository`,
      timing,
    }
  )
}

const failing = each('Kustomization', (kustomization, index) => {
  const { state, message } = standing(kustomization)
  if (state !== 'failed' || isFetching(kustomization, message, index)) return undefined
  const failure = kustomizationFailure(kustomization)
  if (!failure)
    return [
      findingOf(kustomization, {
        rule: 'kustomization-waits-for-source',
        cause: short(message),
        fix: 'repair its source first',
        symptom: true,
      }),
    ]
  // What passes by itself is told once it has not.
  if (graceOf(failure) > LONGEST_GRACE && lasted(index, condition(kustomization, 'Ready')) < LONGEST_GRACE)
    return undefined
  const gone = failure.rule === 'field-immutable' && isGone(kustomization, index)
  const told = gone ? retryOf(failure) : failure
  return [findingOf(kustomization, told, { action: mend(kustomization, told, index) })]
})

/** A reconciliation from the source on: the correction is a commit. What cannot be changed is deleted before. */
function mend(kustomization: KubeObject, failure: Failure, index: Index): Action | undefined {
  if (failure.script) return undefined
  if (failure.rule === 'field-immutable') {
    const refused = refusedBy(kustomization, index)
    if (refused?.kind === 'PersistentVolumeClaim' || !refused?.metadata.uid) return undefined
    return { do: 'delete', ref: refOf(refused), uid: refused.metadata.uid }
  }
  if (failure.rule === 'kind-missing') {
    const bringer = failure.causedBy?.[0] && index.find(failure.causedBy[0])
    if (bringer) return { do: 'reconcile', ref: refOf(bringer), force: true }
  }
  const source = sourceOf(kustomization, index)
  return { do: 'reconcile', ref: refOf(kustomization), ...(source ? { source: refOf(source) } : {}) }
}

/** What a Kustomization has applied and was deleted: Flux notices only after hours. */
const missing = each('Kustomization', (kustomization, index) => {
  if (kustomization.metadata.deletionTimestamp || kustomization.spec?.suspend) return undefined
  const { status, reason = '' } = condition(kustomization, 'Ready') ?? {}
  // What keeps Flux from applying it again is told, be it that its kind is gone.
  if (status === 'False' && !reason.startsWith('HealthCheck')) return undefined
  const owner = refOf(kustomization)
  return inventory(kustomization).flatMap(({ kind, namespace, name, group, version }): Finding[] => {
    if (!WATCHED.has(kind) || index.blind(kind)) return []
    const there =
      kind === 'Secret' ? index.secret(namespace, name) : index.get(kind, namespace || undefined, name)
    if (there) return []
    const ref: Ref = {
      apiVersion: group ? `${group}/${version}` : version,
      kind,
      name,
      ...(namespace ? { namespace } : {}),
    }
    return [
      tell(ref, {
        rule: 'applied-object-missing',
        cause: `${refText(owner)} has applied it, but it was deleted`,
        evidence: [`${refText(owner)} lists it in its inventory`],
        text: `have Flux apply ${owner.name} again`,
        command: `flux reconcile kustomization ${owner.name} -n ${owner.namespace}`,
        action: { do: 'reconcile', ref: owner },
      }),
    ]
  })
})

const WATCHED = new Set([
  'Deployment',
  'Service',
  'Ingress',
  'NetworkPolicy',
  'OAuth2Client',
  'HelmRelease',
  'HelmRepository',
  'Kustomization',
  'ConfigMap',
  'Secret',
  'Namespace',
])

/** Seconds after which a Kustomization has at least started with what its source has fetched. */
const BEHIND = 120

const behind = each('Kustomization', (kustomization, index) => {
  const artifact = sourceOf(kustomization, index)?.status?.artifact
  const since = (index.now - Date.parse(artifact?.lastUpdateTime ?? '')) / 1000
  const { state } = standing(kustomization)
  if (
    kustomization.metadata.deletionTimestamp ||
    !artifact?.revision ||
    !(since > BEHIND) ||
    !['ready', 'waiting'].includes(state) ||
    kustomization.status?.lastAttemptedRevision === artifact.revision ||
    condition(kustomization, 'Ready')?.reason === 'DependencyNotReady' ||
    condition(kustomization, 'Reconciling')?.status === 'True'
  )
    return undefined
  return [
    findingOf(
      kustomization,
      {
        rule: 'kustomization-behind',
        cause: `is at ${kustomization.status?.lastAttemptedRevision ?? 'no revision'}, but its source has been at ${artifact.revision} for ${Math.round(since / 60)} minutes`,
        fix: 'have Flux apply it now',
        symptom: true,
      },
      { action: { do: 'reconcile', ref: refOf(kustomization) } },
    ),
  ]
})

/** Kustomizations that are in progress for longer than their timeout: something that they wait for does not come. */
const stuck = each('Kustomization', (kustomization, index) => {
  const ready = condition(kustomization, 'Ready')
  const limit = goDurationSeconds(kustomization.spec?.timeout ?? kustomization.spec?.interval ?? '5m') + 300
  if (ready?.status !== 'Unknown' || ready.reason !== 'Progressing' || lasted(index, ready) < limit)
    return undefined
  const { name, namespace } = kustomization.metadata
  const leaving = index
    .all('PersistentVolumeClaim')
    .filter(
      ({ metadata }) =>
        metadata.deletionTimestamp &&
        metadata.labels?.['kustomize.toolkit.fluxcd.io/name'] === name &&
        metadata.labels['kustomize.toolkit.fluxcd.io/namespace'] === namespace,
    )
  return [
    findingOf(
      kustomization,
      {
        rule: 'kustomization-stuck',
        cause: `has been in progress for ${Math.round(lasted(index, ready) / 60)} minutes, longer than its timeout: ${short(ready.message ?? '')}`,
        fix: 'see what it waits for, then have Flux reconcile it',
        symptom: true,
        causedBy: leaving.map(refOf),
      },
      { action: { do: 'reconcile', ref: refOf(kustomization) } },
    ),
  ]
})

/** What is wrong with Kustomizations, and with what they and releases wait for. */
export const rules: Rule[] = [failing, missing, behind, stuck, ...depending]
