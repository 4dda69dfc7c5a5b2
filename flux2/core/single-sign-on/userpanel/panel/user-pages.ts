/** The pages on which administrators manage users. */
import {
  ChangedError,
  changeUser,
  createUser,
  deleteUser,
  disableUser,
  endSessions,
  freeName,
  type Handover,
  newCode,
  newPassword,
  removeSecondFactor,
  TakenError,
} from './accounts.ts'
import { type Application, applications } from './dashboard.ts'
import { type Answer, PageError, redirect } from './http.ts'
import { forAdmins, isGone, type Panel, type Visit, type Visitor } from './panel.ts'
import { TEXTS } from './texts.ts'
import { UpstreamError } from './upstream.ts'
import { handoverPage, newUserPage, type UserForm, userListPage, userPage } from './user-views.ts'
import {
  type AdminMetadata,
  type Identity,
  isReserved,
  problemsOf,
  type Role,
  type Traits,
  versionOf,
} from './users.ts'

/** Texts that a redirect may ask a page to show, by name: nothing of the address itself is ever shown. */
const NOTICES = ['saved', 'ended', 'disabled', 'enabled', 'restored', 'factorRemoved'] as const

export function userList(panel: Panel, visit: Visit): Promise<Answer> {
  return forAdmins(panel, visit, async visitor => {
    const { searchParams } = visit.url
    const query = (searchParams.get('q') ?? '').trim().slice(0, 320)
    const found = query
      ? { identities: [await panel.kratos.find(query.toLowerCase())].flatMap(user => user ?? []) }
      : await panel.kratos.list(searchParams.get('page') ?? undefined).catch(unlessNoPage)
    return { page: userListPage(visitor, found, query) }
  })
}

/** The token of a page comes back from the browser: kratos refuses one that it has not made. */
function unlessNoPage(error: unknown): never {
  if (error instanceof UpstreamError && error.status === 400) throw new PageError(404, TEXTS.error.notFound)
  throw error
}

/** The form of a new user, and what it sends. */
export function newUser(panel: Panel, visit: Visit): Promise<Answer> {
  return forAdmins(panel, visit, async (visitor, fields) => {
    const apps = applications(await panel.hydra.clients())
    if (!fields) return { page: newUserPage(visitor, apps, { problems: [] }) }
    const given = read(fields, apps)
    const again = (...problems: string[]) => ({
      status: 400,
      page: newUserPage(visitor, apps, { ...given, problems }),
    })
    if (isReserved(given.traits.username, given.metadata.admin)) return again(TEXTS.problems.reserved)
    const start = fields.get('start') === 'password' ? 'password' : 'code'
    return ifAccepted(given.traits, again, async () => {
      const { identity, handover } = await createUser(panel, given.traits, given.metadata, start)
      panel.log({
        event: 'user created',
        user: identity.traits.username,
        by: visitor.identity.traits.username,
      })
      return { page: handoverPage(visitor, identity, handover) }
    })
  })
}

/** Does the work with traits that somebody typed, or tells by `refuse` what is wrong with them, or that they are taken. */
async function ifAccepted(
  traits: Traits,
  refuse: (...problems: string[]) => Answer,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const problems = problemsOf(traits).map(problem => TEXTS.problems[problem])
  if (problems.length > 0) return refuse(...problems)
  try {
    return await work()
  } catch (error) {
    if (error instanceof TakenError) return refuse(TEXTS.problems.taken)
    throw error
  }
}

/** One user, and everything that is done to one. */
export function oneUser(panel: Panel, visit: Visit, id: string): Promise<Answer> {
  return forAdmins(panel, visit, async (visitor, fields) => {
    const identity = await found(panel, id)
    const apps = applications(await panel.hydra.clients())
    if (fields)
      return act(panel, fields, visitor, identity, apps).catch(async error => {
        if (!(error instanceof ChangedError)) throw error
        const problems = [TEXTS.problems.changed]
        return { status: 409, page: userPage(visitor, await found(panel, id), apps, { problems }) }
      })
    const notice = NOTICES.find(name => visit.url.searchParams.get('done') === name)
    return {
      page: userPage(visitor, identity, apps, { problems: [], notice: notice && TEXTS.users[notice] }),
    }
  })
}

