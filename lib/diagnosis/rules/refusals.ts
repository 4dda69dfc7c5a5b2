import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { CORE_KUSTOMIZATIONS } from '../../platform/apps.ts'
import { VARIABLES } from '../../platform/variables.ts'
import { isDeletedAlone } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { type Failure, type KnownFailure, refTo } from './failure.ts'
import { formerGroup } from './former-groups.ts'

/** The releases that bring kinds of their own, by the API group. */
const BRINGS: readonly [group: RegExp, namespace: string, release: string][] = [
  [/(^|\.)cert-manager\.io$/, 'cert-manager', 'cert-manager'],
  [/^monitoring\.coreos\.com$/, 'oas', 'kube-prometheus-stack'],
  [/^hydra\.ory\.sh$/, 'oas', 'hydra'],
  [/(^|\.)traefik\.io$/, 'oas', 'ingress'],
  [/^velero\.io$/, 'velero', 'velero'],
]

/** The release that brings the kinds of an apiVersion. */
function bringerOf(apiVersion: string | undefined): Ref | undefined {
  const group = apiVersion?.split('/')[0] ?? ''
  const found = BRINGS.find(([pattern]) => pattern.test(group))
  return found && refTo('HelmRelease', found[1], found[2])
}

/** The kind that is not there, and its apiVersion or group as far as the message has it. */
function kindIn([, kind, version, object, resource, group]: RegExpExecArray) {
  return { kind: kind ?? object ?? resource ?? 'of one of its objects', version: version ?? group }
}

/** What Helm says after it was cut off. */
export const releaseLocked: KnownFailure = {
  rule: 'release-locked',
  pattern: /another operation \(install\/upgrade\/rollback\) is in progress/,
  cause: () => 'Helm considers it locked: an earlier action was interrupted',
  fix: ({ metadata }) =>
    `if no other Helm action is running, delete the Secret of the pending revision in ${metadata.namespace}`,
  symptom: true,
}

/** What etcd says when it takes no change: of everybody who asks for one, the same. */
export const storeFailing: KnownFailure = {
  rule: 'store-failing',
  pattern:
    /etcdserver: (mvcc: database space exceeded|request timed out|leader changed|no leader|too many requests)/,
  cause: (_object, [, why]) => `the store of the cluster (etcd) takes no change: ${why!.trim()}`,
  fix: (_object, [, why]) =>
    /space/.test(why!)
      ? 'compact and defragment etcd, then disarm its alarm (etcdctl defrag, etcdctl alarm disarm), and see what writes that much'
      : 'see load and disk of the server: etcd needs a disk that answers within milliseconds; then it goes on by itself',
  timing: 'passing',
}

/** A controller whose own requests to the API server are not answered in time: client-go, controller-runtime. */
const apiSlow: KnownFailure = {
  rule: 'api-server-slow',
  pattern: /failed to wait for object to sync in-cache/,
  cause: (_object, [said]) => `the API server answers too slowly: ${said}`,
  fix: () =>
    'see load and disk of the server (npx tsx scripts/ssh.ts -- uptime): it goes on by itself when that is over',
  timing: 'passing',
}

/** What passes by itself: another release brings the kind, a webhook's pod starts. */
export const passing = /no matches for kind|failed calling webhook|connection refused|timed? ?out/i

/**
 * What the API server refuses for a reason that lies outside of the object: the same in a message of Helm and of
 * a Kustomization.
 */
