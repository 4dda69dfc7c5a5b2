import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { readConfig } from '../platform/config.ts'
import { timeoutOf } from '../script/duration.ts'
import { messageOf } from '../script/errors.ts'
import type { Log } from '../script/log.ts'
import { diagnose } from './diagnose.ts'
import type { RootCause } from './finding.ts'
import { fix, type Look } from './fix.ts'
import { offline } from './flags.ts'
import { type GatherOptions, gather } from './gather.ts'
import { IGNORED_FILE, readIgnored } from './ignore.ts'
import { checkSnapshotFlags, conclude, type DiagnosisRun, obtain } from './input.ts'
import { RULES } from './rules/index.ts'
import { show } from './show.ts'
import { type Index, type Snapshot, withoutCredentials } from './snapshot.ts'

/** What one script's diagnosis has of its own. */
export interface Scope {
  /** How the cluster is looked at; everything that `gather` reads unless told. */
  look?: (kubectl: Kubectl, options: GatherOptions) => Promise<Snapshot>
  /** Which of the causes belong to what was asked; all unless told. */
  only?: (cause: RootCause, index: Index) => boolean
  /** How a look is shown; by `show` unless told. */
  show?: (look: Look, log: Log) => void
}

/**
 * The whole course of a script that makes a diagnosis: look (or read a file), judge, show, with --fix offer the
 * remedies and watch them, and end with the exit code that says how it stands.
 */
export async function diagnosisSession(run: DiagnosisRun, scope: Scope = {}): Promise<void> {
  checkSnapshotFlags(run.flags)
  const deadline = timeoutOf(run.flags.timeout, 5)
  const ignored = offline(run.flags) ? [] : await readIgnored(join(run.cluster.folder, IGNORED_FILE))
  const judged = (snapshot: Snapshot): Look => ({
    snapshot,
    diagnosis: diagnose(snapshot, RULES, { ignored, only: scope.only }),
  })
  const lookAt = (kubectl: Kubectl) => (scope.look ?? gather)(kubectl, { config: repositoryOf(run) })
  const present = scope.show ?? (({ diagnosis }: Look, log: Log) => show(diagnosis, log))
  const { snapshot, kubectl } = await obtain(run, lookAt)
  let look = judged(snapshot)
  present(look, run.log)
  run.result = look.diagnosis
  if (run.flags.fix && kubectl) {
    const before = look
    look = await fix(run, kubectl, look, async () => judged(await lookAt(kubectl)), deadline)
    run.result = look.diagnosis
    if (look !== before) {
      run.log.print('')
      present(look, run.log)
    }
  }
  conclude(look.diagnosis)
}

/** What the cluster's `.flux.env` says of the repository; nothing when it cannot be read: it is no part of the cluster. */
function repositoryOf(run: DiagnosisRun): GatherOptions['config'] {
  if (offline(run.flags) || !existsSync(run.cluster.env)) return undefined
  try {
    const { git_url, git_branch } = readConfig(run.cluster.env)
    return { git_url: git_url && withoutCredentials(git_url), git_branch }
  } catch (error) {
    run.log.warn(`${run.cluster.env} is left out: ${messageOf(error)}`)
    return undefined
  }
}
