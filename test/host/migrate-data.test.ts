/**
 * What migrate-data does on a server, over a real sshd: copying with everything that files can be, cut-off runs,
 * full disks. sshd sees no processes of this machine but its own, so that what is ended there is of this test.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ExpectedError } from '../../lib/script/errors.ts'
import { sleep } from '../../lib/script/wait.ts'
import { Ssh } from '../../lib/ssh/ssh.ts'
import {
  type CopyJob,
  copyVolume,
  listFolders,
  lookAtJobs,
  placeCopy,
  workFolder,
} from '../../scripts/migrate-data/server.ts'
import { test } from '../suite.ts'
import { cleanUp, folder, me, newHome, newKey, newUser, Sshd } from './sshd.ts'

if (process.getuid?.() !== 0)
  throw new Error(
    'these tests give files to other users: run them as root (in a container or a virtual machine)',
  )
newHome()
const sshd = await Sshd.start({ alone: true })
const key = newKey(join(folder(), 'key'))
sshd.authorise(key)
const mounts: string[] = []
const log = { info: () => {}, warn: () => {}, detail: () => {} }
const connect = (user = me) =>
  Ssh.connect({ host: '127.0.0.1', port: sshd.port, user, keyFile: key }, { log, acceptNewHostKey: true })
let ssh: Ssh

test.before(async () => {
  ssh = await connect()
})
test.after(() => {
  ssh.close()
  for (const mount of mounts) spawnSync('umount', ['-l', mount])
  cleanUp()
})

const UID = '5d7c9f6e-1f3b-4f59-9a44-6a2a3b6b1c11'
const NAME = `pvc-${UID}_oas-apps_nextcloud-nextcloud`

/** A folder with old data and one with an empty new volume. */
function job(storage = folder()): CopyJob {
  const [source, target] = [join(folder(), 'pvc-old'), join(storage, NAME)]
  for (const path of [source, target]) mkdirSync(path)
  return { source, target }
}
const state = async (one: CopyJob) => (await lookAtJobs(ssh, [one]))[0]!
const copy = (one: CopyJob, checksums = false) => copyVolume(ssh, one, { checksums })
async function failure(work: Promise<unknown>): Promise<ExpectedError> {
  try {
    await work
  } catch (error) {
    if (error instanceof ExpectedError) return error
    throw error
  }
  return assert.unreachable('nothing was thrown') as never
}

/** Everything about every file below a folder that a copy has to keep, told by tar, which is none of our means. */
function everything(path: string): string {
  const args = [
    '--numeric-owner',
    '--xattrs',
    '--acls',
    '--sort=name',
    '--format=pax',
    '--pax-option=delete=atime,delete=ctime',
  ]
  return execFileSync(
    'sh',
    ['-c', 'path=$1; shift; tar -C "$path" "$@" -c . | sha256sum', 'sh', path, ...args],
    { encoding: 'utf8' },
  )
}
/** Gives a file an extended attribute and an ACL (of user 7 to read); whether that is possible here. */
const SETXATTR = `import os, struct, sys
acl = [(1, 6, -1), (2, 4, 7), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
os.setxattr(sys.argv[1], "user.oas", b"x\\0y")
os.setxattr(sys.argv[1], "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in acl))`
const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout
const setter = [python?.trim() || 'python3', join(folder(), 'set.py')] as const
writeFileSync(setter[1], SETXATTR)
const xattr = (path: string) => spawnSync(setter[0], [setter[1], path]).status === 0

/** Whatever files can be. */
function hostile(path: string): void {
  const names = [
    'new\nline',
    '-rf',
    '--',
    ' ',
    '*',
    '$(id)',
    'quo\'te"',
    'tab\t',
    'ü🔑',
    '.hidden',
    'a'.repeat(255),
  ]
  for (const [i, name] of names.entries()) {
    writeFileSync(join(path, name), name.repeat(i))
    chownSync(join(path, name), 1000 + i, 60000 + i)
  }
  writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xfe])]), 'no UTF-8')
  mkdirSync(join(path, '-d\n', 'deep'), { recursive: true })
  chownSync(join(path, '-d\n'), 999, 999)
  execFileSync('chmod', ['2770', '--', join(path, '-d\n')])
  writeFileSync(join(path, 'setuid'), '#!')
  chownSync(join(path, 'setuid'), 33, 33)
  execFileSync('chmod', ['4755', join(path, 'setuid')])
  linkSync(join(path, 'setuid'), join(path, '-d\n', 'hard'))
  symlinkSync('/etc/shadow', join(path, 'absolute'))
  symlinkSync('gone\naway', join(path, 'dangling'))
  symlinkSync('..', join(path, '-d\n', 'loop'))
  execFileSync('chown', ['-h', '33:33', join(path, 'absolute')])
  lutimesSync(join(path, 'dangling'), 1000, 1000)
  execFileSync('mkfifo', [join(path, 'fifo')])
  writeFileSync(join(path, 'sparse'), 'x')
  truncateSync(join(path, 'sparse'), 200 << 20)
  execFileSync('touch', ['-d', '2001-02-03 04:05:06.123456789', join(path, 'setuid')])
  execFileSync('touch', ['-d', '2002-02-03', join(path, '-d\n')])
  chownSync(path, 33, 33)
  execFileSync('chmod', ['0750', path])
}

