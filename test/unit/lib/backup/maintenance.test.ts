/** The shell of the maintenance mode, run on this machine with a stand-in for php. */
import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { beginMaintenance, nextcloudOf } from '../../../../lib/backup/maintenance.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { until } from '../../../../lib/script/wait.ts'
import { suite } from '../../../suite.ts'
import { temporaryFolder } from '../../helpers.ts'

const test = suite('maintenance')
const MARK = '/tmp/openappstack-maintenance'
const root = temporaryFolder()
const mode = join(root, 'mode')
const place = { place: { namespace: 'oas-apps', pod: 'nextcloud', container: 'nextcloud' }, root }
// As `occ maintenance:mode` answers (nextcloud/server core/Command/Maintenance/Mode.php).
writeFileSync(
  join(root, 'php'),
  `#!/bin/sh
[ ! -e ${join(root, 'broken')} ] || { echo 'the database is away' >&2; exit 1; }
case "$*" in
*--on) echo on > ${mode};;
*--off) echo off > ${mode};;
*) echo "Maintenance mode is currently $(grep -q on ${mode} && echo enabled || echo disabled)";;
esac
`,
)
chmodSync(join(root, 'php'), 0o755)
// The user www-data is switched to with su, which has a PATH of its own.
writeFileSync(join(root, 'su'), '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
chmodSync(join(root, 'su'), 0o755)

const run = (_: object, [program = '', ...args]: readonly string[]) =>
  new Promise<{ stdout: string; stderr: string; code: number }>(resolve => {
    const env = { ...process.env, PATH: `${root}:${process.env.PATH}` }
    execFile(program, args, { env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error ? Number(error.code) || 1 : 0 }),
    )
  })
const now = () => readFileSync(mode, 'utf8').trim()

/** The pids of the timers: their command line has the folder. */
const timers = () => spawnSync('pgrep', ['-f', `sh ${root}`], { encoding: 'utf8' }).stdout
const untilTimerEnds = () =>
  until(async () => (timers() === '' ? { done: true } : { last: timers() }), {
    deadline: 120_000,
    every: 100,
    describe: String,
  })

test.before.each(() => {
  writeFileSync(mode, 'off\n')
  rmSync(MARK, { force: true })
})
test.after(() => rmSync(MARK, { force: true }))

test('it is begun and ended', async () => {
  const begun = await beginMaintenance(run, place)
  assert.is(now(), 'on')
  assert.ok('end' in begun)
  await begun.end()
  assert.is(now(), 'off')
  assert.not.ok(existsSync(MARK))
  await untilTimerEnds()
})

test('whoever has begun it is killed: it ends by itself', async () => {
  await beginMaintenance(run, place, 1)
  assert.is(now(), 'on')
  await until(async () => (now() === 'off' ? { done: true } : { last: 'on' }), {
    deadline: 120_000,
    every: 100,
    describe: String,
  })
})

test('occ fails when it is to end by itself: the timer stays, and tries again', async () => {
  await beginMaintenance(run, place, 1)
  writeFileSync(join(root, 'broken'), '')
  await new Promise(resolve => setTimeout(resolve, 2000))
  assert.equal([now(), existsSync(MARK), timers() !== ''], ['on', true, true])
  rmSync(join(root, 'broken'))
  rmSync(MARK)
  await untilTimerEnds()
})

test('the timer of one that was ended does not end a later one of somebody else', async () => {
  const begun = await beginMaintenance(run, place, 1)
  assert.ok('end' in begun)
  await begun.end()
  writeFileSync(mode, 'on\n')
  await new Promise(resolve => setTimeout(resolve, 1500))
  assert.is(now(), 'on')
})

test('one of somebody else stays, and one that cannot be begun is told', async () => {
  writeFileSync(mode, 'on\n')
  assert.match(((await beginMaintenance(run, place)) as { why: string }).why, /already, and stays so/)
  writeFileSync(mode, 'off\n')
  writeFileSync(join(root, 'broken'), '')
  assert.match(((await beginMaintenance(run, place)) as { why: string }).why, /the database is away/)
  await untilTimerEnds()
  rmSync(join(root, 'broken'))
  const away = await beginMaintenance(() => Promise.reject(new Error('no such pod')), place)
  assert.equal(away, { why: 'no such pod' })
})

test('the pod of Nextcloud, and not those beside it', () => {
  const pod = (name: string, label: string, phase = 'Running'): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'oas-apps', name, labels: { 'app.kubernetes.io/name': label } },
    spec: {
      containers: [
        { name: 'nextcloud-cron' },
        { name: 'nextcloud', volumeMounts: [{ mountPath: '/var/www' }, { mountPath: '/var/www/html' }] },
      ],
    },
    status: { phase },
  })
  const pods = [pod('db', 'mariadb'), pod('old', 'nextcloud', 'Failed'), pod('new', 'nextcloud')]
  assert.equal(nextcloudOf(pods), {
    place: { namespace: 'oas-apps', pod: 'new', container: 'nextcloud' },
    root: '/var/www/html',
  })
  assert.is(nextcloudOf([pods[0]!]), undefined)
})

test.run()
