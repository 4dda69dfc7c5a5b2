import {
  ChangedError,
  changeUser,
  deleteUser,
  disableUser,
  endSessions,
  freeName,
  type Handover,
  newCode,
  newPassword,
  removeSecondFactor,
  TakenError,
} from '../../flux2/core/single-sign-on/userpanel/panel/accounts.ts'
import { UpstreamError } from '../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import {
  type Identity,
  newIdentity,
  subjectOf,
} from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { type AccountServices, everybody } from '../../lib/platform/sign-on.ts'
import { ExpectedError, throwAll, toExpected } from '../../lib/script/errors.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import { type AccountAction, type AccountPlan, type Handing, userNamed } from './actions.ts'

/** Requests at once: kratos answers one in about 10 ms. */
const AT_ONCE = 8

/** Does the actions of a plan. After a failure no other one starts. Throws an ExpectedError for all that have failed. */
export async function carryOut(
  services: AccountServices,
  actions: AccountPlan['actions'],
  signal: AbortSignal,
): Promise<void> {
  const left = actions.values()
  let isOver = false
  const worker = async () => {
    for (const { line, action } of left) {
      if (isOver) return
      signal.throwIfAborted()
      await act(services, action).catch(error => {
        isOver = true
        throw failed(line, error, continuation(action))
      })
    }
  }
  // None may be cut off between kratos and hydra when this ends.
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  signal.throwIfAborted()
  throwAll(ends.flatMap(end => (end.status === 'rejected' ? [toExpected(end.reason)] : [])))
}

/**
 * How an action is continued that failed. Whoever has got other access in kratos already differs no more in the next
 * plan, but may still have the tokens of before.
 */
function continuation(action: AccountAction): string {
  return action.does === 'change' && action.change.metadata_admin
    ? `run the same command again; if no change is needed then: npx tsx scripts/users.ts sessions ${action.identity.traits.username} --end`
    : 'run the same command again'
}

async function act(services: AccountServices, action: AccountAction): Promise<void> {
  const { kratos } = services
  if (action.does === 'create') {
    const body = newIdentity(action.traits, action.metadata)
    const credentials = { password: { config: { hashed_password: action.hash } } }
    await kratos.create(action.hash ? { ...body, credentials } : body)
  } else if (action.does === 'change') await changeUser(services, action.identity, action.change)
  else if (action.does === 'disable') await disableUser(services, action.identity)
  else if (action.does === 'delete') await deleteUser(services, action.identity)
  else if (action.does === 'free') await freeName(services, action.identity)
  else if (action.does === 'end sessions of') await endSessions(services, action.identity)
  else if (action.does === 'revoke tokens of') await services.hydra.revokeTokens(subjectOf(action.identity))
  else await unlock(services, action.identity)
}

/** Restores an administrator's state and label, and removes what else could keep him out. */
async function unlock(services: AccountServices, identity: Identity): Promise<void> {
  const metadata_admin = { ...identity.metadata_admin, admin: true }
  await changeUser(services, identity, { state: 'active', metadata_admin })
  await removeSecondFactor(services, identity)
}

/** An error of an action, told with its line and with how to continue. */
function failed(line: string, error: unknown, next: string): unknown {
  if (error instanceof ChangedError)
    return new ExpectedError(`${line}: somebody else has changed this user meanwhile`, next)
  if (error instanceof TakenError || (error instanceof UpstreamError && error.status === 409))
    return new ExpectedError(
      `${line}: the name or the address is taken`,
      'somebody else was faster: run the same command again',
    )
  if (error instanceof ExpectedError)
    return new ExpectedError(`${line}: ${error.message}`, `${error.fix}; then ${next}`, {
      exitCode: error.exitCode,
      cause: error,
    })
  if (!(error instanceof UpstreamError)) return error
  const { message } = error.body as { message: string }
  return new ExpectedError(`${line}: ${error.message}: ${message}`, next)
}

/**
 * Creates what is handed over to a user, and registers it as a secret; a password has been tried by logging in. Throws
 * an ExpectedError that names `reset-password`: the command before it has done its part, and would be refused again.
 */
export async function handOver(services: AccountServices, { to, as }: Handing): Promise<Handover> {
  try {
    const identity = userNamed(to, await everybody(services.kratos))
    const handover = as === 'code' ? await newCode(services, identity) : await newPassword(services, identity)
    for (const secret of [handover.password, handover.code?.code, handover.code?.address])
      if (secret) registerSecret(secret)
    if (handover.password && identity.state === 'active')
      await tryPassword(services, identity, handover.password)
    return handover
  } catch (error) {
    throw failed(
      `creating a ${as} for ${to}`,
      error,
      `run \`npx tsx scripts/users.ts reset-password ${to}${as === 'password' ? ' --generate' : ''}\``,
    )
  }
}

/** Logs in with a password, and out again. Throws an ExpectedError when kratos does not accept it. */
async function tryPassword(services: AccountServices, identity: Identity, password: string): Promise<void> {
  const { data } = await services.browser<{ id: string }>('/self-service/login/api')
  const body = { method: 'password', identifier: identity.traits.username, password }
  await services
    .browser(`/self-service/login?flow=${encodeURIComponent(data.id)}`, { method: 'POST', body })
    .catch(error => {
      if (!(error instanceof UpstreamError)) throw error
      throw new ExpectedError(
        `the new password of ${identity.traits.username} was set, but kratos does not accept it`,
        'run `npx tsx scripts/logs.ts kratos --since 5m`',
      )
    })
  await services.kratos.endSessions(identity.id)
}

/** What is handed over, in words. Pure. */
export function handoverText(name: string, { code, password }: Handover): string {
  return code
    ? `${name} sets a password within 24 hours at ${code.address}\nwith the code ${code.code}`
    : (password ?? '')
}
