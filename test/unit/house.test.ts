/**
 * The rule of the house, held by the imports of the tree: code of one script lies in the script's folder, code of
 * several in a room of lib/, and nothing runs in a circle or reaches back up.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'

const below = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => posix.join(folder, file))
    .sort()
const files = [...below('lib'), ...below('scripts'), ...below('flux2'), ...below('test/bed')]
const text = new Map(files.map(file => [file, readFileSync(join(ROOT, file), 'utf8')]))

/**
 * The files of the tree that a file imports; those of which it needs more than types, unless `types`; with `late`
 * also those that it imports while it runs.
 */
function importsOf(file: string, types: boolean, late = true): string[] {
  const statements = text
    .get(file)!
    .matchAll(/(?:^|\n)(import|export)\s[^'";]*?from '(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)/g)
  return [...statements].flatMap(([statement, , first, running]) => {
    const onlyTypes = /^\n?(import|export) type\s/.test(statement)
    if ((onlyTypes && !types) || (running && !late)) return []
    return [posix.join(posix.dirname(file), (first ?? running)!)]
  })
}
const arrows = files.flatMap(from => importsOf(from, true).map(to => ({ from, to })))

/** The script that a file belongs to, e.g. `purge`. */
const scriptOf = (file: string) => /^scripts\/([^/]+?)(\/|\.ts$)/.exec(file)?.[1]
const roomOf = (file: string) => /^lib\/([^/]+)\//.exec(file)?.[1]

/** A way from a node back to itself, if there is one. */
function circle(nodes: Iterable<string>, next: (node: string) => readonly string[]): string[] | undefined {
  const done = new Set<string>()
  const visit = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const to of next(node)) {
      const found = visit(to, [...path, node])
      if (found) return found
    }
    done.add(node)
    return undefined
  }
  for (const node of nodes) {
    const found = visit(node, [])
    if (found) return found
  }
  return undefined
}

test('every import leads to a file', () => {
  assert.equal(
    arrows.filter(({ to }) => !text.has(to)),
    [],
  )
})

test('nothing lies loose in lib/', () => {
  assert.equal(
    files.filter(file => /^lib\/[^/]+$/.test(file)),
    [],
  )
})

test('a file of lib/ serves two scripts or more', () => {
  // What a file serves: the scripts, and the bed, from which a way of imports leads to it.
  const serves = new Map<string, Set<string>>()
  const reach = (file: string, user: string) => {
    const users = serves.get(file) ?? new Set()
    if (users.has(user)) return
    serves.set(file, users.add(user))
    for (const to of importsOf(file, true)) reach(to, user)
  }
  for (const file of files) {
    const script = scriptOf(file)
    if (script) reach(file, script)
  }
  const lonely = files.filter(file => roomOf(file) && (serves.get(file)?.size ?? 0) < 2)
  assert.equal(
    lonely.map(file => `${file} serves ${[...(serves.get(file) ?? ['no script'])].join()}`),
    [],
    'a file of rules belongs into rules/index.ts, code of one script into scripts/NAME/',
  )
})

/** What one script uses and yet belongs where it is: it says with its neighbours one thing. */
const STAYS = [
  // The paths on a server, together; the reader of one file of this repository; one way to read a server.
  'lib/k3s/k3s.ts: DOWNLOADS serves install-cluster',
  'lib/k3s/releases.ts: checksumIn serves install-cluster',
  'lib/k3s/releases.ts: releasesFor serves install-cluster',
  'lib/server/server-checks.ts: checkServer serves install-cluster',
  'lib/server/server.ts: agentsOfCluster serves install-cluster',
]

test('a function or value of lib/ serves two scripts or more, or another file of lib/', () => {
  const codeOf = (file: string) => text.get(file)!.replace(/^\s*(\*|\/\/|\/\*).*$/gm, '')
  const wordsOf = (code: string) => new Set(code.match(/\w+/g))
  const words = new Map(files.map(file => [file, wordsOf(codeOf(file))]))
  const users = new Map<string, string[]>()
  for (const { from, to } of arrows) users.set(to, [...(users.get(to) ?? []), from])
  const lonely = files.filter(roomOf).flatMap(file => {
    const parts = codeOf(file)
      .split(/^(?=(?:export )?(?:async |abstract )?(?:function|const|let|class|interface|type) )/m)
      .map(part => ({
        name: /^(?:export )?(?:async |abstract )?(?:function\*?|const|let|class|interface|type) (\w+)/.exec(
          part,
        )?.[1],
        isValue: /^export (?!interface|type)/.test(part),
        isOwn: !part.startsWith('export'),
        words: wordsOf(part),
      }))
    const usesOf = (name: string) => parts.filter(part => part.name !== name && part.words.has(name))
    return parts.flatMap(({ name, isValue, words: needed }) => {
      if (!name || !isValue || usesOf(name).length > 0) return []
      const serves = (users.get(file) ?? []).filter(user => words.get(user)!.has(name)).map(scriptOf)
      // What needs something that the file keeps for others, too, belongs to it.
      const shares = parts.some(
        part => part.name && part.isOwn && needed.has(part.name) && usesOf(part.name).length > 1,
      )
      return serves.includes(undefined) || new Set(serves).size > 1 || shares
        ? []
        : [`${file}: ${name} serves ${serves[0] ?? 'no script'}`]
    })
  })
  assert.equal(lonely.sort(), STAYS)
})