export const refusals: readonly KnownFailure[] = [
  storeFailing,
  apiSlow,
  {
    rule: 'rights-missing',
    pattern:
      /is forbidden: User "([^"]+)" cannot (\w+) resource "([^"]+)"(?: in API group "[^"\n]{0,200}")?(?: in the namespace "([\w-]+)")?/,
    cause: (_object, [, user, verb, resource, place]) =>
      `${accountIn(user!)} may not ${verb} ${resource}${place ? ` in the namespace ${place}` : ''}`,
    fix: (_object, [, user, verb, resource, place]) =>
      `grant ${accountIn(user!)} the right to ${verb} ${resource} by a Role and a RoleBinding${place ? ` in the namespace ${place}` : ''}, or correct ${isElsewhere(user!, place) ? 'the namespace of the manifests or ' : ''}spec.serviceAccountName`,
    timing: 'rule',
  },
  {
    rule: 'reference-blocked',
    pattern: /can't access '(\w+)\/(?:[\w-]*\/)?([\w.-]+)', cross-namespace references have been blocked/,
    cause: (_object, [, kind, name]) =>
      `${kind} ${name} lies in another namespace, and Flux runs with --no-cross-namespace-refs`,
    fix: ({ metadata }, [, kind, name]) =>
      `create ${kind} ${name} in ${metadata.namespace}, and omit the namespace from the reference`,
  },
  {
    // https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
    rule: 'rights-missing',
    pattern: /user "([^"]+)" \(groups=[^\n]{0,400}attempting to grant RBAC permissions not currently held/,
    cause: (_object, [, user]) => `${accountIn(user!)} may not grant rights that it does not have itself`,
    fix: (_object, [, user]) =>
      `bind ${accountIn(user!)} to a role with these rights, or with the verbs escalate and bind; or omit the rights from the manifests`,
    timing: 'rule',
  },
  {
    rule: 'namespace-missing',
    pattern: /namespaces "([\w.-]+)" not found/,
    cause: (_object, [, namespace]) => `Namespace ${namespace} does not exist`,
    fix: ({ kind }, [, namespace]) =>
      `create Namespace ${namespace}${kind === 'HelmRelease' ? ' (spec.install.createNamespace: true does it)' : ' with the same manifests'}, or correct the name`,
  },
  {
    rule: 'namespace-terminating',
    pattern: /unable to create new content in namespace ([\w.-]+) because it is being terminated/,
    cause: (_object, [, namespace]) =>
      `Namespace ${namespace} is being deleted: nothing new can be created in it`,
    fix: (_object, [, namespace]) =>
      `see what keeps Namespace ${namespace}, and create it again once it is gone`,
    causedBy: (_object, [, namespace]) => [refTo('Namespace', undefined, namespace!)],
    symptom: true,
  },
  {
    rule: 'service-account-missing',
    pattern: /serviceaccounts? "([\w.-]+)" not found/,
    cause: (_object, [, name]) => `ServiceAccount ${name}, as which Flux acts here, does not exist`,
    fix: ({ metadata }, [, name]) =>
      `create ServiceAccount ${name} in ${metadata.namespace} with a RoleBinding, or correct spec.serviceAccountName`,
  },
  {
    // kubernetes plugin/pkg/admission/storage/persistentvolume/resize/admission.go
    rule: 'claim-not-expandable',
    pattern: /persistentvolumeclaims "([\w.-]+)" is forbidden: only dynamically provisioned/,
    cause: (_object, [, name]) =>
      `claim ${name} cannot grow: its StorageClass does not allow it (allowVolumeExpansion)`,
    fix: () =>
      'bring its former size back in the manifests or values; for more room create a larger claim, and copy the data',
  },
  {
    rule: 'object-of-others',
    pattern: /\b([A-Z]\w{1,60}) "([\w.:-]+)" in namespace "([\w.-]*)" exists and cannot be imported/,
    cause: (_object, [, kind, name, namespace]) =>
      `${kind} ${namespace}/${name} exists already, and does not belong to this release`,
    fix: ({ metadata, spec }, [, kind, name, namespace]) =>
      `have the release adopt ${kind} ${namespace}/${name}: label it app.kubernetes.io/managed-by=Helm, annotate it meta.helm.sh/release-name=${spec?.releaseName ?? metadata.name} and meta.helm.sh/release-namespace=${spec?.targetNamespace ?? metadata.namespace}; or delete it if nothing is lost with it`,
  },
  {
    rule: 'object-of-others',
    pattern: /failed to create resource: (\w{1,60}) "([\w.:-]+)" already exists/,
    cause: (_object, [, kind, name]) => `${kind} ${name} exists already, and Helm did not create it`,
    fix: (object, [, kind, name]) =>
      `delete ${kind} ${name} in ${namespaceOf(object)} if nothing is lost with it, or have the release adopt it (label app.kubernetes.io/managed-by=Helm, annotations meta.helm.sh/…)`,
  },
  {
    rule: 'hook-failed',
    pattern: /(?:pre|post)-(?:install|upgrade|rollback|delete)[\s\S]*?\bjob ([\w.-]+)?[^\n]*?failed/i,
    cause: (_object, [message, job]) =>
      `its hook${job ? ` Job ${job}` : ''} has failed: ${short(message, 200)}`,
    fix: (object, [, job]) =>
      `read why${job ? ` Job ${job}` : ' its Job'} in ${namespaceOf(object)} has failed (its log), and correct that`,
    causedBy: (object, [, job]) => (job ? [refTo('Job', namespaceOf(object), job)] : []),
    symptom: true,
  },
  {
    rule: 'port-allocated',
    pattern:
      /(\b[A-Z]\w{1,60}) "([\w.-]+)" is invalid: [^\n]{1,200}: provided (?:port|IP) is (?:already allocated|not in)/,
    fix: (_object, [, kind, name]) =>
      `another Service has the port or address that ${kind} ${name} asks for: set another nodePort or clusterIP in its values, or none`,
  },
  {
    rule: 'field-conflict',
    pattern: /conflicts? with "([^"]{1,200})"[^:\n]{0,60}:\s{1,3}([^\n]{1,200})/,
    cause: (_object, [, owner, fields]) => `${owner} has set the same fields: ${short(fields!, 160)}`,
    fix: (_object, [, owner]) =>
      `let only one of them set these fields: omit them from the manifests, or have ${owner} give them up`,
  },
  {
    rule: 'cluster-of-others-unreachable',
    pattern: /failed to build kube client|cluster unreachable/i,
    fix: ({ spec }) =>
      spec?.kubeConfig
        ? 'let this cluster reach the other one, or correct the Secret in spec.kubeConfig'
        : 'the API server to which it applies does not answer: check spec.kubeConfig, and whether the cluster is reachable',
  },
  {
    rule: 'release-too-large',
    pattern:
      /Secret "sh\.helm\.[^"]{1,300}" is invalid: data: Too long|request is too large|entity too large/i,
    fix: () =>
      'the chart with its values does not fit into a Secret of 1 MiB, in which Helm keeps it: exclude large files from the chart, or split it',
  },
  {
    rule: 'webhook-down',
    pattern:
      /conversion webhook for ([\w./-]+), Kind=(\w+) failed(?:[\s\S]*?https?:\/\/([\w-]+)\.([\w-]+)\.svc)?/,
    cause: (_object, [, version, kind, service, namespace]) =>
      `the webhook that converts ${kind} of ${version} does not answer${service ? ` (Service ${namespace}/${service})` : ''}`,
    fix: (_object, [, , kind, service]) =>
      `see why the program behind ${service ? `Service ${service}` : 'it'} does not run; if it was removed for good, remove spec.conversion of the CustomResourceDefinition of ${kind}`,
    causedBy: (_object, [, , , service, namespace]) =>
      service && namespace
        ? [refTo('Service', namespace, service), refTo('Deployment', namespace, service)]
        : [],
    symptom: true,
  },
  {
    // apiextensions-apiserver, pkg/apis/apiextensions/validation/validation.go
    rule: 'crd-version-stored',
    pattern:
      /CustomResourceDefinition(?:\.apiextensions\.k8s\.io)?[ /]"?([\w.-]+)[\s\S]{0,400}?status\.storedVersions\[\d+\]: Invalid value/,
    cause: (_object, [, name]) =>
      `the new CustomResourceDefinition ${name} lacks a version in which objects may still be stored`,
    fix: (_object, [, name]) =>
      `have every object of it written again (flux migrate; else kubectl get ${name} -A -o yaml | kubectl replace -f -), then take that version out of status.storedVersions; never delete the definition, since its objects go with it`,
  },
  {
    rule: 'denied-by-policy',
    pattern: /admission webhook "([\w./-]+)" denied the request: *([\s\S]{1,400})/,
    cause: (_object, [, webhook, why]) =>
      `the webhook ${webhook} refuses it: ${short(why!.replaceAll(/\s+/g, ' '), 250)}`,
    fix: ({ kind, spec }, [, , why = '']) => {
      const where = kind === 'HelmRelease' ? 'by the values of the release' : `in ${spec?.path}`
      // https://github.com/kubernetes/ingress-nginx/blob/main/internal/ingress/controller/controller.go (CheckIngress)
      const [, other] = /already defined in ingress ([\w-]+\/[\w.-]+)/.exec(why) ?? []
      if (other)
        return `remove Ingress ${other}, which has that host and path, if it is of no use any more; or give this one another host or path ${where}`
      if (/Snippet directives are disabled/.test(why))
        return `omit that annotation ${where}; or have the ingress controller allow it (allow-snippet-annotations, and annotations-risk-level: Critical), if everybody who writes Ingresses is trusted`
      return `correct what it names ${where}, or the policy`
    },
  },
  {
    rule: 'webhook-without-dry-run',
    pattern: /admission webhook "([\w./-]+)" does not support dry run/,
    fix: (_object, [, webhook]) =>
      `set sideEffects: None (or NoneOnDryRun) of the webhook ${webhook}, if that is true of it, or exclude this namespace from it: Flux tries everything by a dry run first`,
  },
  {
    rule: 'webhook-untrusted',
    pattern: /failed calling webhook "?([\w.-]+)"?[\s\S]*?https?:\/\/([\w-]+)\.([\w-]+)\.svc[\s\S]*?x509: /,
    cause: (_object, [, webhook]) =>
      `the API server does not trust the certificate of the webhook ${webhook}: the caBundle in its configuration is empty or outdated`,
    fix: (_object, [, , service, namespace]) =>
      namespace === 'cert-manager'
        ? 'restart cert-manager-cainjector, which writes the caBundle (kubectl -n cert-manager rollout restart deployment cert-manager-cainjector), and read its log; if that does not help, delete Secret cert-manager-webhook-ca and restart cert-manager-webhook'
        : `have the program in ${namespace} write its caBundle again: restart what serves ${service}`,
    timing: 'passing',
  },
  {
    rule: 'webhook-down',
    pattern:
      /failed calling webhook "?([\w.-]+)"?(?:[\s\S]*?https?:\/\/([\w-]+)\.([\w-]+)\.svc)?|no endpoints available for service "([\w-]+)"/,
    cause: (_object, [, webhook, service, namespace, endless]) =>
      `the webhook ${webhook ?? endless} does not answer${service ? ` (Service ${namespace}/${service})` : ''}`,
    fix: (_object, [, , service, namespace]) =>
      `the API server asks this webhook before it takes the object: see why its pods${namespace ? ` in ${namespace}` : ''} do not run${service ? ` behind the Service ${service}` : ''}; wait for what it needs`,
    causedBy: (_object, [, , service, namespace]) =>
      service && namespace
        ? [refTo('Service', namespace, service), refTo('Deployment', namespace, service)]
        : [],
    timing: 'passing',
    symptom: true,
  },
  {
    rule: 'kind-missing',
    pattern:
      /no matches for kind "?(\w+)"? in (?:version|group) "?([\w./-]+)"?|(?:(?<!\S)(\w+)\/\S+ not found: )?the server could not find the requested resource(?: \(\w+ (\w+)\.([\w.-]+) )?/,
    cause: (_object, match) => {
      const { kind, version } = kindIn(match)
      return `the kind ${kind}${version ? ` of ${version}` : ''} is not known to the API server`
    },
    fix: (_object, match) => {
      const { kind, version } = kindIn(match)
      const bringer = bringerOf(version)
      if (/current release manifest/.test(match.input!))
        return `the release that is stored names ${kind}, which this Kubernetes serves no more: rewrite it with the plugin mapkubeapis of Helm, or uninstall the release and install it again`
      const former = formerGroup(version)
      if (former)
        return `write apiVersion ${former.now}/… in place of ${version}: ${former.program} reads no other group`
      return bringer
        ? `${kind} comes with HelmRelease ${bringer.namespace}/${bringer.name}: wait for what it needs, or have Helm run it again: flux reconcile helmrelease ${bringer.name} -n ${bringer.namespace} --force`
        : `install what brings the kind ${kind}, or correct its apiVersion in flux2/`
    },
    causedBy: (_object, match) => {
      const bringer = bringerOf(kindIn(match).version)
      return bringer ? [bringer] : []
    },
    timing: 'passing',
    symptom: true,
  },
  {
    rule: 'quota-exceeded',
    pattern: /exceeded quota: ([\w.-]+)(?:, requested: ([^\n]*?), used: [^\n]*?, limited: ([^\n:;]*))?/,
    cause: (_object, [, quota, wanted, limit]) =>
      `the quota ${quota} refuses it${wanted ? `: ${wanted} are wanted, ${limit} is the limit` : ''}`,
    fix: (object, [, quota]) =>
      `raise the ResourceQuota ${quota} in ${namespaceOf(object)}, or remove what is not needed there`,
    causedBy: (object, [, quota]) => [refTo('ResourceQuota', namespaceOf(object), quota!)],
    timing: 'rule',
    symptom: true,
  },
  {
    rule: 'field-immutable',
    pattern:
      /field is immutable|updates to statefulset spec for fields other than|spec is immutable after creation|cannot change roleRef|may not change once set/i,
    fix: object => `the change touches an immutable field: ${immutableText(object)}, then Flux recreates it`,
    timing: 'rule',
  },
]

