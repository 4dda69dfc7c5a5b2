/**
 * The main job, from an empty cluster to five applications: install-core, install-app, status, secrets and
 * info as a user runs them, on one sandbox. The tests go on from where the one before has left the cluster.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { HELM_RELEASE, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import { type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { APP_NAMES, CORE_KUSTOMIZATIONS } from '../../lib/platform/apps.ts'
import { editConfig, parseConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS } from '../../lib/platform/config-keys.ts'
import { loadCatalogue, secretRef } from '../../lib/platform/secrets.ts'
import { watched } from '../../lib/rollout/rollout.ts'
import { unreadyReason } from '../../lib/rollout/standing.ts'
import { until } from '../../lib/script/wait.ts'
import { all, suite } from '../suite.ts'
import { diagnosis } from './fault-suite.ts'
import { told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'

const test = suite('install')
let bed: Bed
/** Every value that must never show, also those that were replaced meanwhile. */
const values = new Set<string>()
/** Every command line that any process has had. */
const commandLines = new Set<string>()
let sampling: NodeJS.Timeout | undefined

/** Mail with a password of its own, so that there is one to look for. */
const MAIL = {
  outgoing_mail_enabled: 'true',
  outgoing_mail_from_address: 'noreply@example.org',
  outgoing_mail_smtp_host: 'smtp.example.org',
  outgoing_mail_smtp_user: 'noreply',
  outgoing_mail_smtp_password: 'mail/password+Q7x=8fk',
}

/** Velero of the bed is a chart without its program, so that no backup comes to an end (backup.test.ts has the real one). */
const EVERYTHING = [...APP_NAMES, '--yes', '--skip-backup']

test.before(async () => {
  bed = await Bed.start()
  setConfig(MAIL)
  sampling = setInterval(sampleCommandLines, 100)
})

test.after(async () => {
  clearInterval(sampling)
  await bed?.stop()
})

function sampleCommandLines(): void {
  for (const pid of readdirSync('/proc'))
    if (/^\d+$/.test(pid))
      try {
        commandLines.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      } catch {
        // It has ended.
      }
}

const envFile = () => join(bed.cluster, '.flux.env')

/** Changes keys of the sandbox's `.flux.env`, as an administrator does with an editor. */
function setConfig(changes: Record<string, string>): void {
  writeFileSync(envFile(), editConfig(readFileSync(envFile(), 'utf8'), changes))
}

/** All files of the cluster folder with their text, except the sandbox's own in .state. */
function files(): Map<string, string> {
  return new Map(
    readdirSync(bed.cluster, { recursive: true, encoding: 'utf8' })
      .filter(path => !path.startsWith('.state') && statSync(join(bed.cluster, path)).isFile())
      .sort()
      .map(path => [path, readFileSync(join(bed.cluster, path), 'utf8')]),
  )
}

const sandbox = (name: string, args: readonly string[], options?: ScriptOptions) =>
  runScript(name, ['--cluster', 'sandbox', ...args], options)

async function succeeds(name: string, args: readonly string[]): Promise<Outcome> {
  const outcome = await sandbox(name, args)
  assert.is(outcome.code, 0, `${name} ${args.join(' ')} failed:\n${outcome.stderr}`)
  return outcome
}

/** Runs a script that has to refuse; each problem is one pair of lines. Nothing in cluster and folder changes. */
async function refuses(
  name: string,
  args: readonly string[],
  code: number,
  problems: readonly RegExp[],
): Promise<void> {
  const [versions, before] = [await bed.settled(), files()]
  const outcome = await sandbox(name, args)
  const failures = told(outcome)
  assert.is(outcome.code, code, outcome.stderr)
  assert.is(failures.length, problems.length, outcome.stderr)
  for (const problem of problems)
    assert.is(
      failures.filter(({ what, fix }) => problem.test(`${what}; ${fix}`)).length,
      1,
      `${problem}\n${outcome.stderr}`,
    )
  assert.is(outcome.stdout, '')
  assert.equal(files(), before)
  assert.equal(await bed.versions(), versions)
}

