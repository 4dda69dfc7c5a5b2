/** What may be done about what a program says in words of its own. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Remedy } from '../finding.ts'
import { meaningOf } from './last-words.ts'
import { invalidField } from './refusals.ts'
import { sourceFix } from './sources.ts'
import { describing } from './workload-facts.ts'

/** What may be done about words of any program, besides what the last words of containers mean. The first counts. */
const ADVICE: readonly (readonly [words: RegExp, fix: (where: string) => string])[] = [
  [
    /\bsealed"?[\s:=|]{1,40}"?(true|yes)\b|\bis sealed\b/i,
    () =>
      'unseal it with its keys (`vault operator unseal` in its pod, as often as it needs keys), or set up auto-unseal: it is sealed after each start',
  ],
  [
    /RefNotPermitted|not permitted by any ReferenceGrant/,
    () =>
      'create a ReferenceGrant in the namespace of what it names, which admits that kind from the namespace of this route; or name something of its own namespace',
  ],
  [
    /NoMatchingListenerHostname|no (matching|intersecting) (listener )?hostnames?/i,
    where =>
      `have one of its hostnames fit the hostname of a listener of its Gateway: correct spec.hostnames ${where}, or add a listener`,
  ],
  [
    /NoMatchingParent|no matching (parent|listener)/i,
    where => `correct sectionName and port in parentRefs ${where}: they name a listener of the Gateway`,
  ],
  [
    /is not allowed in config|not (?:with)?in (?:any|the) (?:address )?pools?\b/i,
    where =>
      `choose an address of a pool ${where} (loadBalancerIP or the annotation), or extend the pool: IPAddressPool with MetalLB`,
  ],
  [
    /cannot find default snapshot class/,
    where =>
      `mark one VolumeSnapshotClass as the default (annotation snapshot.storage.kubernetes.io/is-default-class: "true"), or name one in volumeSnapshotClassName ${where}`,
  ],
  [
    /undefined (receiver|time interval) .{0,100}used in route/,
    () =>
      'define it in the configuration of Alertmanager (alertmanager.config in its values), or take it out of the route that names it',
  ],
  [
    /multiple operatorgroups/i,
    () => 'delete all OperatorGroups of that namespace but one, then its operator is installed',
  ],
  [
    /error validating existing CRs against new CRD/,
    () =>
      'change the object that it names, so that it fits the new definition, or delete it; then delete the InstallPlan: the next one is created by itself',
  ],
  [
    /version list argument cannot be empty|no tags? (matching|found matching)/,
    where =>
      `have a tag of the repository fit: correct spec.filterTags.pattern and the range or order of spec.policy ${where}`,
  ],
  [/unrecoverable/i, () => 'restore it from its last backup'],
  [
    /converting YAML/,
    where => `correct the file that it names, or what it was made from ${where}: it is not YAML`,
  ],
  [
    /\b(unmarshal|yaml: )/i,
    () => 'correct the setting that it names, in the Secret or ConfigMap that its configuration is read from',
  ],
  [
    /no controllers? for pod/i,
    () =>
      'have a controller with replicas run these pods, or give the budget minAvailable as a number: any other one is counted by controllers',
  ],
  [/waiting for controller|no controller/i, () => 'install or start the controller that handles it'],
  [
    /quota ?exceeded|\blimit exceeded|exceeded? (the |its |your )?([\w-]+ )?(quota|limit)|ResourceExhausted|no (more |free |available )+(ips?|address(es)?|ports?)\b|\b(is full|out of (ip )?addresses)\b/i,
    () => 'free what is not needed any more, or enlarge what is used up: its storage, quota, limit or range',
  ],
  [
    /not authori[sz]ed to|UnauthorizedOperation|AuthorizationFailed|not have authorization|cannot [\w*]+ resource/i,
    () => 'grant the account or role with which it works the right that it names',
  ],
  [
    /no matches for kind "(Deployment|StatefulSet|ReplicaSet)"/i,
    where =>
      `correct the apiVersion by which it is named ${where} (apps/v1 for a Deployment), or install what brings that kind`,
  ],
  [
    /not established|connection lost/i,
    () => 'let it reach what it names: see the network between them, its firewalls and NetworkPolicies',
  ],
  [/mixed protocols?|multiple protocols/i, () => 'make a Service of its own for each protocol'],
  [
    /already (has a listener|in use|taken|allocated)/i,
    where => `free what it names, or choose another port, address or name ${where}`,
  ],
  [
    /(is|are) not set|\bnot set in|not specified|must be set|required value/i,
    where => `set what it names ${where}, or in the configuration of what says so`,
  ],
  [
    /updates (to statefulset spec for fields other than|may not change fields)|field is immutable/i,
    where => `recreate the object that it names: the field cannot be changed; or revert the change ${where}`,
  ],
  [
    /not ?(be )?found|(does not|doesn't) exist|no such|unable to (resolve|discover) at least one|\b0 match/i,
    where => `create what it names, or correct the name ${where}`,
  ],
  [
    /not ?(allowed|permitted|accepted)|denied|forbidden|declined|protected|marked as read.only/i,
    where =>
      `have the one that refuses it allow it (a storage or service its keys, a repository or branch its push, a Gateway the namespace by allowedRoutes), or correct it ${where}`,
  ],
]

/** What to do about words of a program, said of an object that is described there, if that is known. Pure. */
export const adviceOn = (words: string, where: string): string | undefined =>
  ADVICE.find(([pattern]) => pattern.test(words))?.[1](where)

/**
 * What to do about an object that says in words of its own why it does not work: the first of them that is understood
 * counts. Pure.
 */
export function remedyOf(object: KubeObject, ...words: readonly string[]): Remedy {
  const command = describing(object)
  for (const each of words) {
    const text = understoodOf(object, each)
    if (text) return { text, command }
  }
  return { text: 'correct what it says; its events and conditions tell more', command }
}

function understoodOf(object: KubeObject, words: string): string | undefined {
  const where = `in the manifest of ${object.kind} ${object.metadata.name}`
  const read = object.kind === 'ImageRepository' ? sourceFix(object, words) : undefined
  const known = meaningOf(words)
  const meant = known && !known.rule.startsWith('container-setting') ? known.fix(where) : undefined
  const field = invalidField(words)
  const refused = field && `correct what the API server does not accept${field} ${where}`
  return read ?? adviceOn(words, where) ?? refused ?? meant
}