test('everything that files can be is kept, proven and put in place; the source is as it was', async () => {
  const one = job()
  hostile(one.source)
  const hasXattrs = xattr(join(one.source, 'setuid'))
  const before = everything(one.source)
  const counts = await copy(one, true)
  assert.equal([counts!.hardLinks, counts!.symlinks, counts!.others, counts!.folders], [1, 3, 1, 2])
  assert.is(counts!.files, 14)
  assert.is(readdirSync(one.target).length, 0) // not in place yet
  assert.equal(await placeCopy(ssh, one), [])
  assert.is(everything(one.target), before)
  assert.is(everything(one.source), before)
  const { ino, blocks } = statSync(join(one.target, 'sparse'))
  assert.ok(ino && blocks < 10_000, `${blocks} blocks`)
  assert.is(statSync(join(one.target, 'setuid')).ino, statSync(join(one.target, '-d\n', 'hard')).ino)
  if (!hasXattrs) console.log('(no extended attributes here)')
  const seen = await state(one)
  assert.equal([seen.done, seen.target, seen.copied], [one.source, 'folder', undefined])
  // Again: nothing happens.
  const { ctimeMs } = statSync(one.target)
  assert.is(await copy(one), undefined)
  assert.equal(await placeCopy(ssh, one), [])
  assert.is(statSync(one.target).ctimeMs, ctimeMs)
})

test('the same as a user with sudo, who may read none of it', async () => {
  const one = job()
  hostile(one.source)
  execFileSync('chmod', ['0700', one.source])
  const before = everything(one.source)
  const [source, target] = [join(one.source, '..'), join(one.target, '..')]
  for (const path of [source, target]) execFileSync('chmod', ['0700', path])
  const other = await connect(newUser({ sudoers: 'ALL=(ALL) NOPASSWD: ALL' }))
  try {
    assert.is.not(await other.run(['id', '-u']), '0')
    assert.equal(
      (await listFolders(other, source)).map(({ name }) => name),
      ['pvc-old'],
    )
    assert.is((await copyVolume(other, one, { checksums: true }))!.files, 14)
    assert.equal(await placeCopy(other, one), [])
    assert.is((await lookAtJobs(other, [one]))[0]!.done, one.source)
  } finally {
    other.close()
  }
  assert.is(everything(one.target), before)
  assert.is(everything(one.source), before)
})

test('what is in the new volume is set aside, and never overwritten', async () => {
  const one = job()
  writeFileSync(join(one.source, 'a'), 'old')
  writeFileSync(join(one.target, 'a'), 'new')
  await copy(one)
  assert.equal(await placeCopy(ssh, one), [join(workFolder(one.target), 'before')])
  assert.is(readFileSync(join(one.target, 'a'), 'utf8'), 'old')
  assert.is(readFileSync(join(workFolder(one.target), 'before', 'a'), 'utf8'), 'new')
  assert.is(statSync(join(workFolder(one.target), '..')).mode & 0o777, 0o700)
})

test('a run that is cut off at any point of putting in place is completed', async () => {
  const work = (one: CopyJob, name: string) => join(workFolder(one.target), name)
  for (const [name, stop] of [
    ['before the first rename', () => {}],
    ['the mark is set', (one: CopyJob) => execFileSync('mv', [work(one, 'copied'), work(one, 'placing')])],
    [
      'the target is set aside',
      (one: CopyJob) =>
        execFileSync('sh', [
          '-c',
          'mv "$1" "$2"; mv "$3" "$4"',
          'sh',
          work(one, 'copied'),
          work(one, 'placing'),
          one.target,
          work(one, 'before'),
        ]),
    ],
    [
      'and made anew by the kubelet',
      (one: CopyJob) => {
        execFileSync('sh', [
          '-c',
          'mv "$1" "$2"; mv "$3" "$4"; mkdir "$3"',
          'sh',
          work(one, 'copied'),
          work(one, 'placing'),
          one.target,
          work(one, 'before'),
        ])
      },
    ],
    [
      'all is in place',
      (one: CopyJob) =>
        execFileSync('sh', [
          '-c',
          'mv "$1" "$2"; mv "$3" "$4"; mv "$5" "$3"',
          'sh',
          work(one, 'copied'),
          work(one, 'placing'),
          one.target,
          work(one, 'before'),
          work(one, 'new'),
        ]),
    ],
  ] as const) {
    const one = job()
    writeFileSync(join(one.source, 'a'), 'old')
    writeFileSync(join(one.target, 'a'), 'new')
    await copy(one)
    stop(one)
    const seen = await state(one)
    assert.is(seen.copied, one.source, name)
    assert.is(seen.target, name === 'the target is set aside' ? 'gap' : 'folder', name)
    assert.is(await copy(one), undefined, name)
    await placeCopy(ssh, one)
    assert.is(readFileSync(join(one.target, 'a'), 'utf8'), 'old', name)
    assert.is(readFileSync(work(one, 'before/a'), 'utf8'), 'new', name)
    assert.is((await state(one)).done, one.source, name)
  }
})