/** Runs a script that finds everything in order: it says so and writes nothing, neither in cluster nor folder. */
async function unchanged(name: string, args: readonly string[]): Promise<void> {
  const [versions, before] = [await bed.settled(), files()]
  const outcome = await succeeds(name, args)
  assert.match(outcome.stderr, /nothing was changed/)
  assert.equal(await bed.versions(), versions)
  assert.equal(files(), before)
}

/** These Kustomizations and all their releases are ready at this moment, without any further waiting. */
async function inOrder(names: readonly string[]): Promise<void> {
  const index = await watched(bed.kubectl)
  assert.equal(
    names.flatMap(name => unreadyReason(name, index) ?? []),
    [],
  )
}

const releases = () => bed.kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
const nameOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`
const release = (name: string, namespace = 'oas-apps') => ({ ...HELM_RELEASE, name, namespace })

/** Deletes HelmReleases and waits until helm-controller has uninstalled them. */
async function deleteReleases(objects: readonly KubeObject[]): Promise<void> {
  for (const { metadata } of objects) await bed.kubectl.delete(release(metadata.name, metadata.namespace))
  const names = objects.map(nameOf)
  await until(
    async () => {
      const left = (await releases()).map(nameOf).filter(name => names.includes(name))
      return left.length === 0 ? { done: undefined } : { last: left.join(', ') }
    },
    { deadline: 300_000, every: 300, describe: last => `not deleted: ${last}` },
  )
}

const secretIn = (namespace: string, name: string) => ({ apiVersion: 'v1', kind: 'Secret', namespace, name })
const variables = (name: string) => secretIn('flux-system', name)
const base64 = (text: string) => Buffer.from(text).toString('base64')

/** The data of a Secret, decoded. */
async function dataOf(namespace: string, name: string): Promise<Record<string, string>> {
  const data = (await bed.kubectl.get(secretIn(namespace, name)))?.data ?? {}
  return Object.fromEntries(
    Object.entries(data as Record<string, string>).map(([key, value]) => [
      key,
      Buffer.from(value, 'base64').toString(),
    ]),
  )
}

/** The data of every generated Secret, as the cluster has it. */
async function generated(): Promise<Record<string, unknown>> {
  const entries = await loadCatalogue()
  const secrets = await Promise.all(entries.map(entry => bed.kubectl.get(secretRef(entry))))
  return Object.fromEntries(entries.map((entry, i) => [`${entry.namespace}/${entry.name}`, secrets[i]?.data]))
}

/** Remembers the values that the cluster has now, for the search for leaked ones. */
async function remember(): Promise<void> {
  for (const value of await bed.secretValues()) values.add(value)
}

test('status of an empty cluster: findings, and what to do', async () => {
  const outcome = await sandbox('status', [])
  assert.is(outcome.code, 3, outcome.stderr)
  assert.match(outcome.stdout, /not installed here: npx tsx scripts\/install-core\.ts/)
})

test('a cluster without Flux', async () => {
  const { causes, outcome } = await diagnosis()
  assert.is(outcome.code, 3, outcome.stderr)
  assert.is(causes[0]?.rule, 'flux-not-installed', JSON.stringify(causes))
  assert.match(causes[0]!.remedy.command ?? '', 'install-core')
})

test('install-app without a core is refused', async () => {
  await refuses('install-app', ['wekan', '--yes'], 1, [/core is not installed.*install-core/])
})

test('install-core --dry-run shows the plan and changes nothing', async () => {
  const [versions, before] = [await bed.settled(), files()]
  const outcome = await succeeds('install-core', ['--dry-run', '--set', 'admin_email=other@example.org'])
  assert.match(outcome.stderr, /create Secret flux-system\/oas-single-sign-on-variables/)
  assert.match(outcome.stderr, /\+ domain = "oas\.example\.org"/)
  assert.match(outcome.stderr, /\+ outgoing_mail_smtp_password = \(hidden\)/)
  assert.match(outcome.stderr, /Dry run: nothing was changed/)
  assert.equal(await bed.versions(), versions)
  assert.equal(files(), before)
})

test('without a terminal and without --yes nothing is changed', async () => {
  await refuses('install-core', [], 2, [/--yes/])
})

test('a bad .flux.env: one error a problem, nothing changed', async () => {
  const good = readFileSync(envFile(), 'utf8')
  try {
    writeFileSync(
      envFile(),
      `${good}\ndomian=x.example.org\nadmin_email=a@example.org\ncharts_mirror=ftp://x\nno equals sign\ncluster_issuer=a"b\n`,
    )
    await refuses('install-core', ['--yes'], 2, [
      /unknown key domian.*domain/,
      /admin_email is given twice/,
      /charts_mirror must be an http/,
      /not of the form key=value/,
      /cluster_issuer holds one of/,
      /charts_mirror is given twice/,
      /cluster_issuer is given twice/,
    ])
    writeFileSync(
      envFile(),
      editConfig(good, { ip_address: '', domain: '', outgoing_mail_smtp_password: '' }),
    )
    await refuses('install-core', ['--yes'], 2, [
      /lacks ip_address.*--set ip_address=/,
      /lacks domain.*--set domain=/,
      /lacks outgoing_mail_smtp_password.*write outgoing_mail_smtp_password=/,
    ])
  } finally {
    writeFileSync(envFile(), good)
  }
})

