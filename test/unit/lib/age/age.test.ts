import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { armor, Encrypter } from 'age-encryption'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { type AgeKeys, allOf, decryptWith, encryptTo } from '../../../../lib/age/age.ts'
import {
  ageKeysOf,
  newIdentity,
  parseIdentities,
  parseRecipients,
  recipientsOf,
} from '../../../../lib/age/keys.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { sleep } from '../../../../lib/script/wait.ts'
import { test } from '../../../suite.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const mine = await newIdentity()
const other = await newIdentity()
const identities = await parseIdentities(mine.text, 'key.txt')
const keys: AgeKeys = {
  identities,
  passphrase: () => Promise.reject(new Error('nobody is to be asked')),
}
const to = { recipients: [mine.recipient] }
const warnings: string[] = []
const log = { warn: (text: string) => void warnings.push(text) }

const sealed = async (data: Buffer) => allOf(encryptTo(to, [data]))
const opened = async (file: Uint8Array[], by = keys) => allOf(decryptWith(by, file, 'x.age'))
/** The same bytes in pieces of this size, as a network or a disk gives them. */
const inPieces = (data: Buffer, size: number) =>
  Array.from({ length: Math.ceil(data.length / size) }, (_, i) => data.subarray(i * size, (i + 1) * size))

test.before.each(() => {
  delete process.env.OAS_AGE_PASSPHRASE
  warnings.length = 0
})

test('what was encrypted comes back, whatever its size and the pieces it is read in, binary and armored', async () => {
  for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const data = Buffer.from(Array.from({ length }, (_, i) => (i * 31) & 255))
    const file = await sealed(data)
    const text = Buffer.from(armor.encode(file))
    for (const size of [7, 4096, 1 << 20]) {
      assert.equal(await opened(inPieces(file, size)), data)
      assert.equal(await opened(inPieces(text, size)), data)
    }
  }
})

test('every of several recipients opens it; somebody else does not', async () => {
  const file = await allOf(
    encryptTo({ recipients: [mine.recipient, other.recipient] }, [Buffer.from('data')]),
  )
  for (const text of [mine.text, other.text]) {
    const by = { ...keys, identities: await parseIdentities(text, 'key.txt') }
    assert.is((await opened([file], by)).toString(), 'data')
  }
  const third = { ...keys, identities: await parseIdentities((await newIdentity()).text, 'key.txt') }
  const error = await expectedFrom(() => opened([file], third))
  assert.match(error.message, 'none of the identities opens x.age')
  assert.match((await expectedFrom(() => opened([file], { ...keys, identities: [] }))).fix, '--identity')
})

test('a file cut off anywhere, with a changed bit or with more at its end is refused', async () => {
  const data = Buffer.alloc(150_000, 'secret')
  const file = await sealed(data)
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: file.length - 1 }),
      fc.constantFrom('cut', 'flip', 'armor'),
      async (at, how) => {
        const bad = Buffer.from(how === 'flip' ? file : file.subarray(0, at))
        if (how === 'flip') bad[at] = bad[at]! ^ 1
        const error = await expectedFrom(() =>
          opened([how === 'armor' ? Buffer.from(armor.encode(bad)) : bad]),
        )
        // A bit in the header may make it somebody else's file, or none.
        assert.match(
          error.message,
          /x\.age (cannot be decrypted: it was cut off or changed|is not an age file)|none of the identities opens x\.age/,
        )
      },
    ),
    { numRuns: 60 },
  )
  assert.match((await expectedFrom(() => opened([file, Buffer.from('x')]))).message, 'cut off or changed')
})

test('armor is read strictly', async () => {
  const text = armor.encode(await sealed(Buffer.alloc(300)))
  assert.is((await opened([Buffer.from(`\n  \r\n${text.replaceAll('\n', '\r\n')}\n\n`)])).length, 300)
  const lines = text.split('\n')
  for (const bad of [
    `${text}after`,
    lines.toSpliced(3, 0, '').join('\n'),
    lines.toSpliced(3, 1, 'short').join('\n'),
    lines.toSpliced(3, 1, `${lines[3]!.slice(0, -1)}%`).join('\n'),
    lines.slice(0, -2).join('\n'),
    lines.toSpliced(2, 0, 'A'.repeat(100_000)).join('\n'),
  ])
    assert.match((await expectedFrom(() => opened([Buffer.from(bad)]))).message, 'cut off or changed', bad)
})

test('what is not an age file is told as such', async () => {
  for (const bad of ['', 'age', 'PK\u0003\u0004 and so on, for longer than a header', '{}\n'])
    assert.is((await expectedFrom(() => opened([Buffer.from(bad)]))).message, 'x.age is not an age file')
})

test('a failure to read the file is not told as a damaged file', async () => {
  const file = await sealed(Buffer.alloc(200_000))
  const broken = async function* () {
    yield file.subarray(0, 100_000)
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
  }
  try {
    await allOf(decryptWith(keys, broken(), 'x.age'))
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), 'EIO')
  }
})

test('a large stream needs little memory, and whoever reads only its beginning closes its source', async () => {
  const chunk = Buffer.alloc(1 << 20, 'x')
  let closed = 0
  const source = function* () {
    try {
      for (let i = 0; i < 96; i++) yield chunk
    } finally {
      closed++
    }
  }
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  let most = 0
  let size = 0
  for await (const piece of decryptWith(keys, encryptTo(to, source()), 'x.age')) {
    size += piece.length
    most = Math.max(most, process.memoryUsage.rss() - before)
  }
  assert.is(size, 96 << 20)
  assert.ok(most < 64 << 20, `${most >> 20} MB more`)
  for await (const _ of decryptWith(keys, encryptTo(to, source()), 'x.age')) break
  for (let i = 0; i < 50 && closed < 2; i++) await sleep(20)
  assert.is(closed, 2)
})

