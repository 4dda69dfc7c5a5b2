import { posix } from 'node:path'
import type { Workload } from '../../lib/kubectl/scale.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { commandLine, quote } from '../../lib/script/quote.ts'
import { sizeText } from '../../lib/script/size.ts'
import { type CopyJob, type JobState, workFolder } from './server.ts'
import type { Match, OpenVolume } from './volume-match.ts'
import { type FolderVolume, isVolumeFolder, volumeName, volumeOfFolder } from './volumes.ts'

/** Old volumes, as far as there is something of them to copy. */
export interface Sources {
  volumes: FolderVolume[]
  /** Volumes of the map that are not in the folder with the old data. */
  lacking: FolderVolume[]
  /** Folders that nothing says what they are. */
  unknown: string[]
}

/**
 * Joins what a map knows of the old volumes with the folders that are there. Without a map their names have to
 * do. `named` are folders that a person names: these count, whatever they are called. Folders that are volumes
 * of the new cluster are not of the old one. Pure.
 */
export function migrationSourcesOf(
  map: readonly FolderVolume[] | undefined,
  folders: readonly string[] | undefined,
  options: { current: ReadonlySet<string>; named: readonly string[] },
): Sources {
  const there = folders?.filter(name => !options.current.has(name))
  if (there === undefined) return { volumes: [...(map ?? [])], lacking: [], unknown: [] }
  const known = (map ?? []).filter(({ folder }) => !options.current.has(folder))
  const isKnown = new Set(known.map(({ folder }) => folder))
  const rest = there.filter(name => !isKnown.has(name))
  // A map is complete: what it lacks was not a volume any more when it was written.
  const counts = (name: string) => options.named.includes(name) || (map === undefined && isVolumeFolder(name))
  return {
    volumes: [
      ...known.filter(({ folder }) => there.includes(folder)),
      ...rest.filter(counts).map(volumeOfFolder),
    ],
    lacking: known.filter(({ folder }) => !there.includes(folder)),
    unknown: rest.filter(name => !counts(name)),
  }
}

/**
 * The volumes of the new cluster that can be filled: those of local-path-provisioner, whose folders have the uid
 * of the claim in their name. So a folder that exists on a server proves that it is the server of this cluster.
 */
export function targetsOf(volumes: readonly FolderVolume[]): FolderVolume[] {
  return volumes.filter(({ path, folder }) => path !== undefined && isVolumeFolder(folder))
}

/** What to copy where. */
export function jobOf({ old, new: now }: Match, from: string): CopyJob {
  return { source: posix.join(from, old.folder), target: now.path! }
}

/** Checks the folder with the old data, which becomes part of paths and of files that are lines. */
export function checkFrom(from: string): string {
  if (!posix.isAbsolute(from) || /[\0\n]/.test(from))
    throw new UsageError(
      `--old-folder ${JSON.stringify(from)} is not an absolute path`,
      'give the folder on the server of the new cluster that the old volumes were uploaded to',
    )
  return posix.normalize(from).replace(/(?<=.)\/$/, '')
}

/** The matches as a table. */
export function matchRows(matches: readonly Match[], sizes: ReadonlyMap<string, number>): string[][] {
  return [
    ['OLD', 'FOLDER', 'SIZE', 'NEW', 'FIT'],
    ...matches.map(({ old, new: now, score }) => {
      const size = sizes.get(old.folder)
      return [
        old.claim === undefined ? '?' : volumeName(old),
        old.folder.length > 24 ? `${old.folder.slice(0, 20)}…` : old.folder,
        size === undefined ? (old.size ?? '') : sizeText(size),
        volumeName(now),
        score === undefined ? 'chosen' : `${score} %`,
      ]
    }),
  ]
}

/** What a person has to decide, a problem for each volume. */
export function openProblems(open: readonly OpenVolume[]): UsageError[] {
  return open.map(({ old, candidates }) => {
    const name = volumeName(old)
    const likely = candidates.map(candidate => volumeName(candidate.new)).join(' or ')
    return new UsageError(
      `where the data of ${name} is to go is not sure${likely ? `: ${likely}?` : ', nothing in the new cluster is like it'}`,
      `give --match ${quote(`${old.folder}=NAMESPACE/CLAIM`)}, or --skip ${quote(old.folder)}; --skip-rest leaves all such out`,
    )
  })
}

/** One match, what belongs to it on the server, and how it stands there. */
export interface Work {
  match: Match
  job: CopyJob
  state: JobState
}

/** Whether the copy is in place already. */
export const isDone = ({ job, state }: Work) => state.done === job.source
/** Whether the copy is complete, and not in place yet. */
export const isCopied = ({ job, state }: Work) =>
  !isDone({ job, state } as Work) && state.copied === job.source

const refused = (what: string, fix: string) => new ExpectedError(what, fix, { exitCode: EXIT.refused })

/** What stands in the way on the server. `inUse` are the claims that pods are known to use. Pure. */
export function workProblems(work: readonly Work[], inUse: ReadonlySet<string>): ExpectedError[] {
  const mounted = work
    .filter(each => each.state.mounted && !isDone(each) && !inUse.has(volumeName(each.match.new)))
    .map(({ job }) =>
      refused(
        `${job.target} is mounted on the server, and no pod of the cluster is known to use it`,
        'a pod that has just ended is unmounted within a minute: run it again; else see who it is: grep -l NAME /proc/*/mountinfo',
      ),
    )
  return [...work.flatMap(problemsOf), ...mounted, ...spaceProblems(work)]
}

