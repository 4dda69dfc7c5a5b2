import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError, throwAll } from '../../../lib/script/errors.ts'
import { type Building, builtSets } from '../build/build.ts'
import {
  CERTIFICATE_SETS,
  LOGIN_SETS,
  MAESTER_SET,
  NOTIFICATION_SET,
  type ProgramSet,
  SANDBOX,
} from '../build/programs.ts'
import { checkDatabase } from '../login/database.ts'
import { certificateProcesses } from './certificates.ts'
import { loginProcesses, maesterProcess } from './login.ts'
import { lokiProcesses } from './loki.ts'
import { notificationProcess } from './notifications.ts'
import { podNetworkProcess } from './pod-ports.ts'
import type { Extras, ProcessSpec, Setting } from './spec.ts'

/** The additional parts that an `up` is asked to run. */
export type RequestedExtras = Partial<Record<keyof Extras, boolean>>

/**
 * The additional parts that the sandbox runs: those asked for now, and those asked for before, each with its
 * programs, which are built if the cache has none. Without a request nothing of them is built or started.
 */
export async function ensureExtras(
  asked: RequestedExtras,
  before: Extras,
  building: Building & { binDir?: string },
): Promise<Extras> {
  const wanted = (name: keyof Extras) => asked[name] || before[name] !== undefined
  const extras: Extras = {}
  if (wanted('audit')) extras.audit = true
  if (wanted('certificates'))
    extras.certificates = (await programs(CERTIFICATE_SETS, building)) as Extras['certificates']
  if (wanted('loki')) extras.loki = true
  if (wanted('login')) {
    checkDatabase()
    extras.login = (await programs(LOGIN_SETS, building)) as Extras['login']
  }
  if (wanted('maester')) extras.maester = (await programs([MAESTER_SET], building)) as Extras['maester']
  if (wanted('notifications'))
    extras.notifications = (await programs([NOTIFICATION_SET], building)) as Extras['notifications']
  return extras
}

/** The programs of these sets by name: those in `binDir`, or built ones. */
async function programs(
  sets: readonly ProgramSet[],
  building: Building & { binDir?: string },
): Promise<Record<string, string>> {
  // Built together with the programs that every sandbox needs, if those are missing, too.
  const built = building.binDir === undefined ? (await builtSets(building, [SANDBOX, ...sets])).slice(1) : []
  const paths = Object.fromEntries(
    sets.flatMap(({ programs }, i) =>
      programs.map(({ name }) => [name, join(building.binDir ?? built[i]!, name)]),
    ),
  )
  throwAll(
    Object.entries(paths)
      .filter(([, path]) => !existsSync(path))
      .map(
        ([name, path]) => new ExpectedError(`${path} does not exist`, `put ${name} there, or omit --bin-dir`),
      ),
  )
  return paths
}

/** The processes of the additional parts, in the order in which they are started. */
export function extraProcesses(setting: Setting): ProcessSpec[] {
  return [...controllers(setting), ...servedToPods(setting)]
}

/** Those of them that work in the cluster, and start when its API server does. */
export function controllers(setting: Setting): ProcessSpec[] {
  return [...certificateProcesses(setting), ...maesterProcess(setting), ...notificationProcess(setting)]
}

/** Those of them that the control plane does not need: what listens in the place of pods, and the way to it. */
export function servedToPods(setting: Setting): ProcessSpec[] {
  return [...lokiProcesses(setting), ...loginProcesses(setting), podNetworkProcess(setting)]
}