test('bad arguments: one error a problem, nothing changed', async () => {
  const settings = ['domain=UPPER', 'domian=x', 'outgoing_mail_smtp_password=an-example', 'ip_address']
  await refuses('install-core', ['--yes', ...settings.flatMap(setting => ['--set', setting])], 2, [
    /--set domain: domain must be a domain/,
    /--set domian: unknown key.*domain/,
    /--set outgoing_mail_smtp_password: a secret must not stand on a command line/,
    /--set expects KEY=VALUE/,
  ])
  await refuses('install-core', ['--yes', '--timeout', 'soon'], 2, [/--timeout "soon"/])
  await refuses('install-app', ['nextclud', 'wekann', '--yes'], 2, [
    /"nextclud".*nextcloud/,
    /"wekann".*wekan/,
  ])
})

test('install-core --yes --json: everything of the core is ready', async () => {
  const outcome = await succeeds('install-core', ['--yes', '--json'])
  await inOrder(CORE_KUSTOMIZATIONS)
  const document = JSON.parse(outcome.stdout)
  assert.is(document.exitCode, 0)
  assert.equal(document.result, { address: 'https://admin.oas.example.org' })
  assert.equal([...new Set(document.steps.map((step: { outcome: string }) => step.outcome))], ['done'])
  assert.equal((await releases()).filter(object => standing(object).state !== 'ready').map(nameOf), [])
  await remember()
})

test('the cluster folder is for its owner alone', () => {
  assert.is(statSync(bed.cluster).mode & 0o777, 0o700)
  const open = readdirSync(bed.cluster, { recursive: true, encoding: 'utf8' })
    // What the sandbox keeps below .state is behind that folder's own 0700.
    .filter(path => !path.startsWith('.state/'))
    .filter(path => {
      const stat = statSync(join(bed.cluster, path))
      return (stat.mode & 0o777) !== (stat.isDirectory() ? 0o700 : 0o600)
    })
  assert.equal(open, [])
  assert.ok(existsSync(join(bed.cluster, 'secrets', 'oas-single-sign-on-variables.yaml')))
})

test('install-core again changes nothing and says so', () => unchanged('install-core', ['--yes']))

if (all)
  test('an upgrade of Flux is not done while a new pod does not start, in a second run neither', async () => {
    const manifest = join(bed.folder, 'flux.yaml')
    const text = readFileSync(bed.up.fluxManifest, 'utf8')
    writeFileSync(
      manifest,
      text.replaceAll('ghcr.io/fluxcd/helm-controller:', 'flux.invalid/helm-controller:'),
    )
    for (let run = 0; run < 2; run++) {
      const outcome = await sandbox('install-core', ['--yes', '--flux-manifest', manifest])
      assert.is(outcome.code, 1, outcome.stderr)
      assert.match(told(outcome)[0]?.what ?? '', /helm-controller/)
    }
    rmSync(manifest)
    await succeeds('install-core', ['--yes'])
    await unchanged('install-core', ['--yes'])
  })

