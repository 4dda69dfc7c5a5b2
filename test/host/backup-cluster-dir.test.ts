import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allOf, type Chunks, encryptTo } from '../../lib/age/age.ts'
import { tarOf } from '../../lib/age/tar.ts'
import { ROOT } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { K3S_COPY, writeArchive } from '../../scripts/backup-cluster-dir/archive.ts'
import { test } from '../suite.ts'
import { cleanUp, folder, local, me, newHome, newKey, runScript, Sshd } from './sshd.ts'

const CLUSTER = 'oas.example.org'
const SECRET = 'correct-horse-battery-staple'
const home = newHome()
const sshd = await Sshd.start()
const key = newKey(join(folder(), 'key'))
sshd.authorise(key)
const keyFile = join(home, 'age.txt')
local('age-keygen', ['-o', keyFile])
const recipient = local('age-keygen', ['-y', keyFile]).trim()

let clusters: string
const cluster = () => join(clusters, CLUSTER)
const backups = () => join(cluster(), 'backups')
const archives = () => readdirSync(backups()).filter(name => name.endsWith('.tar.age'))

/** Runs backup-cluster-dir. Nothing of what it says may hold a secret. */
async function run(args: readonly string[], env: Record<string, string> = {}) {
  const ended = await runScript('backup-cluster-dir', args, {
    env: { OAS_CLUSTERS_DIR: clusters, HOME: home, ...env },
  })
  const text = `${ended.out}${ended.err}`
  assert.not.match(text, SECRET)
  assert.not.match(text, /AGE-SECRET-KEY-1[A-Z0-9]{50}/)
  return { ...ended, text }
}
const alone = ['--skip-server', '--yes', '--recipient', recipient]
const withKey = ['--identity', keyFile]

/** An archive of a hostile or damaged kind, encrypted as it should be. */
async function encrypted(name: string, content: Chunks): Promise<string> {
  const file = join(folder(), name)
  writeFileSync(file, await allOf(encryptTo({ recipients: [recipient] }, content)))
  return file
}

test.before.each(() => {
  clusters = folder()
  mkdirSync(join(cluster(), 'secrets', 'deep'), { recursive: true })
  writeFileSync(join(cluster(), '.flux.env'), `domain=${CLUSTER}\nip_address=127.0.0.1\n`, { mode: 0o600 })
  writeFileSync(
    join(cluster(), 'inventory.yml'),
    `all:\n  hosts:\n    one:\n      ansible_host: 127.0.0.1\n      ansible_port: ${sshd.port}\n      ansible_user: ${me}\n      ansible_ssh_private_key_file: ${key}\n`,
  )
  writeFileSync(join(cluster(), 'secrets', 'deep', `${'ä'.repeat(90)}.txt`), SECRET, { mode: 0o600 })
  writeFileSync(join(cluster(), 'big'), randomBytes(3 << 20))
  writeFileSync(join(cluster(), 'left.tmp'), 'of a killed run')
})
test.after(cleanUp)

test('an archive is encrypted, 0600, verified and recorded; what is in it comes back byte by byte', async () => {
  symlinkSync('inventory.yml', join(cluster(), 'link'))
  const made = await run([...alone, '--json'])
  assert.is(made.code, 0, made.err)
  const [name, ...more] = archives()
  assert.equal(more, [])
  const file = join(backups(), name!)
  assert.is(statSync(file).mode & 0o777, 0o600)
  const content = readFileSync(file)
  assert.not.ok(content.includes(SECRET) || content.includes('.flux.env'))
  const last = JSON.parse(readFileSync(join(backups(), 'last.json'), 'utf8'))
  assert.is(last.file, file)
  assert.is(last.server, false)
  assert.is(local('sha256sum', [file]).split(' ')[0], last.sha256)
  assert.is(JSON.parse(made.out.toString()).result.sha256, last.sha256)

  // The programs age and tar read it without us.
  const plain = join(folder(), 'plain.tar')
  local('age', ['-d', '-i', keyFile, '-o', plain, file])
  const out = folder()
  local('tar', ['-xf', plain, '-C', out])
  for (const path of ['.flux.env', 'inventory.yml', 'big', `secrets/deep/${'ä'.repeat(90)}.txt`])
    assert.equal(readFileSync(join(out, 'cluster', path)), readFileSync(join(cluster(), path)))
  assert.not.ok(existsSync(join(out, 'cluster', 'left.tmp')))
  assert.not.ok(existsSync(join(out, 'cluster', 'backups')))

  const before = folder()
  cpSync(cluster(), before, { recursive: true, verbatimSymlinks: true })
  const copy = join(folder(), name!)
  cpSync(file, copy)
  rmSync(cluster(), { recursive: true })
  const restored = await run(['--cluster', CLUSTER, '--restore', copy, ...withKey, '--yes'])
  assert.is(restored.code, 0, restored.err)
  for (const path of ['.flux.env', 'inventory.yml', 'big', `secrets/deep/${'ä'.repeat(90)}.txt`]) {
    assert.equal(readFileSync(join(cluster(), path)), readFileSync(join(before, path)))
    assert.is(statSync(join(cluster(), path)).mode & 0o077, 0)
  }
  assert.is(statSync(join(cluster(), 'secrets')).mode & 0o777, 0o700)
  const again = await run(['--restore', copy, ...withKey, '--yes'])
  assert.match(again.err, 'nothing was changed')
})

