import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AdminMetadata, Identity } from '../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { listing } from '../../../../scripts/users/list.ts'

const person = (username: string, metadata_admin: AdminMetadata | null): Identity => ({
  id: username,
  schema_id: 'default',
  state: 'active',
  traits: { username, email: `${username}@example.org` },
  metadata_admin,
})
const people = [
  person('admin', { admin: true }),
  person('mia', { apps: { wekan: 'admin' } }),
  person('none', { apps: {} }),
  person('old', null),
]

test('the list says what users without grants may open, and how to end that', () => {
  const opens = ({ text }: ReturnType<typeof listing>) =>
    text
      .split('\n')
      .slice(1)
      .map(row => row.split(/ {2,}/).at(-1))
  const kept = listing(people, true)
  assert.equal(opens(kept), ['all, as administrator', 'wekan=admin', 'nothing', 'all: no grants yet'])
  assert.match(kept.next[0]!, 'legacy_access=false')
  assert.is(kept.result.at(-1)!.opensAll, true)
  const ended = listing(people, false)
  assert.is(opens(ended).at(-1), 'nothing: no grants yet')
  assert.equal(ended.next, [])
  assert.equal(listing(people.slice(0, 3), true).next, [])
})

test.run()