test('a Kustomization of somebody else with the name of an application is not that application', async () => {
  const stranger = {
    ...KUSTOMIZATION,
    metadata: { name: 'rocketchat', namespace: 'default' },
    spec: {
      interval: '1h',
      path: './',
      prune: false,
      suspend: true,
      sourceRef: { kind: 'GitRepository', name: 'chat' },
    },
  }
  await bed.kubectl.apply(stranger)
  try {
    const { result } = JSON.parse((await runScript('info', ['--json'])).stdout)
    assert.ok(result.addresses.grafana)
    assert.is(result.addresses.rocketchat, undefined)
  } finally {
    await bed.kubectl.delete(refOf(stranger))
  }
})

test('install-app velero without backups configured is refused', async () => {
  setConfig({ backup_s3_enabled: 'false' })
  try {
    await refuses('install-app', ['velero', 'wekan', '--yes'], 2, [
      /no S3 storage for backups .*backup_s3_enabled=true.*backup_s3_/,
    ])
  } finally {
    setConfig({ backup_s3_enabled: 'true' })
  }
})

test('install-app with all names at once: ready, with addresses and where the passwords are', async () => {
  const outcome = await succeeds('install-app', EVERYTHING)
  await inOrder(APP_NAMES)
  for (const host of ['files', 'office', 'chat', 'wekan', 'www'])
    assert.match(outcome.stdout, `https://${host}.oas.example.org`)
  for (const key of ['nextcloud_password', 'rocketchat_admin_password', 'wordpress_admin_password'])
    assert.match(outcome.stdout, `scripts/secrets.ts --show ${key}`)
  await remember()
})

test('install-app again changes nothing and says so', () => unchanged('install-app', EVERYTHING))

test('status: 0 when all is ready, 3 with what is not; --json', async () => {
  const text = await succeeds('status', [])
  assert.match(text.stdout, /HelmReleases +(\d+)\/\1 ready/)
  const healthy = JSON.parse((await succeeds('status', ['--json'])).stdout)
  assert.is(healthy.exitCode, 0)
  assert.is(healthy.result.ready, true)
  assert.equal(healthy.result.notReady, [])
  const titles = healthy.result.sections.map((section: { title: string }) => section.title)
  for (const title of [
    'Nodes',
    'Sources',
    'Kustomizations',
    'HelmReleases',
    'Workloads',
    'Volumes',
    'Certificates',
  ])
    assert.ok(titles.includes(title), `${title} is missing`)

  await bed.kubectl.patch(release('wekan'), { spec: { suspend: true } })
  try {
    const outcome = await sandbox('status', ['--json'])
    assert.is(outcome.code, 3)
    const { exitCode, result } = JSON.parse(outcome.stdout)
    assert.is(exitCode, 3)
    assert.is(result.ready, false)
    assert.equal(
      result.notReady.map((item: { kind: string; name: string }) => `${item.kind} ${item.name}`),
      ['HelmRelease wekan'],
    )
    assert.match((await sandbox('status', [])).stdout, /✗ +oas-apps\/wekan +suspended/)
  } finally {
    await bed.kubectl.patch(release('wekan'), { spec: { suspend: null } })
  }
  assert.is((await sandbox('status', ['--watch'])).code, 0, 'it ends as soon as all is ready')
})

if (all)
  test('deleted HelmReleases of applications come back', async () => {
    const before = (await releases()).filter(({ metadata }) =>
      /^(oas-apps|velero)$/.test(metadata.namespace ?? ''),
    )
    assert.ok(before.length > 5)
    await deleteReleases(before)
    await succeeds('install-app', EVERYTHING)
    await inOrder(APP_NAMES)
    assert.equal(
      (await releases()).map(nameOf).filter(name => before.map(nameOf).includes(name)),
      before.map(nameOf),
    )
  })