test('a copy that somebody removed counts for nothing', async () => {
  const one = job()
  writeFileSync(join(one.source, 'a'), 'old')
  await copy(one)
  rmSync(join(workFolder(one.target), 'new'), { recursive: true })
  assert.is((await state(one)).copied, undefined)
  assert.match((await failure(placeCopy(ssh, one))).message, 'there is no complete copy')
  assert.is((await copy(one))!.files, 1)
  await placeCopy(ssh, one)
  assert.is(readFileSync(join(one.target, 'a'), 'utf8'), 'old')
})

test('a copy that is killed half-way leaves the target alone, and is begun anew', async () => {
  const one = job()
  writeFileSync(join(one.target, 'a'), 'new')
  for (let i = 0; i < 3000; i++) writeFileSync(join(one.source, `file-${i}`), 'x'.repeat(20_000))
  const before = everything(one.source)
  /** Kills by name, on the server, as soon as so many files are there: as the kernel does that runs out of memory. */
  const KILL = 'until [ "$(ls "$1" 2>/dev/null | wc -l)" -ge "$2" ]; do :; done; pkill -KILL -x "$3"'
  let halves = 0
  for (const [number, name] of [
    [1, 'cp'],
    [800, 'cp'],
    [1200, 'sh|cp'], // everything of it, also the shell that would clean up
  ] as const) {
    const other = await connect()
    const going = copyVolume(other, one, { checksums: false }).then(
      () => 'completed',
      error => error,
    )
    const killing = [
      'sh',
      '-c',
      KILL,
      'killer',
      join(workFolder(one.target), 'new'),
      String(number),
      name,
    ] as const
    await ssh.exec(killing).catch(() => {}) // `sh` is also what kills
    assert.instance(await going, ExpectedError, `${number} ${name}`)
    other.close()
    const seen = await state(one)
    assert.equal([seen.copied, seen.done, seen.target], [undefined, undefined, 'folder'])
    if (seen.remains > 0) halves++
    assert.equal(readdirSync(one.target), ['a'])
  }
  assert.is(halves, 1)
  assert.is((await copy(one))!.files, 3000)
  await placeCopy(ssh, one)
  assert.is(everything(one.target), before)
})

test('a full disk fails the copy with its fix, leaves nothing behind, and the target as it was', async () => {
  const storage = folder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', storage])
  mounts.push(storage)
  // sshd has mounts of its own: one that is made later is not seen there.
  await sshd.down()
  await sshd.up()
  ssh.close()
  ssh = await connect()
  const one = job(storage)
  writeFileSync(join(one.target, 'a'), 'new')
  writeFileSync(join(one.source, 'large'), Buffer.alloc(12 << 20, 'x'))
  const seen = await state(one)
  assert.ok(seen.free <= 8 << 20 && seen.size >= 12 << 20, JSON.stringify(seen))
  const error = await failure(copy(one))
  assert.match(error.message, 'No space left on device')
  assert.match(error.fix, 'free some disk space')
  assert.is((await state(one)).remains, 0)
  assert.equal(readdirSync(one.target), ['a'])
  truncateSync(join(one.source, 'large'), 1 << 20)
  assert.is((await copy(one))!.bytes, 1 << 20)
  await placeCopy(ssh, one)
  assert.is(statSync(join(one.target, 'large')).size, 1 << 20)
})

test('a source that changes while it is copied is found out, and by checksums also one of the same size', async () => {
  const one = job()
  for (let i = 0; i < 400; i++) writeFileSync(join(one.source, `file-${i}`), 'x'.repeat(100_000))
  const going = copy(one).catch(error => error)
  const copied = join(workFolder(one.target), 'new')
  for (let i = 0; i < 400 && !(existsSync(copied) && readdirSync(copied).length > 0); i++) await sleep(2)
  writeFileSync(join(one.source, 'late\ncomer'), 'x')
  const error = await going
  // It may have come early enough to be copied.
  if (error instanceof ExpectedError) assert.match(error.message, /late|files, hard links/)
  else assert.is(error.files, 401)
})