test('a passphrase: from the environment, long enough, asked for only when the file wants one', async () => {
  process.env.OAS_AGE_PASSPHRASE = 'short'
  const none = { recipient: [], passphrase: true }
  assert.match((await expectedFrom(() => recipientsOf(none))).message, 'OAS_AGE_PASSPHRASE is too short')
  process.env.OAS_AGE_PASSPHRASE = 'correct horse battery'
  const file = await allOf(encryptTo(await recipientsOf(none), [Buffer.from('data')]))
  assert.is(redact('it is correct horse battery'), 'it is ***')
  const by = await ageKeysOf({ identity: [] }, log)
  assert.is((await opened([file], by)).toString(), 'data')
  process.env.OAS_AGE_PASSPHRASE = 'another horse battery'
  const wrong = await expectedFrom(async () => opened([file], await ageKeysOf({ identity: [] }, log)))
  assert.is(wrong.message, 'the passphrase does not open x.age')
  delete process.env.OAS_AGE_PASSPHRASE
  const nobody = await expectedFrom(async () => opened([file], await ageKeysOf({ identity: [] }, log)))
  assert.match(nobody.fix, 'OAS_AGE_PASSPHRASE')
  assert.match((await expectedFrom(() => recipientsOf(none))).fix, 'OAS_AGE_PASSPHRASE')
})

test('a work factor that would take for ever is refused', async () => {
  const encrypter = new Encrypter()
  encrypter.setScryptWorkFactor(2)
  encrypter.setPassphrase('correct horse battery')
  const file = Buffer.from(await encrypter.encrypt('data'))
  const bad = Buffer.from(file.toString('latin1').replace(/^(-> scrypt \S+) 2$/m, '$1 30'), 'latin1')
  process.env.OAS_AGE_PASSPHRASE = 'correct horse battery'
  const by = await ageKeysOf({ identity: [] }, log)
  assert.match((await expectedFrom(() => opened([bad], by))).message, 'work factor is too high')
})

test('recipients come from flags, files and what is remembered; nothing is written without', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'recipients.txt')
  writeFileSync(file, `# those of the team\n\n${mine.recipient}\r\n${other.recipient}\n`)
  const both = { recipients: [mine.recipient, other.recipient] }
  assert.equal(await recipientsOf({ recipient: [mine.recipient, file], passphrase: false }), both)
  assert.equal(await recipientsOf({ recipient: [], passphrase: false }, file), both)
  for (const remembered of [undefined, join(folder, 'none')]) {
    const error = await expectedFrom(() => recipientsOf({ recipient: [], passphrase: false }, remembered))
    assert.instance(error, UsageError)
    assert.match(error.fix, '--recipient')
  }
  await expectedFrom(() => recipientsOf({ recipient: [mine.recipient], passphrase: true }))
  assert.match(
    (await expectedFrom(() => recipientsOf({ recipient: ['no-such-file'], passphrase: false }))).message,
    '--recipient "no-such-file" is not a file',
  )
  await expectedFrom(() => allOf(encryptTo({ recipients: [] }, [])))
})

test('what is no recipient or identity is told by its line, and a secret is never shown', async () => {
  const secret = identities[0]!
  const bad: [text: string, what: RegExp][] = [
    [`${mine.recipient}\n${other.recipient.slice(0, -1)}\n`, /^f line 2 is not an age recipient/],
    [`${mine.recipient}x`, /^f is not an age recipient/],
    ['ssh-ed25519 AAAA ann@laptop', /SSH keys cannot be recipients/],
    [secret, /^f is an identity: a secret/],
    ['# nothing\n', /f names no recipient/],
  ]
  for (const [text, what] of bad) {
    const error = await expectedFrom(() => parseRecipients(text, 'f'))
    assert.match(error.message, what)
    assert.not.match(`${error.message} ${error.fix}`, secret)
  }
  const flag = await expectedFrom(() => ageKeysOf({ identity: [secret] }, log))
  assert.not.match(`${flag.message} ${flag.fix}`, secret)
  assert.is(redact(`x ${secret}`), 'x ***')
  const last = secret.endsWith('Q') ? 'P' : 'Q'
  const wrong = await expectedFrom(() => parseIdentities(`#\n${secret.slice(0, -1)}${last}\n`, 'f'))
  assert.is(wrong.message, 'f line 2 is not an age identity')
  assert.match(
    (await expectedFrom(() => parseIdentities('-----BEGIN OPENSSH PRIVATE KEY-----\n', 'f'))).message,
    'SSH key',
  )
})

test('an identity file that others can read is warned of; one with a passphrase is opened with it', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'key.txt')
  writeFileSync(file, mine.text, { mode: 0o600 })
  const by = await ageKeysOf({ identity: [file] }, log)
  assert.equal([by.identities, warnings], [identities, []])
  chmodSync(file, 0o644)
  await ageKeysOf({ identity: [file] }, log)
  assert.match(warnings[0]!, `chmod 600 ${file}`)
  process.env.OAS_AGE_PASSPHRASE = 'correct horse battery'
  const locked = join(folder, 'key.age')
  const lockedBy = await recipientsOf({ recipient: [], passphrase: true })
  writeFileSync(locked, await allOf(encryptTo(lockedBy, [Buffer.from(mine.text)])))
  assert.equal((await ageKeysOf({ identity: [locked] }, log)).identities, identities)
})

test.run()
