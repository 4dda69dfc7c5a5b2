import { createHash } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'

/** A file with what it is to become; undefined stands for no file. */
export interface FileEdit {
  place: 'server' | 'here'
  path: string
  mode: number
  /** UID:GID of a file on the server. */
  owner?: string
  before: string | undefined
  after: string | undefined
}

/** A value of a Secret in the cluster, not encoded. */
export interface VariableEdit {
  key: string
  before: string
  after: string
}

/** The data of a DNS record at a provider. */
export interface RecordEdit {
  zone: string
  id: number
  type: string
  name: string
  before: string
  after: string
}

/** A file of the change, by the checksums of what it was and became; null stands for no file. */
interface SavedFile extends Pick<FileEdit, 'place' | 'path' | 'mode' | 'owner'> {
  before: string | null
  after: string | null
}

/** Where a change of the address stands. Written before the first change, so that every next run knows. */
export interface ChangeState {
  version: 1
  old: string
  new: string
  startedAt: string
  /** `undoing` and `undone`: it is being rolled back, it was; state files of older versions have these words. */
  phase: 'changing' | 'changed' | 'undoing' | 'undone'
  /** Whether k3s has yet to be started with what was written. */
  restart: boolean
  /**
   * Which addresses interfaces of the server had, whether its API server answered at all, and which nodes were Ready:
   * undefined where nobody could be asked, and in the state of an older version.
   */
  before: { hasOld: boolean; hasNew: boolean; api: boolean; ready?: string[] }
  /** The nodes whose address the old one was. */
  nodes: string[]
  files: SavedFile[]
  variables: VariableEdit[]
  records: RecordEdit[]
  /**
   * Whether the records of an `undone` change still have the new address: it was taken back without their provider. An
   * older version kept both lists whatever it had taken back, and did not tell this.
   */
  recordsKept?: boolean
}

const folderOf = (cluster: Cluster) => join(cluster.folder, 'change-ip')
const stateFile = (cluster: Cluster) => join(folderOf(cluster), 'state.json')

/** A change that is neither complete nor taken back. */
export function isOpen(state: ChangeState | undefined): state is ChangeState {
  return state?.phase === 'changing' || state?.phase === 'undoing'
}

/**
 * The records that a change kept at this address when it was taken back without its provider: the same change, done
 * once more, knows them by that alone. Pure.
 */
export function recordsLeft(last: ChangeState | undefined, old: string, address: string): RecordEdit[] {
  return last?.phase === 'undone' && last.old === old && last.new === address ? last.records : []
}

/** SHA-256 of a text; null where there is none. */
export function checksum(text: string | undefined): string | null {
  return text === undefined ? null : createHash('sha256').update(text).digest('hex')
}

/**
 * The state of the cluster's last change, if there was one; of one that is `undone`, only with what is known to be not
 * taken back. Throws an ExpectedError for a file that cannot be used.
 */
export function readChangeState(cluster: Cluster): ChangeState | undefined {
  const file = stateFile(cluster)
  const text = readIfExists(file)
  if (text === undefined) return undefined
  try {
    const state = JSON.parse(text) as ChangeState
    if (state.version !== 1 || !state.old || !state.new || !Array.isArray(state.files))
      throw new Error('it is of another version')
    return state.phase === 'undone' && !state.recordsKept ? { ...state, variables: [], records: [] } : state
  } catch (error) {
    throw new ExpectedError(
      `${file} cannot be used: ${messageOf(error)}`,
      'the originals are in the folder beside it: compare them with the files in use, then move the folder away',
      { cause: error },
    )
  }
}

/** Writes the state whole or not at all. */
export function writeChangeState(cluster: Cluster, state: ChangeState): void {
  privateFolder(folderOf(cluster))
  writeFileAtomic(stateFile(cluster), `${JSON.stringify(state, null, 2)}\n`)
}

/**
 * Saves the originals of files that are about to change, then the state that knows them. A file that an earlier
 * run of the same change has saved keeps its original, unless somebody else has changed it since.
 */
export function saveOriginals(cluster: Cluster, state: ChangeState, edits: readonly FileEdit[]): void {
  const folder = privateFolder(join(privateFolder(folderOf(cluster)), 'originals'))
  for (const edit of edits) {
    const { place, path, mode, owner } = edit
    const present = state.files.find(file => file.place === place && file.path === path)
    const [before, after] = [checksum(edit.before), checksum(edit.after)]
    if (present && (present.before === before || present.after === before)) {
      present.after = after
      continue
    }
    if (edit.before !== undefined) writeFileAtomic(join(folder, before!), edit.before)
    const saved: SavedFile = { place, path, mode, owner, before, after }
    if (present) Object.assign(present, saved)
    else state.files.push(saved)
  }
  writeChangeState(cluster, state)
  // Those of a change before this one are of no use any more.
  const used = new Set(state.files.map(file => file.before))
  for (const name of readdirSync(folder)) if (!used.has(name)) rmSync(join(folder, name), { force: true })
}

/** The original of a saved file; undefined for one that was not there. Throws when it is not what was saved. */
export function originalOf(cluster: Cluster, saved: SavedFile): string | undefined {
  if (saved.before === null) return undefined
  const file = join(folderOf(cluster), 'originals', saved.before)
  const text = readIfExists(file)
  if (checksum(text) === saved.before) return text
  throw new ExpectedError(
    `the saved original of ${saved.path} is ${text === undefined ? 'missing' : 'damaged'}: ${file}`,
    `put ${saved.path} right by hand, or take it from a backup of the cluster folder`,
  )
}
