/** Pods that the API server does not let a workload make, and Jobs that have failed. */
import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { leadsTo } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { settingsPlace } from './configured.ts'
import { refTo } from './failure.ts'
import { lastLinesOf } from './last-words.ts'
import { invalidField, storeFailing } from './refusals.ts'
import { isFollowed } from './run-history.ts'
import { lackingProgram, programFix, tellingLine, tellsFailure } from './telling-lines.ts'
import { understood } from './understood.ts'
import {
  containersOf,
  endpointsOf,
  eventsOf,
  REPOSITORY,
  suffersFrom,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'
import { pods } from './workloads.ts'

interface Refusal {
  rule: string
  pattern: RegExp
  cause: (match: RegExpExecArray) => string
  fix: (match: RegExpExecArray, where: string) => string
  /** What refuses; then the workload only suffers. */
  by?: (match: RegExpExecArray, namespace: string, index: Index) => Ref[]
  /** What is at fault instead of the workload. */
  subject?: (match: RegExpExecArray, namespace: string) => Ref
}

/** What the API server says when it refuses a pod. The first that matches counts. */
const REFUSALS: readonly Refusal[] = [
  {
    rule: 'pods-refused-by-quota',
    pattern: /exceeded quota: ([\w.-]+)(?:, requested: ([^,]*))?/,
    cause: ([, quota, wanted]) =>
      `its pods do not fit into ResourceQuota ${quota}${wanted ? `: ${wanted} more are wanted` : ''}`,
    fix: ([, quota]) => `raise ResourceQuota ${quota}, or remove what is not needed`,
    by: ([, quota], namespace) => [refTo('ResourceQuota', namespace, quota!)],
  },
  {
    rule: 'pods-refused-by-quota',
    pattern: /failed quota: ([\w.-]+): must specify ([^\n]+)/,
    cause: ([, quota, what]) => `ResourceQuota ${quota} requires every pod to specify ${short(what!, 120)}`,
    fix: ([, quota], where) => `specify it ${where}, or add a LimitRange with defaults beside ${quota}`,
  },
  {
    // https://kubernetes.io/docs/concepts/policy/resource-quotas/#limit-priority-class-consumption-by-default
    rule: 'pods-refused-by-quota',
    pattern: /insufficient quota to match these scopes: \[?\{(\w+) (?:In|Exists) \[?([\w. -]*)/,
    cause: ([, scope, values]) =>
      `the cluster takes such pods (${scope} ${values}) only in a namespace with a ResourceQuota for them`,
    fix: (_match, where) =>
      `create a ResourceQuota with that scopeSelector in the namespace, or name another priority class ${where}`,
  },
  {
    rule: 'pods-refused',
    pattern: /pod (node label selector|tolerations)[^\n]{0,100} conflicts? with its namespace/,
    cause: ([, what]) => `its ${what} contradict those that its namespace gives or allows its pods`,
    fix: ([, what], where) =>
      `correct ${what === 'tolerations' ? what : 'nodeSelector'} ${where}, or the annotations scheduler.alpha.kubernetes.io/… of the namespace`,
  },
  {
    rule: 'pods-refused',
    pattern: /secretName="([\w.-]+)" is not allowed because service account ([\w.-]+) does not reference/,
    cause: ([, secret, account]) =>
      `its ServiceAccount ${account} may use only the Secrets that it lists, without ${secret}`,
    fix: ([, secret, account]) =>
      `list ${secret} in secrets of ServiceAccount ${account}, or remove its annotation kubernetes.io/enforce-mountable-secrets`,
  },
  {
    rule: 'pods-refused-by-pod-security',
    pattern: /unable to validate against any security context constraint: ([^\n]+)/,
    cause: ([, why]) => `no security context constraint admits its pods: ${short(why!, 200)}`,
    fix: (_match, where) =>
      `correct the security context ${where}, or grant its ServiceAccount a constraint that admits it (oc adm policy add-scc-to-user)`,
  },
  {
    rule: 'service-account-missing',
    pattern: /serviceaccount "([\w.-]+)" not found/,
    cause: () => 'does not exist, but pods need it to run',
    fix: ([, name], where) => `create ServiceAccount ${name}, or correct the name ${where}`,
    subject: ([, name], namespace) => ({ apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: name! }),
  },
  {
    rule: 'pods-refused',
    pattern: /metadata\.labels: Invalid value: [^\n]{1,200}must be no more than 63 (?:bytes|characters)/,
    cause: () =>
      'its name is too long: with a hash appended, it is a label value of its pods, which has 63 characters at most',
    fix: (_match, where) => `give it a name of at most 52 characters ${where}`,
  },
  {
    rule: 'pods-refused',
    pattern:
      /resources\.requests: Invalid value: "([^"]+)": must be less than or equal to (\S+) limit(?: of (\S+))?/,
    cause: ([, wanted, resource, limit]) =>
      `it requests ${wanted} of ${resource}, and its limit is ${limit ?? 'lower'}; where it sets none, a LimitRange of its namespace does`,
    fix: ([, wanted, resource], where) =>
      `set resources.limits.${resource} to ${wanted} or more ${where}, or raise the default of the LimitRange`,
  },
  {
    rule: 'pods-refused-by-webhook',
    pattern: /failed calling webhook "([\w./-]+)"[\s\S]*?no service port (\d+) found for service "([\w.-]+)"/,
    cause: ([, webhook, port, service]) =>
      `the webhook ${webhook}, which must admit its pods, is called at port ${port} of Service ${service}, which has no such port`,
    fix: ([, webhook, port, service]) =>
      `correct clientConfig.service.port in the configuration of ${webhook}, or give Service ${service} the port ${port}`,
  },
  {
    rule: 'webhook-untrusted',
    pattern: /failed calling webhook "([\w./-]+)"[\s\S]*?x509: ([^\n]+)/,
    cause: ([, webhook, why]) =>
      `the webhook ${webhook}, which must admit its pods, has a certificate that is not accepted: ${short(why!, 160)}`,
    fix: ([, webhook]) =>
      `renew the certificate of ${webhook} and the caBundle in its configuration: restart the program that serves it`,
  },
  {
    rule: 'pods-refused-by-webhook',
    pattern:
      /failed calling webhook "([\w./-]+)": (?:[^\n]{0,300}: )?((?:the server (?:could not find|rejected)|received invalid webhook response|http: server gave HTTP)[^\n]{0,300})/,
    cause: ([, webhook, why]) =>
      `the webhook ${webhook}, which must admit its pods, gives an invalid answer: ${short(why!, 160)}`,
    fix: ([, webhook]) =>
      `have the configuration of the webhook ${webhook} (path, port) fit the program that serves it: install both in one version again`,
  },
  {
    rule: 'pods-refused-by-webhook',
    pattern: /(?:add|remove|replace|test) operation does not apply: ([^\n]{1,300})/,
    cause: ([, why]) => `a webhook changes its pods in a way that does not fit: ${short(why!, 160)}`,
    fix: (_match, where) =>
      `see which mutating webhook that is, and upgrade what serves it; or add what it expects ${where}`,
  },
  {
    rule: 'pods-refused-by-webhook',
    pattern: /failed calling webhook "([\w./-]+)"(?:[\s\S]*?https?:\/\/([\w-]+)\.([\w-]+)\.svc)?/,
    cause: ([, webhook]) => `the webhook ${webhook}, which must admit its pods, does not answer`,
    fix: () => 'see why the webhook does not answer',
    by: ([, webhook, service, namespace], _own, index) => [
      ...(service && namespace ? [refTo('Service', namespace, service)] : []),
      ...['ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration']
        .flatMap(kind => index.all(kind))
        .filter(({ webhooks }) =>
          ((webhooks ?? []) as { name?: string }[]).some(each => each?.name === webhook),
        )
        .map(refOf),
    ],
  },
  {
    // Webhooks that may fail take their time, too: together more than a request may take.
    rule: 'pods-refused-by-webhook',
    pattern: /context deadline exceeded|request did not complete within/,
    cause: () => 'the API server does not get them admitted in time: webhooks that it asks do not answer',
    fix: () => 'see which webhooks do not answer, lower their timeoutSeconds, or delete their configurations',
    by: (_match, _namespace, index) =>
      ['ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration']
        .flatMap(kind => index.all(kind))
        .flatMap(({ webhooks }) => (webhooks ?? []) as { clientConfig?: { service?: Ref } }[])
        .flatMap(({ clientConfig }) => clientConfig?.service ?? [])
        .filter(service => endpointsOf(service, index) === 0)
        .map(({ namespace, name }) => refTo('Service', namespace, name)),
  },
  {
    rule: 'pods-refused',
    pattern: /admission webhook "([\w./-]+)" denied the request: ([^\n]+)/,
    cause: ([, webhook, why]) => `the webhook ${webhook} refuses its pods: ${short(why!, 200)}`,
    fix: (_match, where) => `correct what it names ${where}`,
  },
  {
    rule: 'pods-refused-by-pod-security',
    pattern: /violates PodSecurity "([\w.:-]+)": ([^\n]+)/,
    cause: ([, level, why]) =>
      `the pod security level ${level} of its namespace refuses its pods: ${short(why!, 200)}`,
    fix: (_match, where) =>
      `correct the security context ${where}, or the label pod-security.kubernetes.io/enforce of the namespace`,
  },
  {
    rule: 'pods-refused',
    pattern: /because it is being terminated/,
    cause: () => 'its namespace is being deleted: nothing new can be created in it',
    fix: () => 'see what keeps the namespace',
    by: (_match, namespace) => [refTo('Namespace', undefined, namespace)],
  },
  {
    rule: 'priority-class-missing',
    pattern: /no PriorityClass with name ([\w.-]+) was found/,
    cause: ([, name]) => `its PriorityClass ${name} does not exist: its pods cannot be created`,
    fix: ([, name], where) => `create PriorityClass ${name}, or correct priorityClassName ${where}`,
  },
  {
    rule: 'runtime-class-unknown',
    pattern: /RuntimeClass "([\w.-]+)" not found/,
    cause: ([, name]) => `its RuntimeClass ${name} does not exist: its pods cannot be created`,
    fix: ([, name], where) => `create RuntimeClass ${name}, or correct runtimeClassName ${where}`,
  },
  {
    rule: 'pods-refused-by-limit-range',
    pattern:
      /(?:maximum|minimum) (\S+) usage per (?:Container|Pod) is (\S+), but (?:limit|request) is (\S+)|(?:maximum|minimum) (\S+) usage per|max limit to request ratio per/,
    cause: ([message]) => `a LimitRange of its namespace refuses its pods: ${short(message, 160)}`,
    fix: (_match, where) => `correct its requests and limits ${where}, or the LimitRange`,
  },
  {
    rule: 'pods-refused',
    pattern: /binding '([\w.-]+)' denied request: failed to configure binding: (no params found[^\n]{0,80})/,
    cause: ([, binding]) =>
      `ValidatingAdmissionPolicyBinding ${binding} finds no parameters, and therefore denies every request`,
    fix: ([, binding]) =>
      `create the object that paramRef of the binding ${binding} names, or set its parameterNotFoundAction to Allow`,
  },
  {
    rule: storeFailing.rule,
    pattern: storeFailing.pattern,
    cause: match => storeFailing.cause!({} as KubeObject, match),
    fix: match => storeFailing.fix({} as KubeObject, match),
  },
  {
    rule: 'pods-refused',
    pattern: /([\s\S]+)/,
    cause: ([message]) => `the API server refuses its pods: ${short(message, 200)}`,
    fix: ([message], where) => `correct what it names ${where}${invalidField(message) ?? ''}`,
  },
]

/** Workloads that cannot make their pods. */
const refused: Rule = index =>
  ['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet', 'Job'].flatMap(kind =>
    index.all(kind).flatMap((maker): Finding[] => {
      const message = refusalOf(maker, index)
      if (!message) return []
      const workload = workloadOf(maker, index)
      const { namespace = '' } = workload.metadata
      const where = whereToChange(workload, index)
      for (const { rule, pattern, ...refusal } of REFUSALS) {
        const match = pattern.exec(message)
        if (!match) continue
        const told = { rule, verdict: 'broken', cause: refusal.cause(match) } as const
        const evidence = [`${workload.kind} ${namespace}/${workload.metadata.name}: ${short(message)}`]
        const remedy = {
          text: refusal.fix(match, where),
          command: `kubectl -n ${namespace} describe ${maker.kind.toLowerCase()} ${maker.metadata.name}`,
        }
        const subject = refusal.subject?.(match, namespace)
        const by = subject ? [subject] : refusal.by?.(match, namespace, index)
        const own = servesItself(by ?? [], maker, index)
        if (own)
          return [
            {
              ...told,
              subject: refOf(workload),
              evidence,
              cause: `its pods must be admitted by a webhook that they serve themselves (Service ${own.name})`,
              remedy: {
                text: `delete the configuration of that webhook until they run; then have it leave out the namespace ${own.namespace} (namespaceSelector), so that this does not come back`,
                command: 'kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations',
              },
            },
          ]
        const suffers: Finding = {
          ...told,
          ...(subject ? { rule: 'pods-refused', cause: 'the API server refuses its pods' } : {}),
          subject: refOf(workload),
          evidence,
          remedy,
          ...(by ? { symptom: true, causedBy: by } : {}),
        }
        return subject ? [{ ...told, subject, evidence, remedy }, suffers] : [suffers]
      }
      return []
    }),
  )

/** The Service among these behind which the pods that it makes would be. */
const servesItself = (refs: readonly Ref[], maker: KubeObject, index: Index): Ref | undefined =>
  refs.find(ref => {
    const isHere = ref.kind === 'Service' && ref.namespace === maker.metadata.namespace
    const service = isHere ? index.find(ref) : undefined
    return service && leadsTo(service, maker.spec?.template?.metadata?.labels)
  })

/** Why a maker of pods has failed to make one it still lacks; undefined when it has not. */
function refusalOf(maker: KubeObject, index: Index): string | undefined {
  if (maker.kind === 'Deployment') {
    const failed = condition(maker, 'Progressing')
    return failed?.reason === 'ReplicaSetCreateError' ? failed.message : undefined
  }
  if (maker.kind === 'ReplicaSet') {
    const failed = condition(maker, 'ReplicaFailure')
    return failed?.status === 'True' && (maker.spec?.replicas ?? 0) > 0 ? failed.message : undefined
  }
  const lacking =
    maker.kind === 'Job'
      ? !maker.status?.completionTime && !maker.status?.active && !maker.status?.conditions
      : pods(maker).available < pods(maker).wanted
  if (!lacking) return undefined
  const [event] = eventsOf(index, maker, /^FailedCreate$/)
  // One made since then shows that the reason is gone.
  const [made] = eventsOf(index, maker, /^SuccessfulCreate$/)
  if (!event || (made && index.events(maker).indexOf(made) < index.events(maker).indexOf(event)))
    return undefined
  return String(event.message ?? '')
}

/** Jobs that have given up. One of a CronJob does not count once a later one has succeeded. */
const failedJobs = each('Job', (job, index) => {
  const failed = condition(job, 'Failed')
  if (failed?.status !== 'True') return undefined
  const cron = job.metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.uid
  const repository = job.metadata.labels?.[REPOSITORY]
  if (isFollowed(job, index)) return undefined
  const found = jobFinding(job, failed, cron || repository ? 'warning' : 'broken', index)
  const owner = job.metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.name
  // That a CronJob never succeeds is told of it; one failed run among others is not.
  return owner
    ? [{ ...found, symptom: true, causedBy: [refTo('CronJob', job.metadata.namespace, owner)] }]
    : [found]
})

/** Why the containers of a Job ended, as far as the kubelet or their last words tell. */
export function whyEnded(
  job: KubeObject,
  index: Index,
): { cause: string; fix: string; by?: readonly Ref[] } | undefined {
  const where = whereToChange(workloadOf(job, index), index)
  for (const pod of index.ownedBy(job))
    for (const container of containersOf(pod)) {
      const { name, status, spec } = container
      const last = status.state?.terminated ?? status.lastState?.terminated
      if (!last || last.exitCode === 0) continue
      const limit = spec?.resources?.limits?.memory
      if (last.reason === 'OOMKilled')
        return {
          cause: `container ${name} needs more memory than ${limit ? `its limit of ${limit}` : 'the server has'}`,
          fix: limit ? `raise its memory limit ${where}` : 'give the server more memory',
        }
      const words = [String(last.message ?? ''), lastLinesOf(pod, name, index)]
      const lacking = lackingProgram(words, last.exitCode)
      const known = understood(pod, container, words, index)
      if (lacking && (last.exitCode === 127 || !known))
        return {
          cause: `the image of container ${name} has no program ${lacking.program}: ${short(lacking.line, 200)}`,
          fix: programFix(lacking.program, where),
        }
      if (known) return { cause: known.cause, fix: known.fix, by: known.by }
      const said = tellingLine(...words)
      // What it was about before it failed is not the reason.
      if (said && tellsFailure(words.join('\n')))
        return { cause: said, fix: `correct what it says ${settingsPlace(pod, name, words, index)}` }
      if (said)
        return {
          cause: `container ${name} ends with exit code ${last.exitCode} without saying why; its last line: ${said}`,
          fix: `see what its command does, and with which exit code it ends: correct it ${where}`,
        }
    }
  return undefined
}

function jobFinding(job: KubeObject, failed: Condition, verdict: Finding['verdict'], index: Index): Finding {
  const { namespace, name, labels } = job.metadata
  const ends = index
    .ownedBy(job)
    .flatMap(containersOf)
    .flatMap(({ name: container, status }) => {
      const last = status.state?.terminated ?? status.lastState?.terminated
      if (!last || last.exitCode === 0) return []
      const message = last.message ? `: ${short(last.message)}` : ''
      return [
        `container ${container} ended with ${last.reason ?? 'Error'}, exit code ${last.exitCode}${message}`,
      ]
    })
  const kustomization = labels?.['kustomize.toolkit.fluxcd.io/name']
  const late = failed.reason === 'DeadlineExceeded'
  const why = whyEnded(job, index)
  return tell(job, {
    rule: 'job-failed',
    verdict,
    cause: late
      ? 'was ended: it has exceeded its deadline'
      : `has failed too often and is not retried${why ? `: ${why.cause}` : ''}`,
    evidence: [`Failed ${failed.reason ?? ''}: ${short(failed.message ?? '')}`, ...new Set(ends)],
    text: why
      ? `${why.fix}; then delete the Job${kustomization ? `: Kustomization ${kustomization} recreates it` : ' and recreate it'}`
      : kustomization
        ? `read why, correct it, then delete the Job: Kustomization ${kustomization} recreates it`
        : late
          ? 'raise activeDeadlineSeconds of the Job, or find out why it takes so long; then delete the Job and recreate it'
          : 'read why, and correct it; then delete the Job and recreate it',
    command: `kubectl -n ${namespace} logs job/${name} --all-containers`,
    ...suffersFrom(why?.by ?? []),
  })
}

export const rules: Rule[] = [refused, failedJobs]
