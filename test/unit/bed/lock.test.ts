import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../lib/script/files.ts'
import { sleep } from '../../../lib/script/wait.ts'
import { withLock } from '../../bed/build/lock.ts'

const path = `/nowhere/${process.pid}`

test('lets one after the other', async () => {
  let inside = 0
  const work = async () => {
    assert.is(++inside, 1)
    await sleep(50)
    inside--
  }
  await Promise.all([1, 2, 3].map(() => withLock(path, { waiting: () => {} }, work)))
})

test('is given up when the work fails', async () => {
  await withLock(path, { waiting: () => {} }, async () => {
    throw new Error('x')
  }).catch(() => {})
  let waited = false
  const waiting = () => {
    waited = true
  }
  assert.is(await withLock(path, { waiting }, async () => 1), 1)
  assert.not.ok(waited)
})

test('names its holder, and is free at once when that is killed', async () => {
  const code = `import { withLock } from ${JSON.stringify(join(ROOT, 'test/bed/build/lock.ts'))}
    withLock(${JSON.stringify(path)}, { waiting: () => {} }, () => {
      console.log('held')
      return new Promise(resolve => setTimeout(resolve, 60_000))
    })`
  const holder = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  const waiting = (who: string) => {
    assert.is(who, `process ${holder.pid}`)
    holder.kill('SIGKILL')
  }
  const began = performance.now()
  assert.is(await withLock(path, { waiting }, async () => 'mine'), 'mine')
  assert.ok(performance.now() - began < 30_000)
})

test.run()
