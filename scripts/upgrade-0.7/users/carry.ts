/** Carries the users of 0.6 into kratos. Every step looks at what kratos has: it can be killed and run again. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { newCode } from '../../../flux2/core/single-sign-on/userpanel/panel/accounts.ts'
import { UpstreamError } from '../../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import {
  changedIdentity,
  type Identity,
  newIdentity,
  subjectOf,
} from '../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { type AccountServices, everybody } from '../../../lib/platform/sign-on.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { writeFileAtomic } from '../../../lib/script/files.ts'
import { registerSecret } from '../../../lib/script/redact.ts'
import type { OldUser } from './people.ts'

/** The user whom 0.7 creates by itself (flux2/core/single-sign-on/admin-user). */
const ADMIN = 'admin'
/** Requests at once: kratos answers one in about 10 ms. */
const AT_ONCE = 8

/** What is done for each user. */
export interface Carrying {
  create: OldUser[]
  /** The same person is in kratos, under another subject. */
  join: { user: OldUser; identity: Identity }[]
  /** Carried over already. */
  done: OldUser[]
  /** Somebody else has the name, the address or the subject. */
  conflicts: { name: string; why: string }[]
}

/**
 * What remains to do. Who has the subject already was carried over. The same person is who has the same name and
 * address; of `admin`, whom 0.7 creates with an address of its own, the name is enough. Pure.
 */
export function carrying(users: readonly OldUser[], people: readonly Identity[]): Carrying {
  const byName = new Map(people.map(person => [person.traits.username, person]))
  const byEmail = new Map(people.map(person => [person.traits.email.toLowerCase(), person]))
  const bySubject = new Map(people.map(person => [subjectOf(person), person]))
  const result: Carrying = { create: [], join: [], done: [], conflicts: [] }
  for (const user of users) {
    const { username, email } = user.traits
    const identity = byName.get(username)
    const owner = byEmail.get(email.toLowerCase())
    const holder = bySubject.get(user.metadata.subject)
    const conflict = (why: string) => result.conflicts.push({ name: username, why })
    if (identity?.metadata_admin?.deleted) conflict('was deleted on 0.7; the name is reserved')
    else if (holder && holder === identity) result.done.push(user)
    else if (holder) conflict(`${holder.traits.username} has the same subject on 0.7`)
    else if (identity && (username === ADMIN || identity === owner)) result.join.push({ user, identity })
    else if (identity)
      conflict(`somebody else has the name on 0.7, with the address ${identity.traits.email}`)
    else if (owner) conflict(`${email} is the address of ${owner.traits.username} on 0.7`)
    else result.create.push(user)
  }
  return result
}

const credentials = (hash: string | undefined) =>
  hash === undefined ? {} : { credentials: { password: { config: { hashed_password: hash } } } }

/** The body that creates a user in kratos. Pure. */
export function createBody({ traits, metadata, active, hash }: OldUser): object {
  const body = newIdentity(traits, metadata)
  return { ...body, ...(active ? {} : { state: 'inactive' }), ...credentials(hash) }
}

/**
 * The body that gives somebody who is in kratos the old subject, label and grants; what he has got on 0.7 stays. The
 * password of `admin` becomes the old one: that of 0.7 is the first one, which nobody has chosen. Pure.
 */
export function joinBody({ metadata, traits, hash }: OldUser, identity: Identity): object {
  const before = identity.metadata_admin
  const apps = metadata.apps || before?.apps ? { apps: { ...metadata.apps, ...before?.apps } } : {}
  const joined = {
    ...before,
    subject: metadata.subject,
    admin: metadata.admin === true || before?.admin === true,
    ...apps,
  }
  const body = changedIdentity({ ...identity, metadata_admin: joined }, {})
  return { ...body, ...credentials(traits.username === ADMIN ? hash : undefined) }
}

/**
 * Does it. A hash that kratos does not accept is left out: its owner gets a code. `refuse` is told the name before he is
 * created without a hash: the next run finds him done. Throws an ExpectedError for the first user whom kratos refuses;
 * those before are done.
 */
export async function carryOver(
  { kratos }: AccountServices,
  { create, join }: Carrying,
  { refuse, signal }: { refuse: (name: string) => void; signal: AbortSignal },
): Promise<void> {
  const work = [
    ...create.map(user => ({ user, act: (as: OldUser) => kratos.create(createBody(as)) })),
    ...join.map(({ user, identity }) => ({
      user,
      act: (as: OldUser) => kratos.replace(identity.id, joinBody(as, identity)),
    })),
  ].values()
  let isOver = false
  const worker = async () => {
    for (const { user, act } of work) {
      if (isOver) return
      signal.throwIfAborted()
      try {
        await act(user).catch(error => {
          if (!user.hash || !(error instanceof UpstreamError) || error.status !== 400) throw error
          refuse(user.traits.username)
          return act({ ...user, hash: undefined })
        })
      } catch (error) {
        isOver = true
        throw failed(user.traits.username, error)
      }
    }
  }
  // None may still be at work when this ends: the next run would meet what it has not seen.
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

function failed(name: string, error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error
  const { message } = (error.body ?? {}) as { message?: string }
  return new ExpectedError(
    `carrying over ${name}: ${error.message}: ${message ?? ''}`,
    'run the same command again: it continues',
  )
}

/** Throws an ExpectedError when kratos does not have everybody, each with the old subject. */
export async function verifyCarried({ kratos }: AccountServices, users: readonly OldUser[]): Promise<void> {
  const { create, join } = carrying(users, await everybody(kratos))
  const missing = [...create, ...join.map(({ user }) => user)].map(({ traits }) => traits.username)
  if (missing.length === 0) return
  throw new ExpectedError(
    `kratos does not have ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''} although it took them`,
    'run the same command again: it continues',
  )
}

/** The file with the one-time codes of those who came without a password. */
export function codesFile(backup: string): string {
  return join(backup, 'one-time-codes.csv')
}

/**
 * Creates a one-time code for everybody who came without a password, and writes them to a file (0600): the log must
 * not have them, and there may be hundreds. Returns how many; undefined when the file is there already.
 */
export async function handOutCodes(
  services: AccountServices,
  users: readonly OldUser[],
  backup: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const file = codesFile(backup)
  if (existsSync(file)) return undefined
  const without = users.filter(({ hash, active }) => active && !hash)
  if (without.length === 0) return 0
  const bySubject = new Map((await everybody(services.kratos)).map(person => [subjectOf(person), person]))
  const rows: string[] = []
  for (const { traits, metadata } of without) {
    signal.throwIfAborted()
    const identity = bySubject.get(metadata.subject)
    // `admin` has the password of 0.7; of a conflict somebody else holds the name.
    if (!identity || identity.traits.username !== traits.username || traits.username === ADMIN) continue
    const { code } = await newCode(services, identity)
    for (const secret of [code!.code, code!.address]) registerSecret(secret)
    rows.push(`${traits.username},${traits.email},${code!.address},${code!.code}\n`)
  }
  writeFileAtomic(file, `username,email,address,code\n${rows.join('')}`)
  return rows.length
}