test("no script reaches into another script's folder, and no folder has no script", () => {
  const crossing = arrows.filter(
    ({ from, to }) => scriptOf(to) !== undefined && scriptOf(from) !== scriptOf(to),
  )
  assert.equal(crossing, [])
  const homeless = files.filter(file => scriptOf(file) && !text.has(`scripts/${scriptOf(file)}.ts`))
  assert.equal(homeless, [])
})

test('only scripts/sandbox.ts reaches into test/', () => {
  const reaching = arrows.filter(({ from, to }) => to.startsWith('test/') && !from.startsWith('test/'))
  assert.equal(
    reaching.filter(({ from }) => from !== 'scripts/sandbox.ts'),
    [],
  )
})

test('no file and no room imports itself in a circle', () => {
  assert.is(circle(files, file => importsOf(file, false))?.join(' → '), undefined)
  const rooms = new Set(files.flatMap(file => roomOf(file) ?? []))
  const doors = (room: string) => [
    ...new Set(
      files
        .filter(file => roomOf(file) === room)
        .flatMap(file => importsOf(file, true))
        .flatMap(to => roomOf(to) ?? [])
        .filter(to => to !== room),
    ),
  ]
  assert.is(circle(rooms, doors)?.join(' → '), undefined)
})

test('an exported name means one thing in the whole tree', () => {
  const homes = new Map<string, Set<string>>()
  // The user panel below flux2/ is a program of its own.
  for (const file of files.filter(file => !file.startsWith('flux2/')))
    for (const [, name] of text
      .get(file)!
      .matchAll(/^export (?:(?:async|abstract) )?(?:function\*?|const|class|interface|type) (\w+)/gm))
      homes.set(name!, (homes.get(name!) ?? new Set()).add(file))
  // Every file of lib/diagnosis/rules offers its `rules`.
  homes.delete('rules')
  assert.equal(
    [...homes]
      .filter(([, places]) => places.size > 1)
      .map(([name, places]) => `${name}: ${[...places].join()}`),
    [],
  )
})

test('what a file exports is used by another one', () => {
  const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.startsWith('bed/'))
    .map(file => readFileSync(join(ROOT, 'test', file), 'utf8'))
  const names = [...text.values(), ...tests].map(each => new Set(each.match(/\w+/g)))
  const unused = files
    .filter(file => roomOf(file) || scriptOf(file))
    .flatMap(file =>
      [...text.get(file)!.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm)]
        .filter(([, name]) => names.filter(each => each.has(name!)).length < 2)
        .map(([, name]) => `${file}: ${name}`),
    )
  assert.equal(unused, [])
})

// tsx takes 1 to 2 ms for each file; an empty program takes about 300 ms, and help may take 1.2 times as long.
test('`--help` loads few files: modules of a run are imported by the run', () => {
  const loaded = (file: string, seen = new Set<string>()): Set<string> => {
    if (seen.has(file)) return seen
    seen.add(file)
    for (const to of importsOf(file, false, false)) loaded(to, seen)
    return seen
  }
  const many = files
    .filter(file => /^scripts\/[^/]+$/.test(file))
    .map(file => ({ file, count: loaded(file).size }))
    .filter(({ count }) => count > 16)
  assert.equal(many, [])
})

test('nothing that a script runs is declared after it but functions', () => {
  // `await script(…)` runs first: a constant below it has no value yet.
  const below = (file: string) => text.get(file)!.split(/^await script\(/m)[1] ?? ''
  assert.equal(
    files.filter(file => /^scripts\/[^/]+$/.test(file) && /^(const|let|class) /m.test(below(file))),
    [],
  )
})

test('a script reads from top to bottom in at most 150 lines', () => {
  const lines = (file: string) => text.get(file)!.split('\n').length - 1
  assert.equal(
    files.filter(file => /^scripts\/[^/]+$/.test(file) && lines(file) > 150),
    [],
  )
})

test.run()
