import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { APP_NAMES, APPS } from '../../lib/platform/apps.ts'
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
  for (const file of [...documents, 'test/README.md'])
    for (const [, target] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      assert.ok(existsSync(join(ROOT, dirname(file), target!)), `${file}: ${target} does not exist`)
})

/** The anchors of the headings of a page, as GitHub and GitLab name them. */
const anchorsOf = (page: string) =>
  [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

test('every link to a section leads to its heading', () => {
  let links = 0
  for (const file of [...documents, 'test/README.md'])
    for (const [, target, anchor] of read(file).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)) {
      links++
      const page = target ? join(dirname(file), target) : file
      assert.ok(anchorsOf(read(page)).includes(anchor!), `${file}: ${page} has no section #${anchor}`)
    }
  assert.ok(links > 20, `only ${links} links were found`)
})

test('README.md stays short', () => {
  const lines = read('README.md').trimEnd().split('\n').length
  assert.ok(lines <= 120, `it has ${lines} lines`)
})

const documents = ['README.md', ...below('runbooks', '.md')]

/** The cells of a row as a reader sees them: links by their text, without back quotes. */
function cellsOf(row: string): string[] {
  const shown = row.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`*]/g, '')
  return shown
    .replaceAll('\\|', '¦')
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim())
}

test('tables fit a screen: three columns, 110 characters', () => {
  const wide: string[] = []
  for (const file of documents)
    for (const [at, row] of read(file).split('\n').entries())
      if (/^\|(?!-)/.test(row)) {
        const cells = cellsOf(row)
        if (cells.length > 3) wide.push(`${file}:${at + 1}: ${cells.length} columns`)
        const width = cells.join(' | ').length
        if (width > 110) wide.push(`${file}:${at + 1}: ${width} characters`)
      }
  assert.is(wide.length, 0, `\n${wide.join('\n')}\n`)
})

/** The sections of every page, in this order; a page may have others between the first and the last of them. */
const SECTIONS = ['Run', 'You should see', 'Troubleshooting', 'What it changes', 'By hand', 'Limits']

for (const script of scripts)
  test(`the page of ${script} has the sections of every page, and says first when to use it`, () => {
    const lines = read(`runbooks/${script}.md`).split('\n')
    assert.match(lines[0]!, /^# [A-Z][a-z]+ [^:]+$/, 'its title is a verb and an object')
    assert.is(lines[1], '')
    assert.match(lines[2]!, /^(Use|Run) this /)
    const sections = lines.flatMap(line => (line.startsWith('## ') ? [line.slice(3)] : []))
    assert.equal(
      sections.filter(section => SECTIONS.includes(section)),
      SECTIONS,
    )
    assert.is(sections.at(-1), 'Limits')
  })

/** An application as a word of its own, not as a part of `oas-wekan-variables`. */
const named = (text: string, app: string) => new RegExp(`(?<![\\w-])${app}(?![\\w-])`).test(text)

/** A page without its fenced blocks: an example names what it needs. */
const withoutExamples = (page: string) => page.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')

test('a list of applications in a page has all of them', () => {
  let lists = 0
  for (const file of documents)
    for (const block of withoutExamples(read(file)).split(/\n\n/)) {
      const found = APP_NAMES.filter(app => named(block, app))
      if (found.length < 3) continue
      lists++
      assert.equal(found, APP_NAMES, `${file}: a list of applications lacks one:\n${block}`)
    }
  assert.ok(lists >= 4, `only ${lists} lists were found`)
})

test('the page of install-app has the addresses and the passwords of every application', () => {
  const page = read('runbooks/install-app.md')
  const config = { domain: 'DOMAIN' }
  for (const { name, hosts, login } of APPS) {
    for (const host of hosts(config)) if (host) assert.ok(page.includes(host), `${name}: ${host} is missing`)
    if (login) assert.ok(page.includes(`\`${login.key}\``), `${name}: ${login.key} is missing`)
  }
})

test.run()
