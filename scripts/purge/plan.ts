import { LOCAL_STORAGE } from '../../lib/k3s/k3s.ts'
import { countText } from '../../lib/script/count.ts'
import { durationText } from '../../lib/script/duration.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { sizeText } from '../../lib/script/size.ts'
import { table } from '../../lib/script/table.ts'
import { backupProblems } from './backups.ts'
import type { Volume } from './cluster.ts'
import type { PurgeFacts } from './facts.ts'
import { DOCKER, FILES, type PurgePath, treesToRemove, UNITS } from './paths.ts'
import { foreignMounts, type ServerSurvey } from './survey.ts'

/** What was asked for. */
export interface PurgeOptions {
  docker: boolean
  discardData: boolean
  /** Milliseconds that a backup may be old. */
  maxAge: number
}

/** All paths that have to be gone after a purge, whether they are there now or not. */
export function pathsToRemove(
  { tools }: Pick<ServerSurvey, 'tools'>,
  { docker }: { docker: boolean },
): PurgePath[] {
  return [...treesToRemove({ docker }), ...tools, ...FILES] as PurgePath[]
}

/** Whether there is nothing at all of what a purge removes; Docker alone is nothing of a cluster. Pure. */
export function isEmpty({ paths, links }: ServerSurvey): boolean {
  return links.length === 0 && paths.every(({ path }) => path === DOCKER)
}

/** What is on the server, as lines for people. Pure. */
export function inventoryLines({ server, cluster, volumes, archive, now }: PurgeFacts): string[] {
  const unit = [...server.units].map(([name, state]) => `${name} is ${state}`).join(', ')
  const lines = [
    ['k3s', unit || 'no unit'],
    ['datastore', server.datastore === undefined ? 'none' : sizeText(server.datastore)],
    ...(cluster
      ? [
          ['nodes', cluster.nodes.join(', ')],
          ['applications', cluster.releases.join(', ') || 'none'],
          ['pods', `${countText(cluster.pods, 'pod')} running`],
          [
            'backup of data',
            cluster.backup
              ? `${cluster.backup.name}, ${durationText(cluster.now - cluster.backup.completed)} old`
              : 'none',
          ],
        ]
      : [['applications', 'not known: the API server does not answer']]),
    [
      'archive',
      archive
        ? `${archive.file}, ${durationText(now - archive.at)} old${archive.server ? '' : ', without the datastore'}`
        : 'none',
    ],
  ]
  return [table(lines), ...(volumes.length > 0 ? ['', volumeTable(volumes)] : [])]
}

function volumeTable(volumes: readonly Volume[]): string {
  return table([
    ['VOLUME', 'CLAIM', 'SIZE', 'IN THE BACKUP', 'PLACE'],
    ...volumes.map(({ name, claim, size, backedUp, place }) => [
      name,
      claim || '-',
      size === undefined ? 'not here' : sizeText(size),
      backedUp === undefined ? 'not known' : backedUp ? 'yes' : 'no',
      place.replace(LOCAL_STORAGE, '…'),
    ]),
  ])
}

/** What a purge will do, line by line. Pure. */
export function planLines(
  facts: PurgeFacts,
  options: PurgeOptions,
  names: { server: string; kubeconfig: string | undefined },
): string[] {
  const { server, volumes } = facts
  const wanted = pathsToRemove(server, options)
  const isWanted = ({ path }: { path: PurgePath }) => wanted.includes(path)
  const here = volumes.filter(({ size }) => size !== undefined)
  const lost = options.discardData ? here : here.filter(({ backedUp }) => backedUp === false)
  return [
    `mark ${names.server} as being purged`,
    'stop and disable k3s with all its pods',
    ...server.paths.filter(isWanted).map(({ path, size }) => `remove ${path} (${sizeText(size)})`),
    ...server.links.map(link => `remove ${link}`),
    'reboot the server, connect again, and verify that nothing is left',
    ...(names.kubeconfig ? [`move ${names.kubeconfig} away, so that no script takes it for a cluster`] : []),
    ...lost.map(
      ({ claim, name, size }) =>
        `  ~ LOST: the data of ${claim || name} (${sizeText(size!)})${options.discardData ? '' : ', which the backup does not hold'}`,
    ),
    ...[...server.kept, ...server.paths.filter(each => !isWanted(each))].map(
      ({ path, size }) => `keep ${path} (${sizeText(size)})`,
    ),
  ]
}

/** What stands in the way of removing the paths: links and foreign mounts. Pure. */
function pathProblems(server: ServerSurvey, options: PurgeOptions): ExpectedError[] {
  const wanted: string[] = pathsToRemove(server, options)
  const refused = (what: string, fix: string) => new ExpectedError(what, fix, { exitCode: EXIT.refused })
  return [
    ...(server.elsewhereData === undefined
      ? []
      : [
          refused(
            `${server.elsewhereData}; a purge does not remove them there`,
            'remove k3s with its own script, which takes K3S_DATA_DIR: /usr/local/bin/k3s-uninstall.sh; then run the same command again',
          ),
        ]),
    ...server.elsewhere
      .filter(({ path }) => wanted.includes(path))
      .map(({ path, real }) =>
        refused(
          `${path} leads elsewhere: to ${real}`,
          'purge follows no links: remove the link and its target by hand, then run the same command again',
        ),
      ),
    ...foreignMounts(server, options)
      .filter(({ below }) => wanted.includes(below))
      .map(({ below, target, type, source }) =>
        refused(
          `${source} (${type}) is mounted at ${target}, below ${below}, which a purge removes`,
          `purge removes nothing from other file systems: umount ${target} on the server, and take it out of /etc/fstab`,
        ),
      ),
  ]
}

/**
 * What stands in the way of a purge. Backups are not judged for one that goes on where k3s does not run: they were
 * when it started. An API server that does not answer says nothing about that: it may just not be reachable from
 * here. Pure.
 */
export function problemsOf(facts: PurgeFacts, options: PurgeOptions, goesOn: boolean): ExpectedError[] {
  const { server, cluster, volumes, archive, now } = facts
  const paths = pathProblems(server, options)
  const runs = UNITS.some(unit => ['active', 'activating'].includes(server.units.get(unit) ?? ''))
  if (options.discardData || (goesOn && !cluster && !runs)) return paths
  return [
    ...paths,
    ...backupProblems({
      volumes,
      datastore: server.datastore !== undefined,
      asked: cluster !== undefined,
      velero: cluster?.backup,
      archive,
      now,
      maxAge: options.maxAge,
    }),
  ]
}

/** What somebody with running containers of Docker has to know, if anything. Pure. */
export function dockerNote(
  { containers, paths }: ServerSurvey,
  { docker }: { docker: boolean },
): string | undefined {
  if (docker || !paths.some(({ path }) => path === DOCKER)) return undefined
  return `${DOCKER} is kept${containers ? `, and ${containers} of its containers run` : ''}; --docker removes it, too`
}

/** The same by hand, for the transcript. */
export const BY_HAND = {
  mark: 'write "purging" into /etc/openappstack/cluster.json',
  stop: 'systemctl disable --now k3s; /usr/local/bin/k3s-killall.sh',
  remove: (paths: readonly string[]) => `rm -rf --one-file-system --preserve-root=all ${paths.join(' ')}`,
} as const
