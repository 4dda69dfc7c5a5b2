import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ROOT } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { refreshRepository } from '../../bed/build/git.ts'
import { Api } from '../../bed/cluster/api.ts'
import { type Layout, layoutOf } from '../../bed/cluster/layout.ts'
import { ensurePki } from '../../bed/cluster/pki.ts'
import { choosePorts } from '../../bed/cluster/ports.ts'
import { lastErrorLine, processFailure, runningProcesses, start, stop } from '../../bed/cluster/processes.ts'
import type { ProcessSpec, Setting } from '../../bed/cluster/spec.ts'
import { ensureProcesses } from '../../bed/cluster/supervise.ts'
import { test } from '../../suite.ts'
import { expectedFrom } from '../helpers.ts'

const base = mkdtempSync(join(tmpdir(), 'oas-processes-'))
const before = process.env.OAS_CLUSTERS_DIR
const layouts: Layout[] = []
const newLayout = (name: string) => {
  const layout = layoutOf(name)
  mkdirSync(layout.logs, { recursive: true })
  layouts.push(layout)
  return layout
}
test.before(() => {
  process.env.OAS_CLUSTERS_DIR = base
})
test.after(async () => {
  for (const layout of layouts) await stop(layout, ['sleeper', 'stubborn', 'server', 'talker'])
  if (before === undefined) delete process.env.OAS_CLUSTERS_DIR
  else process.env.OAS_CLUSTERS_DIR = before
  rmSync(base, { recursive: true, force: true })
})

const sleeper: ProcessSpec = { name: 'sleeper', program: 'sleep', args: ['60'], health: '', ports: [] }
const names = (layout: Layout) => runningProcesses(layout).map(({ name }) => name)
const appears = (layout: Layout, name: string) =>
  until<string[], true>(
    async () => (names(layout).includes(name) ? { done: true } : { last: names(layout) }),
    { deadline: 60_000, every: 20, describe: String },
  )

test('ends what this sandbox has started, and nothing else', async () => {
  const [mine, other] = [newLayout('mine'), newLayout('mine.other')]
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' })
  start(mine, sleeper, 'digest')
  start(other, sleeper, 'digest')
  await appears(mine, 'sleeper')
  await appears(other, 'sleeper')
  assert.is(runningProcesses(mine)[0]!.digest, 'digest')
  assert.ok(runningProcesses(mine)[0]!.memory > 0)
  assert.equal(await stop(mine, ['sleeper', 'absent']), ['sleeper'])
  assert.equal(names(mine), [])
  assert.equal(names(other), ['sleeper'])
  assert.ok(stranger.exitCode === null && stranger.kill())
  assert.equal(await stop(mine, ['sleeper']), [])
})

test('kills what does not end when it is asked to', async () => {
  const layout = newLayout('stubborn')
  start(
    layout,
    { ...sleeper, name: 'stubborn', program: 'sh', args: ['-c', 'trap "" TERM; sleep 60 & wait; sleep 60'] },
    '',
  )
  await appears(layout, 'stubborn')
  await new Promise(resolve => setTimeout(resolve, 200))
  await stop(layout, ['stubborn'], 300)
  assert.equal(names(layout), [])
})

test('gives a process nothing of our environment', async () => {
  const layout = newLayout('clean')
  process.env.HTTPS_PROXY = 'http://proxy.invalid'
  start(layout, { ...sleeper, name: 'talker', program: 'sh', args: ['-c', 'env'] }, '')
  delete process.env.HTTPS_PROXY
  const log = join(layout.logs, 'talker.log')
  const text = await until<string, string>(
    async () => {
      const found = execFileSync('cat', [log], { encoding: 'utf8' })
      return found.includes('TMPDIR') ? { done: found } : { last: found }
    },
    { deadline: 60_000, every: 20, describe: String },
  )
  assert.not.match(text, /PROXY/)
})

test('names the log and its last error', () => {
  const layout = newLayout('failing')
  const log = [
    'I1122 starting',
    'E1122 11:00:00.000000 1 x.go:1] "bind: address already in use"',
    'I1122 waiting',
  ].join('\n')
  assert.match(lastErrorLine(log)!, /address already in use/)
  assert.is(lastErrorLine('one\ntwo\n'), 'two')
  assert.is(lastErrorLine(''), undefined)
  const error = processFailure(layout, { ...sleeper, name: 'etcd' }, 'ended at once')
  assert.is(error.message, 'etcd ended at once')
  assert.ok(error.fix.includes(join(layout.logs, 'etcd.log')))
  assert.match(error.fix, /--name failing/)
})

