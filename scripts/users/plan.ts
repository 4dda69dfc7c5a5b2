import type { AdminMetadata, Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { traitProblems } from '../../lib/platform/old-accounts.ts'
import { ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import {
  type AccountChange,
  type AccountPlan,
  changePlan,
  type Doing,
  guardLastAdmin,
  type Handing,
  userNamed,
} from './actions.ts'
import { importPlan } from './import.ts'
import { grantsOf, type Person } from './people.ts'

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

/**
 * What a command changes; no action when nothing differs. What takes access away ends sessions or tokens also when
 * kratos has the state already: a run that failed in between has left them, and kratos does not tell. Throws what is
 * wrong. Pure.
 */
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
  const act = (does: Doing, identity: Identity, line: string) => ({
    actions: [{ line, action: { does, identity } }],
  })
  const taking = (identity: Identity, change: AccountChange) => {
    const plan = changePlan(identity, change)
    return plan.actions.length > 0
      ? plan
      : act('revoke tokens of', identity, `revoke all tokens of ${name}, whose access stays as it is`)
  }
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
        throw new ExpectedError(
          `the name ${name} is taken`,
          `choose another name; or use edit; or create the code that was not shown: npx tsx scripts/users.ts reset-password ${name}`,
        )
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
        ? act('end sessions of', existing(), `end all sessions of ${name}, who is disabled already`)
        : act('disable', existing(), `disable ${name}, end all sessions`)
    case 'enable':
      return changePlan(existing(), { state: 'active' })
    case 'delete': {
      const identity = userNamed(name, people)
      if (identity.metadata_admin?.deleted)
        return act('end sessions of', identity, `end all sessions of ${name}, who is deleted already`)
      guardLastAdmin(identity, people)
      return act('delete', identity, `delete ${name} (${identity.traits.email}); the name stays reserved`)
    }
    case 'restore': {
      const identity = userNamed(name, people)
      if (!identity.metadata_admin?.deleted)
        throw new ExpectedError(
          `user ${name} is not deleted`,
          `create a code: npx tsx scripts/users.ts reset-password ${name}`,
        )
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
      const changed = (apps: AdminMetadata['apps']) => ({ metadata_admin: metadata(identity, { apps }) })
      return command === 'grant'
        ? changePlan(identity, changed(Object.fromEntries([...left, ...Object.entries(given)])))
        : taking(identity, changed(Object.fromEntries(left)))
    }
    case 'admin': {
      const identity = existing()
      const [state, app] = words
      if (state !== 'on' && state !== 'off')
        throw new UsageError('on or off is missing', 'write admin NAME on, or off')
      const on = state === 'on'
      const plan = on ? changePlan : taking
      if (app !== undefined) {
        grantsOf([app], apps)
        const granted = { ...identity.metadata_admin?.apps }
        if (on || app in granted) granted[app] = on ? 'admin' : 'user'
        return plan(identity, { metadata_admin: metadata(identity, { apps: granted }) })
      }
      if (!on) guardLastAdmin(identity, people)
      return plan(identity, {
        metadata_admin: metadata(identity, { admin: on, apps: identity.metadata_admin?.apps ?? {} }),
      })
    }
    case 'reset-password':
      existing()
      return { actions: [], handing }
    case 'sessions':
      if (!flags.end) throw new UsageError('nothing to do', 'give --end to end all sessions')
      return act('end sessions of', userNamed(name, people), `end all sessions of ${name}`)
    case 'reset-admin':
      return { ...adminPlan(flags.email, people), handing: { to: 'admin', as: 'password' } }
    default:
      throw new UsageError(
        `unknown command ${JSON.stringify(command)}`,
        'run `npx tsx scripts/users.ts list --help`',
      )
  }
}

/** What makes `admin` an administrator who can log in: reset, restored or created. */
function adminPlan(email: string | undefined, people: readonly Identity[]): AccountPlan {
  const identity = people.find(({ traits }) => traits.username === 'admin')
  if (identity && !identity.metadata_admin?.deleted) {
    const line = 'reset admin: active, label "Admin", no second factor, new password'
    return { actions: [{ line, action: { does: 'reset', identity } }] }
  }
  const person: Person = {
    traits: { username: 'admin', email: email ?? '', name: 'Administrator' },
    admin: true,
  }
  throwAll(traitProblems(person.traits).map(text => new UsageError(text, 'give --email ADDRESS')))
  if (!identity) return importPlan([person], people)
  const metadata_admin = { subject: identity.metadata_admin?.subject, admin: true, apps: {} }
  return changePlan(identity, { state: 'active', traits: person.traits, metadata_admin })
}
