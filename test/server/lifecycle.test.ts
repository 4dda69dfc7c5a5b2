/**
 * The life of a platform on one server, by script alone: created, installed, rebooted, moved to another address,
 * purged and installed again, with real pods. The images of the applications are stand-ins (test/bed/k3s/README.md).
 */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { until } from '../../lib/script/wait.ts'
import { CGROUP_V1 } from '../bed/server/machine-disk.ts'
import { partsOf, suite } from '../suite.ts'
import { type Machine, ServerBed } from './harness.ts'

const test = suite('lifecycle')
const NAME = 'oas.example.org'
const OLD = '10.77.0.2'
const NEW = '10.77.0.50'
const MINUTE = 60_000
let bed: ServerBed
let server: Machine

/** Runs a script that has to end well. */
async function does(name: string, ...args: string[]): Promise<string> {
  const outcome = await bed.runScript(name, args, { timeout: 15 * MINUTE })
  assert.is(outcome.code, 0, `${name} ended with ${outcome.code}:\n${outcome.stdout}${outcome.stderr}`)
  console.log(`${name}: ${outcome.seconds.toFixed(0)} s`)
  return outcome.stdout
}

/** Waits until `status` finds everything in order. Pods of a server that has just booted take their time. */
async function healthy(): Promise<void> {
  const began = performance.now()
  await until<string, true>(
    async () => {
      const { code, stdout, stderr } = await bed.runScript('status', [])
      return code === 0 ? { done: true } : { last: `${code}\n${stdout}${stderr}` }
    },
    { deadline: 8 * MINUTE, every: 5000, describe: last => last ?? '' },
  )
  console.log(`healthy after ${((performance.now() - began) / 1000).toFixed(0)} s`)
}

/** All generated secrets, which outlive the cluster. */
async function passwords(): Promise<Map<string, string>> {
  const names = await server.exec([
    'kubectl',
    'get',
    'secrets',
    '-A',
    '-o',
    'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.data}{"\\n"}{end}',
  ])
  return new Map(
    names
      .split('\n')
      .filter(line => /^\S+\/oas-(?!cluster-)\S+-(variables|basic-auth) /.test(line))
      .map(line => line.split(' ', 2) as [string, string]),
  )
}

const installCore = () =>
  does(
    'install-core',
    '--yes',
    ...['--set', `git_url=${bed.gitUrl}`],
    ...['--set', 'git_branch=main'],
    ...['--set', `charts_mirror=${bed.chartsMirror}`],
    ...['--set', `flux_manifest=${bed.fluxManifest}`],
  )
let before: Map<string, string>

test.before(async () => {
  bed = await ServerBed.start()
  server = bed.servers[0]!
})
test.after(() => bed?.stop())

const part = partsOf(test)

part(
  'create-cluster, preflight of what is there, install-cluster, install-core, install-app, status',
  async () => {
    await does('create-cluster', NAME, NAME, '--ip-address', OLD, '--admin-email', 'a@example.org', '--yes')
    copyFileSync(bed.releases.list, join(bed.folder, NAME, 'releases.yaml'))
    await does('preflight', '--only', 'server')
    await does('install-cluster', '--yes')
    await installCore()
    await does('install-app', 'nextcloud', '--yes')
    await healthy()
    before = await passwords()
    assert.ok(before.has('flux-system/oas-nextcloud-variables'), [...before.keys()].join(', '))
  },
)

part('after a reboot everything comes back by itself', async () => {
  const boot = await server.bootId()
  await server.exec(['systemctl', 'reboot']).catch(() => {})
  await server.waitForBoot({ after: boot })
  await healthy()
})

part('change-ip: the platform lives on at the new address, without the old one', async () => {
  await server.addAddress(NEW)
  await does('change-ip', NEW, '--yes')
  await server.removeAddress(OLD)
  await healthy()
  assert.match(await does('ssh', '--', 'ip', '-brief', 'address'), NEW)
})

part('purge takes everything, and the same scripts install it again with the same passwords', async () => {
  const refused = await bed.runScript('purge', ['--confirm', NAME])
  assert.is(refused.code, 4, refused.stderr)
  assert.match(refused.stderr, /backup/)
  await does('purge', '--confirm', NAME, '--discard-data')
  assert.is(
    await server.exec(['sh', '-c', 'ls -d /var/lib/rancher /var/lib/OpenAppStack 2>/dev/null || true']),
    '',
  )
  await server.write(CGROUP_V1.path, CGROUP_V1.text) // an administrator of such an old kernel would, too
  await does('install-cluster', '--yes')
  await installCore()
  await healthy()
  const after = await passwords()
  assert.ok(after.size >= 5, [...after.keys()].join(', '))
  for (const [name, data] of after)
    for (const [key, value] of Object.entries(JSON.parse(data)))
      assert.is(value, JSON.parse(before.get(name) ?? '{}')[key], `${name} ${key}`)
})

test.run()
