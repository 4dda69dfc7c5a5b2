import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  checkOutputPath,
  privateFolder,
  ROOT,
  readIfExists,
  writeFileAtomic,
} from '../../../../lib/script/files.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

test('ROOT is this checkout', () => {
  assert.ok(existsSync(join(ROOT, 'lib/script/files.ts')))
})

test('a file is written 0600, or as told, whatever the umask and the old mode', () => {
  const file = join(temporaryFolder(), 'f')
  const before = process.umask(0o277)
  try {
    writeFileSync(file, 'old')
    chmodSync(file, 0o666)
    writeFileAtomic(file, 'new')
    assert.is(mode(file), '600')
    writeFileAtomic(file, 'new', 0o755)
    assert.is(mode(file), '755')
  } finally {
    process.umask(before)
  }
})

test('a failed write leaves the old content and no temporary file', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'target', 'full'), { recursive: true })
  assert.throws(() => writeFileAtomic(join(folder, 'target'), 'x'), /EISDIR|ENOTEMPTY|EEXIST/)
  assert.equal(readdirSync(folder), ['target'])
})

test('killed while it writes, a file holds all of the old or all of the new content', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'f')
  const size = 4_000_000
  const code = `import { writeFileAtomic } from ${JSON.stringify(join(ROOT, 'lib/script/files.ts'))}
    for (let i = 0; ; i++) { writeFileAtomic(${JSON.stringify(file)}, String(i % 10).repeat(${size})); if (i === 1) process.stdout.write('go') }`
  let interrupted = 0
  for (const delay of [3, 17, 31]) {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: ROOT,
    })
    let trouble = ''
    child.stderr.on('data', chunk => {
      trouble += chunk
    })
    const ended = new Promise(resolve => child.on('exit', resolve))
    await Promise.race([new Promise(resolve => child.stdout.once('data', resolve)), ended])
    await pause(delay)
    child.kill('SIGKILL')
    await ended
    assert.is(trouble, '')
    const text = readFileSync(file, 'utf8')
    assert.is(text.length, size)
    assert.is(text, text[0]!.repeat(size))
    interrupted += readdirSync(folder).length - 1
  }
  // What a kill leaves behind is at most a temporary file, private like the file itself.
  for (const name of readdirSync(folder)) assert.is(mode(join(folder, name)), '600', name)
  assert.ok(interrupted <= 3 * 2)
})

test('a private folder is made 0700 with its parents, and an open one is closed', () => {
  const folder = join(temporaryFolder(), 'a', 'b')
  assert.is(privateFolder(folder), folder)
  assert.is(mode(folder), '700')
  assert.is(mode(join(folder, '..')), '700')
  chmodSync(folder, 0o755)
  privateFolder(folder)
  assert.is(mode(folder), '700')
})

test('only a file that is not there reads as undefined', () => {
  const folder = temporaryFolder()
  assert.is(readIfExists(join(folder, 'none')), undefined)
  writeFileSync(join(folder, 'empty'), '')
  assert.is(readIfExists(join(folder, 'empty')), '')
  assert.throws(() => readIfExists(folder), /EISDIR/)
  // Like a folder without permission, which root would not notice.
  symlinkSync('loop', join(folder, 'loop'))
  assert.throws(() => readIfExists(join(folder, 'loop')), /ELOOP/)
})

test('where a result cannot be written is wrong usage, and told before', async () => {
  const folder = temporaryFolder()
  checkOutputPath('--output', join(folder, 'facts.json'))
  for (const [path, what] of [
    [join(folder, 'absent', 'facts.json'), `the folder ${join(folder, 'absent')} does not exist`],
    [folder, `${folder} is a folder`],
  ] as const) {
    const error = await expectedFrom(() => checkOutputPath('--output', path))
    assert.equal([error.message, error.exitCode], [what, 2])
  }
})

test.run()
