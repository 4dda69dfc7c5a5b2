/**
 * The main job on a server: from create-cluster to Nextcloud, in a clone of this repository, on a terminal, with Enter
 * on every question that has a default. k3s and the images are stand-ins (test/bed/k3s/README.md).
 */
import { copyFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { editConfig, parseConfig } from '../../lib/platform/config.ts'
import { ROOT } from '../../lib/script/files.ts'
import { PRINTABLE } from '../fixtures/printable.ts'
import { type Answered, onTerminal } from '../harness-terminal.ts'
import { suite } from '../suite.ts'
import { ServerBed } from './harness.ts'

const test = suite('first run')
const NAME = 'oas.example.org'
let bed: ServerBed
let clone: string
const envFile = () => join(bed.folder, NAME, '.flux.env')

test.before(async () => {
  bed = await ServerBed.start()
  clone = join(bed.home, 'openappstack')
  await bed.run('git', ['clone', '--quiet', bed.gitUrl, clone])
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
})
test.after(() => bed?.stop())

/** Runs a script of the clone on a terminal of the administrator. */
async function asks(name: string, args: readonly string[], answers: readonly Answered[]): Promise<string> {
  const began = performance.now()
  const screen = await onTerminal(name, args, answers, {
    folder: clone,
    within: ['nsenter', `--net=/run/netns/${bed.netns}`, '--'],
    env: { HOME: bed.home, SSH_AUTH_SOCK: undefined, OAS_CLUSTERS_DIR: bed.folder },
    timeout: 900_000,
  })
  console.log(`${name}: ${((performance.now() - began) / 1000).toFixed(0)} s`)
  return screen
}

const kubectl = (...args: string[]) =>
  bed.servers[0]!.exec(['/usr/local/bin/k3s', 'kubectl', ...args], { timeout: 60_000 })

/** The releases, and those that are not ready. */
async function releases(): Promise<{ all: string[]; unready: string[] }> {
  const { items } = JSON.parse(await kubectl('get', 'helmreleases', '-A', '-o', 'json')) as {
    items: { metadata: { name: string }; status?: { conditions?: { type: string; status: string }[] } }[]
  }
  const ready = (item: (typeof items)[number]) =>
    item.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
  return {
    all: items.map(item => item.metadata.name),
    unready: items.filter(item => !ready(item)).map(item => item.metadata.name),
  }
}

test('from create-cluster to Nextcloud with Enter on every question that has a default', async () => {
  await asks(
    'create-cluster',
    [],
    [
      [/Name of the cluster/, NAME],
      [/Domain of the cluster/, ''],
      [/Mail address of the administrator/, 'admin@example.org'],
      [/IP address/, bed.servers[0]!.address],
      [/Create the cluster/, 'y'],
    ],
  )
  // The checksums of the stand-ins, in place of those of upstream's releases.
  copyFileSync(bed.releases.list, join(bed.folder, NAME, 'releases.yaml'))
  await asks('install-cluster', [], [[/Install k3s/, 'y']])
  const settings = [`charts_mirror=${bed.chartsMirror}`, `flux_manifest=${bed.fluxManifest}`]
  await asks(
    'install-core',
    settings.flatMap(setting => ['--set', setting]),
    [
      [/Git repository that Flux follows/, ''],
      [/Branch that Flux follows/, ''],
      [/Install the core/, 'y'],
    ],
  )
  await asks('install-app', ['nextcloud'], [[/Install nextcloud/, 'y']])
  const { all, unready } = await releases()
  assert.ok(all.includes('nextcloud') && all.length >= 10, all.join())
  assert.equal(unready, [])
  const config = parseConfig(readFileSync(envFile(), 'utf8'))
  assert.equal([config.git_url, config.git_branch], [bed.gitUrl, 'main'])
  await asks('status', [], [])
})

test('with a mail password of every printable character everything is ready, and it arrives as it is', async () => {
  const values = {
    outgoing_mail_enabled: 'true',
    outgoing_mail_from_address: 'oas@example.org',
    outgoing_mail_smtp_host: 'smtp.example.org',
    outgoing_mail_smtp_user: `user${PRINTABLE}`,
    outgoing_mail_smtp_password: PRINTABLE,
  }
  writeFileSync(envFile(), editConfig(readFileSync(envFile(), 'utf8'), values))
  const screen = await asks('install-core', ['--yes'], [])
  assert.not.match(screen, PRINTABLE.slice(0, 20))
  await asks('install-app', ['nextcloud', '--yes'], [])
  assert.equal((await releases()).unready, [])
  const data = await kubectl('get', 'secret', 'oas-mail', '-n', 'oas-apps', '-o', 'jsonpath={.data}')
  const arrived = JSON.parse(data) as Record<string, string>
  assert.is(Buffer.from(arrived.outgoing_mail_smtp_password!, 'base64').toString(), PRINTABLE)
})

test.run()