if (all)
  test('a HelmRelease that is still being deleted comes back', async () => {
    await bed.signal('helm-controller', 'SIGSTOP')
    try {
      await bed.kubectl.delete(release('wekan'))
      let released: Promise<void> | undefined
      const outcome = await sandbox('install-app', ['wekan', '--yes', '--timeout', '5'], {
        kill: stderr => {
          // It has asked Flux by then.
          if (stderr.includes('Wait until')) released ??= bed.signal('helm-controller', 'SIGCONT')
          return undefined
        },
      })
      assert.ok(released)
      assert.is(outcome.code, 0, outcome.stderr)
    } finally {
      await bed.signal('helm-controller', 'SIGCONT')
    }
    await inOrder(['wekan'])
  })

if (all)
  test('deleted HelmReleases of the core come back', async () => {
    const before = (await releases()).filter(
      ({ metadata }) => !/^(oas-apps|velero)$/.test(metadata.namespace ?? ''),
    )
    assert.ok(before.length > 5)
    await deleteReleases(before)
    await succeeds('install-core', ['--yes'])
    await inOrder(CORE_KUSTOMIZATIONS)
    assert.equal(
      (await releases()).map(nameOf).filter(name => before.map(nameOf).includes(name)),
      before.map(nameOf),
    )
  })

test('deleted Secrets and keys come back with the same values', async () => {
  const before = await generated()
  await bed.kubectl.delete(variables('oas-nextcloud-variables'))
  await bed.kubectl.delete(variables('oas-oauth-variables'))
  await bed.kubectl.delete(secretIn('oas', 'oas-prometheus-basic-auth'))
  await bed.kubectl.patch(variables('oas-wordpress-variables'), { data: { wordpress_salt: null } })
  await bed.kubectl.patch(variables('oas-rocketchat-variables'), { data: { rocketchat_mongodb_key: '' } })
  await bed.kubectl.patch(secretIn('oas', 'oas-alertmanager-basic-auth'), { data: { pass: null } })
  await succeeds('install-core', ['--yes'])
  await succeeds('install-app', EVERYTHING)
  assert.equal(await generated(), before)
  await inOrder([...CORE_KUSTOMIZATIONS, ...APP_NAMES])
})

if (all)
  test('a value that somebody has changed stays, and so does its copy', async () => {
    const chosen = 'chosen-by-hand-4711'
    values.add(chosen)
    await bed.kubectl.patch(variables('oas-wordpress-variables'), {
      data: { wordpress_admin_password: base64(chosen) },
    })
    await bed.settled()
    await succeeds('install-app', ['wordpress', '--yes'])
    assert.is((await dataOf('flux-system', 'oas-wordpress-variables')).wordpress_admin_password, chosen)
    await bed.kubectl.delete(variables('oas-wordpress-variables'))
    await succeeds('install-app', ['wordpress', '--yes'])
    assert.is((await dataOf('flux-system', 'oas-wordpress-variables')).wordpress_admin_password, chosen)
  })

if (all)
  test('with the copy gone too, new values are made, and the application has them when it is told ready', async () => {
    const before = await dataOf('flux-system', 'oas-rocketchat-variables')
    rmSync(join(bed.cluster, 'secrets', 'oas-rocketchat-variables.yaml'))
    await bed.kubectl.delete(variables('oas-rocketchat-variables'))
    await succeeds('install-app', ['rocketchat', '--yes'])
    const derived = await dataOf('oas-apps', 'oas-rocketchat-env')
    const now = await dataOf('flux-system', 'oas-rocketchat-variables')
    assert.equal(Object.keys(now), Object.keys(before))
    for (const key of Object.keys(now)) assert.is.not(now[key], before[key])
    assert.is(derived.ADMIN_PASS, now.rocketchat_admin_password)
    await inOrder(['rocketchat'])
    await remember()
  })

