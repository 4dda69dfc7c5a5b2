import {
  type AdminMetadata,
  type Identity,
  isAdmin,
  type Traits,
} from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { grantWords } from './people.ts'

/** What is changed of a user. */
export type AccountChange = Partial<Pick<Identity, 'state' | 'metadata_admin' | 'traits'>>

/** One thing that is done to an account. */
export type AccountAction =
  | { does: 'create'; traits: Traits; metadata: AdminMetadata; hash?: string }
  | { does: 'change'; identity: Identity; change: AccountChange }
  | { does: Doing; identity: Identity }

/** What is done to a user as he is. */
export type Doing = 'disable' | 'delete' | 'free' | 'end sessions of' | 'revoke tokens of' | 'reset'

/** What a command hands over at the end: a one-time code, or a generated password. */
export type Handing = { to: string; as: 'code' | 'password' }

/** What a command does, each action with its line. */
export interface AccountPlan {
  actions: { line: string; action: AccountAction }[]
  handing?: Handing
}

/** What a plan does, in lines. Pure. */
export function accountLines({ actions, handing }: AccountPlan): string[] {
  const as = handing?.as === 'code' ? 'one-time code' : 'new password'
  return [...actions.map(({ line }) => line), ...(handing ? [`create a ${as} for ${handing.to}`] : [])]
}

/** The user of this name. Throws an ExpectedError that names the nearest one. Pure. */
export function userNamed(name: string | undefined, people: readonly Identity[]): Identity {
  if (name === undefined)
    throw new UsageError('the user name is missing', 'run `npx tsx scripts/users.ts list --help`')
  const found = people.find(({ traits }) => traits.username === name)
  if (found) return found
  const names = people.map(({ traits }) => traits.username)
  throw new ExpectedError(
    `user ${JSON.stringify(name)} does not exist`,
    names.length > 20 ? 'list them: npx tsx scripts/users.ts list' : suggestion(name, names),
  )
}

/** One action with what differs; none when nothing does. Pure. */
export function changePlan(identity: Identity, change: AccountChange): AccountPlan {
  const after = { ...identity, ...change }
  const facts = ({ state, traits, metadata_admin }: Identity) => ({
    email: traits.email,
    name: traits.name ?? '',
    state: state === 'active' ? 'enabled' : 'disabled',
    administrator: metadata_admin?.admin ? 'yes' : 'no',
    applications: grantWords(metadata_admin) ?? 'not set',
  })
  const [old, now] = [facts(identity), facts(after)]
  const changed = (Object.keys(now) as (keyof typeof now)[]).filter(key => old[key] !== now[key])
  if (changed.length === 0) return { actions: [] }
  const what = changed.map(key => `${key} ${old[key] || 'none'} → ${now[key] || 'none'}`)
  const line = `change ${identity.traits.username}: ${what.join(', ')}`
  return { actions: [{ line, action: { does: 'change', identity, change } }] }
}

/** Throws an ExpectedError when nobody else could administer the platform. Pure. */
export function guardLastAdmin(identity: Identity, people: readonly Identity[]): void {
  if (!isAdmin(identity) || people.some(other => other.id !== identity.id && isAdmin(other))) return
  throw new ExpectedError(
    `${identity.traits.username} is the only administrator`,
    'make somebody else administrator first: npx tsx scripts/users.ts admin NAME on',
    { exitCode: EXIT.refused },
  )
}
