import { type AccountServices, accountServices, everybody } from '../../../lib/platform/sign-on.ts'
import type { Cluster } from '../../../lib/script/cluster.ts'
import { countText } from '../../../lib/script/count.ts'
import type { Run } from '../../../lib/script/run.ts'
import { until } from '../../../lib/script/wait.ts'
import type { ReconcileOptions } from '../reconcile.ts'
import { backupOf, type UpgradeState, writeUpgradeState } from '../state.ts'
import { carrying, carryOver, codesFile, handOutCodes, verifyCarried } from './carry.ts'
import { keptUsers } from './file.ts'

/** What was done with the users of 0.6. */
export interface CarriedUsers {
  carried: number
  /** Names of those who are not in kratos, each with the reason. */
  left: { name: string; why: string }[]
  /** The file with the one-time codes. */
  codes?: string
}

/**
 * Carries the users that were read of 0.6 into kratos, which is ready by now. Undefined when there are none. Whose hash
 * kratos refuses is noted in `state` and its file at once: whoever is in kratos then is not tried again.
 */
export async function carryUsers(
  run: Pick<Run, 'step' | 'log'> & { cluster: Cluster },
  { kubectl, deadline, signal }: ReconcileOptions,
  state: UpgradeState,
): Promise<CarriedUsers | undefined> {
  const file = state.users?.file
  if (file === undefined) return undefined
  const { users, left } = await keptUsers(run.cluster, file)
  const services = accountServices(kubectl)
  const refused = new Set(state.users?.refused)
  const refuse = (name: string) => {
    state.users = { file, refused: [...refused.add(name)] }
    writeUpgradeState(run.cluster, state)
  }
  const result: CarriedUsers = { carried: 0, left: [...left] }
  await run.step(`Carry over ${countText(users.length, 'user')} of 0.6`, undefined, async () => {
    const plan = carrying(users, await people(services, deadline, signal))
    await carryOver(services, plan, { refuse, signal })
    await verifyCarried(services, users)
    result.left.push(...plan.conflicts)
    result.carried = users.length - plan.conflicts.length
    return `${plan.create.length} created, ${plan.join.length} joined, ${plan.done.length} carried over before`
  })
  await run.step('Create one-time codes for those without a password', undefined, async () => {
    const backup = backupOf(run.cluster, state)
    const known = users.map(user => (refused.has(user.traits.username) ? { ...user, hash: undefined } : user))
    const count = await handOutCodes(services, known, backup, signal)
    if (count === 0) return 'unchanged'
    result.codes = codesFile(backup)
    return count === undefined
      ? `they are in ${result.codes}`
      : `${countText(count, 'code')} in ${result.codes}`
  })
  for (const { name, why } of result.left)
    run.log.warn(`user ${name} of 0.6 was not carried over: ${why}; see \`npx tsx scripts/users.ts --help\``)
  return result
}

/** Everybody in kratos. While it starts, its Service has no pod. */
function people(services: AccountServices, deadline: number, signal: AbortSignal) {
  return until(async () => ({ done: await everybody(services.kratos) }), {
    deadline,
    patience: deadline,
    every: 2000,
    describe: () => 'kratos does not answer',
    signal,
  })
}
