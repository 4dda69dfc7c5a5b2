/**
 * What a user is to this platform: an identity of kratos, whose traits the user sees, and whose `metadata_admin`
 * says who may open what. Pure: the panel and the script `users` build their requests with it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { UNSEEN } from './html.ts'

export type Role = 'user' | 'admin'

/** What only administrators see and change. */
export interface AdminMetadata {
  /** The `sub` of every token. It outlives the identity: applications know people by it. */
  subject?: string
  /** The label "Admin": may manage users, and administers every application. */
  admin?: boolean
  /** The applications that this user may open, by the name of their OAuth2Client. */
  apps?: Record<string, Role>
  /** When the user was deleted (ISO 8601). The identity stays, so that its name stays reserved. */
  deleted?: string
}

export interface Traits {
  email: string
  username: string
  name?: string
}

/** An identity as kratos' admin API gives it, as far as it is read here. */
export interface Identity {
  id: string
  schema_id: string
  state: 'active' | 'inactive'
  traits: Traits
  metadata_admin?: AdminMetadata | null
  metadata_public?: unknown
  /** Whether an address was confirmed. */
  verifiable_addresses?: { value: string; verified: boolean }[] | null
  /** What the user has to log in with, by kind; kratos' admin API tells it of a single identity. */
  credentials?: Record<string, unknown> | null
}

/** The shortest password that is accepted, by kratos (values.yaml) and by us. */
export const SHORTEST_PASSWORD = 10

/** The subject of a user's tokens: the kept one, else the identity's own id, which earlier versions used. */
export function subjectOf(identity: Identity): string {
  return identity.metadata_admin?.subject ?? identity.id
}

/** Whether a user administers the platform. */
export function isAdmin(identity: Identity): boolean {
  return identity.metadata_admin?.admin === true && identity.state === 'active'
}

/** What kratos counts as a second factor (identity/credentials.go of its source). */
export const SECOND_FACTORS: readonly string[] = ['totp', 'lookup_secret', 'webauthn']

/** Whether a user has set up a second factor. */
export function hasSecondFactor({ credentials }: Identity): boolean {
  return SECOND_FACTORS.some(kind => Object.hasOwn(credentials ?? {}, kind))
}

/**
 * A user's role in an application; undefined without a grant. The label "Admin" opens everything. Users of before
 * there were grants have none at all, not even an empty list: `legacy` says whether they keep what they could open.
 */
export function roleIn(identity: Identity, app: string, legacy = false): Role | undefined {
  if (identity.state !== 'active') return undefined
  if (isAdmin(identity)) return 'admin'
  const apps = identity.metadata_admin?.apps
  if (apps === undefined) return legacy ? 'user' : undefined
  const role = Object.entries(apps ?? {}).find(([name]) => name === app)?.[1]
  return role === 'user' || role === 'admin' ? role : undefined
}

/**
 * The claims of a user for an application. `groups` holds `admin` for its administrators: Grafana, Nextcloud and
 * Wekan map it to their own.
 */
export function claimsFor(identity: Identity, role: Role): Record<string, unknown> {
  const { email, username, name } = identity.traits
  const isVerified = ({ value, verified }: { value: string; verified: boolean }) =>
    verified && value.toLowerCase() === email.toLowerCase()
  return {
    email,
    email_verified: (identity.verifiable_addresses ?? []).some(isVerified),
    preferred_username: username,
    name: name || username,
    groups: role === 'admin' ? ['admin', 'users'] : ['users'],
  }
}

/** A digest of what administrators change of a user: another one after each change, by whomever. */
export function versionOf({ state, traits, metadata_admin, metadata_public }: Identity): string {
  const seen = JSON.stringify([state, traits, metadata_admin ?? null, metadata_public ?? null])
  return createHash('sha256').update(seen).digest('base64url')
}

/** What is wrong with a person's data. */
export type Problem = 'username' | 'email' | 'name'

/** What is wrong with traits that somebody typed; the same limits as the identity schema. */
export function problemsOf({ username, email, name }: Traits): Problem[] {
  return [
    ...(/^[a-z0-9][a-z0-9._-]{0,63}$/.test(username) ? [] : ['username' as const]),
    ...(email.length <= 320 && /^[^\s@<>"\\]+@[^\s@<>"\\]+$/.test(email) ? [] : ['email' as const]),
    ...((name ?? '').length <= 256 && !UNSEEN.test(name ?? '') ? [] : ['name' as const]),
  ]
}

/**
 * Names that nobody new gets: accounts that applications have of their own (grafana-admin: flux2's Grafana, rocket.cat:
 * Rocket.Chat), words that stand for everybody in a chat, and mailboxes of whoever runs a server (RFC 2142).
 */
const RESERVED = [
  ...['administrator', 'root', 'nobody', 'grafana-admin', 'rocket.cat', 'all', 'here'],
  ...['abuse', 'hostmaster', 'noc', 'postmaster', 'security', 'webmaster'],
]

/** Whether a new user may not have this name. Only an administrator can be `admin`: applications take that name so. */
export function isReserved(username: string, isAdmin = false): boolean {
  return RESERVED.includes(username) || (username === 'admin' && !isAdmin)
}

/** The body that creates an identity. */
export function newIdentity(traits: Traits, metadata: AdminMetadata, password?: string): object {
  return {
    schema_id: 'default',
    state: 'active',
    traits: tidy(traits),
    metadata_admin: { subject: randomUUID(), ...metadata },
    verifiable_addresses: [{ value: traits.email, via: 'email', verified: true, status: 'completed' }],
    ...(password === undefined ? {} : withPassword(password)),
  }
}

/**
 * The body that replaces an identity (PUT). With a password it is set: a PATCH of credentials answers 200 and
 * destroys the password instead (seen on kratos v26.2.0).
 */
export function changedIdentity(
  identity: Identity,
  change: Partial<Pick<Identity, 'state' | 'metadata_admin' | 'traits'>>,
  password?: string,
): object {
  const { schema_id, state, traits, metadata_admin, metadata_public } = { ...identity, ...change }
  return {
    schema_id,
    state,
    traits: tidy(traits),
    metadata_admin: { ...metadata_admin, subject: subjectOf(identity) },
    metadata_public: metadata_public ?? null,
    ...(password === undefined ? {} : withPassword(password)),
  }
}

/** What is left of a deleted user: a name that nobody else can take, without address, password and access. */
export function tombstone(identity: Identity, at: Date, password: string): object {
  const { username } = identity.traits
  return changedIdentity(
    identity,
    {
      state: 'inactive',
      traits: { username, email: `deleted-${identity.id}@invalid` },
      metadata_admin: { subject: subjectOf(identity), deleted: at.toISOString() },
    },
    password,
  )
}

const withPassword = (password: string) => ({ credentials: { password: { config: { password } } } })

function tidy({ username, email, name }: Traits): Traits {
  return name ? { username, email, name } : { username, email }
}
