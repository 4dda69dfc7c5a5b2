import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Hydra } from '../../../../flux2/core/single-sign-on/userpanel/panel/hydra.ts'
import { Kratos } from '../../../../flux2/core/single-sign-on/userpanel/panel/kratos.ts'
import { type Ask, UpstreamError } from '../../../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import type { Identity } from '../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { AccountServices } from '../../../../lib/platform/sign-on.ts'
import { sleep } from '../../../../lib/script/wait.ts'
import type { AccountPlan } from '../../../../scripts/users/actions.ts'
import { accountPlan } from '../../../../scripts/users/plan.ts'
import { carryOut, handOver } from '../../../../scripts/users/steps.ts'
import { expectedFrom, messagesOf } from '../../helpers.ts'

const person = (username: string, metadata_admin: Identity['metadata_admin'] = {}): Identity => ({
  ...{ id: `id-${username}`, schema_id: 'default', state: 'active', metadata_public: null },
  traits: { username, email: `${username}@example.org` },
  metadata_admin: { subject: `subject-${username}`, ...metadata_admin },
})
const FLAGS = { admin: false, grant: [], generate: false, end: false }

/** kratos and hydra with these people. `fails`: the requests that get no good answer. */
class StandIn {
  people: Identity[]
  fails = (_request: string) => false
  /** What was answered well, but for what only reads. */
  done: string[] = []
  begun = 0
  readonly services: AccountServices

  constructor(...people: Identity[]) {
    this.people = people
    const ask: Ask = async <T>(path: string, { method = 'GET', body = {} as unknown } = {}) => {
      const request = `${method} ${path}`
      if (method !== 'GET') this.begun++
      await sleep(1)
      if (this.fails(request)) throw new UpstreamError('a service', 503, { message: 'restarts' })
      if (method !== 'GET') this.done.push(request)
      if (path.startsWith('/admin/identities?')) return { data: structuredClone(this.people) as T, link: '' }
      const known = this.people.find(({ id }) => path.startsWith(`/admin/identities/${id}`))
      if (known && method === 'PUT') Object.assign(known, body)
      if (known && method === 'DELETE' && path.endsWith(known.id))
        this.people = this.people.filter(each => each !== known)
      return { data: structuredClone(known) as T, link: '' }
    }
    const [kratos, hydra] = [new Kratos(ask, ask), new Hydra(ask)]
    this.services = { kratos, hydra, admin: ask, browser: ask, hydraAdmin: ask }
  }

  plan(...args: string[]): AccountPlan {
    const accounts = { people: structuredClone(this.people), apps: ['nextcloud', 'wekan'] }
    const flags = { ...FLAGS, email: 'x@example.org', end: args[0] === 'sessions' }
    return accountPlan(args, flags, accounts)
  }

  users(...args: string[]): Promise<void> {
    return carryOut(this.services, this.plan(...args).actions, new AbortController().signal)
  }
}

const isRevocation = (request: string) => request.includes('/auth/sessions/consent?subject=subject-mia')

test('whoever loses access loses the tokens, also when a run failed between kratos and hydra', async () => {
  for (const command of [
    'revoke mia wekan',
    'admin mia off',
    'admin mia off wekan',
    'disable mia',
    'delete mia',
  ]) {
    const accounts = new StandIn(
      person('admin', { admin: true }),
      person('mia', { admin: true, apps: { wekan: 'admin' } }),
    )
    accounts.fails = isRevocation
    await expectedFrom(() => accounts.users(...command.split(' ')))
    const changed = structuredClone(accounts.people)
    assert.ok(
      accounts.done.some(request => request.startsWith('PUT ')),
      `${command}: kratos has it`,
    )
    accounts.fails = () => false
    await accounts.users(...command.split(' '))
    assert.ok(accounts.done.some(isRevocation), command)
    const facts = ({ state, traits, metadata_admin }: Identity) => [state, traits, metadata_admin]
    assert.equal(accounts.people.map(facts), changed.map(facts), `${command}: kratos stays`)
  }
})

test('sessions of a deleted user can be ended, and end before the name is freed', async () => {
  for (const command of ['sessions mia', 'free-name mia']) {
    const accounts = new StandIn(person('admin', { admin: true }), person('mia', { deleted: '2026' }))
    accounts.fails = isRevocation
    await expectedFrom(() => accounts.users(...command.split(' ')))
    assert.is(accounts.people.length, 2, 'nobody is forgotten whose tokens are valid')
    accounts.fails = () => false
    await accounts.users(...command.split(' '))
    assert.ok(accounts.done.some(isRevocation), command)
  }
})

test('a change whose tokens stayed names what ends them: the next plan does not show it', async () => {
  const accounts = new StandIn(person('mia', { apps: { wekan: 'admin' } }))
  accounts.fails = isRevocation
  const { fix } = await expectedFrom(() => accounts.users('grant', 'mia', 'wekan'))
  assert.match(fix, 'users.ts sessions mia --end')
  assert.equal(accounts.plan('grant', 'mia', 'wekan').actions, [])
})

test('after a failed handover the error and the second run name the command that continues', async () => {
  const accounts = new StandIn(person('mia'))
  for (const fails of [/recovery|PUT/, /identities\?/]) {
    accounts.fails = request => fails.test(request)
    const code = await expectedFrom(() => handOver(accounts.services, { to: 'mia', as: 'code' }))
    assert.match(code.fix, /reset-password mia`$/)
    const password = await expectedFrom(() => handOver(accounts.services, { to: 'mia', as: 'password' }))
    assert.match(password.fix, 'reset-password mia --generate')
  }
  for (const command of ['create', 'restore'])
    assert.match((await expectedFrom(() => accounts.plan(command, 'mia'))).fix, 'reset-password mia', command)
})

test('after a failure nobody is cut off in the middle, no other action starts, and every failure is told', async () => {
  const people = Array.from({ length: 40 }, (_, i) => person(`p${i}`))
  const accounts = new StandIn(...people)
  accounts.fails = request => /subject-p[01]&/.test(request)
  const actions = people.flatMap(({ traits }) => accounts.plan('disable', traits.username).actions)
  const error = await expectedFrom(() => carryOut(accounts.services, actions, new AbortController().signal))
  assert.equal(
    messagesOf(error).map(message => message.split(',')[0]),
    ['disable p0', 'disable p1'],
  )
  const disabled = accounts.people.filter(({ state }) => state === 'inactive')
  assert.ok(disabled.length < people.length)
  const revoked = accounts.done.filter(request => request.includes('/sessions/consent?'))
  assert.is(revoked.length, disabled.length - 2)
  const { begun } = accounts
  await sleep(50)
  assert.is(accounts.begun, begun, 'nothing goes on afterwards')
})

test.run()
