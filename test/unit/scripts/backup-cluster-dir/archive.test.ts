import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allOf } from '../../../../lib/age/age.ts'
import type { TarFile } from '../../../../lib/age/tar.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import {
  checkPath,
  FOLDER,
  readArchive,
  writeArchive,
} from '../../../../scripts/backup-cluster-dir/archive.ts'
import { expectedFrom } from '../../helpers.ts'

const about = { cluster: 'oas.example.org', createdAt: '2026-11-22T10:00:00.000Z' }
const source = (path: string, data: Uint8Array): TarFile => ({
  path: `${FOLDER}${path}`,
  mode: 0o600,
  size: data.length,
  content: [data],
})
const inPieces = (data: Buffer, size: number) =>
  Array.from({ length: Math.ceil(data.length / size) }, (_, i) => data.subarray(i * size, (i + 1) * size))
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** Names as people give them: of any script, long, with blanks, in folders. */
const names = fc
  .array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 4 })
  .map(parts => parts.join('/'))
  .filter(path => path.isWellFormed() && checkPath(`${FOLDER}${path}`) === undefined)

test('whatever the names, sizes and pieces: what was archived is read back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(names, { minLength: 1, maxLength: 6 }),
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 5000 }),
      async (paths, data, size) => {
        const archive = await allOf(
          writeArchive(
            about,
            paths.map((path, i) => source(path, data.subarray(i))),
          ),
        )
        const seen: string[] = []
        const manifest = await readArchive(inPieces(archive, size), 'a.tar', async ({ path }, content) => {
          const i = seen.push(path) - 1
          assert.equal(await allOf(content), Buffer.from(data.subarray(i)))
        })
        assert.equal(
          seen,
          paths.map(path => `${FOLDER}${path}`),
        )
        assert.equal(
          manifest.files.map(file => file.sha256),
          paths.map((_, i) => sha256(data.subarray(i))),
        )
      },
    ),
    { numRuns: 60 },
  )
})

test('any byte changed, and any end missing, is refused in two lines or changes nothing that counts', async () => {
  const files = [source('.flux.env', Buffer.from('domain=a.org\n')), source('b/c', Buffer.alloc(700, 'x'))]
  const archive = await allOf(writeArchive(about, files))
  const whole = await readArchive([archive], 'a.tar')
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: archive.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, bits) => {
        const changed = Buffer.from(archive)
        changed[at]! ^= bits
        try {
          const manifest = await readArchive([changed], 'a.tar')
          // Of the manifest only the files are proved by their digests, and padding is of no account.
          assert.equal(
            manifest.files.map(({ sha256, size }) => [sha256, size]),
            whole.files.map(({ sha256, size }) => [sha256, size]),
          )
        } catch (error) {
          assert.instance(error, ExpectedError)
        }
      },
    ),
    { numRuns: 300 },
  )
  for (let length = 0; length < archive.length - 1024; length += 97)
    assert.match(
      (await expectedFrom(() => readArchive([archive.subarray(0, length)], 'a.tar'))).message,
      'a.tar is not an archive of a cluster folder',
    )
})

test('a file that changes while it is archived ends it', async () => {
  for (const size of [2, 4]) {
    const error = await expectedFrom(() =>
      allOf(writeArchive(about, [{ ...source('x', Buffer.from('abc')), size }])),
    )
    assert.is(error.message, 'cluster/x changed while it was read')
  }
})

test('paths that lead elsewhere are told apart from those that do not', () => {
  for (const path of ['a', 'a/b', '.flux.env', 'a..b', '...', 'ä ö', "it's $(x)"])
    assert.is(checkPath(path), undefined, path)
  for (const path of [
    '',
    '/',
    '/a',
    '..',
    '../a',
    'a/..',
    'a/../b',
    './a',
    'a//b',
    'a/',
    'a\\b',
    'a\0b',
    'a\nb',
  ])
    assert.ok(checkPath(path), JSON.stringify(path))
})

test.run()