function problemsOf(work: Work): ExpectedError[] {
  const { job, state, match } = work
  const { source, target } = job
  const name = volumeName(match.new)
  if (isDone(work)) return []
  if (state.done !== undefined)
    return [
      refused(
        `${name} was filled from ${state.done} before, and would be filled from ${source} now`,
        `if the first was wrong: look at ${workFolder(target)} on the server, and move it away`,
      ),
    ]
  const problems: ExpectedError[] = []
  if (state.target === 'gap') {
    if (state.copied !== source)
      problems.push(
        refused(
          `${name} is half filled: the copy of ${state.copied} waits to be put in place`,
          `finish that first: --match ${quote(`${posix.basename(state.copied ?? '')}=${name}`)}`,
        ),
      )
  } else if (state.target !== 'folder')
    problems.push(
      new ExpectedError(
        `${target} is ${state.target === 'link' ? 'a link' : 'not there'}: it is the volume of ${name}`,
        match.new.node
          ? `is it the right server? The volume is on node ${match.new.node}: --hostname says which server is asked`
          : 'is it the right server? --hostname says which is asked',
      ),
    )
  if (isCopied(work)) return problems
  if (state.source !== 'folder')
    problems.push(
      new ExpectedError(
        `${source} is ${state.source === 'link' ? 'a link' : 'not there'}`,
        'upload the old volumes to the server, and give their folder with --old-folder',
      ),
    )
  if (state.nested)
    problems.push(
      refused(
        `${source} and ${target} are the same folder, or one is inside of the other`,
        'give another --old-folder',
      ),
    )
  return problems
}

/** Space for small things that are not counted, and for the file system's own needs. */
const RESERVE = 64 << 20

/** Whether all the data to copy fits, by file system as far as folders tell them apart. */
function spaceProblems(work: readonly Work[]): ExpectedError[] {
  const parents = [...new Set(work.map(({ job }) => posix.dirname(job.target)))]
  return parents.flatMap(parent => {
    const here = work.filter(
      each => posix.dirname(each.job.target) === parent && !isDone(each) && !isCopied(each),
    )
    if (here.length === 0) return []
    const sum = (of: (state: JobState) => number) => here.reduce((total, { state }) => total + of(state), 0)
    const free = Math.min(...here.map(({ state }) => state.free)) + sum(({ remains }) => remains)
    const needed = Math.ceil(sum(({ size }) => size) * 1.02) + RESERVE
    const freeFiles = Math.min(...here.map(state => state.state.freeFiles ?? Number.POSITIVE_INFINITY))
    const files = sum(state => state.files)
    return [
      ...(needed > free
        ? [
            new ExpectedError(
              `${parent} has ${sizeText(free)} free, and ${sizeText(needed)} are needed`,
              'free some space on the server, or leave volumes out for now (--skip) and run it again for them',
            ),
          ]
        : []),
      ...(files > freeFiles
        ? [
            new ExpectedError(
              `the file system of ${parent} can take ${freeFiles} more files, and ${files} are needed (df -i)`,
              'use a file system with more inodes',
            ),
          ]
        : []),
    ]
  })
}

/** The plan in lines. */
export function migrationLines(
  work: readonly Work[],
  workloads: { stop: readonly Workload[]; start: readonly Workload[] },
): string[] {
  const open = work.filter(each => !isDone(each))
  return [
    ...open
      .filter(each => !isCopied(each))
      .map(
        ({ job, state, match }) =>
          `copy ${sizeText(state.size)} from ${job.source} for ${volumeName(match.new)}, and check it`,
      ),
    ...workloads.stop.map(({ name }) => `kubectl scale ${name} --replicas=0`),
    ...open.map(({ match, state, job }) => {
      const aside =
        state.target === 'folder' && state.targetFiles > 0
          ? `; the ${state.targetFiles} files that are in it (${sizeText(state.targetSize)}) are set aside in ${workFolder(job.target)}`
          : ''
      return `put the copy in place of ${job.target} (${volumeName(match.new)})${aside}`
    }),
    ...workloads.start.map(
      ({ name, replicas }) => `kubectl scale ${name} --replicas=${replicas ?? 1}, as it was`,
    ),
  ]
}

/** The same by hand, as a script for a shell of root on the server. */
export function byHand(matches: readonly Match[], from: string, workloads: readonly Workload[]): string {
  const line = (...words: [string, ...string[]]) => commandLine(words).replace(/^'(\w+)'/, '$1')
  const scale = ({ name }: Workload, replicas: string) => `kubectl scale ${name} --replicas=${replicas}`
  const jobs = matches.map(match => ({ match, job: jobOf(match, from), work: workFolder(match.new.path!) }))
  return [
    '# On the server of the new cluster, as root. Copy first:',
    'set -eu; umask 077',
    ...jobs.flatMap(({ match, job, work }) => [
      `# ${volumeName(match.old)} → ${volumeName(match.new)}`.replaceAll('\n', '?'),
      line('mkdir', '-p', `${work}/new`),
      line(
        'cp',
        '-dR',
        '--preserve=mode,ownership,timestamps,links,xattr',
        '--',
        `${job.source}/.`,
        `${work}/new/`,
      ),
    ]),
    '# Stop what uses the volumes, and wait until its pods are gone:',
    ...workloads.map(workload => scale(workload, '0')),
    '# Put the copies in place:',
    ...jobs.flatMap(({ job, work }) => [
      line('mv', '-T', '--', job.target, `${work}/before`),
      line('mv', '-T', '--', `${work}/new`, job.target),
    ]),
    '# And start again:',
    ...workloads.map(workload => scale(workload, String(workload.replicas ?? 1))),
  ].join('\n')
}
