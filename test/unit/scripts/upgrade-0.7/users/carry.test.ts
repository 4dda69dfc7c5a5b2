import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Identity } from '../../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { ApiError } from '../../../../../lib/kubectl/api-error.ts'
import type { ApiRequest } from '../../../../../lib/kubectl/kube-client.ts'
import { readUpgradeState, writeUpgradeState } from '../../../../../scripts/upgrade-0.7/state.ts'
import { codesFile } from '../../../../../scripts/upgrade-0.7/users/carry.ts'
import { keepUsers } from '../../../../../scripts/upgrade-0.7/users/file.ts'
import type { OldUser } from '../../../../../scripts/upgrade-0.7/users/people.ts'
import { carryUsers } from '../../../../../scripts/upgrade-0.7/users/step.ts'
import { expectedFrom, temporaryFolder } from '../../../helpers.ts'

const user = (username: string, hash?: string): OldUser => ({
  traits: { username, email: `${username}@example.org` },
  metadata: { subject: `old-${username}`, admin: false, apps: {} },
  active: true,
  ...(hash ? { hash } : {}),
})

/** A connection to a kratos that refuses the hash `bad`, and answers to nobody of `failing`. */
function standIn(people: Identity[], failing: Set<string>) {
  const answer = ({ method = 'GET', path, body }: ApiRequest): unknown => {
    const { pathname } = new URL(path, 'http://api')
    if (pathname.endsWith('/recovery/code')) {
      const { identity_id } = body as { identity_id: string }
      return { recovery_link: 'https://admin.example.org/recovery', recovery_code: `code-of-${identity_id}` }
    }
    if (method === 'GET') return people
    const { traits, credentials, ...rest } = body as Identity & {
      credentials?: { password: { config: { hashed_password: string } } }
    }
    if (failing.has(traits.username)) throw new ApiError(500, { message: 'restarts' })
    if (credentials?.password.config.hashed_password === 'bad')
      throw new ApiError(400, { message: 'unknown hash' })
    const created = { ...rest, id: traits.username, traits }
    people.push(created)
    return created
  }
  const exchange = async (request: ApiRequest) => ({ text: JSON.stringify(answer(request)), link: '' })
  return { client: { exchange } }
}

test('whose hash kratos refuses gets a code, also when the run fails after that', async () => {
  const folder = join(temporaryFolder(), 'a.org')
  const cluster = { name: 'a.org', folder }
  const backup = join(folder, 'backup')
  mkdirSync(backup, { recursive: true })
  const users = [user('mia', 'bad'), user('max', 'good'), user('eva'), user('ben', 'good')]
  const file = await keepUsers(cluster, backup, { users, left: [], notes: [] })
  writeUpgradeState(cluster, { target: 'v0.7', backup, owned: [], startedAt: 'then', users: { file } })

  const people: Identity[] = []
  const failing = new Set(['ben'])
  const log = { warn: () => {} }
  const step = (_title: string, _byHand: unknown, work: () => Promise<unknown>) => work()
  const carry = () =>
    carryUsers(
      { cluster, log, step } as never,
      {
        kubectl: standIn(people, failing),
        deadline: 1000,
        signal: new AbortController().signal,
      } as never,
      readUpgradeState(cluster)!,
    )

  await expectedFrom(carry)
  assert.ok(
    people.some(({ id }) => id === 'mia'),
    'carried over before the failure',
  )
  failing.clear()
  const result = await carry()
  assert.is(result!.carried, 4)
  const names = readFileSync(codesFile(backup), 'utf8')
    .trim()
    .split('\n')
    .map(row => row.split(',')[0])
  assert.equal(names, ['username', 'mia', 'eva'])
})

test.run()
