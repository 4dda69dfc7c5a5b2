import { readFileSync, statSync } from 'node:fs'
import { ExpectedError, Findings, messageOf, UsageError } from '../script/errors.ts'
import { checkOutputPath } from '../script/files.ts'
import type { FlagValues } from '../script/flags.ts'
import type { Run } from '../script/run.ts'
import { sizeText } from '../script/size.ts'
import type { CommonFlags } from '../script/spec.ts'
import type { Diagnosis } from './diagnose.ts'
import type { diagnosisFlags } from './flags.ts'
import { headline } from './show.ts'
import { parseSnapshot, type Snapshot } from './snapshot.ts'

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
    throw new UsageError('--fix cannot change a saved snapshot', 'omit --from, or --fix')
  if (from !== undefined && output !== undefined)
    throw new UsageError('--from and --output exclude each other', 'copy the file instead')
  if (output !== undefined) checkOutputPath('--output', output)
}

/** Bytes of a snapshot: one of a hundred thousand objects has less. */
const LARGEST = 128 << 20

/** The snapshot in a file. Throws a UsageError when it cannot be read, and an ExpectedError when it is not one. */
export function readSnapshot(file: string): Snapshot {
  const fix = 'give a file that `diagnose --output FILE` has written'
  try {
    const { size } = statSync(file)
    if (size > LARGEST) throw new UsageError(`${file} is too large for a snapshot (${sizeText(size)})`, fix)
    return parseSnapshot(readFileSync(file, 'utf8'), file)
  } catch (error) {
    if (error instanceof ExpectedError) throw error
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`, fix)
  }
}

/**
 * Ends a run as its diagnosis says: well, with findings (3), or failed (1) when something could not be read, since
 * nobody may take that for healthy.
 */
export function conclude(diagnosis: Diagnosis): void {
  if (diagnosis.gaps.length > 0)
    throw new ExpectedError(
      `the diagnosis is not complete (${headline(diagnosis)}): ${diagnosis.gaps.map(({ what }) => what).join(', ')}`,
      'see the lines that begin with `?`: repair that first, then run the same command again',
    )
  if (diagnosis.causes.length > 0) throw new Findings()
}
