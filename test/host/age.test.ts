import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allOf, decryptWith, encryptTo } from '../../lib/age/age.ts'
import { ageKeysOf, newIdentity, recipientsOf } from '../../lib/age/keys.ts'
import { sleep } from '../../lib/script/wait.ts'
import { test } from '../suite.ts'
import { cleanUp, folder, local } from './sshd.ts'

// Against Debian's age and age-keygen: what one writes the other has to read.
if (spawnSync('age', ['--version']).status !== 0)
  throw new Error('age is missing: apt-get install age (the tests read and write its files)')

const log = { warn: () => {} }
const home = folder()
const at = (name: string) => join(home, name)
const data = randomBytes(300_000)
const passphrase = "correct horse $(battery) 'ä'"
const keyFile = at('key.txt')
local('age-keygen', ['-o', keyFile])
const recipient = local('age-keygen', ['-y', keyFile]).trim()
writeFileSync(at('plain'), data)

test.before.each(() => {
  delete process.env.OAS_AGE_PASSPHRASE
})
test.after(cleanUp)

/** Runs age on a terminal, where alone it asks for passphrases, and types this one as often as it asks. */
async function onTerminal(command: string): Promise<void> {
  const child = spawn('script', ['-qfec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = new Promise(resolve => child.once('close', resolve))
  let screen = ''
  let asked = 0
  child.stdout.on('data', async chunk => {
    screen += chunk
    const prompts = screen.match(/passphrase[^:\n]*: /gi)?.length ?? 0
    for (; asked < prompts; asked++) {
      await sleep(100) // it takes the echo off first
      child.stdin.write(`${passphrase}\n`)
    }
  })
  assert.is(await closed, 0, screen)
}

const ours = async (file: string, identity: string[]) =>
  allOf(decryptWith(await ageKeysOf({ identity }, log), createReadStream(at(file)), file))

test('age reads what we encrypted to a recipient of age-keygen', async () => {
  const to = await recipientsOf({ recipient: [recipient], passphrase: false })
  writeFileSync(at('ours.age'), await allOf(encryptTo(to, createReadStream(at('plain')))))
  local('age', ['-d', '-i', keyFile, '-o', at('opened'), at('ours.age')])
  assert.equal(readFileSync(at('opened')), data)
})

test('we read what age encrypted, binary and armored', async () => {
  local('age', ['-r', recipient, '-o', at('theirs.age'), at('plain')])
  local('age', ['-a', '-r', recipient, '-o', at('theirs.txt'), at('plain')])
  for (const file of ['theirs.age', 'theirs.txt']) assert.equal(await ours(file, [keyFile]), data)
})

test('age reads an identity of ours, and a recipients file is the same for both', async () => {
  const made = await newIdentity()
  writeFileSync(at('made.txt'), made.text, { mode: 0o600 })
  assert.is(local('age-keygen', ['-y', at('made.txt')]).trim(), made.recipient)
  writeFileSync(at('recipients.txt'), `# both\n${recipient}\n${made.recipient}\n`)
  const to = await recipientsOf({ recipient: [at('recipients.txt')], passphrase: false })
  writeFileSync(at('both.age'), await allOf(encryptTo(to, [data])))
  for (const file of [keyFile, at('made.txt')]) {
    local('age', ['-d', '-i', file, '-o', at('opened'), at('both.age')])
    assert.equal(readFileSync(at('opened')), data)
  }
  local('age', ['-R', at('recipients.txt'), '-o', at('theirs-both.age'), at('plain')])
  assert.equal(await ours('theirs-both.age', [at('made.txt')]), data)
})

test('a passphrase works both ways, also round an identity', async () => {
  process.env.OAS_AGE_PASSPHRASE = passphrase
  const to = await recipientsOf({ recipient: [], passphrase: true })
  writeFileSync(at('ours-pass.age'), await allOf(encryptTo(to, [data])))
  await onTerminal(`age -d -o ${at('opened-pass')} ${at('ours-pass.age')}`)
  assert.equal(readFileSync(at('opened-pass')), data)
  await onTerminal(`age -p -o ${at('theirs-pass.age')} ${at('plain')}`)
  assert.equal(await ours('theirs-pass.age', []), data)
  await onTerminal(`age -p -a -o ${at('key.age')} ${keyFile}`)
  assert.equal(await ours('theirs.age', [at('key.age')]), data)
})

test('age refuses what we refuse', async () => {
  const file = readFileSync(at('ours.age'))
  for (const [name, bad] of [
    ['cut.age', file.subarray(0, file.length - 70_000)],
    ['chunk.age', file.subarray(0, file.length - (file.length % 65_552))],
    ['more.age', Buffer.concat([file, Buffer.from('x')])],
  ] as const) {
    writeFileSync(at(name), bad)
    assert.is.not(spawnSync('age', ['-d', '-i', keyFile, at(name)]).status, 0)
    try {
      await ours(name, [keyFile])
      assert.unreachable(`${name} of ${statSync(at(name)).size} bytes was accepted`)
    } catch (error) {
      assert.match(String(error), `${name} cannot be decrypted`)
    }
  }
})

test.run()
