import { readFileSync } from 'node:fs'
import { Kubectl } from '../kubectl/kubectl.ts'
import { ExpectedError, UsageError } from '../script/errors.ts'
import { writeFileAtomic } from '../script/files.ts'
import type { FlagValues } from '../script/flags.ts'
import { redactedJson } from '../script/redact.ts'
import { Findings, type Run } from '../script/run.ts'
import type { CommonFlags } from '../script/spec.ts'
import type { Diagnosis } from './diagnose.ts'
import type { diagnosisFlags } from './flags.ts'
import { headline } from './show.ts'
import { parseSnapshot, type Snapshot, withoutCredentials } from './snapshot.ts'

/** A run of a script that has these flags, and maybe others. */
export type DiagnosisRun = Pick<
  Run,
  'log' | 'signal' | 'abort' | 'onEnd' | 'step' | 'cluster' | 'result' | 'args'
> & { flags: FlagValues<typeof diagnosisFlags> & FlagValues<CommonFlags> }

/** Throws a UsageError for flags that exclude each other. */
export function checkSnapshotFlags({
  from,
  output,
  fix,
}: {
  from?: string
  output?: string
  fix: boolean
}): void {
  if (from !== undefined && fix)
    throw new UsageError('--fix cannot change a saved snapshot', 'leave --from away, or --fix')
  if (from !== undefined && output !== undefined)
    throw new UsageError('--from and --output exclude each other', 'copy the file instead')
}

/**
 * The snapshot: of the file that was given, or of the cluster as `look` sees it, kept in a file if that is wanted.
 * Without a connection when it is a file.
 */
export async function obtain(
  run: DiagnosisRun,
  look: (kubectl: Kubectl) => Promise<Snapshot>,
): Promise<{ snapshot: Snapshot; kubectl?: Kubectl }> {
  const { from, output } = run.flags
  checkSnapshotFlags(run.flags)
  if (from !== undefined) return { snapshot: parseSnapshot(readSnapshot(from), from) }
  const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
  const snapshot = await look(kubectl)
  if (output !== undefined) writeFileAtomic(output, withoutCredentials(redactedJson(snapshot)))
  return { snapshot, kubectl }
}

function readSnapshot(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ExpectedError(
      `${file} cannot be read: ${(error as Error).message}`,
      'give a file that was made by `diagnose --output FILE`',
      { cause: error },
    )
  }
}

/**
 * Ends a run as its diagnosis says: well, with findings (3), or failed (1) when something could not be looked at,
 * since nobody may take that for healthy.
 */
export function conclude(diagnosis: Diagnosis): void {
  if (diagnosis.gaps.length > 0)
    throw new ExpectedError(
      `the diagnosis is not complete (${headline(diagnosis)}): ${diagnosis.gaps.map(({ what }) => what).join(', ')}`,
      'see the lines that begin with `?`: mend that first, then run it again',
    )
  if (diagnosis.causes.length > 0) throw new Findings()
}
