import { condition, standing } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { type Action, each, type Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import {
  evidenceOf,
  type Failure,
  findingOf,
  isFetching,
  type KnownFailure,
  recognise,
  refTo,
} from './failure.ts'
import { NAMES, OWN_CERTIFICATE, SHARED } from './shared-causes.ts'
import { kustomizationOf } from './workload-facts.ts'

/** The kinds of sources, which source-controller fetches. */
export const SOURCES = ['GitRepository', 'HelmRepository', 'HelmChart', 'OCIRepository', 'Bucket'] as const

/** Where a source comes from; a HelmChart from its repository. */
const placeOf = ({ metadata, spec }: KubeObject) =>
  spec?.url ??
  (spec?.bucketName
    ? `bucket ${spec.bucketName} at ${spec.endpoint}`
    : `the repository ${spec?.sourceRef?.name ?? `of ${metadata.name}`}`)

/** Whether a source is that of the platform, which .flux.env sets. */
const isPlatform = ({ kind, metadata }: KubeObject) =>
  kind === 'GitRepository' && metadata.name === 'openappstack'

/** What of a repository is followed, in words. */
function refNamed({ kind, spec }: KubeObject): string {
  const { branch = 'master', tag, semver, commit, digest, name } = spec?.ref ?? {}
  if (kind === 'OCIRepository' && !semver)
    return digest ? `the digest ${digest}` : `the tag ${tag ?? 'latest'}`
  if (name) return `the reference ${name}`
  if (semver) return `a tag that fits semver ${semver}`
  return tag ? `the tag ${tag}` : commit ? `the commit ${commit}` : `the branch ${JSON.stringify(branch)}`
}

/** The Secret that a source logs in with, in words. */
const secretOf = ({ metadata, spec }: KubeObject) =>
  spec?.secretRef?.name ? `Secret ${metadata.namespace}/${spec.secretRef.name}` : 'the Secret of this source'

/**
 * Messages of source-controller and of the libraries below it. The first that matches counts: reasons, never the
 * words in front of them ("unable to clone", "failed to fetch"), with which every failure begins.
 */
const known: readonly KnownFailure[] = [
  {
    rule: 'source-no-space',
    pattern: /no space left on device|disk quota exceeded/i,
    fix: () => 'make room on the disk of the server',
    causedBy: () => [SHARED['no-space']],
    symptom: true,
  },
  {
    rule: 'source-names-lead-here',
    pattern: OWN_CERTIFICATE,
    fix: () => 'correct the name resolution of the server',
    causedBy: (_object, _match) => [SHARED['own-ingress']],
    symptom: true,
  },
  {
    rule: 'source-host-key',
    pattern: /knownhosts: key (mismatch|is unknown)|host key (mismatch|is unknown|verification failed)/i,
    cause: object =>
      `the host key of ${placeOf(object)} is not the one in ${secretOf(object)} (key known_hosts)`,
    fix: object =>
      `compare the new host key with what the Git host publishes; only if they are equal, put it into ${secretOf(object)} (key known_hosts)`,
  },
  {
    rule: 'source-host-key',
    pattern: /no common algorithm for host key/i,
    cause: object =>
      `${placeOf(object)} has no host key of the kind that is in ${secretOf(object)} (key known_hosts)`,
    fix: object =>
      `put a host key of a kind that the Git host offers and publishes into ${secretOf(object)} (key known_hosts; ssh-keyscan shows them)`,
  },
  {
    rule: 'source-key-refused',
    pattern:
      /unable to authenticate|no supported methods remain|permission denied \(publickey|handshake failed: .*auth/i,
    cause: object => `${placeOf(object)} does not accept the SSH key in ${secretOf(object)}`,
    fix: object => `register the public key of ${secretOf(object)} at the Git host, or put a valid key there`,
  },
  {
    rule: 'source-proxy',
    pattern: /proxyconnect|proxy authentication required|\b407\b/i,
    cause: object => `the proxy on the way to ${placeOf(object)} refuses or does not answer`,
    fix: () => 'correct HTTPS_PROXY and NO_PROXY of source-controller, or let the proxy pass this host',
  },
  {
    rule: 'source-plain-http',
    pattern: /HTTP response to HTTPS client|does not look like a TLS handshake/i,
    cause: object => `${placeOf(object)} speaks HTTP without TLS, and is asked by HTTPS`,
    fix: () =>
      'set spec.insecure: true of this source if nobody else is on the way to it, or have it serve HTTPS',
  },
  {
    rule: 'source-secret-incomplete',
    pattern: /auth option: '([\w.-]+)' is required|key is passphrase protected/,
    cause: (object, [, key = 'password']) =>
      `${secretOf(object)} lacks the key ${key}, with which it logs in`,
    fix: (object, [, key]) =>
      key
        ? `add the key ${key} to ${secretOf(object)}${key === 'known_hosts' ? ': the host key that the Git host publishes (ssh-keyscan shows the one it has)' : ''}`
        : `add the passphrase of its SSH key to ${secretOf(object)} (key password), or put an SSH key without one there`,
  },
  {
    rule: 'source-secret-missing',
    pattern: /secrets "([\w.-]+)" not found/,
    fix: ({ metadata }, [, name]) =>
      `create Secret ${metadata.namespace}/${name}, with which the source logs in or verifies, or correct its name in the source`,
  },
  {
    rule: 'source-type-missing',
    pattern: /scheme "oci" not supported|unsupported protocol scheme "oci"/i,
    fix: () => 'set spec.type: oci of the HelmRepository, or use an OCIRepository in its place',
  },
  {
    rule: 'source-address-invalid',
    pattern:
      /first path segment in URL|unsupported protocol|invalid (url|port|control character)|missing protocol scheme/i,
    fix: object =>
      `write the address as https://HOST/PATH or ssh://USER@HOST/PATH: ${placeOf(object)} is not one that Flux takes`,
  },
  {
    rule: 'source-signature-refused',
    pattern: /\b(signature|openpgp|cosign|notation|provenance)\b/i,
    fix: ({ metadata, spec }) =>
      `have ${spec?.verify ? 'it' : metadata.name} signed by a key that spec.verify trusts, or put the signer’s public key into its Secret; somebody else may have written it`,
  },
  {
    rule: 'source-too-large',
    pattern:
      /exceeds the maximum|exceeds [\d.]{1,20} ?\w{0,6} limit|exceeded the maximum|max(imum)? (file|untar(red)?|artifact) size|entity too large|\b413\b/i,
    fix: object => `make ${placeOf(object)} smaller: exclude large files by spec.ignore, or remove them`,
  },
  {
    rule: 'source-not-charts',
    pattern:
      /unmarshal|converting YAML|no API version|invalid character|index file|Index(ation)? ?(is )?(invalid|empty)/i,
    cause: object =>
      `what is served at ${placeOf(object)} is not a chart repository: it may be a web page, or a login`,
    fix: object => `correct the address: open ${placeOf(object)}/index.yaml in a browser`,
  },
  {
    // A commit, tree or file that a branch names: go-git, plumbing/object.go.
    rule: 'source-objects-missing',
    pattern: /\bobject not found\b/i,
    fix: object =>
      `${placeOf(object)} does not give all objects of ${refNamed(object)}: its history was rewritten or is damaged, or the commit in spec.ref is gone; check it there (git fsck), push a new commit, and omit spec.ref.commit`,
  },
  {
    rule: 'source-branch-missing',
    pattern: /couldn't find remote ref|reference not found|branch .* not found|no match found for semver/i,
    fix: object =>
      `${refNamed(object)} is not in ${placeOf(object)}: correct ${isPlatform(object) ? 'git_branch in .flux.env, then run install-core again' : 'spec.ref of the source, or push it'}`,
  },
  {
    rule: 'source-rate-limited',
    pattern: /toomanyrequests|rate limit|too many requests|\b429\b/i,
    cause: object => `${placeOf(object)} refuses further requests for a while: its rate limit is reached`,
    fix: object =>
      `wait: the limit passes by itself; log in by a secretRef or use a mirror of ${placeOf(object)} for more`,
  },
  {
    rule: 'source-certificate',
    pattern: /x509:|tls: /,
    fix: object =>
      `the certificate of ${placeOf(object)} is not trusted or not valid: renew it there, or add the CA by a certSecretRef to this source; a wrong clock of the server has the same effect`,
  },
  {
    rule: 'source-unauthorized',
    pattern: /authentication required|authorization failed|\b40[13]\b|invalid credentials|\bdenied\b/i,
    fix: (object, { input }) => {
      const secret = object.spec?.secretRef?.name
      if (/\bsubmodule\b/.test(input))
        return 'the submodule that it names requires credentials: give those of this source access to it, use a public address in .gitmodules, or set spec.recurseSubmodules: false'
      return secret
        ? `${placeOf(object)} refuses the credentials in Secret ${object.metadata.namespace}/${secret}: put a valid token there (it may have expired or been revoked)`
        : `${placeOf(object)} requires credentials: use a public address, or add a secretRef to this source`
    },
  },
  {
    rule: 'source-not-found',
    pattern: /repository not found|manifest unknown|\b4(04|10)\b/i,
    fix: (object, { input }) =>
      object.kind === 'OCIRepository' && /manifest unknown/i.test(input)
        ? `${refNamed(object)} is not at ${placeOf(object)}: correct spec.ref of the source, or push it`
        : `nothing is served at ${placeOf(object)}: correct the address (git_url or charts_mirror in .flux.env)`,
  },
  {
    rule: 'source-name-unresolved',
    pattern: NAMES,
    cause: (_object, [, host]) => `the cluster cannot resolve ${host}: its name server does not answer`,
    fix: () => 'correct the name servers in /etc/resolv.conf of the server, then restart coredns',
    causedBy: () => [SHARED.names, refTo('Deployment', 'kube-system', 'coredns')],
    symptom: true,
  },
  {
    rule: 'source-failing',
    pattern: /\b50[0234]\b/,
    fix: object =>
      `wait: ${placeOf(object)} is reached, and fails by itself; if it lasts, tell those who run it, or use a mirror`,
  },
  {
    rule: 'source-unreachable',
    pattern:
      /no such host|connection refused|connection reset|timeout|timed out|deadline|unreachable|no route to host|server misbehaving|EOF|unable to connect|stream error|INTERNAL_ERROR|GOAWAY/i,
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

/** What to do about a message of what reads a repository, of images, too; undefined where it is not known. Pure. */
export const sourceFix = (source: KubeObject, message: string): string | undefined =>
  recognise(known, source, message)?.fix

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
function sourceFailure(source: KubeObject): Failure | undefined {
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

/** Whether the repository of a chart is being fetched and has not failed: at the first start that takes its time. */
function isAtWork({ metadata, spec }: KubeObject, index: Index): boolean {
  const { kind = '', name = '' } = spec?.sourceRef ?? {}
  const repository = index.get(kind, metadata.namespace, name)
  return repository !== undefined && messageOfFailure(repository) === undefined
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
    const atWork = isAtWork(source, index)
    if (atWork && isFetching(source, message, index)) return []
    return [
      findingOf(source, {
        rule: 'chart-waits-for-repository',
        cause: short(message),
        fix: `repair HelmRepository ${source.spec?.sourceRef?.name} first`,
        symptom: true,
        ...(atWork ? { timing: 'passing' } : {}),
      }),
    ]
  })

function evidence(source: KubeObject, index: Index, failure: Failure): string[] {
  const kept = source.status?.artifact?.revision
  const lines = evidenceOf(source, failure.cause)
  if (kept) lines.push(`installed software keeps running with the last fetched revision, ${kept}`)
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
  if (source.kind === 'HelmChart') {
    const { kind, name = '' } = source.spec?.sourceRef ?? {}
    const repository = index.get(kind, source.metadata.namespace, name)
    return { do: 'reconcile', ref: refOf(source), ...(repository ? { source: refOf(repository) } : {}) }
  }
  // Its Kustomization takes back what somebody may have changed in it by hand.
  const owner = kustomizationOf(source, index)
  return owner
    ? { do: 'reconcile', ref: refOf(owner), source: refOf(source) }
    : { do: 'reconcile', ref: refOf(source) }
}

/** What the GitRepository of the platform follows other than `.flux.env` says, where that is known. */
function driftOf(source: KubeObject, index: Index): { patch: object; why: string } | undefined {
  const { config } = index.snapshot
  if (!config || !isPlatform(source)) return undefined
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

const drifting = each('GitRepository', (source, index) => {
  const drift = driftOf(source, index)
  if (!drift || messageOfFailure(source) !== undefined) return undefined
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
