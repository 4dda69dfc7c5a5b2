import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { temporaryFolder } from './helpers.ts'

const folder = temporaryFolder()

/** Runs a test file with these lines in it; returns its exit code, how many tests passed, and what was said. */
function run(lines: string): { code: number | null; passed: string; output: string } {
  const file = join(folder, 'some.test.mts')
  writeFileSync(
    file,
    `import { test } from '${pathToFileURL(join(ROOT, 'test/suite.ts'))}'\n${lines}\ntest.run()\n`,
  )
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'test/files.ts', file], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: '1' },
  })
  const count = (word: string) => new RegExp(`${word}: +(\\d+)`).exec(stdout)?.[1]
  return { code: status, passed: `${count('Passed')}/${count('Total')}`, output: stdout + stderr }
}
const two = `test('one', () => {})\ntest('two', () => {})`
const broken = `() => { throw new Error('the reason') }`

test('tests whose hooks work run', () => {
  const { code, passed } = run(`test.before(() => {})\ntest.after.each(() => {})\n${two}`)
  assert.equal([code, passed], [0, '2/2'])
})

test('a before hook that fails is told, and all tests fail with it', () => {
  const { code, passed, output } = run(`test.before(${broken})\ntest.after.each(${broken})\n${two}`)
  assert.equal([code, passed], [1, '0/2'])
  assert.match(output, 'the reason')
})

test('an after.each hook that fails is told, and its test and all further ones fail with it', () => {
  const { code, passed, output } = run(`test.before(() => {})\ntest.after.each(${broken})\n${two}`)
  assert.equal([code, passed], [1, '0/2'])
  assert.match(output, 'the reason')
})

test('an after hook that fails ends the run with it', () => {
  const { code, output } = run(`test.after(${broken})\n${two}`)
  assert.is(code, 1)
  assert.match(output, 'the reason')
})

test('every test file that has hooks takes its suite from test/suite.ts', () => {
  for (const file of readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.test.ts')) continue
    const text = readFileSync(join(ROOT, 'test', file), 'utf8')
    if (/^test\.(before|after)\b/m.test(text)) assert.match(text, /from '(\.\.?\/)+suite\.ts'/, file)
  }
})

test.run()