if (all)
  test('a changed setting has reached the core when it is told ready', async () => {
    await succeeds('install-core', ['--yes', '--set', 'cluster_issuer=letsencrypt-production'])
    const ingresses = await bed.kubectl.list('networking.k8s.io/v1', 'Ingress', { namespace: 'oas' })
    // Not every ingress asks for a certificate: some share that of another one.
    const issuers = ingresses.flatMap(
      ({ metadata }) => metadata.annotations?.['cert-manager.io/cluster-issuer'] ?? [],
    )
    assert.ok(issuers.length > 0)
    assert.equal([...new Set(issuers)], ['letsencrypt-production'])
    await inOrder(CORE_KUSTOMIZATIONS)
  })

test('info: an export line that a shell understands, whatever the folder is called', async () => {
  const clusters = join(bed.folder, "it's a folder")
  mkdirSync(join(clusters, 'prod'), { recursive: true })
  for (const name of ['.flux.env', 'kube_config_cluster.yml'])
    cpSync(join(bed.cluster, name), join(clusters, 'prod', name))
  const outcome = await runScript('info', [], { env: { OAS_CLUSTERS_DIR: clusters } })
  assert.is(outcome.code, 0, outcome.stderr)
  const line = outcome.stdout.split('\n').find(text => text.startsWith('export '))
  assert.ok(line)
  const path = execFileSync('sh', ['-c', `${line}\nprintf %s "$KUBECONFIG"`], { encoding: 'utf8' })
  assert.is(path, join(clusters, 'prod', 'kube_config_cluster.yml'))
  assert.ok(existsSync(path))
  const json = await runScript('info', ['--json'], { env: { OAS_CLUSTERS_DIR: clusters } })
  const { result } = JSON.parse(json.stdout)
  assert.is(result.export, line)
  assert.equal(result.addresses.nextcloud, [
    'https://files.oas.example.org',
    'https://office.oas.example.org',
  ])
  assert.is(result.server, bed.kubectl.client.server)
  rmSync(clusters, { recursive: true })
})

if (all)
  test('--kubeconfig adopts a cluster; another one and one that refers to files are refused', async () => {
    const folder = join(bed.folder, 'adopted')
    const adopted = join(folder, 'kube_config_cluster.yml')
    mkdirSync(folder)
    cpSync(envFile(), join(folder, '.flux.env'))
    const install = (file: string) =>
      runScript('install-core', ['--cluster', 'adopted', '--kubeconfig', file, '--yes', '--json'])
    const given = join(bed.cluster, 'kube_config_cluster.yml')
    const text = readFileSync(given, 'utf8')
    const copy = join(bed.folder, 'given.yml')

    writeFileSync(copy, text.replace(/client-certificate-data:.*/, 'client-certificate: /tmp/client.crt'))
    const refers = await install(copy)
    assert.is(refers.code, 2, refers.stderr)
    assert.match(JSON.parse(refers.stdout).errors[0].message, /refers to other files/)
    assert.not(existsSync(adopted))

    const first = await install(given)
    assert.is(first.code, 0, first.stderr)
    assert.is(readFileSync(adopted, 'utf8'), text)
    assert.is(statSync(adopted).mode & 0o777, 0o600)
    assert.is(statSync(folder).mode & 0o777, 0o700)

    writeFileSync(copy, text.replace(/server: .*/, 'server: https://127.0.0.1:1'))
    const other = await install(copy)
    assert.is(other.code, 4, other.stderr)
    assert.match(JSON.parse(other.stdout).errors[0].message, /is another kubeconfig/)
    assert.is(readFileSync(adopted, 'utf8'), text)
    rmSync(folder, { recursive: true })
  })

