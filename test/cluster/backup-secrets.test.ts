/**
 * backup-secrets and restore-secrets on the real API server, with hostile values, and against the ordinary `age`
 * program. No Flux is installed: the Secrets are put there by hand, dressed as Helm leaves them.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { MANIFEST, SEALED, secretFileOf } from '../../lib/secret-backup/manifest.ts'
import { TEN } from '../../lib/secret-backup/secret-backup.ts'
import { Api } from '../bed/cluster/api.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { all, test } from '../suite.ts'
import { folderWith } from './faults.ts'
import { Bed, type Outcome, runScript } from './harness.ts'

let bed: Bed
const folders = mkdtempSync(join(tmpdir(), 'oas-backup-'))
const scratch = (name: string) => join(folders, name)

/** Values that something on the way could change: by key, in base64. */
const HOSTILE: Record<string, string> = Object.fromEntries(
  [
    ['binary', Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
    ['empty', Buffer.alloc(0)],
    ['newline-at-the-end', 'Grafana-password-1\n'],
    ['newlines', '\r\n-----BEGIN KEY-----\n\tindented: yes\n---\n...\n\n'],
    ['bare-hexadecimal', Buffer.from('0X1F', 'base64')], // base64 that YAML parsers take for a number
    ['bare-boolean', Buffer.from('true', 'base64')],
    ['0X1F', 'a key that looks like a number'],
    ['true', 'a key that looks like a boolean'],
    ['__proto__', 'a key that objects of JavaScript have'],
    ['yaml', 'a: "b" # c\n- &x !!binary |\n  %{x} \u2028 ü 🔑'],
    ['lone-surrogate', Buffer.from([0xed, 0xa0, 0x80, 0xff, 0xfe, 0x00])],
    ['large', randomBytes(300_000)],
  ].map(([key, value]) => [key as string, Buffer.from(value as string).toString('base64')]),
)

/** The Secrets of a platform of 0.6, as its chart would have left them. */
function platform(): KubeObject[] {
  return TEN.map(({ namespace, name }) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      namespace,
      name,
      labels: { 'app.kubernetes.io/managed-by': 'Helm' },
      annotations: { 'meta.helm.sh/release-name': 'oas-secrets', 'oas.example/note': 'x' },
    },
    type: 'Opaque',
    data:
      name === 'oas-cluster-variables'
        ? { domain: base64('oas.example.org'), outgoing_mail_smtp_password: base64('Mail-password-1') }
        : name === 'oas-oauth-variables'
          ? { grafana_oauth_client_secret: base64('Grafana-oauth-1'), ...HOSTILE }
          : { password: base64(`Password-of-${name}`), ...(name.includes('nextcloud') ? HOSTILE : {}) },
  }))
}
const base64 = (text: string) => Buffer.from(text).toString('base64')

/** The data of every Secret of the platform that the cluster has. */
async function data(): Promise<Map<string, Record<string, string>>> {
  const found = await Promise.all(
    TEN.map(async ({ namespace, name }) => [
      name,
      (await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', namespace, name }))?.data,
    ]),
  )
  return new Map(found.filter(([, values]) => values !== undefined) as [string, Record<string, string>][])
}

const secretRef = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  namespace: TEN.find(one => one.name === name)!.namespace,
  name,
})
const remove = (name: string) => bed.kubectl.delete(secretRef(name))
const set = (name: string, values: Record<string, string | null>) =>
  bed.kubectl.patch(secretRef(name), { data: values })
const backups = () =>
  existsSync(join(bed.cluster, 'secrets-backup')) ? readdirSync(join(bed.cluster, 'secrets-backup')) : []

/** Backs up into a folder of this name; fails the test unless that works. */
async function backup(name: string, ...args: string[]): Promise<string> {
  const folder = scratch(name)
  const outcome = await runScript('backup-secrets', ['--output', folder, ...args])
  assert.is(outcome.code, 0, outcome.stderr)
  return folder
}

/** The errors that a script told, each with its fix. */
const told = ({ stderr }: Outcome) =>
  [...stderr.matchAll(/^✗ (.+)\n {2}fix: (.+)$/gm)].map(([, what, fix]) => ({ what: what!, fix: fix! }))

