/**
 * The main job as somebody does it who clones this repository and presses Enter: from create-cluster to Nextcloud,
 * on a terminal, answering only the questions that have no default. Then with passwords of every printable character.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { GIT_REPOSITORY, HELM_RELEASE, standing } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { editConfig, parseConfig } from '../../lib/platform/config.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { run } from '../bed/build/shell.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { up } from '../bed/cluster/sandbox.ts'
import { PRINTABLE } from '../fixtures/printable.ts'
import { type Answered, onTerminal } from '../harness-terminal.ts'
import { test } from '../suite.ts'
import { Bed } from './harness.ts'

const NAME = 'oas.example.org'
let bed: Bed
let home: string
let clone: string
const envFile = () => join(home, 'clusters', NAME, '.flux.env')

test.before(async () => {
  bed = await Bed.start()
  home = mkdtempSync(join(tmpdir(), 'oas-first-'))
  clone = join(home, 'openappstack')
  await run('git', ['clone', '--quiet', bed.up.gitUrl, clone])
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
})
test.after(async () => {
  await bed?.stop()
  if (home) rmSync(home, { recursive: true, force: true })
})

/** Runs a script of the clone on a terminal. */
const asks = (name: string, args: readonly string[], answers: readonly Answered[]) =>
  onTerminal(name, args, answers, { folder: clone, env: { OAS_CLUSTERS_DIR: join(home, 'clusters') } })

/** The releases that are not ready, with the reason. */
async function unready(): Promise<string[]> {
  const releases = await bed.kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
  assert.ok(releases.length >= 10)
  return releases
    .filter(object => standing(object).state !== 'ready')
    .map(object => `${object.metadata.name}: ${standing(object).message}`)
}

const secret = (namespace: string, name: string): Promise<KubeObject | undefined> =>
  bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', namespace, name })

test('from create-cluster to Nextcloud with Enter on every question that has a default', async () => {
  await asks(
    'create-cluster',
    [],
    [
      [/Name of the cluster/, NAME],
      [/Domain of the cluster/, ''],
      [/Mail address of the administrator/, 'admin@example.org'],
      [/IP address/, '127.0.0.1'],
      [/Create the cluster/, 'y'],
    ],
  )
  const settings = [`charts_mirror=${bed.up.chartsMirror}`, `flux_manifest=${bed.up.fluxManifest}`]
  await asks(
    'install-core',
    ['--kubeconfig', bed.up.kubeconfig, ...settings.flatMap(setting => ['--set', setting])],
    [
      [/Git repository that Flux follows/, ''],
      [/Branch that Flux follows/, ''],
      [/Install the core/, 'y'],
    ],
  )
  await asks('install-app', ['nextcloud'], [[/Install nextcloud/, 'y']])
  assert.equal(await unready(), [])
  const repository = { ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' }
  const { url, ref } = (await bed.kubectl.get(repository))!.spec
  assert.equal([url, ref], [bed.up.gitUrl, { branch: 'main' }])
  // What was taken is written down: another branch in this checkout moves no cluster.
  const config = parseConfig(readFileSync(envFile(), 'utf8'))
  assert.equal([config.git_url, config.git_branch], [bed.up.gitUrl, 'main'])
})

test('passwords of every printable character arrive as they are, and everything is ready with them', async () => {
  const accounts = {
    outgoing_mail_smtp_user: `user${PRINTABLE}`,
    outgoing_mail_smtp_password: PRINTABLE,
    backup_s3_aws_access_key_id: `key${PRINTABLE}`,
    backup_s3_aws_secret_access_key: `secret${PRINTABLE}`,
  }
  const values = {
    ...accounts,
    outgoing_mail_enabled: 'true',
    outgoing_mail_from_address: 'oas@example.org',
    outgoing_mail_smtp_host: 'smtp.example.org',
    backup_s3_enabled: 'true',
    backup_s3_url: 'https://s3.example.org',
    backup_s3_region: 'ceph',
    backup_s3_bucket: 'backups',
  }
  writeFileSync(envFile(), editConfig(readFileSync(envFile(), 'utf8'), values))
  const screen = await asks('install-core', ['--yes'], [])
  assert.not.match(screen, PRINTABLE.slice(0, 20))
  await asks(
    'install-app',
    ['nextcloud', 'rocketchat', 'wekan', 'wordpress', 'velero', '--yes', '--skip-backup'],
    [],
  )
  assert.equal(await unready(), [])
  for (const [name, value] of Object.entries(accounts)) {
    const places = name.startsWith('backup') ? ['velero/oas-backup'] : ['oas/oas-mail', 'oas-apps/oas-mail']
    for (const place of places) {
      const [namespace = '', secretName = ''] = place.split('/')
      const { data } = (await secret(namespace, secretName))!
      assert.is(Buffer.from(data[name], 'base64').toString(), value, `${place} ${name}`)
    }
  }
  // The one place where Helm has to write it down itself.
  const alertmanager = await secret('oas', 'alertmanager-kube-prometheus-stack-alertmanager')
  const written = Buffer.from(alertmanager!.data['alertmanager.yaml'], 'base64').toString()
  const { load } = await import('js-yaml')
  const { global } = load(written) as { global: Record<string, string> }
  assert.is(global.smtp_auth_username, accounts.outgoing_mail_smtp_user)
  // Flux substitutes from this Secret, and it holds none of them.
  const variables = (await secret('flux-system', 'oas-cluster-variables'))!
  for (const name of Object.keys(accounts)) assert.not.ok(name in variables.data, name)
})

test('another archive of the same chart version takes the place of the one before, without a reset', async () => {
  const served = layoutOf('sandbox').served
  const given = join(home, 'charts')
  cpSync(join(served, 'charts'), given, { recursive: true })
  const archive = join(given, readdirSync(given).find(name => name.startsWith('valkey-'))!)
  await run('tar', ['-xzf', archive, '-C', home])
  const template = join(home, 'valkey', 'templates', 'valkey.yaml')
  writeFileSync(
    template,
    `${readFileSync(template, 'utf8')}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-the-other-archive}\n`,
  )
  await run('tar', ['-czf', archive, '-C', home, 'valkey'])
  await up({ worktree: true, charts: given })
  const config = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: 'from-the-other-archive',
    namespace: 'oas-apps',
  }
  await until(async () => ((await bed.kubectl.get(config)) ? { done: true } : { last: 'not there' }), {
    deadline: 120_000,
    every: 1000,
    describe: last => last ?? '',
  })
})

test.run()
