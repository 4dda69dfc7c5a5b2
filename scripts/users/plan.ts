import {
  type AdminMetadata,
  type Identity,
  isAdmin,
  type Traits,
} from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { EXIT, ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { grantsOf, grantWords, type Person, traitProblems } from './people.ts'

/** What is changed of a user. */
export type AccountChange = Partial<Pick<Identity, 'state' | 'metadata_admin' | 'traits'>>

/** One thing that is done to an account. */
export type AccountAction =
  | { does: 'create'; traits: Traits; metadata: AdminMetadata }
  | { does: 'change'; identity: Identity; change: AccountChange }
  | { does: 'disable' | 'delete' | 'free' | 'end sessions of' | 'reset'; identity: Identity }

/** What a command hands over at the end: a one-time code, or a generated password. */
export type Handing = { to: string; as: 'code' | 'password' }

/** What a command does, each action with its line. */
export interface AccountPlan {
  actions: { line: string; action: AccountAction }[]
  handing?: Handing
}

/** The flags that commands read. */
export interface AccountFlags {
  email?: string
  name?: string
  admin: boolean
  grant: string[]
  generate: boolean
  end: boolean
}

/** What the platform has: its users and the applications that are registered. */
export interface Accounts {
  people: readonly Identity[]
  apps: readonly string[]
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

/** What a command changes; no action when nothing differs. Throws what is wrong. Pure. */
export function accountPlan(
  [command = '', name, ...words]: readonly string[],
  flags: AccountFlags,
  { people, apps }: Accounts,
): AccountPlan {
  const existing = () => {
    const found = userNamed(name, people)
    if (!found.metadata_admin?.deleted) return found
    throw new ExpectedError(
      `user ${name} was deleted; the name is reserved`,
      `restore it: npx tsx scripts/users.ts restore ${name} --email ADDRESS`,
    )
  }
  const act = (
    does: 'disable' | 'delete' | 'free' | 'end sessions of' | 'reset',
    identity: Identity,
    line: string,
  ) => ({
    actions: [{ line, action: { does, identity } }],
  })
  const metadata = (identity: Identity, to: Partial<AdminMetadata>) => ({ ...identity.metadata_admin, ...to })
  const handing: Handing = { to: name ?? '', as: flags.generate ? 'password' : 'code' }

  switch (command) {
    case 'create': {
      const email = flags.email ?? ''
      const person: Person = {
        traits: { username: name ?? '', email, name: flags.name },
        admin: flags.admin,
        apps: grantsOf(flags.grant, apps),
      }
      throwAll(traitProblems(person.traits).map(text => new UsageError(text, 'correct it; see --help')))
      if (people.some(({ traits }) => traits.username === name)) {
        existing()
        throw new ExpectedError(`the name ${name} is taken`, 'choose another name, or use edit')
      }
      return { ...importPlan([person], people), handing }
    }
    case 'edit': {
      const identity = existing()
      const traits = {
        ...identity.traits,
        ...(flags.email === undefined ? {} : { email: flags.email }),
        ...(flags.name === undefined ? {} : { name: flags.name }),
      }
      throwAll(traitProblems(traits).map(text => new UsageError(text, 'correct it; see --help')))
      return changePlan(identity, { traits })
    }
    case 'disable':
      guardLastAdmin(existing(), people)
      return existing().state === 'inactive'
        ? { actions: [] }
        : act('disable', existing(), `disable ${name}, end all sessions`)
    case 'enable':
      return changePlan(existing(), { state: 'active' })
    case 'delete':
      guardLastAdmin(existing(), people)
      return act('delete', existing(), `delete ${name} (${existing().traits.email}); the name stays reserved`)
    case 'restore': {
      const identity = userNamed(name, people)
      if (!identity.metadata_admin?.deleted) return { actions: [] }
      const traits = { username: identity.traits.username, email: flags.email ?? '', name: flags.name }
      throwAll(traitProblems(traits).map(text => new UsageError(text, 'give --email ADDRESS')))
      const { subject } = identity.metadata_admin
      return {
        ...changePlan(identity, { state: 'active', traits, metadata_admin: { subject, apps: {} } }),
        handing,
      }
    }
    case 'free-name': {
      const identity = userNamed(name, people)
      if (!identity.metadata_admin?.deleted)
        throw new ExpectedError(
          `user ${name} is not deleted`,
          `run \`npx tsx scripts/users.ts delete ${name}\` first`,
        )
      return act(
        'free',
        identity,
        `free the name ${name}: a new user of this name may get the old one's accounts in applications`,
      )
    }
    case 'grant':
    case 'revoke': {
      const identity = existing()
      if (words.length === 0) throw new UsageError('the application is missing', `write ${command} NAME APP`)
      const granted = identity.metadata_admin?.apps ?? {}
      const given = grantsOf(words, [...apps, ...Object.keys(granted)])
      const left = Object.entries(granted).filter(([app]) => !(app in given))
      return changePlan(identity, {
        metadata_admin: metadata(identity, {
          apps: Object.fromEntries([...left, ...(command === 'grant' ? Object.entries(given) : [])]),
        }),
      })
    }
    case 'admin': {
      const identity = existing()
      const [state, app] = words
      if (state !== 'on' && state !== 'off')
        throw new UsageError('on or off is missing', 'write admin NAME on, or off')
      const on = state === 'on'
      if (app !== undefined) {
        grantsOf([app], apps)
        const granted = { ...identity.metadata_admin?.apps }
        if (on || app in granted) granted[app] = on ? 'admin' : 'user'
        return changePlan(identity, { metadata_admin: metadata(identity, { apps: granted }) })
      }
      if (!on) guardLastAdmin(identity, people)
      return changePlan(identity, {
        metadata_admin: metadata(identity, { admin: on, apps: identity.metadata_admin?.apps ?? {} }),
      })
    }
    case 'reset-password':
      existing()
      return { actions: [], handing }
    case 'sessions':
      if (!flags.end) throw new UsageError('nothing to do', 'give --end to end all sessions')
      return act('end sessions of', existing(), `end all sessions of ${name}`)
    case 'reset-admin': {
      const identity = people.find(({ traits }) => traits.username === 'admin')
      const as: Handing = { to: 'admin', as: 'password' }
      if (identity && !identity.metadata_admin?.deleted)
        return {
          ...act('reset', identity, 'reset admin: active, label "Admin", no second factor, new password'),
          handing: as,
        }
      throw new ExpectedError(
        'the user admin does not exist',
        'create it: npx tsx scripts/users.ts create admin --email ADDRESS --admin',
      )
    }
    default:
      throw new UsageError(
        `unknown command ${JSON.stringify(command)}`,
        'run `npx tsx scripts/users.ts list --help`',
      )
  }
}

/** What makes the platform's users those of a file; users that the file does not name stay. Pure. */
export function importPlan(wanted: readonly Person[], people: readonly Identity[]): AccountPlan {
  const byName = new Map(people.map(person => [person.traits.username, person]))
  const byEmail = new Map(people.map(person => [person.traits.email.toLowerCase(), person.traits.username]))
  const problems: ExpectedError[] = []
  const actions = wanted.flatMap(({ traits, admin, apps }): AccountPlan['actions'] => {
    const { username, email } = traits
    const owner = byEmail.get(email.toLowerCase())
    if (owner !== undefined && owner !== username)
      problems.push(
        new ExpectedError(`${username}: ${email} is the address of ${owner}`, 'use another address'),
      )
    const identity = byName.get(username)
    if (!identity) {
      const metadata: AdminMetadata = { admin: admin ?? false, apps: apps ?? {} }
      const access = metadata.admin ? 'administrator' : grantWords(metadata) || 'no applications'
      return [
        { line: `create ${username} (${email}): ${access}`, action: { does: 'create', traits, metadata } },
      ]
    }
    if (identity.metadata_admin?.deleted) {
      problems.push(
        new ExpectedError(`${username} was deleted; the name is reserved`, 'use restore or free-name first'),
      )
      return []
    }
    if (admin === false) {
      try {
        guardLastAdmin(identity, people)
      } catch (error) {
        problems.push(error as ExpectedError)
      }
    }
    return changePlan(identity, {
      traits: { ...identity.traits, email, ...(traits.name === undefined ? {} : { name: traits.name }) },
      metadata_admin: {
        ...identity.metadata_admin,
        ...(admin === undefined ? {} : { admin }),
        ...(apps === undefined ? {} : { apps }),
      },
    }).actions
  })
  throwAll(problems)
  return { actions }
}

/** One action with what differs; none when nothing does. */
function changePlan(identity: Identity, change: AccountChange): AccountPlan {
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

/** Throws when nobody else could administer the platform. */
function guardLastAdmin(identity: Identity, people: readonly Identity[]): void {
  if (!isAdmin(identity) || people.some(other => other.id !== identity.id && isAdmin(other))) return
  throw new ExpectedError(
    `${identity.traits.username} is the only administrator`,
    'make somebody else administrator first: npx tsx scripts/users.ts admin NAME on',
    { exitCode: EXIT.refused },
  )
}