test.before(async () => {
  bed = await Bed.start()
  process.env.OAS_CLUSTER = 'sandbox' // there will be others
  for (const name of ['flux-system', 'oas', 'default'])
    await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  for (const secret of platform()) {
    const { namespace } = secret.metadata
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: 'owner' } }
    const { metadata } = await bed.kubectl.apply(owner)
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: metadata.uid! }]
    await bed.kubectl.create({ ...secret, metadata: { ...secret.metadata, ownerReferences } })
  }
  // A release record of Helm: large, not wanted, and never read.
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'oas', name: 'sh.helm.release.v1.single-sign-on.v1' },
    type: 'helm.sh/release.v1',
    data: { release: randomBytes(600_000).toString('base64') },
  })
})

test.after(async () => {
  await bed?.stop()
  rmSync(folders, { recursive: true, force: true })
})

test('a dry run says what would be written, and writes nothing', async () => {
  const outcome = await runScript('backup-secrets', ['--dry-run'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, /write 10 secrets to .*secrets-backup\/sandbox-20/)
  assert.equal(backups(), [])
})

test('the ten secrets are written whole, stripped, private, and as the API server takes them back', async () => {
  const before = await data()
  const outcome = await runScript('backup-secrets', ['--json'])
  assert.is(outcome.code, 0, outcome.stderr)
  const { folder, manifest } = JSON.parse(outcome.stdout).result
  assert.match(folder, /\/sandbox\/secrets-backup\/sandbox-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/)
  assert.equal(readdirSync(folder).sort(), [MANIFEST, ...TEN.map(secretFileOf)].sort())
  assert.is(statSync(folder).mode & 0o777, 0o700)
  for (const file of readdirSync(folder)) assert.is(statSync(join(folder, file)).mode & 0o777, 0o600, file)
  assert.equal([manifest.secrets.length, manifest.absent], [10, []])
  const sums = manifest.files
    .map(({ file, sha256 }: Record<string, string>) => `${sha256}  ${file}\n`)
    .join('')
  execFileSync('sha256sum', ['--check', '--quiet'], { cwd: folder, input: sums })
  const text = readFileSync(join(folder, secretFileOf(TEN[8]!)), 'utf8')
  for (const field of [
    'annotations',
    'labels',
    'creationTimestamp',
    'resourceVersion',
    'uid',
    'managedFields',
  ])
    assert.not.match(text, new RegExp(`^ *"?${field}`, 'm'))

  // Deleted, and put back with the API server's own YAML parser, which is kubectl's.
  const api = new Api(layoutOf('sandbox'))
  for (const { namespace, name } of TEN) {
    await remove(name)
    const answer = await api.request(`${bed.kubectl.client.server}/api/v1/namespaces/${namespace}/secrets`, {
      method: 'POST',
      body: readFileSync(join(folder, secretFileOf({ namespace, name })), 'utf8'),
      contentType: 'application/yaml',
      timeout: 120_000,
    })
    assert.is(answer.status, 201, answer.body.slice(0, 300))
  }
  assert.equal(await data(), before)
})

test('a second backup has a folder of its own, and one that exists is refused', async () => {
  const outcome = await runScript('backup-secrets', [])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.is(backups().length, 2)
  const existing = join(bed.cluster, 'secrets-backup', backups()[0]!)
  const before = readdirSync(existing)
  const refused = await runScript('backup-secrets', ['--output', existing])
  assert.is(refused.code, 4)
  assert.match(told(refused)[0]!.what, 'already exists, and a backup is never overwritten')
  assert.equal(readdirSync(existing), before)
})

test('what is absent is told with what it means; --all takes what is named alike', async () => {
  const kept = (await bed.kubectl.get(secretRef('oas-wekan-variables')))!
  await remove('oas-wekan-variables')
  const extra = { namespace: 'flux-system', name: 'oas-zulip-variables' }
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: extra,
    data: { zulip_password: base64('Zulip-password-1') },
  })
  const outcome = await runScript('backup-secrets', ['--all', '--json'])
  assert.is(outcome.code, 0, outcome.stderr)
  const { manifest } = JSON.parse(outcome.stdout).result
  assert.equal(manifest.absent, [
    { namespace: 'flux-system', name: 'oas-wekan-variables' },
    { namespace: 'velero', name: 'velero-repo-credentials' },
  ])
  assert.ok(manifest.secrets.some(({ name }: { name: string }) => name === extra.name))
  assert.match(outcome.stderr, '! Secret flux-system/oas-wekan-variables is not in the cluster')
  assert.match(outcome.stderr, 'has to add wekan_oauth_client_secret to oas-oauth-variables')
  assert.match(outcome.stderr, /oas-oauth-variables has no .*wekan_oauth_client_secret/)
  await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Secret', ...extra })
  const { resourceVersion: _v, uid: _u, ...metadata } = kept.metadata
  await bed.kubectl.create({ ...kept, metadata })
})

