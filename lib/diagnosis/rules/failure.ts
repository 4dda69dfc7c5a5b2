/** What the rules on the layers of Flux share: how a failure is known, and how it is told as a finding. */
import { type Condition, condition } from '../../flux/flux.ts'
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import { type Action, type Finding, isDeletedAlone, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'

/** One of our scripts, with its arguments. */
export type ScriptCall = readonly [name: string, ...args: string[]]

/** Why one object has failed, and what to do about it. */
export interface Failure extends Pick<Finding, 'timing'> {
  rule: string
  /** One sentence, without a period. */
  cause: string
  /** What to do, without a period. */
  fix: string
  /** The script of ours that heals it. */
  script?: ScriptCall
  symptom?: true
  causedBy?: readonly Ref[]
}

/** A failure that is known by its message. */
export interface KnownFailure extends Pick<Failure, 'rule' | 'symptom' | 'timing'> {
  pattern: RegExp
  fix: (object: KubeObject, match: RegExpExecArray) => string
  cause?: (object: KubeObject, match: RegExpExecArray) => string
  causedBy?: (object: KubeObject, match: RegExpExecArray) => readonly Ref[]
  script?: ScriptCall
}

/** The first of the known failures that a message tells. Pure. */
export function recognise(
  known: readonly KnownFailure[],
  object: KubeObject,
  message: string,
  timing?: Failure['timing'],
): Failure | undefined {
  for (const { rule, pattern, symptom, script, ...each } of known) {
    const match = pattern.exec(message)
    if (!match) continue
    return {
      rule,
      cause: each.cause?.(object, match) ?? short(message, 400),
      fix: each.fix(object, match),
      timing: each.timing ?? timing,
      script,
      symptom,
      causedBy: each.causedBy?.(object, match),
    }
  }
  return undefined
}

/** A Ref by which a cause is looked up: the kind, namespace and name alone tell objects apart. */
export function refTo(kind: string, namespace: string | undefined, name: string): Ref {
  return { apiVersion: '', kind, namespace, name }
}

/** What a Kustomization is built from, if it exists. */
export const sourceOf = (kustomization: KubeObject, index: Index): KubeObject | undefined => {
  const { kind, name, namespace } = kustomization.spec?.sourceRef ?? {}
  return index.get(kind, namespace ?? kustomization.metadata.namespace, name)
}

/** Seconds since a condition came to be what it is; 0 when that is not known. */
export function lasted(index: Index, found: Condition | undefined): number {
  const since = Date.parse(found?.lastTransitionTime ?? '')
  return Number.isNaN(since) ? 0 : (index.now - since) / 1000
}

/** The most seconds for which a diagnosis keeps quiet about a failure: somebody is looking for it already. */
export const LONGEST_GRACE = 30

/** What Flux says of a source that it has only begun to fetch (source-controller, internal/reconcile/summarize). */
const UNFETCHED =
  /latest generation of object has not been reconciled|^Source artifact not found, retrying|no artifact available for \w{1,40} source/

/**
 * Whether an object only waits for a source that is being fetched, as everything does while it is installed: its
 * message says no more than that, and has not lasted. Pure.
 */
export function isFetching(object: KubeObject, message: string, index: Index): boolean {
  const ready = condition(object, 'Ready')
  return UNFETCHED.test(message) && !!ready?.lastTransitionTime && lasted(index, ready) < LONGEST_GRACE
}

/** A known failure as a finding. `action` is what --fix does; the script of the failure unless told. */
export function findingOf(
  object: KubeObject,
  failure: Failure,
  more: { action?: Action; command?: string; evidence?: readonly string[] } = {},
): Finding {
  const { rule, cause, fix, script, symptom, timing, causedBy } = failure
  const action: Action | undefined =
    more.action ?? (script && { do: 'script', script: script[0], args: script.slice(1) })
  const command = more.command ?? (script && scriptCommand(script)) ?? (action && actionCommand(action))
  return tell(object, {
    rule,
    cause,
    evidence: more.evidence ?? evidenceOf(object, cause),
    text: fix,
    ...(command ? { command } : {}),
    ...(action ? { action } : {}),
    ...(symptom ? { symptom } : {}),
    ...(timing ? { timing } : {}),
    ...(causedBy ? { causedBy } : {}),
  })
}

/** The conditions that say what is wrong with an object, as far as the cause does not say it already. */
export function evidenceOf(object: KubeObject, cause = ''): string[] {
  const lines = ['Stalled', 'Ready', 'Released', 'FetchFailed'].flatMap(type => {
    const found = condition(object, type)
    const bad = type === 'Stalled' || type === 'FetchFailed' ? 'True' : 'False'
    if (!found?.message || (found.status !== bad && !(type === 'Ready' && found.status === 'Unknown')))
      return []
    return [[`${type}=${found.status} ${found.reason ?? ''}`.trimEnd(), short(found.message)] as const]
  })
  const told = new Set([cause])
  return lines.flatMap(([title, message]) => {
    if (told.has(message)) return cause === message ? [title] : []
    told.add(message)
    return [`${title}: ${message}`]
  })
}

/** The command line of a script of ours. */
export function scriptCommand([name, ...args]: ScriptCall): string {
  return ['npx tsx', `scripts/${name}.ts`, ...args].join(' ')
}

/** A command on the server, as root. */
export const asRoot = (command: string) => `npx tsx scripts/ssh.ts --sudo -- ${command}`

/** Restarts k3s, and with it the kubelet and the network of its node; pods go on running. */
export const RESTART_K3S = asRoot('systemctl restart k3s')

/** What the flux command calls a kind. */
export function fluxKind(kind: string): string {
  const names: Record<string, string> = {
    GitRepository: 'source git',
    HelmRepository: 'source helm',
    HelmChart: 'source chart',
    OCIRepository: 'source oci',
    Bucket: 'source bucket',
  }
  return names[kind] ?? kind.toLowerCase()
}

/** The command that does by hand what an action does. */
function actionCommand(action: Action): string {
  switch (action.do) {
    case 'reconcile': {
      const flags = [action.reset ? ' --reset' : '', action.force ? ' --force' : '']
      return `flux reconcile ${place(action.ref)}${flags.join('')}`
    }
    case 'resume':
      return `flux resume ${place(action.ref)}`
    case 'delete':
      return `kubectl -n ${action.ref.namespace} delete ${action.ref.kind.toLowerCase()} ${action.ref.name}${isDeletedAlone(action.ref) ? ' --cascade=orphan' : ''}`
    case 'patch':
      return `kubectl -n ${action.ref.namespace} patch ${action.ref.kind.toLowerCase()} ${action.ref.name} --type merge -p '${JSON.stringify(action.patch)}'`
    case 'script':
      return scriptCommand([action.script, ...action.args])
  }
}

const place = ({ kind, name, namespace }: Ref) => `${fluxKind(kind)} ${name} -n ${namespace}`

/** The seconds of a duration as Go writes it: `15m0s`, `1h`. Pure. */
export function goDurationSeconds(duration: string): number {
  const units: Record<string, number> = { h: 3600, m: 60, s: 1, ms: 0.001 }
  const parts = [...duration.matchAll(/(?<![\d.])([\d.]+)(ms|h|m|s)/g)]
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit!]!, 0)
}