test('nothing is written unencrypted: without recipient and passphrase it is refused', async () => {
  const none = await run(['--skip-server', '--yes'])
  assert.is(none.code, 2)
  assert.match(none.err, /nothing is written without\n {2}fix: give --recipient/)
  assert.not.ok(existsSync(backups()))
  const remembered = await run([...alone, '--remember'])
  assert.is(remembered.code, 0, remembered.err)
  assert.is(readFileSync(join(cluster(), 'backup-recipients.txt'), 'utf8'), `${recipient}\n`)
  await sleep(1000) // its name tells the second
  assert.is((await run(['--skip-server', '--yes'])).code, 0)
  assert.is(archives().length, 2)
  const listed = await run(['--list', '--json'])
  assert.is(JSON.parse(listed.out.toString()).result.archives.length, 2)
})

test('a passphrase, a new identity, another folder, and a dry run', async () => {
  const env = { OAS_AGE_PASSPHRASE: SECRET }
  const to = folder()
  chmodSync(to, 0o1777) // like /tmp: it is not ours, and stays as it is
  assert.is((await run(['--skip-server', '--passphrase', '--output', to, '--yes'], env)).code, 0)
  assert.is(statSync(to).mode & 0o7777, 0o1777)
  const [name] = readdirSync(to)
  const file = join(to, name!)
  assert.is((await run(['--verify', file], env)).code, 0)
  const wrong = await run(['--verify', file], { OAS_AGE_PASSPHRASE: 'another one' })
  assert.is(wrong.code, 1)
  assert.match(wrong.err, `the passphrase does not open ${name}`)
  assert.is(JSON.parse(readFileSync(join(backups(), 'last.json'), 'utf8')).file, file)

  const fresh = join(folder(), 'new.txt')
  const dry = await run(['--skip-server', '--new-identity', fresh, '--dry-run'])
  assert.is(dry.code, 0)
  assert.not.ok(existsSync(fresh))
  assert.equal(archives(), [])
  assert.is((await run(['--skip-server', '--new-identity', fresh, '--yes'])).code, 0)
  assert.is(statSync(fresh).mode & 0o777, 0o600)
  assert.is((await run(['--verify', archives()[0]!, '--identity', fresh])).code, 0)
  assert.is((await run(['--skip-server', '--new-identity', fresh, '--yes'])).code, 2)
  const inside = await run(['--skip-server', '--new-identity', join(cluster(), 'key'), '--yes'])
  assert.match(inside.err, 'next to what it opens')
})