/** A ServiceAccount as the API server calls it, in words. */
function accountIn(user: string): string {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):(.+)$/.exec(user) ?? []
  return name ? `ServiceAccount ${namespace}/${name}` : `the user ${user}`
}

/** Whether a namespace is another one than that of a ServiceAccount. */
const isElsewhere = (user: string, place: string | undefined) =>
  place !== undefined && !user.startsWith(`system:serviceaccount:${place}:`)

const namespaceOf = ({ spec, metadata }: KubeObject) => spec?.targetNamespace ?? metadata.namespace

function immutableText(object: KubeObject): string {
  const message = messageOfRefused(object)
  const refused = refusedObject(message)
  if (!refused) return 'delete the object that it names'
  if (refused.kind === 'PersistentVolumeClaim')
    return `revert the change of PersistentVolumeClaim ${refused.name} (to delete it would delete its data)`
  return `delete ${refused.kind} ${refused.name}${isDeletedAlone(refused) ? ' with --cascade=orphan' : ''}`
}

/** The message in which a refusal stands. */
function messageOfRefused(object: KubeObject): string {
  const conditions = (object.status?.conditions ?? []) as { type: string; message?: string }[]
  const ofType = (type: string) => conditions.find(each => each.type === type)?.message ?? ''
  return [ofType('Ready'), ofType('Released')].find(text => refusedObject(text)) ?? ofType('Ready')
}

