import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { ExpectedError } from '../../../lib/script/errors.ts'
import { goVersion } from '../../bed/build/go.ts'
import { CONTROL_PLANE_PROGRAMS, checkPrograms } from '../../bed/build/programs.ts'
import { test } from '../../suite.ts'
import 'zx' // looks for its shell when it is loaded, and below there is a PATH without one

const base = mkdtempSync(join(tmpdir(), 'oas-go-'))
const path = process.env.PATH
test.after.each(() => {
  process.env.PATH = path
})
test.after(() => rmSync(base, { recursive: true, force: true }))

const program = (folder: string, name: string, script: string) => {
  mkdirSync(join(base, folder), { recursive: true })
  writeFileSync(join(base, folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(base, folder, name), 0o755)
}
const failure = async (work: Promise<unknown>) => {
  try {
    await work
  } catch (error) {
    return error as ExpectedError & { problems?: ExpectedError[] }
  }
  throw new Error('it did not fail')
}

test('says that Go is missing and how to get it', async () => {
  mkdirSync(join(base, 'empty'))
  process.env.PATH = join(base, 'empty')
  const error = await failure(goVersion())
  assert.match(error.message, /^Go is not installed; it builds the programs/)
  assert.match(error.fix, /install Go 1\.\d+.*go\.dev\/dl.*--bin-dir/)
})

test('says that Go is too old when it may not fetch a newer one', async () => {
  program(
    'old',
    'go',
    'if [ "$PWD" = / ]; then echo go1.22.1; else echo "go.mod requires go >= 1.26" >&2; exit 1; fi',
  )
  process.env.PATH = `${join(base, 'old')}:${path}`
  assert.match((await failure(goVersion())).message, /go1\.22\.1 is too old: Go 1\.\d+\.\d+ is needed/)
})

test('takes the newer Go that an old one fetches', async () => {
  program('fetching', 'go', 'if [ "$PWD" = / ]; then echo go1.22.1; else echo go1.99.0; fi')
  process.env.PATH = `${join(base, 'fetching')}:${path}`
  assert.is(await goVersion(), 'go1.99.0')
})

test('names every given program that is missing or of another version', async () => {
  program('bin', 'kwok', 'echo kwok version v0.1.0')
  program('bin', 'etcd', 'exit 1')
  program('bin', 'helm-controller', '')
  const { problems } = await failure(checkPrograms(join(base, 'bin')))
  assert.is(problems!.length, CONTROL_PLANE_PROGRAMS.length)
  const text = problems!.map(({ message }) => message).join('\n')
  assert.match(text, /kwok is v0\.1\.0, but must be v/)
  assert.match(text, /etcd cannot be used/)
  assert.match(text, /helm-controller is of an unknown version/)
  assert.match(text, /kube-apiserver does not exist/)
})

test.run()