test('restoring shows what is another one now, and replaces nothing unasked', async () => {
  await run(alone)
  const [name] = archives()
  writeFileSync(join(cluster(), '.flux.env'), `domain=${CLUSTER}\nip_address=127.0.0.2\n`)
  rmSync(join(cluster(), 'big'))
  writeFileSync(join(cluster(), 'of-today'), 'stays')
  const unasked = await run(['--restore', name!, ...withKey])
  assert.is(unasked.code, 2)
  assert.match(unasked.err, /\+ write big\n {2}~ replace \.flux\.env, which is another one now/)
  assert.not.ok(existsSync(join(cluster(), 'big')))
  assert.is((await run(['--restore', name!, ...withKey, '--dry-run'])).code, 0)
  assert.not.ok(existsSync(join(cluster(), 'big')))
  assert.is((await run(['--restore', name!, ...withKey, '--yes'])).code, 0)
  assert.match(readFileSync(join(cluster(), '.flux.env'), 'utf8'), 'ip_address=127.0.0.1')
  assert.ok(existsSync(join(cluster(), 'big')))
  assert.is(readFileSync(join(cluster(), 'of-today'), 'utf8'), 'stays')
})

test('an archive that is damaged, cut off, of others or for another cluster is refused, and nothing is written', async () => {
  await run(alone)
  const [name] = archives()
  const file = readFileSync(join(backups(), name!))
  const bad = join(folder(), 'bad.tar.age')
  writeFileSync(join(cluster(), 'big'), 'changed')
  for (const content of [file.subarray(0, file.length - 100_000), Buffer.concat([file, Buffer.from('x')])]) {
    writeFileSync(bad, content)
    const refused = await run(['--restore', bad, ...withKey, '--yes'])
    assert.is(refused.code, 1)
    assert.match(refused.err, 'bad.tar.age cannot be decrypted: it was cut off or changed')
  }
  const stranger = join(home, 'stranger.txt')
  if (!existsSync(stranger)) local('age-keygen', ['-o', stranger])
  assert.match((await run(['--verify', name!, '--identity', stranger])).err, 'none of the identities opens')
  assert.match((await run(['--verify', name!])).err, 'give --identity FILE')
  mkdirSync(join(clusters, 'other'))
  const other = await run(['--cluster', 'other', '--restore', join(backups(), name!), ...withKey, '--yes'])
  assert.is(other.code, 4)
  assert.match(other.err, `this is an archive of the cluster ${CLUSTER}, not of other`)
  assert.is(readFileSync(join(cluster(), 'big'), 'utf8'), 'changed')
  assert.equal(readdirSync(join(clusters, 'other')), [])
})

test('a hostile archive leads nowhere: paths, links, devices, what no manifest names, other bytes', async () => {
  const about = { cluster: CLUSTER, createdAt: new Date().toISOString() }
  const file = (path: string) => ({ path, mode: 0o600, size: 1, content: [Buffer.from('x')] })
  for (const path of [
    'cluster/../../escaped',
    '../escaped',
    '/tmp/escaped',
    'cluster//x',
    'cluster/./x',
    'cluster/a\nb',
    'elsewhere/x',
  ]) {
    const archive = await encrypted('hostile.tar.age', writeArchive(about, [file(path)]))
    const refused = await run(['--restore', archive, ...withKey, '--yes'])
    assert.is(refused.code, 1, path)
    assert.match(refused.err, 'hostile.tar.age is not an archive of a cluster folder')
  }
  assert.not.ok(existsSync(join(clusters, 'escaped')))

  // What tar itself makes: a symbolic link, a hard link, a device, a folder.
  const base = folder()
  mkdirSync(join(base, 'cluster'))
  symlinkSync('/etc/passwd', join(base, 'cluster', 'link'))
  local('mkfifo', [join(base, 'cluster', 'pipe')])
  for (const path of ['cluster/link', 'cluster/pipe', 'cluster']) {
    local('tar', ['-C', base, '-cf', join(base, 'made.tar'), path])
    const archive = await encrypted('links.tar.age', [readFileSync(join(base, 'made.tar'))])
    const refused = await run(['--restore', archive, ...withKey, '--yes'])
    assert.is(refused.code, 1)
    assert.match(refused.err, 'links.tar.age is not an archive of a cluster folder: ')
  }

  const content = (path: string, data: string) => ({
    path,
    mode: 0o600,
    size: data.length,
    content: [Buffer.from(data)],
  })
  const unnamed = tarOf([
    content('cluster/x', 'x'),
    content('MANIFEST.json', JSON.stringify({ format: 1, ...about, files: [] })),
  ])
  const withoutManifest = tarOf([content('cluster/x', 'x')])
  const whole = await allOf(writeArchive(about, [file('cluster/x')]))
  const otherBytes = Buffer.from(whole)
  otherBytes[512] = 'y'.charCodeAt(0)
  for (const lying of [unnamed, withoutManifest, [otherBytes], [whole.subarray(0, -1024)]]) {
    const archive = await encrypted('lying.tar.age', lying)
    assert.is((await run(['--restore', archive, ...withKey, '--yes'])).code, 1)
  }
  assert.not.ok(existsSync(join(cluster(), 'x')))

  // The copy of k3s is unpacked by root on the server.
  local('tar', ['-C', '/', '-cf', join(base, 'k3s.tar'), '--', 'etc/hostname'])
  const copy = readFileSync(join(base, 'k3s.tar'))
  const server = { name: 'root@127.0.0.1', k3s: 'v1.36.4+k3s1' }
  const source = { path: K3S_COPY, mode: 0o600, size: copy.length, content: [copy] }
  const archive = await encrypted('root.tar.age', writeArchive({ ...about, server }, [source]))
  assert.match(
    (await run(['--verify', archive, ...withKey])).err,
    'root.tar.age holds "etc/hostname", which cannot be restored: it does not belong to k3s',
  )
})

