import { type KubeObject, type Ref, refOf } from '../kubectl/kubectl.ts'
import type { Index } from './snapshot.ts'

/** What a script does about a finding when it is told to by --fix. Each is one change, and safe to be repeated. */
export type Action =
  /** Has Flux reconcile; the source first, where one is given. `reset` has a failed release retried, `force`
   * has Helm run even though nothing changed. */
  | { do: 'reconcile'; ref: Ref; reset?: true; force?: true; source?: Ref }
  | { do: 'resume'; ref: Ref }
  /** Deletes exactly the object that was read: another one of the same name has another uid. */
  | { do: 'delete'; ref: Ref; uid: string }
  /** A JSON merge patch; `why` says what it changes. */
  | { do: 'patch'; ref: Ref; patch: object; why: string; subresource?: 'status' }
  /** One of our scripts, with its arguments. */
  | { do: 'script'; script: string; args: readonly string[] }

/** Whether an object is deleted without its pods: those of a StatefulSet go on, and the next one takes them over. Pure. */
export const isDeletedAlone = ({ kind }: Pick<Ref, 'kind'>): boolean => kind === 'StatefulSet'

/** What to do about a finding. */
export interface Remedy {
  /** One sentence for somebody under stress. */
  text: string
  /** The exact command, where one does it. */
  command?: string
  /** What --fix does; absent where a person has to decide. */
  action?: Action
}

/** What to do in one line: the text, and the command that it does not name itself. Pure. */
export function remedyText({ text, command }: Remedy): string {
  return command && !text.includes(command) ? `${text}: ${command}` : text
}

/** Something that is wrong. */
export interface Finding {
  /** The rule's name, e.g. `release-values-rejected`. It stays the same: findings are ignored by it. */
  rule: string
  /** Does it not work now, or will it stop to? */
  verdict: 'broken' | 'warning'
  /** The object at fault. A host name is `{ apiVersion: '', kind: 'Host', name }`. */
  subject: Ref
  /** One sentence, without a period. */
  cause: string
  /** What was seen: conditions, events, answers. */
  evidence: readonly string[]
  remedy: Remedy
  /** It only repeats what something deeper says, and is folded into that when there is something. */
  symptom?: true
  /**
   * How long it lasts, where that does not follow from the rule (`rule`: it does, whatever else its message says):
   * no further try changes it, it passes by itself, or Helm tries again at this moment.
   */
  timing?: 'rule' | 'final' | 'passing' | 'retried'
  /** Objects that this depends on beyond those that the objects' own fields name, e.g. by a message. */
  causedBy?: readonly Ref[]
}

/** What is wrong with an object and what to do about it, in one record. */
export type Telling = Omit<Finding, 'subject' | 'verdict' | 'evidence' | 'remedy'> &
  Partial<Pick<Finding, 'verdict' | 'evidence'>> &
  Remedy

/** A finding about an object: it does not work, unless the verdict says otherwise. Pure. */
export function tell(about: KubeObject | Ref, { text, command, action, ...more }: Telling): Finding {
  return {
    verdict: 'broken',
    evidence: [],
    ...more,
    subject: 'metadata' in about ? refOf(about) : about,
    remedy: { text, ...(command === undefined ? {} : { command }), ...(action ? { action } : {}) },
  }
}

/** A JSON merge patch as an action; `why` says what it changes. Pure. */
export const patching = (object: KubeObject, patch: object, why: string): Action => ({
  do: 'patch',
  ref: refOf(object),
  patch,
  why,
})

/** The restart of a workload's pods as an action. Pure. */
export function restarting(workload: KubeObject, index: Index, why: string): Action {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date(index.now).toISOString() }
  return patching(workload, { spec: { template: { metadata: { annotations } } } }, why)
}

/** Findings from facts, and nothing else; `told` are those of the rules before it. Pure. */
export type Rule = (index: Index, told?: readonly Finding[]) => Finding[]

/** What is told of an object, if anything: of itself, or of another one. */
type Told = Telling | Finding | readonly (Telling | Finding)[] | undefined

/** A rule that judges objects one by one: those of one kind, of several kinds, or a list. */
export function each(
  of: string | readonly string[] | ((index: Index) => readonly KubeObject[]),
  judge: (object: KubeObject, index: Index, told: readonly Finding[]) => Told,
): Rule {
  const rule: Rule = (index, told = []) => {
    const objects = typeof of === 'function' ? of(index) : [of].flat().flatMap(kind => index.all(kind))
    return objects.flatMap(object =>
      [judge(object, index, told) ?? []]
        .flat()
        .map(found => ('subject' in found ? found : tell(object, found))),
    )
  }
  // A rule that fails is told by its name.
  const value = typeof of === 'function' ? 'of a list' : `of ${[of].flat().join(' and ')}`
  return Object.defineProperty(rule, 'name', { value })
}

/** A finding with everything that it is the cause of. */
export interface RootCause extends Finding {
  /** The findings that were folded into it. */
  explains: readonly Finding[]
}
