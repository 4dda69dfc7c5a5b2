import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { EXIT, ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import { checkOutputPath, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'
import { askSelect, inTurn, interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'
import { table } from '../../lib/script/table.ts'
import type { migrateFlags } from './flags.ts'
import { checkFrom, openProblems } from './plan.ts'
import { findVolume, type Match, type OpenVolume } from './volume-match.ts'
import { type FolderVolume, mapText, parseMap, readVolumes, type VolumeMap, volumeName } from './volumes.ts'

/** A run of migrate-data. */
type MigrateRun = Run<typeof migrateFlags>

/** Where the old data is, by the flags, and what is known of it. Throws a UsageError for what contradicts. */
export async function readOld(run: MigrateRun): Promise<{ from: string; map: VolumeMap | undefined }> {
  const { 'old-kubeconfig': kubeconfig, from: file, 'old-folder': folder, output: save } = run.flags
  if (kubeconfig !== undefined && file !== undefined)
    throw new UsageError('--old-kubeconfig and --from exclude each other', 'give one of them')
  if (save !== undefined && kubeconfig === undefined)
    throw new UsageError('--output needs the old cluster', 'give --old-kubeconfig FILE, too')
  if (save === undefined && folder === undefined)
    throw new UsageError(
      'where the old volumes are is not said',
      'upload them to the server of the new cluster, and give --old-folder DIR; or keep a map of them first, with --output FILE',
    )
  if (save !== undefined) checkOutputPath('--output', save)
  const from = folder === undefined ? '' : checkFrom(folder)
  if (file !== undefined) {
    const text = readIfExists(file)
    if (text === undefined) throw new UsageError(`${file} does not exist`, 'give the right one with --from')
    return { from, map: parseMap(text, file) }
  }
  if (kubeconfig === undefined) return { from, map: undefined }
  const kubectl = await Kubectl.connect(kubeconfig, run.signal)
  run.onEnd(async () => kubectl.client.close())
  return { from, map: await readVolumes(kubectl) }
}

/** Shows the map of the old cluster, and writes it to a file that is not there yet. */
export async function saveMap(run: MigrateRun, map: VolumeMap, file: string): Promise<void> {
  run.result = map
  const rows = map.volumes.map(({ path, folder, size = '', pods, ...name }) => [
    volumeName({ ...name, folder }),
    size,
    path ?? folder,
    pods.join(' '),
  ])
  run.log.print(table([['CLAIM', 'SIZE', 'FOLDER', 'PODS'], ...rows]))
  for (const { claim, why } of map.others) run.log.warn(`${claim}: ${why}`)
  if (readIfExists(file) !== undefined)
    throw new ExpectedError(`${file} is there already`, 'give another name: an old map may be the only one', {
      exitCode: EXIT.refused,
    })
  if (!(await run.agree([`write ${file}`], `Write down ${map.volumes.length} volumes?`))) return
  await run.step('Write the map', 'kubectl get pvc,pv,pod -A -o json', async () => {
    writeFileAtomic(file, mapText(map))
    return `${map.volumes.length} volumes in ${file}`
  })
  run.next(['back up the folders above, and this file with them: it tells what they are'])
}

/**
 * Asks for the volumes that cannot be matched for sure. Without a terminal that fails, with a problem for each,
 * unless --skip-rest is given.
 */
export async function decideOpen(
  run: MigrateRun,
  open: readonly OpenVolume[],
  matches: readonly Match[],
  news: readonly FolderVolume[],
): Promise<Match[]> {
  if (run.flags['skip-rest']) {
    for (const { old } of open) run.log.warn(`${volumeName(old)} is left out: its match is not sure`)
    return []
  }
  if (!interactive()) throwAll(openProblems(open))
  const leave = 'none: leave it out'
  const taken = new Set(matches.map(match => match.new))
  const answers = await inTurn(open, async ({ old, candidates }) => {
    const likely = candidates.map(candidate => candidate.new)
    const free = [...new Set([...likely, ...news])].filter(volume => !taken.has(volume))
    const answer = await askSelect({
      message: `Where is the data of ${volumeName(old)} to go?`,
      flag: '--match',
      choices: [...free.map(volumeName), leave],
    })
    if (answer === leave) return []
    const match = { old, new: findVolume(news, answer, '--match') }
    taken.add(match.new)
    return [match]
  })
  return answers.flat()
}
