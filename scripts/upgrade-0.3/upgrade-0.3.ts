import { existsSync, lstatSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { durationText } from '../../lib/script/duration.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { privateFolder } from '../../lib/script/files.ts'
import { nearest } from '../../lib/script/flags.ts'
import { askText } from '../../lib/script/prompt.ts'
import { until } from '../../lib/script/wait.ts'
import { claimName, OLD_NAMESPACES, type OldClaim } from './old-releases.ts'

/** Milliseconds to wait for the deletion of a claim. */
const GONE = 2 * 60_000

/** Where the settings are, and where they belong; docs, "Upgrading to 0.3.0". */
export interface SettingsMove {
  from: string
  to: string
  /** `both`: the same text in both places; `none`: in neither. */
  state: 'move' | 'moved' | 'both' | 'none'
}

/** Finds the `settings.yml` of a cluster folder. Throws when there are two different ones. */
export function settingsMove({ folder }: Cluster): SettingsMove {
  const [from, to] = [join(folder, 'settings.yml'), join(folder, 'group_vars', 'all', 'settings.yml')]
  const [isOld, isNew] = [existsSync(from), existsSync(to)]
  if (isOld && !lstatSync(from).isFile())
    throw new ExpectedError(`${from} is not a file`, 'replace it with the settings file')
  if (isOld && isNew && !readFileSync(from).equals(readFileSync(to)))
    throw new ExpectedError(
      `${from} and ${to} differ`,
      'keep the one in use, and move the other one elsewhere',
      { exitCode: EXIT.refused },
    )
  return { from, to, state: isOld ? (isNew ? 'both' : 'move') : isNew ? 'moved' : 'none' }
}

/** Moves them. The folder becomes private: there are passwords in it. */
export function moveSettings({ from, to }: SettingsMove): void {
  privateFolder(dirname(to))
  renameSync(from, to)
}

/** The claims as a table. */
export function claimRows(claims: readonly OldClaim[]): string[][] {
  return [
    ['CLAIM', 'SIZE', 'AGE', 'STATE', 'USED BY', 'DATA'],
    ...claims.map(claim => [
      claimName(claim),
      claim.size,
      durationText(claim.age),
      claim.phase,
      claim.pods.join(' ') || 'nothing',
      claim.place ?? claim.volume ?? 'none yet',
    ]),
  ]
}

/** What deleting a claim means for its data, in words. */
export function lossText(claim: OldClaim): string {
  if (claim.volume === undefined) return `${claimName(claim)} has no volume: no data is lost`
  if (claim.isKept) return `the volume of ${claimName(claim)} is kept (${claim.volume}), without a claim`
  return `LOST: the data of ${claimName(claim)} (${claim.size}, ${durationText(claim.age)} old)`
}

/** The claims to delete, and the names that do not exist. */
export interface ChosenClaims {
  chosen: OldClaim[]
  /** In words. A claim that an earlier run deleted is among them. */
  absent: string[]
}

/**
 * The claims to delete, given by name or typed now. Throws a UsageError for a name outside
 * of the two namespaces, and refuses (exit code 4) a claim that pods still use.
 */
export async function chooseClaims(
  claims: readonly OldClaim[],
  given: readonly string[],
  ask: boolean,
): Promise<ChosenClaims> {
  const find = (name: string) => claims.find(claim => claimName(claim) === name)
  const names =
    given.length > 0 || !ask
      ? given
      : split(
          await askText({
            message:
              'Which of these do you want to delete? Type their names, NAMESPACE/NAME (Enter alone: none):',
            flag: '--confirm NAMESPACE/NAME',
            check: text =>
              split(text)
                .filter(name => !find(name))
                .map(name => `claim ${JSON.stringify(name)} is not in the list`)[0],
          }),
        )
  const result: ChosenClaims = { chosen: [], absent: [] }
  for (const name of new Set(names)) {
    const claim = find(name)
    const near = nearest(name, claims.map(claimName))
    if (claim && claim.pods.length > 0)
      throw new ExpectedError(
        `${name} is used by ${claim.pods.join(', ')}; nothing was changed`,
        'remove the release that these pods belong to first, by the commands above',
        { exitCode: EXIT.refused },
      )
    if (claim) result.chosen.push(claim)
    else if (OLD_NAMESPACES.some(namespace => name.startsWith(`${namespace}/`)))
      result.absent.push(`claim ${name} does not exist${near ? `; did you mean ${near}?` : ''}`)
    else
      throw new UsageError(
        `${JSON.stringify(name)} is not a claim in ${OLD_NAMESPACES.join(' or ')}`,
        near ? `did you mean ${near}?` : 'write --confirm NAMESPACE/NAME, as in the list',
      )
  }
  return result
}

const split = (text: string) => text.split(/[\s,]+/).filter(Boolean)

/** Deletes a claim, by its uid so that only the claim that was shown is deleted, and waits for the end. */
export async function deleteClaim(
  kubectl: Kubectl,
  { namespace, name, uid }: OldClaim,
  signal: AbortSignal,
): Promise<void> {
  const ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name }
  await kubectl.delete(ref, { uid })
  await until(
    async () => {
      const found = await kubectl.get(ref)
      if (!found || found.metadata.uid !== uid) return { done: true }
      return { last: `${found.status?.phase}` }
    },
    {
      deadline: GONE,
      every: 500,
      patience: 30_000,
      describe: last => `${namespace}/${name} still exists (${last ?? 'not seen'})`,
      fix: `check what uses it: kubectl -n ${namespace} describe pvc ${name}`,
      signal,
    },
  )
}
