import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { sleep } from '../../../lib/script/wait.ts'
import { cached, cacheFolder, cacheKey, damageOf } from '../../bed/build/cache.ts'
import { test } from '../../suite.ts'

const base = mkdtempSync(join(tmpdir(), 'oas-cache-'))
const before = process.env.OAS_CACHE_DIR
test.before(() => {
  process.env.OAS_CACHE_DIR = base
})
test.after(() => {
  if (before === undefined) delete process.env.OAS_CACHE_DIR
  else process.env.OAS_CACHE_DIR = before
  rmSync(base, { recursive: true, force: true })
})

let made = 0
let told: string[] = []
const quiet = { waiting: () => {}, damaged: (what: string) => told.push(what) }
const make = async (folder: string) => {
  made++
  writeFileSync(join(folder, 'program'), 'x'.repeat(1000))
}
test.before.each(() => {
  made = 0
  told = []
})

test('makes an entry once', async () => {
  const entry = await cached('once', quiet, make)
  assert.is(entry, join(cacheFolder(), 'once'))
  assert.is(await cached('once', quiet, make), entry)
  assert.is(made, 1)
})

test('makes an entry once for two that want it at the same time', async () => {
  let waited = 0
  const options = {
    ...quiet,
    waiting: () => {
      waited++
    },
  }
  const slow = async (folder: string) => {
    await sleep(300)
    await make(folder)
  }
  await Promise.all([cached('both', options, slow), cached('both', options, slow)])
  assert.is(made, 1)
  assert.is(waited, 1)
})

test('goes on with what a killed run has left, and never takes it for finished', async () => {
  await cached('killed', quiet, async folder => {
    writeFileSync(join(folder, 'half'), 'work')
    throw new Error('killed')
  }).catch(() => {})
  assert.not.ok(existsSync(join(cacheFolder(), 'killed')))
  const entry = await cached('killed', quiet, async folder => {
    assert.is(readFileSync(join(folder, 'half'), 'utf8'), 'work')
    await make(folder)
  })
  assert.is(await damageOf(entry), undefined)
})

const damages: [string, (entry: string) => void, RegExp][] = [
  ['a file is cut off', entry => truncateSync(join(entry, 'program'), 10), /10 bytes and not 1000/],
  ['a file is missing', entry => rmSync(join(entry, 'program')), /missing/],
  [
    'a file has other bytes',
    entry => writeFileSync(join(entry, 'program'), 'y'.repeat(1000)),
    /has been changed/,
  ],
  ['the manifest is cut off', entry => truncateSync(join(entry, 'manifest.json'), 5), /cannot be read/],
  ['the manifest is missing', entry => rmSync(join(entry, 'manifest.json')), /not finished/],
]
for (const [what, damage, message] of damages)
  test(`makes an entry anew when ${what}`, async () => {
    const entry = await cached('damaged', quiet, make)
    made = 0
    damage(entry)
    await cached('damaged', quiet, make)
    assert.is(made, 1)
    assert.match(told.join(), message)
    assert.is(await damageOf(entry), undefined)
  })

test('keeps an entry whose files were only copied', async () => {
  const entry = await cached('copied', quiet, make)
  utimesSync(join(entry, 'program'), 1, 1)
  await cached('copied', quiet, make)
  assert.is(made, 1)
})

test('gives another key to other parts, however they are cut', () => {
  assert.is.not(cacheKey(['ab', 'c']), cacheKey(['a', 'bc']))
  assert.is(cacheKey(['a']), cacheKey(['a']))
})

test.run()
