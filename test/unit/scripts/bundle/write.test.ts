import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { list } from 'tar'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UsageError } from '../../../../lib/script/errors.ts'
import { checkOutput, writeBundle } from '../../../../scripts/bundle/write.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const files = [
  { path: 'README.txt', what: '', text: 'read me ü\n' },
  { path: `logs/oas/${'long'.repeat(40)}/c.log`, what: '', text: 'x'.repeat(100_000) },
]
const never = new AbortController().signal

test('a bundle is an archive in a folder of its own name, and only its owner can read it', async () => {
  const file = join(temporaryFolder(), 'a.org-1.tar.gz')
  const size = await writeBundle(file, files, never)
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.is(statSync(file).size, size)
  const found = new Map<string, string>()
  await list({
    file,
    onReadEntry: entry => {
      let text = ''
      entry.on('data', piece => {
        text += piece
      })
      entry.on('end', () => found.set(entry.path, text))
    },
  })
  assert.equal(
    [...found],
    files.map(({ path, text }) => [`a.org-1/${path}`, text]),
  )
  assert.equal(readdirSync(join(file, '..')), ['a.org-1.tar.gz'])
})

test('an aborted bundle leaves nothing, and what a killed run left an hour ago is removed', async () => {
  const folder = temporaryFolder()
  const [old, young] = ['.a.tar.gz.1.bundle.tmp', '.a.tar.gz.2.bundle.tmp']
  for (const name of [old, young, 'other.tmp']) writeFileSync(join(folder, name), '')
  utimesSync(join(folder, old), 0, 0)
  const abort = new AbortController()
  abort.abort(new Error('enough'))
  const failure = await writeBundle(join(folder, 'b.tar.gz'), files, abort.signal).catch(error => error)
  assert.is(failure.message, 'enough')
  assert.equal(readdirSync(folder).sort(), [young, 'other.tmp'].sort())
})

test('what is there already is not overwritten, and a folder has to be there', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'b.tar.gz')
  writeFileSync(file, 'mine')
  assert.instance(await expectedFrom(() => checkOutput(file)), UsageError)
  assert.instance(await expectedFrom(() => checkOutput(join(folder, 'absent', 'b.tar.gz'))), UsageError)
  mkdirSync(join(folder, 'there'))
  checkOutput(join(folder, 'there', 'b.tar.gz'))
  assert.is(readFileSync(file, 'utf8'), 'mine')
  assert.not(existsSync(join(folder, 'absent')))
})

test.run()
