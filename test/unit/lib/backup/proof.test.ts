import * as assert from 'uvu/assert'
import type { BackupBucket } from '../../../../lib/backup/bucket.ts'
import { earlierFacts, storedProof } from '../../../../lib/backup/proof.ts'
import { readProof } from '../../../../lib/backup/restoring.ts'
import { sha256 } from '../../../../lib/script/digest.ts'
import { test } from '../../../suite.ts'
import { expectedFrom } from '../../helpers.ts'

const PATH = 'backups/b/openappstack-proof.json'
const bucket = (files: Record<string, string>) =>
  ({
    read: async (path: string) => (path in files ? Buffer.from(files[path]!) : undefined),
  }) as unknown as BackupBucket
const signed = (text: string) => bucket({ [PATH]: text, [`${PATH}.sha256`]: `${sha256(text)}\n` })

const GOOD = JSON.stringify({
  version: 1,
  wrong: [],
  backup: { claims: [] },
  files: { 'b.tar.gz': 'a-sum' },
  versions: { 'oas-apps/wekan': '1.0.0' },
})
const BAD = GOOD.replace('[]', '[{"what":"a volume is missing"}]')
/** What may lie in a bucket in place of a proof, and what that is. */
const UNPROVED = [
  [bucket({}), 'absent'],
  [bucket({ [PATH]: GOOD }), 'absent'],
  [bucket({ [`${PATH}.sha256`]: sha256(GOOD) }), 'absent'],
  [bucket({ [PATH]: BAD, [`${PATH}.sha256`]: sha256(GOOD) }), 'changed'],
  [bucket({ [PATH]: GOOD, [`${PATH}.sha256`]: '' }), 'changed'],
  [signed('{'), 'unreadable'],
  [signed('{"version":2}'), 'unreadable'],
] as const

test('a proof counts only when it is there with its checksum, unchanged and readable', async () => {
  for (const [from, what] of UNPROVED) assert.is(await storedProof(from, 'b'), what)
  assert.equal((await readProof(signed(GOOD), 'b')).wrong, [])
})

test('nothing is restored by a proof that is missing, changed, unreadable, or that says what is wrong', async () => {
  const said = { absent: /has no proof/, changed: /was changed/, unreadable: /cannot be read/ }
  for (const [from, what] of UNPROVED)
    assert.match((await expectedFrom(() => readProof(from, 'b'))).message, said[what])
  const message = (await expectedFrom(() => readProof(signed(BAD), 'b'))).message
  assert.match(message, /says: a volume is missing/)
})

test('a new proof keeps of the one before what cannot be found out again, and tells of no change but a real one', async () => {
  for (const [from, what] of UNPROVED)
    assert.equal(await earlierFacts(from, 'b'), what === 'changed' ? { isChanged: true } : {})
  const { files, versions } = JSON.parse(GOOD)
  assert.equal(await earlierFacts(signed(GOOD), 'b'), { contents: undefined, files, versions })
})

test.run()
