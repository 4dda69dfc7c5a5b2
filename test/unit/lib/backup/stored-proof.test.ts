import * as assert from 'uvu/assert'
import type { BackupBucket } from '../../../../lib/backup/bucket.ts'
import {
  earlierFacts,
  type Proof,
  readProof,
  sealedProof,
  storedProof,
} from '../../../../lib/backup/stored-proof.ts'
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
  const fix = async (orElse?: string) =>
    (await expectedFrom(() => readProof(bucket({}), 'b', 'wekan', orElse))).fix
  assert.match(await fix(), /--verify b --app wekan$/)
  assert.match(await fix('do without'), /--verify b --app wekan; do without$/)
})

test('a new proof keeps of the one before what cannot be found out again, and tells of no change but a real one', async () => {
  for (const [from, what] of UNPROVED)
    assert.equal(await earlierFacts(from, 'b'), what === 'changed' ? { changed: PATH } : {})
  const { files, versions } = JSON.parse(GOOD)
  const facts = { contents: undefined, files, versions, changed: undefined }
  assert.equal(await earlierFacts(signed(GOOD), 'b'), facts)
})

test('the checksum inside a proof counts, whatever lies beside it: a run was killed, or two have written', async () => {
  const text = sealedProof({ ...JSON.parse(GOOD), backup: { name: 'b', claims: [] } } as Proof)
  const beside: Record<string, string>[] = [{}, { [`${PATH}.sha256`]: sha256('the one before') }]
  for (const more of beside) {
    const proof = await storedProof(bucket({ [PATH]: text, ...more }), 'b')
    assert.equal((proof as Proof).files, { 'b.tar.gz': 'a-sum' })
  }
  // Of another backup; changed by hand; the checksum taken out, or a part cut off.
  const other = text.replace('"b"', '"other"')
  for (const changed of [
    sealedProof({ ...JSON.parse(GOOD), backup: { name: 'other', claims: [] } } as Proof),
    other,
    text.replace('a-sum', 'another'),
    text.replace(/,\s+"sha256.*/, ''),
    text.slice(0, -20),
  ])
    assert.is(
      await storedProof(bucket({ [PATH]: changed, [`${PATH}.sha256`]: sha256(text) }), 'b'),
      'changed',
    )
})

test('a proof that was changed once is told of by every later one', async () => {
  const tampered = bucket({ [PATH]: BAD, [`${PATH}.sha256`]: sha256(GOOD) })
  const { changed } = await earlierFacts(tampered, 'b')
  assert.is(changed, PATH)
  const next = sealedProof({ ...JSON.parse(GOOD), changed, backup: { name: 'b', claims: [] } } as Proof)
  assert.is((await earlierFacts(bucket({ [PATH]: next }), 'b')).changed, PATH)
  assert.is((await earlierFacts(bucket({ [PATH]: next }), 'b', 'wekan')).changed, PATH)
})

/** A proof of an application at its own place, or as earlier versions have written it in place of the whole. */
const OF_WEKAN = PATH.replace('.json', '-wekan.json')
const WEKAN = GOOD.replace('{', '{"app":"wekan",')
const withSums = (files: Record<string, string>) =>
  bucket({
    ...files,
    ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`${path}.sha256`, sha256(text)])),
  })

test('a proof of one application counts for that one, beside the proof of the whole and in its old place', async () => {
  const beside = withSums({ [PATH]: BAD, [OF_WEKAN]: WEKAN })
  for (const from of [beside, withSums({ [OF_WEKAN]: WEKAN }), withSums({ [PATH]: WEKAN })])
    assert.is((await readProof(from, 'b', 'wekan')).app, 'wekan')
  assert.is((await readProof(withSums({ [PATH]: GOOD }), 'b', 'wekan')).app, undefined)
  const refusal = async (from: BackupBucket, app?: string) =>
    (await expectedFrom(() => readProof(from, 'b', app))).message
  for (const app of ['nextcloud', undefined]) {
    assert.match(await refusal(beside, app), /says: a volume is missing/)
    assert.match(await refusal(withSums({ [OF_WEKAN]: WEKAN }), app), /has no proof/)
    assert.match(await refusal(withSums({ [PATH]: WEKAN }), app), /is of wekan only/)
  }
  const badWekan = WEKAN.replace('[]', '[{"what":"a volume is missing"}]')
  assert.match(await refusal(withSums({ [PATH]: GOOD, [OF_WEKAN]: badWekan }), 'wekan'), /says: a volume/)
})

test('of the proofs of an application and of the whole the later one counts, but not for what others lack', async () => {
  const claim = (of: string, state: string) => ({ claim: `oas-apps/${of}`, state, reason: 'gone' })
  const lacks = (of: string) => `backup b does not have the data of oas-apps/${of}: gone`
  const made = (day: string, what?: string, backup: object = {}) => {
    const claims = [claim('wekan', 'captured')]
    const wrong = what === undefined ? [] : [{ what, fix: '' }]
    const madeAt = `2026-${day}T00:00:00.000Z`
    return { version: 1, madeAt, wrong, backup: { name: 'b', flaws: [], claims, ...backup } }
  }
  const read = (own: object, whole: object) =>
    readProof(
      withSums({ [PATH]: JSON.stringify(whole), [OF_WEKAN]: JSON.stringify({ app: 'wekan', ...own }) }),
      'b',
      'wekan',
    )
  const refusal = async (own: object, whole: object) => (await expectedFrom(() => read(own, whole))).message
  const damaged = 'backup b: b.tar.gz in the bucket is damaged'
  assert.match(await refusal(made('03-01'), made('04-01', damaged)), /says: .* is damaged/)
  assert.is((await read(made('04-01'), made('03-01', damaged))).app, 'wekan')
  assert.is((await read(made('03-01', damaged), made('04-01'))).app, undefined)
  assert.match(await refusal(made('04-01', damaged), made('03-01')), /says: .* is damaged/)

  const missing = (of: string) => made('04-01', lacks(of), { claims: [claim(of, 'missing')] })
  assert.match(await refusal(made('03-01'), missing('wekan')), /does not have the data of oas-apps\/wekan/)
  assert.is((await read(made('03-01'), missing('nextcloud'))).app, 'wekan')
  const labels = { what: 'takes only objects with certain labels', fix: '' }
  const selected = made('04-01', `backup b ${labels.what}`, { flaws: [labels] })
  assert.is((await read(made('03-01'), selected)).app, 'wekan')
})

test('a proof of one application keeps what was known of it before, and what the proof of the whole knows', async () => {
  const { files, versions } = JSON.parse(GOOD)
  const own = WEKAN.replace('a-sum', 'first')
  const facts = (of: Record<string, string>) => earlierFacts(withSums(of), 'b', 'wekan')
  assert.equal((await facts({ [PATH]: GOOD })).files, files)
  const both = await facts({ [PATH]: GOOD, [OF_WEKAN]: own.replace('"versions"', '"others"') })
  assert.equal([both.files, both.versions], [{ 'b.tar.gz': 'first' }, versions])
  const tampered = bucket({ [PATH]: GOOD, [`${PATH}.sha256`]: 'x', [OF_WEKAN]: own })
  assert.is((await earlierFacts(tampered, 'b', 'wekan')).changed, PATH)
})

test.run()