test('a run that is killed at any moment leaves no archive under its name, and the next one clears up', async () => {
  writeFileSync(join(cluster(), 'big'), randomBytes(48 << 20))
  const kill = async (after: number) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(ROOT, 'scripts', 'backup-cluster-dir.ts'), ...alone],
      { cwd: ROOT, env: { ...process.env, OAS_CLUSTERS_DIR: clusters, HOME: home }, stdio: 'ignore' },
    )
    const closed = new Promise(resolve => child.once('close', resolve))
    const partial = () => existsSync(backups()) && readdirSync(backups()).some(each => each.endsWith('.tmp'))
    for (let i = 0; i < 4000 && !partial() && child.exitCode === null; i++) await sleep(25)
    await sleep(after)
    child.kill('SIGKILL')
    await closed
  }
  let killed = 0
  for (const after of [0, 200, 800]) {
    await kill(after)
    if (archives().length === 0) killed++
    for (const name of archives())
      assert.is((await run(['--verify', name, ...withKey])).code, 0, 'what has its name is whole')
  }
  assert.ok(killed > 0, 'none was killed half-way')
  assert.is((await run(alone)).code, 0)
  assert.equal(
    readdirSync(backups()).filter(name => name.endsWith('.tmp')),
    [],
  )
})

test('a second run waits for nobody: the folder has a lock', async () => {
  writeFileSync(join(cluster(), '.lock'), String(process.pid))
  const locked = await run(alone)
  assert.is(locked.code, 75)
  assert.not.ok(existsSync(backups()))
})

test('a full disk leaves no partial archive', async () => {
  const to = folder()
  local('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', to])
  try {
    const full = await run([...alone, '--output', to])
    assert.is(full.code, 1)
    assert.match(full.err, /ENOSPC.*\n {2}fix: free some disk space/)
    assert.equal(readdirSync(to), [])
  } finally {
    local('umount', [to])
  }
})

test('over SSH: a server that is not of this cluster, or has no k3s, is not touched', async () => {
  const args = ['--yes', '--recipient', recipient, '--accept-new-host-key']
  const stranger = await run(args)
  assert.is(stranger.code, 4)
  assert.match(stranger.err, new RegExp(`is not the server of ${CLUSTER}: .*\\n {2}fix: .*--skip-server`))
  await run(alone)
  const [name] = archives()
  const bare = await run(['--restore', name!, ...withKey, '--server', '--confirm', CLUSTER])
  assert.match(bare.err, 'holds the cluster folder alone, no copy of k3s')
  await sshd.down()
  const gone = await run(args)
  assert.is(gone.code, 1)
  assert.match(gone.err, 'refuses connections')
  await sshd.up()
})

test('an identity file that others can read is warned of', async () => {
  await run(alone)
  const open = join(folder(), 'open.txt')
  cpSync(keyFile, open)
  chmodSync(open, 0o644)
  const verified = await run(['--verify', archives()[0]!, '--identity', open])
  assert.is(verified.code, 0)
  assert.match(verified.err, `chmod 600 ${open}`)
})

test.run()
