// The tests of the stand-in for k3s that are written in Go: how it reads its settings.
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GO_ENVIRONMENT } from '../bed/build/go.ts'
import { BED } from '../bed/build/programs.ts'
import { run } from '../bed/build/shell.ts'

test('the stand-in for k3s reads its settings as k3s does', async () => {
  const said = await run('go', ['test', './...'], {
    cwd: join(BED, 'k3s'),
    env: GO_ENVIRONMENT,
    timeout: 300_000,
  })
  assert.match(said, /^ok\s/m)
})

test.run()
