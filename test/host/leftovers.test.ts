import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { messageOf } from '../../lib/script/errors.ts'
import { sleep } from '../../lib/script/wait.ts'
import { endLeftovers, leftovers } from '../../lib/ssh/leftovers.ts'
import { lockServer } from '../../lib/ssh/lock.ts'
import { ConnectionLost, Ssh } from '../../lib/ssh/ssh.ts'
import { test } from '../suite.ts'
import { cleanUp, folder, me, newHome, newKey, newUser, Sshd } from './sshd.ts'

newHome()
const sshd = await Sshd.start({ alone: true })
const key = newKey(join(folder(), 'key'))
sshd.authorise(key)
const target = { host: '127.0.0.1', port: sshd.port, user: me, keyFile: key }
const said: string[] = []
const note = (text: string) => void said.push(text)
const log = { info: note, warn: note, detail: note, progress: note }
const open: Ssh[] = []
async function connect(user = me): Promise<Ssh> {
  const ssh = await Ssh.connect({ ...target, user }, { log, acceptNewHostKey: true })
  open.push(ssh)
  return ssh
}
const at = join(folder(), 'file')
/** Writes its time into a file for as long as it runs, whatever happens to its connection. */
const BUSY = 'trap "" HUP PIPE; while :; do date +%s%N > "$1"; sleep 0.1; done'
const STUBBORN = `trap "" TERM; ${BUSY}`
async function isBusy(file: string): Promise<boolean> {
  await appears(file)
  const before = readFileSync(file, 'utf8')
  for (let i = 0; i < 20; i++) {
    await sleep(100)
    if (readFileSync(file, 'utf8') !== before) return true
  }
  return false
}
async function appears(file: string): Promise<void> {
  for (let i = 0; i < 1200 && !existsSync(file); i++) await sleep(50)
}

test.before.each(() => {
  said.length = 0
})
test.after.each(() => {
  for (const ssh of open.splice(0)) ssh.close()
})
test.after(cleanUp)

test('a run that was killed leaves a process; the next one finds and ends it, and only that', async () => {
  const file = `${at}.killed`
  const script = join(folder(), 'run.mts')
  const lib = new URL('../../lib/', import.meta.url).pathname
  writeFileSync(
    script,
    `import { Ssh } from '${lib}ssh/ssh.ts'
     const log = { info() {}, warn() {}, detail() {} }
     const ssh = await Ssh.connect(${JSON.stringify(target)}, { log })
     ssh.changing = true
     await ssh.sh(${JSON.stringify(BUSY)}, [${JSON.stringify(file)}], { timeout: 0 })`,
  )
  const ssh = await connect()
  // Somebody who only looks, and a changing command of our own that is waited for, have to stay.
  const looking = ssh.run(['sleep', '8']).catch(messageOf)
  ssh.changing = true
  const own = ssh.sh('sleep 8; echo whole').catch(messageOf)
  const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: 'inherit' })
  assert.ok(await isBusy(file))
  child.kill('SIGKILL')
  await sleep(300)
  assert.ok(await isBusy(file), 'it outlives its run')
  const [left, ...more] = await leftovers(ssh)
  assert.equal(more, [])
  assert.match(left!.command, /^sh -c trap "" HUP PIPE; while/)
  const found = await endLeftovers(ssh, { wait: 0, log })
  assert.equal(
    found.map(({ mark }) => mark),
    [left!.mark],
  )
  assert.not(await isBusy(file))
  assert.equal(await leftovers(ssh), [])
  assert.is(await own, 'whole')
  assert.is(await looking, '')
})

test('what was under way when the connection was lost is found after connecting again', async () => {
  const file = `${at}.lost`
  const ssh = await connect()
  ssh.changing = true
  const running = ssh.sh(STUBBORN, [file], { timeout: 0 }).catch(error => error)
  assert.ok(await isBusy(file))
  assert.equal(await leftovers(ssh), [], 'somebody waits for it')
  sshd.killSessions()
  assert.instance(await running, ConnectionLost)
  await ssh.reconnect({ deadline: 60_000 })
  assert.is((await leftovers(ssh)).length, 1)
  await endLeftovers(ssh, { wait: 0, log, patience: 1000 })
  assert.not(await isBusy(file))
  assert.is(said.filter(line => line.startsWith('ending what')).length, 2, 'TERM does not end it, KILL does')
})

test('what ends by itself in time is waited for and not ended', async () => {
  const file = `${at}.waited`
  const ssh = await connect()
  ssh.changing = true
  const slow = 'trap "" HUP PIPE; : > "$1"; sleep 8; echo whole > "$1"'
  const running = ssh.sh(slow, [file]).catch(error => error)
  await appears(file)
  sshd.killSessions()
  await running
  await ssh.reconnect({ deadline: 60_000 })
  assert.is((await endLeftovers(ssh, { wait: 60_000, log })).length, 1)
  assert.is(readFileSync(file, 'utf8'), 'whole\n')
  assert.match(said.join('\n'), 'waiting for what an earlier run left')
  assert.not.match(said.join('\n'), 'ending what')
})

test('the lock marks what is run while it is held; processes of root are found by sudo', async () => {
  const user = newUser({ sudoers: 'ALL=(ALL) NOPASSWD: ALL' })
  const ssh = await connect(user)
  const environment = () => ssh.run(['sh', '-c', 'echo "$OAS_RUN"'])
  assert.match(await environment(), /^look-/)
  const lock = await lockServer(ssh, { holder: 'ann', path: `${at}.lock`, onLost: () => {} })
  assert.match(await environment(), /^change-/)
  const file = `${at}.root`
  const running = ssh.sh(BUSY, [file], { timeout: 0, sudo: true }).catch(error => error)
  assert.ok(await isBusy(file))
  await lock.release()
  assert.match(await environment(), /^look-/)
  sshd.killSessions()
  await running
  await ssh.reconnect({ deadline: 60_000 })
  assert.equal(await leftovers(ssh, { sudo: false }), [])
  await endLeftovers(ssh, { wait: 0, log })
  assert.not(await isBusy(file))
})

test.run()
