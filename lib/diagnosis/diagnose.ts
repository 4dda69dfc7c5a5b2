import { messageOf } from '../script/errors.ts'
import type { Finding, RootCause, Rule } from './finding.ts'
import { fold, withoutRepetition } from './fold.ts'
import { type Ignored, withoutIgnored } from './ignore.ts'
import { withLikeness } from './likeness.ts'
import { isAllowed } from './rules/ownership.ts'
import type { Gap, Snapshot } from './snapshot.ts'
import { Index } from './snapshot.ts'

/** What a diagnosis has come to. */
export interface Diagnosis {
  /** What is wrong, the most important first. */
  causes: RootCause[]
  ignored: { finding: RootCause; by: Ignored }[]
  /** What could not be read. */
  gaps: Gap[]
  /** How many objects are not healthy. */
  affected: number
}

/** A finding without an action on what does not belong to the platform: its command stays. */
function permitted(finding: Finding, index: Index): Finding {
  const { action, ...told } = finding.remedy
  return action && !isAllowed(action, finding.subject, index) ? { ...finding, remedy: told } : finding
}

/** Every rule, or those that are given, on a snapshot. A rule that fails leaves a gap and not a lost diagnosis. Pure. */
export function diagnose(
  snapshot: Snapshot,
  rules: readonly Rule[],
  options: {
    ignored?: readonly Ignored[]
    only?: (cause: RootCause, index: Index) => boolean
    /** The snapshot’s, where there is one already: it is as large as the snapshot. */
    index?: Index
  } = {},
): Diagnosis {
  const { index = new Index(snapshot) } = options
  const gaps = [...snapshot.gaps]
  const findings: Finding[] = []
  for (const rule of rules)
    try {
      findings.push(...rule(index, findings).map(finding => permitted(finding, index)))
    } catch (error) {
      gaps.push({ what: `rule ${rule.name}`, why: `a defect of the toolkit: ${messageOf(error)}` })
    }
  const { only = () => true } = options
  const folded = withoutRepetition(fold(findings, index).filter(cause => only(cause, index)))
  const { told, ignored } = withoutIgnored(folded, options.ignored ?? [], index.now)
  const broken = told.filter(({ verdict }) => verdict === 'broken')
  const subjects = broken.flatMap(cause => [cause, ...cause.explains]).map(({ subject }) => subject)
  return {
    causes: withLikeness(told, index),
    ignored,
    gaps,
    affected: new Set(subjects.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`)).size,
  }
}