test('a copy that is not complete is found out, whatever is missing', async () => {
  const real = '/usr/bin/cp'
  const bin = folder()
  const hasXattrs = xattr(bin)
  if (!hasXattrs) console.log('(no extended attributes here)')
  for (const [name, damage, what, checksums] of [
    ['less', 'rm "$last/lost"', /lost.*files, hard links/, false],
    ['more', 'touch "$last/more"', /more.*files, hard links/, false],
    ['owner', 'chown 5:5 "$last/lost"', /file 644 5:5 4 \.\/lost|file 644 0:0 4/, false],
    ['rights', 'chmod 600 "$last/lost"', /file 6[04][04] 0:0/, false],
    ['size', 'echo >> "$last/lost"', /0:0 5 \.\/lost|0:0 4 \.\/lost/, false],
    ['link', 'rm "$last/hard"; printf data > "$last/hard"', /files, hard links/, false],
    ['content', 'printf dada > "$last/lost"', /the checksums differ/, true],
    ['time', 'touch -d 2001-02-03 "$last/lost"', /times, ACLs .* >f\.\.t\S* hard/, false],
    ...(hasXattrs
      ? ([
          ['attribute', `${setter.join(' ')} "$last/lost"`, /times, ACLs .* [.>]f\S*ax hard/, false],
        ] as const)
      : []),
  ] as const) {
    const one = job()
    writeFileSync(join(one.source, 'lost'), 'data')
    linkSync(join(one.source, 'lost'), join(one.source, 'hard'))
    // A cp that does something wrong, where sshd finds the real one.
    const file = join(bin, name)
    writeFileSync(`${file}.real`, readFileSync(real), { mode: 0o755 })
    writeFileSync(file, `#!/bin/sh\nfor last; do :; done\n${file}.real "$@"\n${damage}\n`, { mode: 0o755 })
    await ssh.run(['mount', '--bind', file, real])
    try {
      const error = await failure(copy(one, checksums))
      assert.match(error.message, what, name)
      assert.match(error.fix, 'nothing changes the old data')
    } finally {
      await ssh.run(['umount', real])
    }
    assert.is((await state(one)).copied, undefined, name)
    assert.match((await failure(placeCopy(ssh, one))).message, 'there is no complete copy')
    assert.is((await copy(one, checksums))!.hardLinks, 1, name)
  }
})

test('what is mounted is not touched', async () => {
  const one = job()
  writeFileSync(join(one.source, 'a'), 'old')
  await copy(one)
  const elsewhere = folder()
  // In the mounts of sshd's side, as a container of a pod has them.
  await ssh.run(['mount', '--bind', one.target, elsewhere])
  assert.ok((await state(one)).mounted)
  const soon = sleep(1500).then(() => ssh.run(['umount', elsewhere]))
  await Promise.all([placeCopy(ssh, one), soon]) // it waits until the mount is gone
  assert.not.ok((await state(one)).mounted)
  assert.is(readFileSync(join(one.target, 'a'), 'utf8'), 'old')
})

test('folders that are missing, links or nested are told', async () => {
  const one = job()
  const link = join(folder(), 'link')
  symlinkSync(one.source, link)
  const seen = await lookAtJobs(ssh, [
    { source: join(one.source, 'none'), target: join(one.target, 'none') },
    { source: link, target: one.target },
    { source: one.target, target: join(one.target, 'below') },
    { source: one.source, target: link },
  ])
  assert.equal(
    seen.map(each => [each.source, each.target, each.nested]),
    [
      ['missing', 'missing', false],
      ['link', 'folder', false],
      ['folder', 'missing', true],
      ['folder', 'link', true],
    ],
  )
  assert.match((await failure(copy({ ...one, source: link }))).message, 'does not exist')
  assert.match(
    (await failure(copy({ ...one, target: '/nowhere/at/all' }))).message,
    'the folder /nowhere/at does not exist',
  )
})

test('folders are listed with their sizes, whatever they are called', async () => {
  const path = folder()
  for (const name of [NAME, 'new\nline', '-rf', '.migration']) mkdirSync(join(path, name))
  writeFileSync(join(path, NAME, 'a'), Buffer.alloc(100_000))
  const found = await listFolders(ssh, path)
  assert.equal(new Set(found.map(({ name }) => name)), new Set([NAME, 'new\nline', '-rf']))
  assert.ok(found.find(({ name }) => name === NAME)!.size >= 100_000)
  assert.match((await failure(listFolders(ssh, join(path, 'none')))).fix, '--old-folder')
})

test.run()