test('secrets lists keys without values, and finds what is missing, empty or ends with a newline', async () => {
  const list = await succeeds('secrets', [])
  assert.match(list.stdout, /userbackend_admin_password +32 characters/)
  const before = (await bed.kubectl.get(variables('oas-nextcloud-variables')))?.data as Record<string, string>
  const password = Buffer.from(before.nextcloud_password!, 'base64').toString()
  await bed.kubectl.patch(variables('oas-nextcloud-variables'), {
    data: {
      nextcloud_password: base64(`${password}\n`),
      nextcloud_mariadb_password: '',
      onlyoffice_jwt_secret: null,
    },
  })
  const outcome = await sandbox('secrets', ['--app', 'nextcloud', '--json'])
  assert.is(outcome.code, 3, outcome.stderr)
  const { result } = JSON.parse(outcome.stdout)
  assert.equal(
    result.findings.map(({ key, problem }: { key: string; problem: string }) => `${key} ${problem}`).sort(),
    [
      'nextcloud_mariadb_password is empty',
      'nextcloud_password ends with a newline',
      'onlyoffice_jwt_secret is missing',
    ],
  )
  assert.equal([...new Set(result.secrets.map(({ app }: { app: string }) => app))], ['nextcloud'])
  assert.is((await sandbox('secrets', [])).code, 3)
  await succeeds('install-app', ['nextcloud', '--yes'])
  const healed = await dataOf('flux-system', 'oas-nextcloud-variables')
  assert.is(healed.nextcloud_password, `${password}\n`, 'a value that is there is never touched')
  assert.is(base64(healed.nextcloud_mariadb_password!), before.nextcloud_mariadb_password)
  assert.is(base64(healed.onlyoffice_jwt_secret!), before.onlyoffice_jwt_secret)
})

test('secrets says when an installed application has lost its Secret', async () => {
  await bed.kubectl.delete(variables('oas-wordpress-variables'))
  const outcome = await sandbox('secrets', ['--app', 'wordpress', '--json'])
  assert.is(outcome.code, 3, outcome.stdout)
  await succeeds('install-app', ['wordpress', '--yes'])
})

test('secrets --show reveals exactly the one that was asked for', async () => {
  const options = { reveals: true }
  const now = await dataOf('flux-system', 'oas-single-sign-on-variables')
  const shown = await sandbox('secrets', ['--show', 'userbackend_admin_password'], options)
  assert.is(shown.code, 0, shown.stderr)
  assert.is(shown.stdout, `${now.userbackend_admin_password}\n`)
  assert.is(shown.stderr, '')
  const json = await sandbox('secrets', ['--show', 'userbackend_admin_password', '--json'], options)
  const document = JSON.parse(json.stdout)
  assert.equal(document.result, { key: 'userbackend_admin_password', value: now.userbackend_admin_password })
  const others = [...(await bed.secretValues())].filter(value => value !== now.userbackend_admin_password)
  assert.not(others.some(value => json.stdout.includes(value) || json.stderr.includes(value)))
  const auth = await sandbox('secrets', ['--show', 'oas-prometheus-basic-auth/pass'], options)
  assert.is(auth.stdout, `${(await dataOf('oas', 'oas-prometheus-basic-auth')).pass}\n`)
  const wrong = await sandbox('secrets', ['--show', 'nextcloud_pasword', '--json'])
  assert.is(wrong.code, 2)
  assert.match(JSON.parse(wrong.stdout).errors[0].fix, /nextcloud_password/)
})

test('wrong usage with --json is one document, too', async () => {
  const outcome = await sandbox('install-app', ['nextclud', '--yes', '--json'])
  assert.is(outcome.code, 2)
  const document = JSON.parse(outcome.stdout)
  assert.is(document.exitCode, 2)
  assert.match(document.errors[0].fix, /nextcloud/)
})

test('no secret has shown in any output, journal or process list', async () => {
  await remember()
  const config = parseConfig(readFileSync(envFile(), 'utf8'))
  for (const key of CONFIG_KEYS) if (key.secret && config[key.name]) values.add(config[key.name]!)
  const forms = [...values].flatMap(value => [value, base64(value), encodeURIComponent(value)])
  assert.ok(forms.length > 60, 'there is something to look for')
  assert.equal(bed.leaks(forms), [])
  const lines = [...commandLines]
  assert.ok(
    lines.some(line => /scripts\S*\/install-core\./.test(line)), // compiled or not
    'the scripts were seen',
  )
  assert.not(
    lines.some(line => forms.some(form => line.includes(form))),
    'a value stood on a command line',
  )
})

test.run()