test('--verify: intact, and what the cluster has changed since', async () => {
  const folder = await backup('verify')
  const verify = () => runScript('backup-secrets', ['--verify', folder, '--json'])
  const intact = await verify()
  assert.is(intact.code, 0, intact.stderr)
  assert.match(intact.stderr, 'all match the cluster')

  await set('oas-rocketchat-variables', { password: base64('Changed-password-1') })
  const changed = await verify()
  assert.is(changed.code, 3, changed.stderr)
  assert.equal(JSON.parse(changed.stdout).result.deviations, [
    { secret: 'flux-system/oas-rocketchat-variables', problem: 'differs from the cluster in password' },
  ])
})

test('a tampered, truncated or incomplete backup is refused by the name of the file', async () => {
  const whole = await backup('whole')
  const file = secretFileOf(TEN[3]!)
  const cases: [string, (folder: string) => void, RegExp][] = [
    [
      'changed',
      folder => {
        const text = readFileSync(join(folder, file), 'utf8')
        writeFileSync(join(folder, file), text.replace(/(password": ")./, '$1z'))
      },
      new RegExp(`/${file} was changed`),
    ],
    [
      'cut off',
      folder => writeFileSync(join(folder, file), readFileSync(join(whole, file)).subarray(0, -20)),
      new RegExp(`/${file} was cut off`),
    ],
    ['missing', folder => rmSync(join(folder, file)), new RegExp(`/${file} is missing`)],
    [
      'one too many',
      folder => cpSync(join(folder, file), join(folder, 'x.yaml')),
      /x\.yaml does not belong to this backup/,
    ],
    ['no manifest', folder => rmSync(join(folder, MANIFEST)), /backup\.manifest is missing/],
    [
      'half a manifest',
      folder => writeFileSync(join(folder, MANIFEST), readFileSync(join(whole, MANIFEST)).subarray(0, 500)),
      /backup\.manifest is not a manifest: it was cut off/,
    ],
  ]
  await remove('oas-rocketchat-variables')
  for (const [name, spoil, what] of cases) {
    const folder = scratch(`spoilt-${name.replaceAll(' ', '-')}`)
    cpSync(whole, folder, { recursive: true })
    spoil(folder)
    for (const [script, ...args] of [
      ['backup-secrets', '--verify', folder],
      ['restore-secrets', folder, '--yes'],
    ] as const) {
      const outcome = await runScript(script, args)
      assert.is(outcome.code, 1, `${script}, ${name}: ${outcome.stderr}`)
      assert.match(told(outcome)[0]!.what, what)
    }
  }
  assert.not.ok((await data()).has('oas-rocketchat-variables'))
  const outcome = await runScript('restore-secrets', [whole, '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
})

test('restore: what the cluster lacks comes back byte by byte, what differs stays until it is named', async () => {
  const before = await data()
  const folder = await backup('restore')
  await remove('oas-nextcloud-variables') // missing
  await set('oas-wordpress-variables', { password: null, newer: base64('Newer-password-1') }) // incomplete
  await set('oas-oauth-variables', { grafana_oauth_client_secret: base64('Newer-oauth-1'), binary: '' }) // both
  const changed = await data()

  const dry = await runScript('restore-secrets', [folder, '--dry-run'])
  assert.is(dry.code, 0, dry.stderr)
  assert.match(dry.stderr, '+ flux-system/oas-nextcloud-variables: not in the cluster (13 keys)')
  assert.match(dry.stderr, /\+ password: none in the cluster, 35 bytes #[0-9a-f]{8} in the backup/)
  assert.match(dry.stderr, /= newer: only in the cluster, kept/)
  assert.match(
    dry.stderr,
    /~ grafana_oauth_client_secret: 13 bytes #\w{8} in the cluster, 15 bytes #\w{8} in/,
  )
  assert.match(dry.stderr, /\+ binary: empty in the cluster, 256 bytes/)
  assert.match(dry.stderr, '= oas/oas-prometheus-basic-auth: the same')
  assert.equal(await data(), changed)

  const none = await runScript('restore-secrets', [])
  assert.is(none.code, 2)
  assert.match(told(none)[0]!.fix, `give the folder of one: ${bed.cluster}/secrets-backup/sandbox-20`)
  const unanswered = await runScript('restore-secrets', [folder])
  assert.is(unanswered.code, 2)
  assert.match(told(unanswered)[0]!.fix, '--only NAME')
  const refused = await runScript('restore-secrets', [folder, '--only', 'oas-oauth-variables', '--yes'])
  assert.is(refused.code, 4)
  assert.match(told(refused)[0]!.fix, '--overwrite oas-oauth-variables')
  assert.equal(await data(), changed)

  const outcome = await runScript('restore-secrets', [folder, '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, 'oas-oauth-variables keeps the values of the cluster')
  const now = await data()
  assert.equal(now.get('oas-nextcloud-variables'), before.get('oas-nextcloud-variables'))
  assert.equal(now.get('oas-wordpress-variables'), {
    ...before.get('oas-wordpress-variables'),
    newer: base64('Newer-password-1'),
  })
  assert.equal(now.get('oas-oauth-variables'), changed.get('oas-oauth-variables'))

  const replaced = await runScript('restore-secrets', [folder, '--overwrite', 'oas-oauth-variables', '--yes'])
  assert.is(replaced.code, 0, replaced.stderr)
  assert.equal((await data()).get('oas-oauth-variables'), before.get('oas-oauth-variables'))
  const kept = backups().find(name => name.endsWith('-replaced'))!
  assert.match(
    readFileSync(join(bed.cluster, 'secrets-backup', kept, 'flux-system.oas-oauth-variables.yaml'), 'utf8'),
    base64('Newer-oauth-1'),
  )
  const again = await runScript('restore-secrets', [folder, '--yes'])
  assert.is(again.code, 0, again.stderr)
  assert.match(again.stderr, 'nothing to restore; nothing was changed')
})

if (all)
  test('restore by name; a namespace that is gone is made again', async () => {
    const before = await data()
    const folder = await backup('namespace')
    await bed.kubectl.delete({ apiVersion: 'v1', kind: 'Namespace', name: 'oas' })
    await until(
      async () =>
        (await bed.kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'oas' }))
          ? { last: 'oas' }
          : { done: true },
      { deadline: 180_000, every: 200, describe: () => 'namespace oas is still there' },
    )
    await remove('oas-wekan-variables')
    const wrong = await runScript('restore-secrets', [folder, '--only', 'oas-prometeus-basic-auth', '--yes'])
    assert.is(wrong.code, 2)
    assert.match(told(wrong)[0]!.fix, 'did you mean oas-prometheus-basic-auth?')
    const outcome = await runScript('restore-secrets', [
      folder,
      '--only',
      'oas-prometheus-basic-auth',
      '--yes',
    ])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.match(outcome.stderr, 'create namespace oas')
    const some = await data()
    assert.ok(some.has('oas-prometheus-basic-auth') && !some.has('oas-alertmanager-basic-auth'))
    assert.not.ok(some.has('oas-wekan-variables'))
    const rest = await runScript('restore-secrets', [folder, '--yes'])
    assert.is(rest.code, 0, rest.stderr)
    assert.equal(await data(), before)
  })

test('a restore that is killed at any step is completed by the next one', async () => {
  const before = await data()
  const folder = await backup('killed')
  for (const at of [/1\. Restore/, /✓ Restore/, /2\. Read/]) {
    for (const { name } of TEN) await remove(name)
    const killed = await runScript('restore-secrets', [folder, '--yes'], {
      kill: said => (at.test(said) ? 'SIGKILL' : undefined),
    })
    assert.is(killed.signal, 'SIGKILL')
    const next = await runScript('restore-secrets', [folder, '--yes'])
    assert.is(next.code, 0, next.stderr)
    assert.equal(await data(), before)
  }
})

test('a backup that is killed at any moment leaves a whole one, or none', async () => {
  const { seconds } = await runScript('backup-secrets', ['--output', scratch('unkilled')])
  let [whole, partial] = [0, 0]
  const runs = all ? 20 : 5
  for (let i = 0; i < runs; i++) {
    const folder = scratch(`killed-${i}`)
    const after = (seconds * (0.5 + (i * 0.6) / runs)).toFixed(3) // the first half is Node's start
    const node = [process.execPath, '--import', 'tsx', 'scripts/backup-secrets.ts', '--output', folder]
    spawnSync('timeout', ['-s', 'KILL', after, ...node], { cwd: ROOT, stdio: 'ignore' })
    if (existsSync(`${folder}.incomplete`)) partial++
    if (!existsSync(folder)) continue
    whole++
    const verified = await runScript('backup-secrets', ['--verify', folder])
    assert.is(verified.code, 0, verified.stderr)
  }
  assert.ok(whole < runs, 'no run was killed')
  console.log(`    killed: ${whole} whole, ${partial} with a folder that is called incomplete`)
})

test('what a killed run has left behind is named', async () => {
  const folder = scratch('half')
  mkdirSync(`${folder}.incomplete`)
  const outcome = await runScript('backup-secrets', ['--output', folder])
  assert.is(outcome.code, 1)
  assert.match(told(outcome)[0]!.fix, 'delete that folder')
  assert.ok(existsSync(`${folder}.incomplete`))
})

test('encrypted to a recipient: the age program opens it, and what age encrypts is opened here', async () => {
  const before = await data()
  const identity = scratch('key.txt')
  execFileSync('age-keygen', ['-o', identity], { stdio: 'ignore' })
  const recipient = /age1\w+/.exec(readFileSync(identity, 'utf8'))![0]
  const folder = await backup('sealed', '--recipient', recipient)
  assert.equal(readdirSync(folder).sort(), [MANIFEST, SEALED].sort())
  const manifest = readFileSync(join(folder, MANIFEST), 'utf8')
  assert.not.match(manifest, 'flux-system.oas-')

  const text = execFileSync('age', ['-d', '-i', identity, join(folder, SEALED)], { maxBuffer: 1 << 26 })
  const api = new Api(layoutOf('sandbox'))
  const documents = text
    .toString()
    .split(/^---\n/m)
    .slice(1)
  assert.is(documents.length, 10)
  for (const [i, { namespace, name }] of TEN.entries()) {
    await remove(name)
    const url = `${bed.kubectl.client.server}/api/v1/namespaces/${namespace}/secrets`
    const answer = await api.request(url, {
      method: 'POST',
      body: documents[i],
      contentType: 'application/yaml',
      timeout: 120_000,
    })
    assert.is(answer.status, 201, answer.body.slice(0, 300))
  }
  assert.equal(await data(), before)

  const closed = await runScript('backup-secrets', ['--verify', folder])
  assert.is(closed.code, 1, closed.stderr)
  assert.match(told(closed)[0]!.what, 'the backup is encrypted: its secrets were not compared')
  assert.match(told(closed)[0]!.fix, '--identity FILE')
  const opened = await runScript('backup-secrets', ['--verify', folder, '--identity', identity])
  assert.is(opened.code, 0, opened.stderr)
  assert.match(opened.stderr, 'all match the cluster')
  const without = await runScript('restore-secrets', [folder, '--yes'])
  assert.is(without.code, 2, without.stderr)

  // The other way round: decrypted and encrypted again by age; the manifest says what it then is.
  const foreign = scratch('foreign')
  cpSync(folder, foreign, { recursive: true })
  const sealed = execFileSync('age', ['-r', recipient], { input: text, maxBuffer: 1 << 26 })
  writeFileSync(join(foreign, SEALED), sealed)
  const refused = await runScript('restore-secrets', [foreign, '--yes', '--identity', identity])
  assert.is(refused.code, 1)
  assert.match(told(refused)[0]!.what, `/${SEALED} was changed`)
  const sum = execFileSync('sha256sum', [join(foreign, SEALED)])
    .toString()
    .slice(0, 64)
  const parsed = JSON.parse(manifest)
  parsed.files = [{ file: SEALED, bytes: sealed.length, sha256: sum }]
  writeFileSync(join(foreign, MANIFEST), JSON.stringify(parsed))
  await remove('oas-nextcloud-variables')
  const restored = await runScript('restore-secrets', [foreign, '--yes', '--identity', identity])
  assert.is(restored.code, 0, restored.stderr)
  assert.equal(await data(), before)
})

if (all)
  test('encrypted with a passphrase: proved at once, and opened with nothing else', async () => {
    const env = { OAS_AGE_PASSPHRASE: 'correct horse battery staple' }
    const folder = scratch('passphrase')
    const outcome = await runScript('backup-secrets', ['--output', folder, '--passphrase'], { env })
    assert.is(outcome.code, 0, outcome.stderr)
    assert.not.match(readFileSync(join(folder, MANIFEST), 'utf8'), 'correct')
    await remove('oas-wekan-variables')
    const wrong = await runScript('restore-secrets', [folder, '--yes'], {
      env: { OAS_AGE_PASSPHRASE: 'another passphrase' },
    })
    assert.is(wrong.code, 1)
    assert.match(told(wrong)[0]!.what, 'the passphrase does not open')
    const right = await runScript('restore-secrets', [folder, '--yes'], { env })
    assert.is(right.code, 0, right.stderr)
    assert.ok((await data()).has('oas-wekan-variables'))
    const verified = await runScript('backup-secrets', ['--verify', folder, '--passphrase'], { env })
    assert.is(verified.code, 0, verified.stderr)
  })

test('a full disk, a folder that cannot be written, one that is not there', async () => {
  const mounted = scratch('full')
  const program = `mkdir ${mounted} && mount -t tmpfs -o size=256k tmpfs ${mounted} &&
    ${process.execPath} --import tsx scripts/backup-secrets.ts --output ${mounted}/backup; code=$?; ls -A ${mounted}; exit $code`
  const full = spawnSync('unshare', [process.getuid?.() === 0 ? '-m' : '-rm', 'sh', '-c', program], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
    encoding: 'utf8',
  })
  assert.is(full.status, 1, full.stderr)
  assert.match(full.stderr, /✗ the backup cannot be written to .*ENOSPC\n {2}fix: free some disk space/)
  assert.is(full.stdout, '')
  const denied = await runScript('backup-secrets', ['--output', '/sys/kernel/backup'])
  assert.is(denied.code, 1)
  assert.match(told(denied)[0]!.what, /cannot be written to \/sys\/kernel\/backup.incomplete: E(PERM|ACCES)/)
  const nowhere = await runScript('backup-secrets', ['--output', scratch('nowhere/backup')])
  assert.is(nowhere.code, 1)
  assert.match(told(nowhere)[0]!.fix, 'create the parent folder')
})

test('a cluster that is down, without the secrets, or that forbids reading them', async () => {
  const down = folderWith(bed, 'down', config => {
    config.clusters[0]!.cluster.server = 'https://127.0.0.1:1'
  })
  const unreachable = await runScript('backup-secrets', down)
  assert.is(unreachable.code, 1)
  assert.match(told(unreachable)[0]!.what, 'cannot be reached')
  const folder = scratch('verify')
  const parsed = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8'))
  writeFileSync(join(folder, MANIFEST), JSON.stringify({ ...parsed, cluster: 'down' }))
  const verified = await runScript('backup-secrets', ['--verify', folder, ...down])
  assert.is(verified.code, 1, verified.stderr)
  assert.match(
    told(verified)[0]!.what,
    'the backup is intact, but not compared with the cluster: the API server',
  )
  const elsewhere = await runScript('backup-secrets', ['--verify', folder])
  assert.is(elsewhere.code, 1, elsewhere.stderr)
  assert.match(told(elsewhere)[0]!.what, 'it is from the cluster down: not compared with sandbox')

  const other = await runScript('restore-secrets', [folder, '--yes'])
  assert.is(other.code, 4)
  assert.match(told(other)[0]!.what, 'is a backup of down, not of sandbox')
  const meant = await runScript('restore-secrets', [folder, '--accept-cluster', 'down', '--dry-run'])
  assert.is(meant.code, 0, meant.stderr)

  await bed.kubectl.apply({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { namespace: 'default', name: 'stranger' },
  })
  const { status } = await bed.kubectl.call<{ status: { token: string } }>({
    method: 'POST',
    path: '/api/v1/namespaces/default/serviceaccounts/stranger/token',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  })
  const stranger = folderWith(bed, 'stranger', config => {
    config.users[0]!.user = { token: status.token }
  })
  const forbidden = await runScript('backup-secrets', stranger)
  assert.is(forbidden.code, 1)
  assert.match(told(forbidden)[0]!.what, /listing Secret: secrets is forbidden/)
})

test('no value was ever said or written into the journal', async () => {
  const values = [...(await data()).values()].flatMap(secret => Object.values(secret))
  const texts = values.map(value => Buffer.from(value, 'base64').toString()).filter(text => text.length > 5)
  const secret = [...values.filter(value => value.length > 7), ...texts].filter(
    value => !['oas.example.org', base64('oas.example.org')].includes(value),
  )
  assert.ok(secret.length > 30)
  assert.equal(bed.leaks([...secret, 'Newer-oauth-1', 'Newer-password-1', 'correct horse']), [])
})

test.run()
