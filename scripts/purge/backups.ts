import { join } from 'node:path'
import type { Cluster } from '../../lib/script/cluster.ts'
import { durationText } from '../../lib/script/duration.ts'
import { EXIT, ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { readIfExists } from '../../lib/script/files.ts'
import type { VeleroBackup, Volume } from './cluster.ts'

/** The newest archive of the cluster folder, as backup-cluster-dir records it. */
export interface SavedArchive {
  file: string
  /** When it was started, in milliseconds. */
  at: number
  /** Whether it holds the token and the datastore of k3s, too. */
  server: boolean
}

/** What there is to judge about backups. */
export interface BackupFacts {
  volumes: readonly Volume[]
  /** Whether k3s has a datastore on the server. */
  datastore: boolean
  /** Whether the API server answered. */
  asked: boolean
  velero: VeleroBackup | undefined
  archive: SavedArchive | undefined
  /** By the clock of this machine, which made the archive. */
  now: number
  /** How old the archive may be; the age of the other backup is judged with the rest of it. */
  maxAge: number
}

/** The record of the newest archive of a cluster folder; undefined where none was ever made. */
export function newestArchive(cluster: Cluster): SavedArchive | undefined {
  const file = join(cluster.folder, 'backups', 'last.json')
  const text = readIfExists(file)
  if (text === undefined) return undefined
  try {
    const { at, file: archive, server } = JSON.parse(text)
    if (typeof archive !== 'string' || Number.isNaN(Date.parse(at)))
      throw new Error('it has no time or no file')
    return { file: archive, at: Date.parse(at), server: server === true }
  } catch (error) {
    throw new ExpectedError(
      `${file} cannot be read: ${messageOf(error)}`,
      'make a new backup, which rewrites it: npx tsx scripts/backup-cluster-dir.ts',
      { cause: error },
    )
  }
}

/** What is missing in the backups, each with its remedy; nothing when all may go. Pure. */
export function backupProblems(facts: BackupFacts): ExpectedError[] {
  return [...dataProblems(facts), ...folderProblems(facts)]
}

const DISCARD = 'or, if nobody needs it any more, --discard-data'

function refused(what: string, fix: string): ExpectedError {
  return new ExpectedError(what, `${fix}; ${DISCARD}`, { exitCode: EXIT.refused })
}

/** Of the applications' data. */
function dataProblems({ volumes, asked, velero }: BackupFacts): ExpectedError[] {
  const here = volumes.filter(({ size }) => size !== undefined)
  if (here.length === 0) return []
  const data = `the data of ${here.length === 1 ? 'one volume' : `${here.length} volumes`}`
  if (!asked)
    return [
      refused(
        `whether there is a backup of ${data} is not known: the API server does not answer`,
        'check on the server that k3s runs (journalctl -u k3s), and that its port 6443 is open for you; then run the same command again',
      ),
    ]
  const make = 'make one that is proved: npx tsx scripts/backup.ts'
  if (!velero) return [refused(`there is no complete backup of ${data}`, make)]
  const name = `the newest backup, ${velero.name},`
  if (velero.missing.length > 0)
    return [refused(`${name} leaves out ${velero.missing.join(', ')}`, 'make one of all namespaces')]
  if (velero.claims.size === 0)
    return [refused(`${name} holds no data of volumes`, 'make one with it: npx tsx scripts/backup.ts')]
  return (velero.wrong ?? []).map(({ what, fix }) => refused(what, fix))
}

/** Of the cluster itself: its folder here, and k3s' token and datastore. */
function folderProblems({ datastore, archive, now, maxAge }: BackupFacts): ExpectedError[] {
  const make = 'make one: npx tsx scripts/backup-cluster-dir.ts'
  if (!archive) return [refused('there is no archive of the cluster folder', make)]
  const age = now - archive.at
  if (age > maxAge)
    return [
      refused(
        `the newest archive of the cluster folder is ${durationText(age)} old; at most ${durationText(maxAge)} is allowed`,
        make,
      ),
    ]
  if (datastore && !archive.server)
    return [refused('the newest archive of the cluster folder is without the datastore of the server', make)]
  return []
}