/**
 * The object that a message of the API server is about: `Deployment.apps "x" is invalid`, or in a dry run of
 * kustomize-controller `Job/oas/x dry-run failed`. Pure.
 */
function refusedObject(message: string): { kind: string; name: string; namespace?: string } | undefined {
  const dry = /(?<![\w.:/-])(\w+)\/([\w.-]+)\/([\w.:-]+) dry-run failed/.exec(message)
  if (dry) return { kind: dry[1]!, namespace: dry[2], name: dry[3]! }
  const invalid = /\b([A-Z]\w+)(?:\.[\w.-]+)? "([\w.:-]+)" is invalid/.exec(message)
  return invalid ? { kind: invalid[1]!, name: invalid[2]! } : undefined
}

/** What of an object the API server does not accept, in the grammar of its validation errors. Pure. */
export function invalidField(message: string): string | undefined {
  const [, field, problem, more = ''] =
    /is invalid: \[?([\w.[\]()"'/-]{1,200}): (Required value|Unsupported value|Duplicate value|Too long|Invalid value|Forbidden)(?:: ?([^\n]{1,300}))?/.exec(
      message,
    ) ?? []
  const [, supported] = /supported values: ([^\n]{1,200})/.exec(more) ?? []
  if (!field) return undefined
  if (field === 'metadata.annotations' && problem === 'Too long')
    return ' for metadata.annotations: remove kubectl.kubernetes.io/last-applied-configuration, which nothing that is applied server-side needs'
  return ` for ${field} (${supported ? `one of ${short(supported, 160)}` : problem?.toLowerCase()})`
}

/** The object that the API server refuses to change, as far as it is in the snapshot. */
export function refusedBy(object: KubeObject, index: Index): KubeObject | undefined {
  const refused = refusedObject(messageOfRefused(object))
  return refused && index.get(refused.kind, refused.namespace ?? namespaceOf(object), refused.name)
}

/** Whether the object in the way is deleted already. Kinds that a diagnosis does not read tell nothing. */
export function isGone(object: KubeObject, index: Index): boolean {
  const refused = refusedObject(messageOfRefused(object))
  return refused !== undefined && index.all(refused.kind).length > 0 && !refusedBy(object, index)
}

/** The remedy once the object in the way was deleted. */
export function retryOf(failure: Failure): Failure {
  return {
    ...failure,
    rule: 'retry-due',
    cause: 'the immutable object was deleted, and Flux has not retried yet',
    fix: 'have Flux retry now',
  }
}

/** The script that creates a Secret which a Kustomization needs. */
export function installerOf(
  { metadata }: KubeObject,
  secret: string | undefined,
): readonly [string, ...string[]] {
  const core = secret === VARIABLES.name || CORE_KUSTOMIZATIONS.some(name => name === metadata.name)
  return core ? ['install-core'] : ['install-app', metadata.name]
}
