import { condition, standing } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import type { Action, Finding, Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { evidenceOf, type Failure, findingOf, type KnownFailure, recognise } from './failure.ts'

/** The kinds of sources, which source-controller fetches. */
export const SOURCES = ['GitRepository', 'HelmRepository', 'HelmChart'] as const

/** Where a source comes from; a HelmChart from its repository. */
const placeOf = (source: KubeObject) => source.spec?.url ?? `the repository ${source.spec?.sourceRef?.name}`

/** Messages of source-controller and of the libraries below it. The first that matches counts. */
const known: readonly KnownFailure[] = [
  {
    rule: 'source-branch-missing',
    pattern: /couldn't find remote ref|reference not found|branch .* not found/i,
    fix: object =>
      `the branch ${JSON.stringify(object.spec?.ref?.branch)} is not in ${object.spec?.url}: correct git_branch in .flux.env, then run install-core again`,
  },
  {
    rule: 'source-certificate',
    pattern: /x509:|tls: /,
    fix: object =>
      `the certificate of ${placeOf(object)} is not trusted or not valid: renew it there, or add the CA by a certSecretRef to this source; a wrong clock of the server has the same effect`,
  },
  {
    rule: 'source-unauthorized',
    pattern: /authentication required|authorization failed|\b40[13]\b|invalid credentials/i,
    fix: object => {
      const secret = object.spec?.secretRef?.name
      return secret
        ? `${placeOf(object)} refuses the credentials in Secret ${object.metadata.namespace}/${secret}: put a valid token there (it may have expired or been revoked)`
        : `${placeOf(object)} requires credentials: use a public address, or add a secretRef to this source`
    },
  },
  {
    rule: 'source-not-found',
    pattern: /repository not found|\b404\b/i,
    fix: object =>
      `nothing is served at ${placeOf(object)}: correct the address (git_url or charts_mirror in .flux.env)`,
  },
  {
    rule: 'source-unreachable',
    pattern:
      /no such host|connection refused|timeout|timed out|deadline|unreachable|EOF|unable to (connect|clone)|failed to (fetch|list)/i,
    fix: object =>
      `the cluster cannot reach ${placeOf(object)}: check the address, DNS and the firewall of the server`,
  },
  {
    rule: 'chart-not-found',
    pattern: /no .* chart .*found|no chart (name|version) found|chart .* not found|improper constraint/i,
    fix: object =>
      `the repository ${object.spec?.sourceRef?.name} does not offer ${object.spec?.chart} ${object.spec?.version}: check the version in flux2/, or the contents of charts_mirror`,
  },
]

/** Whether a chart fails only because its repository does; the repository is the cause. */
const waitsForRepository = (source: KubeObject, message: string) =>
  source.kind === 'HelmChart' && /HelmRepository .* not ready|no artifact available/i.test(message)

/** What a source says of its failure; undefined when there is none. */
function messageOfFailure(source: KubeObject): string | undefined {
  const { state, message } = standing(source)
  if (state === 'failed') return message
  // While a fetch is retried, Ready is unknown and the reason for the retry stands in FetchFailed.
  const failed = condition(source, 'FetchFailed')
  return state === 'waiting' && failed?.status === 'True' ? (failed.message ?? message) : undefined
}

/** Why a source cannot be fetched. Pure. */
export function sourceFailure(source: KubeObject): Failure | undefined {
  const message = messageOfFailure(source)
  if (message === undefined || waitsForRepository(source, message)) return undefined
  return (
    recognise(known, source, message) ?? {
      rule: 'source-failed',
      cause: short(message, 400),
      fix: 'correct the source in flux2/ or .flux.env',
    }
  )
}

const failing: Rule = index =>
  SOURCES.flatMap(kind => index.all(kind)).flatMap(source => {
    const message = messageOfFailure(source)
    if (message === undefined) return []
    const failure = sourceFailure(source)
    if (failure) {
      const action = mend(source, index)
      const fix =
        action.do === 'patch'
          ? `${failure.fix.split(': correct ')[0]}; it is not what .flux.env says: ${action.why}`
          : failure.fix
      return [findingOf(source, { ...failure, fix }, { action, evidence: evidence(source, index, failure) })]
    }
    return [
      findingOf(source, {
        rule: 'chart-waits-for-repository',
        cause: short(message),
        fix: `repair HelmRepository ${source.spec?.sourceRef?.name} first`,
        symptom: true,
      }),
    ]
  })

function evidence(source: KubeObject, index: Index, failure: Failure): string[] {
  const kept = source.status?.artifact?.revision
  const lines = evidenceOf(source, failure.cause)
  if (kept) lines.push(`what is installed goes on with the last one fetched, ${kept}`)
  const secret = source.spec?.secretRef?.name
  const { namespace = '' } = source.metadata
  if (secret && !index.blind('Secret') && !index.secret(namespace, secret))
    lines.push(`Secret ${namespace}/${secret}, which it names, does not exist`)
  return lines
}

/** Restores what `.flux.env` says where it was changed; else has Flux reconcile, from the repository on. */
function mend(source: KubeObject, index: Index): Action {
  const drift = driftOf(source, index)
  if (drift) return { do: 'patch', ref: refOf(source), ...drift }
  const { namespace, labels = {} } = source.metadata
  if (source.kind === 'HelmChart') {
    const { kind, name = '' } = source.spec?.sourceRef ?? {}
    const repository = index.get(kind, namespace, name)
    return { do: 'reconcile', ref: refOf(source), ...(repository ? { source: refOf(repository) } : {}) }
  }
  // Its Kustomization takes back what somebody may have changed in it by hand.
  const owner = index.get(
    'Kustomization',
    labels['kustomize.toolkit.fluxcd.io/namespace'],
    labels['kustomize.toolkit.fluxcd.io/name'] ?? '',
  )
  return owner
    ? { do: 'reconcile', ref: refOf(owner), source: refOf(source) }
    : { do: 'reconcile', ref: refOf(source) }
}

/** What the GitRepository of the platform follows other than `.flux.env` says, where that is known. */
function driftOf(source: KubeObject, index: Index): { patch: object; why: string } | undefined {
  const { config } = index.snapshot
  if (!config || source.kind !== 'GitRepository' || source.metadata.name !== 'openappstack') return undefined
  const { url, ref } = source.spec ?? {}
  if (ref?.branch !== config.git_branch)
    return {
      patch: { spec: { ref: { branch: config.git_branch } } },
      why: `follow the branch ${config.git_branch} of .flux.env again`,
    }
  if (url !== config.git_url)
    return { patch: { spec: { url: config.git_url } }, why: 'follow git_url of .flux.env again' }
  return undefined
}

const drifting: Rule = index =>
  index.all('GitRepository').flatMap((source): Finding[] => {
    const drift = driftOf(source, index)
    if (!drift || messageOfFailure(source) !== undefined) return []
    return [
      {
        ...findingOf(
          source,
          {
            rule: 'source-drift',
            cause: `follows ${source.spec?.ref?.branch} of ${short(String(source.spec?.url))}, and .flux.env says otherwise`,
            fix: `unless it is being worked on: ${drift.why}; if it is intended, correct .flux.env`,
          },
          { action: { do: 'patch', ref: refOf(source), ...drift } },
        ),
        verdict: 'warning',
      },
    ]
  })

/** What is wrong with sources: repositories of Git and of charts, and charts. */
export const rules: Rule[] = [failing, drifting]
