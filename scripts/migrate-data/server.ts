import { posix } from 'node:path'
import { ExpectedError } from '../../lib/script/errors.ts'
import { type EntrySize, entrySizes } from '../../lib/server/facts.ts'
import { readFacts } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { COPY, MIGRATION, SURVEY, SWAP } from './shell.ts'

/** Data to copy, on one server. */
export interface CopyJob {
  /** The folder with the data; it is only read. */
  source: string
  /** The folder of a new volume. */
  target: string
}

/** What a server tells of a job. */
export interface JobState {
  /** What `source` and `target` are; `gap`: the target is set aside, and the copy not in place yet. */
  source: 'folder' | 'missing' | 'link'
  target: 'folder' | 'missing' | 'link' | 'gap'
  /** One is inside of the other, or both are the same. */
  nested: boolean
  /** Something on the server has the target mounted. */
  mounted: boolean
  /** The source of the copy that is complete and checked, and of the one that is in place. */
  copied?: string
  done?: string
  /** Bytes on disk, and files. */
  size: number
  files: number
  /** The same of what the target holds now. */
  targetSize: number
  targetFiles: number
  /** Bytes of a copy that broke off, which is thrown away. */
  remains: number
  /** What the file system of the target has left; files are undefined where it does not count them. */
  free: number
  freeFiles?: number
}

/** What was counted in a copy. */
export interface Counts {
  files: number
  /** Further names of the same files. */
  hardLinks: number
  folders: number
  symlinks: number
  /** Sockets, pipes and devices. */
  others: number
  /** The sum of the sizes of all files. */
  bytes: number
}

/** Milliseconds for adding up sizes: application data may be millions of files. */
const ADDING_UP = 20 * 60_000
/** Seconds that a kubelet gets to unmount what pods used that are gone. */
const UNMOUNTING = 90

/** The folder with everything that belongs to the copy for a volume. */
export const workFolder = (target: string) =>
  posix.join(posix.dirname(target), MIGRATION, posix.basename(target))

/** The folders in a folder of the server. Throws an ExpectedError where it does not exist or cannot be read. */
export async function listFolders(ssh: Ssh, path: string): Promise<EntrySize[]> {
  const { found } = await readFacts(
    ssh,
    { found: entrySizes(path, ['-type', 'd', '!', '-name', MIGRATION]) },
    { sudo: true, timeout: ADDING_UP, title: `looking into ${path}` },
  )
  if (found.isComplete) return found.entries
  throw new ExpectedError(
    `the folder ${path} on ${ssh.name} does not exist, or cannot be read completely`,
    'upload the old volumes to the server first, and give their folder with --old-folder',
  )
}

/** How it stands with jobs. Changes nothing. */
export async function lookAtJobs(ssh: Ssh, jobs: readonly CopyJob[]): Promise<JobState[]> {
  if (jobs.length === 0) return []
  const args = jobs.flatMap(({ source, target }) => [source, target])
  return parseJobs(
    await ssh.sh(SURVEY, args, { sudo: true, timeout: ADDING_UP, title: 'looking at the volumes' }),
  )
}

/** What the server says of jobs, parsed. Pure. */
export function parseJobs(said: string): JobState[] {
  return said
    .split(/^job\n/m)
    .slice(1)
    .map(text => {
      const rows = new Map(text.split('\n').map(line => line.split('\t') as [string, string | undefined]))
      const number = (key: string) => Number(rows.get(key)) || 0
      const path = (key: string) => {
        const value = rows.get(key)
        return value === undefined ? undefined : Buffer.from(value, 'base64').toString()
      }
      return {
        source: rows.get('source') as JobState['source'],
        target: rows.get('target') as JobState['target'],
        nested: rows.has('nested'),
        mounted: rows.has('mounted'),
        copied: path('copied'),
        done: path('done'),
        size: number('size'),
        files: number('files'),
        targetSize: number('targetSize'),
        targetFiles: number('targetFiles'),
        remains: number('remains'),
        free: number('free'),
        freeFiles: rows.has('freeFiles') ? number('freeFiles') : undefined,
      }
    })
}

/**
 * Copies the data of a job to beside its target, and proves it. The target stays as it is. Undefined when that
 * was done before.
 */
export async function copyVolume(
  ssh: Ssh,
  { source, target }: CopyJob,
  options: { checksums: boolean },
): Promise<Counts | undefined> {
  const said = await ssh.sh(COPY, [source, target, options.checksums ? 'checksums' : ''], {
    sudo: true,
    timeout: 0,
    title: `copying ${posix.basename(source)}`,
    fix: 'see that nothing changes the old data, then run the same command again; the volume is as it was',
  })
  return said === 'there' ? undefined : parseCounts(said)
}

/** What a copy says at its end, parsed. Pure. */
export function parseCounts(said: string): Counts {
  const numbers = said.split(' ').map(Number)
  if (numbers.length !== 6 || !numbers.every(Number.isSafeInteger))
    throw new ExpectedError(
      `a copy ended with ${JSON.stringify(said.slice(0, 80))} in place of counts`,
      'run the same command again',
    )
  const [files, hardLinks, folders, symlinks, others, bytes] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return { files, hardLinks, folders, symlinks, others, bytes }
}

/** Counts in words. */
export function countsInWords({ files, hardLinks, folders, symlinks, others, bytes }: Counts): string {
  const more = [
    [hardLinks, 'hard links'],
    [folders, 'folders'],
    [symlinks, 'symlinks'],
    [others, 'special files'],
  ] as const
  const rest = more.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`)
  return [`${files} files`, ...rest, `${bytes} bytes`].join(', ')
}

/** Puts the proven copy in place. Returns the folder of the previous contents. */
export async function placeCopy(ssh: Ssh, { source, target }: CopyJob): Promise<string[]> {
  const said = await ssh.sh(SWAP, [source, target, String(UNMOUNTING)], {
    sudo: true,
    timeout: (UNMOUNTING + 300) * 1000,
    title: `putting the copy in place of ${posix.basename(target)}`,
    fix: 'end what uses the volume (--scale-down), then run the same command again',
  })
  return said.split('\n').filter(Boolean)
}
