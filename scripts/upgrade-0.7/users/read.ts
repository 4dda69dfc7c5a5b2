import type { Kubectl } from '../../../lib/kubectl/kubectl.ts'
import type { ContainerPlace } from '../../../lib/kubectl/run-in-container.ts'
import type { Cluster } from '../../../lib/script/cluster.ts'
import { countText } from '../../../lib/script/count.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import type { Log } from '../../../lib/script/log.ts'
import { type UpgradeState, writeUpgradeState } from '../state.ts'
import { type Ask, askIn, findBackend, givenPlace, readLayout } from './database.ts'
import { keepUsers } from './file.ts'
import { answerOf, type TableLayout } from './layout.ts'
import { type Corrections, correctionsOf, discover, mappingLines, usersTable } from './mapping.ts'
import {
  type OldUsers,
  oldUsersOf,
  peopleLines,
  peopleSql,
  sampleSql,
  samplesOf,
  subjectsSql,
} from './people.ts'

/** What the flags say of the users of 0.6. */
export interface UserFlags {
  'skip-users': boolean
  'users-from'?: string
  map: string[]
}
interface UserRun {
  cluster: Pick<Cluster, 'kubeconfig' | 'name' | 'folder'>
  flags: UserFlags
  log: Pick<Log, 'warn'>
  signal: AbortSignal
}

/** The users of 0.6, and how the plan shows them; without `users` it says why nobody is carried over. */
export interface UsersPlan {
  lines: string[]
  users?: OldUsers
}

/**
 * Reads the users of the old backend while it is there: in every run before the branch is changed, for the people
 * who were added meanwhile, and later only when no run has read them. Nothing is written, here or there. Throws an
 * ExpectedError when there is such a backend that cannot be read, except when an earlier run has.
 */
export async function planUsers(
  run: UserRun,
  kubectl: Kubectl,
  state: UpgradeState | undefined,
  isOld: boolean,
): Promise<UsersPlan> {
  const kept = state?.users?.file
  if (run.flags['skip-users']) return { lines: ['users of 0.6: nobody is carried over (--skip-users)'] }
  const earlier = { lines: [`users of 0.6: as an earlier run has read them, in ${kept}`] }
  if (!isOld && state?.users) return kept ? earlier : { lines: [] }
  try {
    const from = run.flags['users-from']
    const corrections = correctionsOf(run.flags.map)
    const place = from === undefined ? await findBackend(kubectl) : givenPlace(from)
    if (place) return await readBackend(askIn(run.cluster.kubeconfig, place, run.signal), place, corrections)
    return kept
      ? earlier
      : { lines: ['users of 0.6: the cluster has no user backend; nobody is carried over'] }
  } catch (error) {
    if (!kept || !(error instanceof ExpectedError)) throw error
    run.log.warn(`the users of 0.6 cannot be read again: ${error.message}`)
    return earlier
  }
}

/** Reads a backend: its layout, the mapping, everybody. Throws an ExpectedError. */
async function readBackend(ask: Ask, place: ContainerPlace, corrections: Corrections): Promise<UsersPlan> {
  const layout = await readLayout(ask, corrections.database)
  const table = usersTable(layout, corrections)
  const samples = samplesOf(await ask(layout.database, sampleSql(table.name, Object.keys(table.columns))))
  const subjects = await oldSubjects(ask, layout)
  const mapping = discover(layout, corrections, samples, subjects)
  const users = oldUsersOf(await ask(layout.database, peopleSql(mapping)), mapping)
  const { namespace, pod, container } = place
  return {
    users,
    lines: [
      `carry over ${countText(users.users.length, 'user')} of 0.6, from pod ${namespace}/${pod} (${container}), database ${layout.database}`,
      ...mappingLines(mapping, subjects.length),
      ...peopleLines(users),
    ],
  }
}

/**
 * By what the old single sign-on has called people, where its hydra used the same database: its tables have a column
 * `subject` (ory/hydra, persistence/sql/migrations).
 */
async function oldSubjects(ask: Ask, { database, tables }: TableLayout): Promise<string[]> {
  const kept = tables.filter(
    ({ name, columns }) => /\.hydra_/.test(name) && Object.hasOwn(columns, 'subject'),
  )
  if (kept.length === 0) return []
  const subjects = answerOf(await ask(database, subjectsSql(kept.map(({ name }) => name))))
  return Array.isArray(subjects) ? subjects.filter(each => typeof each === 'string') : []
}

/** Keeps what was read for the time when kratos is ready, and remembers it in the state. Returns the state. */
export async function keepOldUsers(
  { cluster, flags }: UserRun,
  state: UpgradeState,
  { users }: UsersPlan,
  backup: string,
): Promise<UpgradeState> {
  if (flags['skip-users']) return writeUpgradeState(cluster, { ...state, users: {} })
  if (!users) return writeUpgradeState(cluster, { ...state, users: state.users ?? {} })
  const file = await keepUsers(cluster, backup, users)
  return writeUpgradeState(cluster, { ...state, users: { ...state.users, file } })
}
