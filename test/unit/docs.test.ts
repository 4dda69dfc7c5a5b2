import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'

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
  const pages = names('runbooks', '.md').filter(page => !['README', 'faults'].includes(page))
  assert.equal(pages, scripts)
})

test('README.md and the index of the pages name every script', () => {
  for (const script of scripts) {
    assert.match(read('README.md'), `](runbooks/${script}.md)`)
    assert.match(read('runbooks/README.md'), `](${script}.md)`)
  }
})

test('every link between the documents leads to a file that is there', () => {
  for (const file of ['README.md', ...below('runbooks', '.md')])
    for (const [, target] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      assert.ok(existsSync(join(ROOT, dirname(file), target!)), `${file}: there is no ${target}`)
})

test.run()