test('starts again what ends by itself, and gives up the third time with its log', async () => {
  const layout = newLayout('shaky')
  await ensurePki(layout.pki)
  const ports = await choosePorts({})
  const setting: Setting = { layout, bin: '/nowhere', ports, extras: {} }
  const marker = join(layout.state, 'tried')
  const serve = `require('http').createServer((_, answer) => answer.end()).listen(${ports.server}, '127.0.0.1')`
  const shaky: ProcessSpec = {
    name: 'server',
    program: 'sh',
    args: ['-c', `[ -e ${marker} ] || { touch ${marker}; exit 1; }; exec ${process.execPath} -e "${serve}"`],
    health: `http://127.0.0.1:${ports.server}/`,
    ports: ['server'],
  }
  const api = new Api(layout)
  const started: string[] = []
  try {
    await ensureProcesses(setting, [shaky], api, started)
    assert.equal([names(layout), started], [['server'], ['server']])
    const hopeless = { ...sleeper, name: 'stubborn', program: 'sh', args: ['-c', 'echo Error: no; exit 1'] }
    const error = await expectedFrom(() => ensureProcesses(setting, [hopeless], api, []))
    assert.is(error.message, 'stubborn ended by itself 3 times: Error: no')
  } finally {
    api.close()
  }
})

test('remembers ports, and replaces those that somebody else has taken', async () => {
  const first = await choosePorts({})
  assert.is(new Set(Object.values(first)).size, Object.keys(first).length)
  assert.equal(await choosePorts(first), first)
  const taker = createServer()
  await new Promise<void>(resolve => taker.listen(first.kwok, '127.0.0.1', resolve))
  const second = await choosePorts(first)
  assert.is.not(second.kwok, first.kwok)
  assert.equal({ ...second, kwok: 0 }, { ...first, kwok: 0 })
  assert.equal(await choosePorts(first, new Set([first.kwok])), first)
  taker.close()
})

test('waits for the port of a process that is ending, and does not move', async () => {
  const first = await choosePorts({})
  const ending = createServer()
  await new Promise<void>(resolve => ending.listen(first.apiServer, '127.0.0.1', resolve))
  setTimeout(() => ending.close(), 300)
  assert.equal(await choosePorts(first), first)
})

test('serves Git, which cannot be pushed to, and charts, and nothing else', async () => {
  const layout = newLayout('serving')
  const { server: port } = await choosePorts({})
  const source = join(base, 'source')
  mkdirSync(join(layout.served, 'charts'), { recursive: true })
  execFileSync('sh', [
    '-c',
    `mkdir -p ${source} && echo hello > ${source}/file && echo index > ${layout.served}/charts/index.yaml`,
  ])
  await refreshRepository(join(layout.served, 'openappstack.git'), { worktree: true, source })
  const args = [
    '--import',
    'tsx',
    join(ROOT, 'test/bed/cluster/server.ts'),
    `--port=${port}`,
    `--root=${layout.served}`,
  ]
  start(layout, { name: 'server', program: process.execPath, args, health: '', ports: [] }, '')
  const url = `http://127.0.0.1:${port}`
  const get = (path: string) => fetch(url + path).catch(() => undefined)
  await until<string, true>(
    async () => ((await get('/healthz'))?.status === 200 ? { done: true } : { last: '' }),
    { deadline: 60_000, every: 100, describe: () => 'no answer' },
  )
  assert.equal(names(layout), ['server'])
  const git = (...list: string[]) =>
    execFileSync('git', list, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  git('clone', '-q', '--depth=1', '-b', 'main', `${url}/openappstack.git`, join(base, 'clone'))
  assert.is(execFileSync('cat', [join(base, 'clone/file')], { encoding: 'utf8' }), 'hello\n')
  assert.throws(() => git('-C', join(base, 'clone'), 'push', 'origin', 'HEAD:other'))
  assert.is(await (await get('/charts/index.yaml'))!.text(), 'index\n')
  for (const path of ['/charts/none.tgz', '/charts/..%2f..%2fstate.json', '/openappstack.git/config', '/'])
    assert.is((await get(path))!.status, 404, path)
})

test.run()
