/** The one door of scripts that make a diagnosis: they look, judge, show, offer remedies and conclude. */
import { Kubectl } from '../kubectl/kubectl.ts'
import { timeoutOf } from '../script/duration.ts'
import { writeFileAtomic } from '../script/files.ts'
import { redactedJson } from '../script/redact.ts'
import { diagnose } from './diagnose.ts'
import type { RootCause } from './finding.ts'
import { fix, type Look } from './fix.ts'
import { offline } from './flags.ts'
import { type GatherOptions, gather } from './gather.ts'
import { checkSnapshotFlags, type DiagnosisRun, readSnapshot } from './input.ts'
import { type Known, readKnown } from './known.ts'
import { RULES } from './rules/index.ts'
import type { Index, Snapshot } from './snapshot.ts'

export type { Look } from './fix.ts'
export { conclude } from './input.ts'
export { show } from './show.ts'
export { Index } from './snapshot.ts'

/** How a cluster is read; everything that a diagnosis needs unless a script reads more. */
export type Reader = (kubectl: Kubectl, options: GatherOptions) => Promise<Snapshot>

/** A running diagnosis: what its steps need of each other. */
export interface Session extends Known {
  run: DiagnosisRun
  /** Undefined when a file is judged. */
  kubectl: Kubectl | undefined
  /** Milliseconds that a remedy may take. */
  deadline: number
}

/** Starts a diagnosis: checks the flags, reads what is ignored, and connects unless it judges a file. */
export async function open(run: DiagnosisRun): Promise<Session> {
  checkSnapshotFlags(run.flags)
  const deadline = timeoutOf(run.flags.timeout, 5)
  if (offline(run.flags)) return { run, kubectl: undefined, ignored: [], config: undefined, deadline }
  const known = await readKnown(run)
  const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
  return { run, kubectl, ...known, deadline }
}

/** Reads the cluster, or the file of `--from`. */
export async function takeSnapshot(
  { run, kubectl, config }: Session,
  read: Reader = gather,
): Promise<Snapshot> {
  return kubectl ? read(kubectl, { config }) : readSnapshot(run.flags.from ?? '')
}

/** Keeps a snapshot in the file of `--output`. */
export function keep({ run: { flags } }: Session, snapshot: Snapshot): void {
  if (flags.output !== undefined) writeFileAtomic(flags.output, redactedJson(snapshot))
}

/** Judges a snapshot by every rule. `only` says which of the causes belong to what was asked. */
export function judge(
  { ignored }: Session,
  snapshot: Snapshot,
  only?: (cause: RootCause, index: Index) => boolean,
): Look {
  return { snapshot, diagnosis: diagnose(snapshot, RULES, { ignored, only }) }
}

/**
 * With --fix, offers the remedies that a script can do, does those that are agreed to, and watches them. Returns the
 * last look: the first one where nothing was changed.
 */
export async function offerRemedies(
  { run, kubectl, deadline }: Session,
  first: Look,
  again: () => Promise<Look>,
): Promise<Look> {
  return run.flags.fix && kubectl ? fix(run, kubectl, first, again, deadline) : first
}
