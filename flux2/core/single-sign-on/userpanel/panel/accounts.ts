/** What administrators do to users, on kratos and hydra: by the pages of the panel, and by the script `users`. */
import type { Hydra } from './hydra.ts'
import type { Kratos } from './kratos.ts'
import { generatePassword } from './password.ts'
import { UpstreamError } from './upstream.ts'
import {
  type AdminMetadata,
  changedIdentity,
  type Identity,
  newIdentity,
  SECOND_FACTORS,
  subjectOf,
  type Traits,
  tombstone,
  versionOf,
} from './users.ts'

/** Where accounts are kept. */
export interface Services {
  kratos: Kratos
  hydra: Hydra
}

/** A name or an address that another user has, deleted ones included. */
export class TakenError extends Error {}

/** A user who was changed by somebody else since the change was decided on. */
export class ChangedError extends Error {}

/** What is handed over to a person, once. */
export interface Handover {
  code?: { address: string; code: string }
  password?: string
}

async function unlessTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UpstreamError && error.status === 409)
      throw new TakenError('another user has this name or address')
    throw error
  }
}

/** Creates a user. Throws a TakenError. */
export async function createUser(
  services: Services,
  traits: Traits,
  metadata: AdminMetadata,
  start: 'code' | 'password',
): Promise<{ identity: Identity; handover: Handover }> {
  const password = start === 'password' ? generatePassword() : undefined
  const identity = await unlessTaken(() => services.kratos.create(newIdentity(traits, metadata, password)))
  return { identity, handover: password ? { password } : await newCode(services, identity) }
}

/** Replaces a user who is still as he was when that was decided. Throws a ChangedError, or a TakenError. */
async function replace({ kratos }: Services, identity: Identity, body: object): Promise<Identity> {
  // kratos replaces a user unconditionally: what somebody else has changed meanwhile would be lost.
  if (versionOf(await kratos.identity(identity.id)) !== versionOf(identity))
    throw new ChangedError('the user was changed meanwhile')
  return unlessTaken(() => kratos.replace(identity.id, body))
}

/**
 * Changes a user's data and access. Whoever's access changes loses the tokens that were given out for it: an
 * application could renew them without asking here. Throws a ChangedError, or a TakenError.
 */
export async function changeUser(
  services: Services,
  identity: Identity,
  change: Partial<Pick<Identity, 'state' | 'metadata_admin' | 'traits'>>,
): Promise<Identity> {
  const changed = await replace(services, identity, changedIdentity(identity, change))
  // Whoever types an address for somebody else vouches for it, as when the user is created.
  if (change.traits && change.traits.email !== identity.traits.email)
    await services.kratos.confirmAddress(changed)
  const access = ({ admin, apps }: AdminMetadata = {}) => JSON.stringify([admin === true, apps ?? null])
  if (change.metadata_admin && access(change.metadata_admin) !== access(identity.metadata_admin ?? {}))
    await services.hydra.revokeTokens(subjectOf(identity))
  return changed
}

/** Takes the second factor from a user who has lost it. */
export async function removeSecondFactor({ kratos }: Services, { id }: Identity): Promise<void> {
  for (const kind of SECOND_FACTORS) await kratos.removeCredential(id, kind)
}

/** A code with which the user sets a password; the old one stays valid until then. */
export async function newCode({ kratos }: Services, { id }: Identity): Promise<Handover> {
  const { recovery_link, recovery_code } = await kratos.recoveryCode(id)
  return { code: { address: recovery_link, code: recovery_code } }
}

/** A generated password in the place of the old one; all sessions end. */
export async function newPassword(services: Services, identity: Identity): Promise<Handover> {
  const password = generatePassword()
  await replace(services, identity, changedIdentity(identity, {}, password))
  await endSessions(services, identity)
  return { password }
}

/** Ends all sessions, here and at hydra, and takes every token back. */
export async function endSessions({ kratos, hydra }: Services, identity: Identity): Promise<void> {
  await kratos.endSessions(identity.id)
  await hydra.endSessions(subjectOf(identity))
  await hydra.revokeTokens(subjectOf(identity))
}

export async function disableUser(services: Services, identity: Identity): Promise<void> {
  await changeUser(services, identity, { state: 'inactive' })
  await endSessions(services, identity)
}

/** Takes everything from a user but the name, which stays reserved. */
export async function deleteUser(services: Services, identity: Identity): Promise<void> {
  await replace(services, identity, tombstone(identity, new Date(), generatePassword()))
  await endSessions(services, identity)
}

/** Frees the name of a deleted user. What a deletion that failed has left open ends first: nobody finds it afterwards. */
export async function freeName(services: Services, identity: Identity): Promise<void> {
  await endSessions(services, identity)
  await services.kratos.remove(identity.id)
}