async function act(
  panel: Panel,
  fields: URLSearchParams,
  visitor: Visitor,
  identity: Identity,
  apps: Application[],
): Promise<Answer> {
  const action = fields.get('action') ?? ''
  const { username } = identity.traits
  const refuse = (...problems: string[]) => ({
    status: 400,
    page: userPage(visitor, identity, apps, { problems }),
  })
  const done = (notice: (typeof NOTICES)[number]) => {
    panel.log({ event: `user ${action}`, user: username, by: visitor.identity.traits.username })
    return redirect(`/users/${identity.id}?done=${notice}`)
  }
  const hand = (handover: Handover) => {
    panel.log({ event: `user ${action}`, user: username, by: visitor.identity.traits.username })
    return { page: handoverPage(visitor, identity, handover) }
  }
  const own = identity.id === visitor.identity.id
  const gone = identity.metadata_admin?.deleted !== undefined
  if (gone && !['restore', 'free', 'end'].includes(action)) throw new PageError(409, TEXTS.error.expired)
  if (['save', 'restore'].includes(action) && fields.get('version') !== versionOf(identity))
    throw new ChangedError('the user was changed meanwhile')
  // Whoever asks is an administrator and stays one: nobody else can be the last.
  if (own && ['disable', 'delete'].includes(action)) return refuse(TEXTS.users.yourself)
  switch (action) {
    case 'save':
      return save(panel, identity, read(fields, apps), { own, refuse, done: () => done('saved') })
    case 'code':
      return hand(await newCode(panel, identity))
    case 'password':
      return hand(await newPassword(panel, identity))
    case 'end':
      await endSessions(panel, identity)
      return done('ended')
    case 'factor':
      await removeSecondFactor(panel, identity)
      return done('factorRemoved')
    case 'disable':
      await disableUser(panel, identity)
      return done('disabled')
    case 'enable':
      await changeUser(panel, identity, { state: 'active' })
      return done('enabled')
    case 'delete':
      if (fields.get('confirm') !== username) return refuse(TEXTS.problems.confirm)
      await deleteUser(panel, identity)
      panel.log({ event: 'user deleted', user: username, by: visitor.identity.traits.username })
      return redirect('/users')
    case 'restore':
      return restore(panel, identity, read(fields, apps), refuse, () => done('restored'))
    case 'free':
      if (!gone) throw new PageError(409, TEXTS.error.expired)
      await freeName(panel, identity)
      panel.log({ event: 'name freed', user: username, by: visitor.identity.traits.username })
      return redirect('/users')
    default:
      throw new PageError(400, TEXTS.error.form)
  }
}

function save(
  panel: Panel,
  identity: Identity,
  given: UserForm,
  { own, refuse, done }: { own: boolean; refuse: (...problems: string[]) => Answer; done: () => Answer },
): Promise<Answer> {
  const traits = { ...given.traits, username: identity.traits.username }
  return ifAccepted(traits, refuse, async () => {
    if (own && identity.metadata_admin?.admin === true && !given.metadata.admin)
      return refuse(TEXTS.users.yourself)
    // Grants of applications that are not installed right now are kept.
    const apps = { ...identity.metadata_admin?.apps, ...given.metadata.apps }
    for (const [app, role] of Object.entries(given.roles)) if (role === 'none') delete apps[app]
    const metadata_admin = { ...identity.metadata_admin, admin: given.metadata.admin, apps }
    await changeUser(panel, identity, { traits, metadata_admin })
    return done()
  })
}

function restore(
  panel: Panel,
  identity: Identity,
  given: UserForm,
  refuse: (...problems: string[]) => Answer,
  done: () => Answer,
): Promise<Answer> {
  const traits = { ...given.traits, username: identity.traits.username }
  return ifAccepted(traits, refuse, async () => {
    const { subject } = identity.metadata_admin ?? {}
    // An empty list: without one he would count as a user of before there were grants.
    const metadata_admin = { subject, apps: {} }
    await changeUser(panel, identity, { traits, state: 'active', metadata_admin })
    return done()
  })
}

/** What a form of a user sends, as far as it is allowed. */
function read(fields: URLSearchParams, apps: readonly Application[]): UserForm {
  const text = (name: string) => (fields.get(name) ?? '').trim()
  const roles = Object.fromEntries(
    apps.map(({ client_id }): [string, Role | 'none'] => {
      const role = fields.get(`app-${client_id}`)
      return [client_id, role === 'user' || role === 'admin' ? role : 'none']
    }),
  )
  const granted = Object.entries(roles).filter((entry): entry is [string, Role] => entry[1] !== 'none')
  const traits: Traits = {
    username: text('username').toLowerCase(),
    email: text('email').toLowerCase(),
    name: text('name'),
  }
  const metadata: AdminMetadata = { admin: fields.get('admin') === 'on', apps: Object.fromEntries(granted) }
  return { traits, metadata, roles }
}

async function found({ kratos }: Panel, id: string): Promise<Identity> {
  try {
    return await kratos.identity(id)
  } catch (error) {
    if (isGone(error)) throw new PageError(404, TEXTS.error.notFound)
    throw error
  }
}
