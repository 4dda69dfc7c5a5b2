import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/files.ts'

const names = (folder: string, extension: string) =>
  readdirSync(join(ROOT, folder))
    .filter(file => file.endsWith(extension))
    .map(file => file.slice(0, -extension.length))
const scripts = names('scripts', '.ts')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

/** All files below a folder that end so. */
function below(folder: string, extension: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith(extension))
    .map(entry => relative(ROOT, join(entry.parentPath, entry.name)))
}

test('every test file runs its tests', () => {
  // uvu takes a file without it for one with nothing to do.
  for (const file of below('test', '.test.ts'))
    assert.match(read(file), /^\s*(await )?\w+\.run\(\)/m, `${file} does not call test.run()`)
})

test('every script has a runbook page, and no page is without its script', () => {
  const pages = names('runbooks', '.md').filter(page => page !== 'README')
  assert.equal(pages, scripts)
})

const flagsOf = new Map<string, Promise<Set<string>>>()
/** The flags that a script shows in its help. */
function flags(script: string): Promise<Set<string>> {
  let found = flagsOf.get(script)
  if (!found) {
    found = promisify(execFile)(process.execPath, ['--import', 'tsx', `scripts/${script}.ts`, '--help'], {
      cwd: ROOT,
    }).then(({ stdout }) => new Set([...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(match => match[1]!)))
    flagsOf.set(script, found)
  }
  return found
}

const documents = [
  ...['README.md'].filter(file => existsSync(join(ROOT, file))),
  ...below('runbooks', '.md'),
  ...below('lib', '.ts'),
  ...below('scripts', '.ts'),
]

for (const file of documents) {
  const text = read(file)
    .replaceAll('\\\n', ' ') // a command that goes on in the next line
    .replaceAll('${', '$') // what stands in a template is not checked, what is around it is
  const commands = [...text.matchAll(/scripts\/([\w.-]+?)\.ts(?![\w.])((?: +(?:--?)?[^\s`'"|#;,)]+)*)/g)]
    // An import is no command.
    .filter(match => !/from '[^']*$/.test(text.slice(0, match.index)))
  if (commands.length === 0) continue
  test(`${file} names scripts and flags that exist`, async () => {
    for (const [command, script, args] of commands) {
      assert.ok(scripts.includes(script!), `${command}: there is no script ${script}`)
      const known = await flags(script!)
      for (const [flag] of args!.matchAll(/(?<= )--[\w-]+/g))
        assert.ok(known.has(flag), `${command}: ${script} has no flag ${flag}`)
    }
  })
}

test('README.md is there', () => {
  assert.ok(existsSync(join(ROOT, 'README.md')))
})

test.run()
