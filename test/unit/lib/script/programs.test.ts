import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runLocal } from '../../../../lib/script/programs.ts'
import { test } from '../../../suite.ts'

const home = mkdtempSync(join(tmpdir(), 'oas-programs-'))
test.after(() => rmSync(home, { recursive: true, force: true }))

test('no file of a shell changes what a local program says, not even below no other shell', async () => {
  writeFileSync(join(home, '.bashrc'), 'echo from the file; exit 3\n')
  for (const SHLVL of [undefined, '0', '1', 'x']) {
    const { ok, stdout } = await runLocal(['echo', '$HOME'], { env: { HOME: home, SHLVL }, timeout: 60_000 })
    assert.equal({ ok, stdout }, { ok: true, stdout: '$HOME\n' }, String(SHLVL))
  }
})

test.run()
