/**
 * upgrade-0.3 and migrate-data on the real API server, scheduler and volume binding (kwok stands in for
 * local-path-provisioner and the kubelet), and with a real sshd as the server. That sees folders of its own at
 * /var/lib/OpenAppStack, and only its own processes. The tests go on from where the one before has left things.
 */

import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { NOTES } from '../../lib/kubectl/scale.ts'
import { ROOT } from '../../lib/script/files.ts'
import { commandLine } from '../../lib/script/quote.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { Ssh } from '../../lib/ssh/ssh.ts'
import type { VolumeMap } from '../../scripts/migrate-data/volumes.ts'
import { cleanUp, folder, me, newHome, newKey, Sshd } from '../host/sshd.ts'
import { suite } from '../suite.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'

const test = suite('migrate-data')
const STORAGE = '/var/lib/OpenAppStack/local-storage'
/** Where sshd mounts its own; on this machine it stays empty, and is removed again. */
const isOurs = !existsSync('/var/lib/OpenAppStack')
let bed: Bed
let sshd: Sshd
let ssh: Ssh
/** What was uploaded. */
const old = join(folder(), 'old volumes')
const mapFile = join(folder(), 'map.json')

const run = (name: string, args: readonly string[], options?: ScriptOptions): Promise<Outcome> =>
  runScript(name, ['--cluster', 'sandbox', ...args], options)
const migrate = (args: readonly string[], options?: ScriptOptions) =>
  run('migrate-data', ['--from', mapFile, '--old-folder', old, ...args], options)
/** Runs a script on a terminal, and types an answer whenever the next question is there. */
async function onTerminal(
  name: string,
  args: readonly string[],
  answers: readonly (readonly [question: RegExp, answer: string])[],
): Promise<{ code: number; screen: string }> {
  const command = commandLine([
    process.execPath,
    '--import',
    'tsx',
    `scripts/${name}.ts`,
    '--cluster',
    'sandbox',
    ...args,
  ])
  const child = spawn('script', ['-qfec', command, '/dev/null'], {
    cwd: ROOT,
    env: { ...process.env, CI: undefined, NO_COLOR: '1', FORCE_COLOR: undefined },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const closed = new Promise<number>(resolve => child.once('close', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), 180_000)
  let screen = ''
  let answered = 0
  child.stdout.on('data', async chunk => {
    screen += chunk
    const next = answers[answered]
    if (!next?.[0].test(screen)) return
    answered++
    await sleep(300) // it draws its question first
    child.stdin.write(`${next[1]}\r`)
  })
  const code = await closed
  clearTimeout(timer)
  assert.is(answered, answers.length, screen)
  return { code, screen }
}
/** The errors that a script told, each with its fix. */
const told = ({ stderr }: Outcome) =>
  [...stderr.matchAll(/^✗ (.+)\n {2}fix: (.+)$/gm)].map(([, what, fix]) => ({ what: what!, fix: fix! }))

const claimSpec = {
  accessModes: ['ReadWriteOnce'],
  storageClassName: 'local-path',
  resources: { requests: { storage: '2Gi' } },
}
/** What runs with a claim: a StatefulSet makes its own, a Deployment is given one. */
async function workload(
  kind: 'Deployment' | 'StatefulSet',
  name: string,
  claim: string,
  replicas = 1,
): Promise<void> {
  const namespace = 'oas-apps'
  const labels = { app: name }
  const container = { name: 'app', image: 'app', volumeMounts: [{ name: 'data', mountPath: '/data' }] }
  const volume = { name: 'data', persistentVolumeClaim: { claimName: claim } }
  const isSet = kind === 'StatefulSet'
  const objects: KubeObject[] = [
    ...(isSet
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'PersistentVolumeClaim',
            metadata: { namespace, name: claim },
            spec: claimSpec,
          },
        ]),
    {
      apiVersion: 'apps/v1',
      kind,
      metadata: { namespace, name },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container], volumes: isSet ? [] : [volume] } },
        ...(isSet
          ? { serviceName: name, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: claimSpec }] }
          : {}),
      },
    },
  ]
  for (const object of objects) await bed.kubectl.apply(object)
}
const ref = (kind: string, name: string) => ({
  apiVersion: kind === 'PersistentVolumeClaim' ? 'v1' : 'apps/v1',
  kind,
  namespace: 'oas-apps',
  name,
})
const claims = () => bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })
const pods = () => bed.kubectl.list('v1', 'Pod', { namespace: 'oas-apps' })
async function bound(number: number): Promise<void> {
  await until(
    async () => {
      const found = await claims()
      const phases = found.map(({ metadata, status }) => `${metadata.name} ${status?.phase}`)
      return phases.filter(text => text.endsWith('Bound')).length === number
        ? { done: true }
        : { last: phases }
    },
    { deadline: 180_000, describe: last => JSON.stringify(last) },
  )
}
/** The folder of a claim's volume. */
async function place(claim: string): Promise<string> {
  const found = await bed.kubectl.get(ref('PersistentVolumeClaim', claim))
  const volume = await bed.kubectl.get({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    name: found!.spec.volumeName,
  })
  return volume!.spec.local.path
}
const replicas = async (kind: string, name: string) => {
  const object = await bed.kubectl.get(ref(kind, name))
  return [object!.spec.replicas, object!.metadata.annotations?.[NOTES.migration]]
}

test.before(async () => {
  process.env.XDG_CACHE_HOME ||= join(homedir(), '.cache')
  bed = await Bed.start()
  newHome()
  for (const name of ['oas', 'oas-apps'])
    await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  await bed.kubectl.create({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'local-path' },
    provisioner: 'rancher.io/local-path',
    volumeBindingMode: 'WaitForFirstConsumer',
    reclaimPolicy: 'Delete',
  })
  sshd = await Sshd.start({ alone: true })
  const key = newKey(join(folder(), 'key'))
  sshd.authorise(key)
  writeFileSync(
    join(bed.cluster, 'inventory.yml'),
    `all:\n  hosts:\n    one:\n      ansible_host: 127.0.0.1\n      ansible_port: ${sshd.port}\n      ansible_user: ${me}\n      ansible_ssh_private_key_file: ${key}\n`,
  )
  const log = { info: () => {}, warn: () => {}, detail: () => {} }
  ssh = await Ssh.connect(
    { host: '127.0.0.1', port: sshd.port, user: me, keyFile: key },
    { log, acceptNewHostKey: true },
  )
  // Its own lock, too: other tests may take that of this machine.
  await ssh.sh(
    'mount -t tmpfs tmpfs /run && mkdir /run/sshd && mkdir -p /var/lib/OpenAppStack && mount -t tmpfs tmpfs /var/lib/OpenAppStack && mkdir "$1"',
    [STORAGE],
  )
  await workload('Deployment', 'oas-test-files-nextcloud', 'oas-test-files-nextcloud')
  await workload('StatefulSet', 'oas-test-files-mariadb', 'data-oas-test-files-mariadb-0')
  await workload('Deployment', 'oas-test-odd', 'odd-thing')
  await bound(3)
})

test.after(async () => {
  ssh?.close()
  cleanUp()
  if (isOurs) rmdirSync('/var/lib/OpenAppStack')
  await bed?.stop()
})

test('upgrade-0.3 lists releases of both Helms and the claims, and changes nothing in a dry run', async () => {
  const stored = (
    kind: string,
    namespace: string,
    name: string,
    labels: Record<string, string>,
  ): KubeObject => ({
    apiVersion: 'v1',
    kind,
    metadata: { namespace, name, labels },
    ...(kind === 'Secret' ? { type: 'helm.sh/release.v1' } : {}),
  })
  const tiller = (name: string, version: string, status: string) =>
    stored('ConfigMap', 'kube-system', `${name}.v${version}`, {
      OWNER: 'TILLER',
      NAME: name,
      VERSION: version,
      STATUS: status,
    })
  for (const object of [
    tiller('oas-test-files', '1', 'SUPERSEDED'),
    tiller('oas-test-files', '10', 'DEPLOYED'),
    tiller('oas-test-files', '9', 'SUPERSEDED'),
    tiller('oas-test-proxy', '2', 'DEPLOYED'),
    tiller('my-own', '1', 'DEPLOYED'),
    stored('Secret', 'oas', 'sh.helm.release.v1.oas-test-prometheus.v3', {
      owner: 'helm',
      name: 'oas-test-prometheus',
      version: '3',
      status: 'deployed',
    }),
  ])
    await bed.kubectl.create(object)
  writeFileSync(join(bed.cluster, 'settings.yml'), 'domain: x\n', { mode: 0o640 })
  const before = await bed.settled()
  const outcome = await run('upgrade-0.3', ['--dry-run'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stdout, /oas-test-files +2 +10 +DEPLOYED/)
  assert.match(outcome.stdout, /oas-test-prometheus +3 +oas +3 +deployed/)
  assert.match(outcome.stdout, /oas-test-cert-manager +none/)
  assert.not.match(outcome.stdout, 'my-own')
  assert.match(outcome.stderr, 'left alone: 1 other releases')
  assert.match(
    outcome.stdout,
    /oas-apps\/odd-thing +2Gi +\d+ (s|min) +Bound +oas-test-odd-\S+ +\/var\/lib\/OpenAppStack/,
  )
  assert.match(outcome.stdout, 'helm delete --purge oas-test-files oas-test-proxy   #')
  assert.match(outcome.stdout, 'helm uninstall -n oas oas-test-prometheus')
  assert.equal(await bed.versions(), before)
  assert.ok(existsSync(join(bed.cluster, 'settings.yml')))
})

test('upgrade-0.3 deletes nothing by --yes, nothing that is used, and nothing by a wrong name', async () => {
  const yes = await run('upgrade-0.3', ['--yes'])
  assert.is(yes.code, 0, yes.stderr)
  assert.is(readFileSync(join(bed.cluster, 'group_vars/all/settings.yml'), 'utf8'), 'domain: x\n')
  assert.not.ok(existsSync(join(bed.cluster, 'settings.yml')))
  assert.is(statSync(join(bed.cluster, 'group_vars/all')).mode & 0o777, 0o700)
  const wrong = await run('upgrade-0.3', ['--yes', '--confirm', 'oas-apps/odd-thin'])
  assert.is(wrong.code, 0, wrong.stderr)
  assert.match(wrong.stderr, 'claim oas-apps/odd-thin does not exist; did you mean oas-apps/odd-thing?')
  const used = await run('upgrade-0.3', ['--confirm', 'oas-apps/odd-thing'])
  assert.is(used.code, 4)
  assert.match(told(used)[0]!.what, /odd-thing is used by oas-test-odd-/)
  assert.is((await claims()).length, 3)
})

test('migrate-data writes the map of the old cluster, once', async () => {
  const args = ['--old-kubeconfig', bed.up.kubeconfig, '--output', mapFile]
  const refused = await run('migrate-data', args)
  assert.is(refused.code, 2, refused.stderr)
  assert.match(told(refused)[0]!.fix, '--yes')
  const outcome = await run('migrate-data', [...args, '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.is(statSync(mapFile).mode & 0o777, 0o600)
  const map: VolumeMap = JSON.parse(readFileSync(mapFile, 'utf8'))
  assert.equal(
    map.volumes.map(({ namespace, claim }) => `${namespace}/${claim}`),
    ['data-oas-test-files-mariadb-0', 'oas-test-files-nextcloud', 'odd-thing'].map(
      name => `oas-apps/${name}`,
    ),
  )
  assert.is(map.volumes[1]!.path, await place('oas-test-files-nextcloud'))
  assert.match(map.volumes[1]!.pods[0]!, /^oas-test-files-nextcloud-/)
  assert.equal(map.volumes[0]!.apps, ['oas-test-files-mariadb'])
  assert.is((await run('migrate-data', [...args, '--yes'])).code, 4) // never overwritten
})

test('a map of the same cluster is refused', async () => {
  mkdirSync(old)
  const outcome = await migrate([])
  assert.is(outcome.code, 4)
  assert.match(told(outcome)[0]!.what, 'the old cluster and sandbox are the same')
})

test('upgrade-0.3 deletes what was named when nothing uses it any more, and again is no failure', async () => {
  for (const name of ['oas-test-files-nextcloud', 'oas-test-odd'])
    await bed.kubectl.delete(ref('Deployment', name))
  await bed.kubectl.delete(ref('StatefulSet', 'oas-test-files-mariadb'))
  await until(async () => ((await pods()).length === 0 ? { done: true } : { last: 0 }), {
    deadline: 180_000,
    describe: () => 'pods',
  })
  const ask = /Which of these do you want to delete/
  const none = await onTerminal('upgrade-0.3', [], [[ask, '']])
  assert.is(none.code, 0, none.screen)
  assert.match(none.screen, 'nothing was changed')
  const mistyped = await onTerminal(
    'upgrade-0.3',
    [],
    [
      [ask, 'odd-thing'],
      [/claim "odd-thing" is not in the list/, '\x15oas-apps/data-oas-test-files-mariadb-0'],
    ],
  )
  assert.is(mistyped.code, 0, mistyped.screen)
  assert.match(mistyped.screen, 'LOST: the data of oas-apps/data-oas-test-files-mariadb-0')
  assert.is((await claims()).length, 2)
  const two = ['--confirm', 'oas-apps/odd-thing', '--confirm', 'oas-apps/oas-test-files-nextcloud']
  const killed = await run('upgrade-0.3', two, {
    kill: stderr => (/✓ Delete oas-apps\/odd-thing/.test(stderr) ? 'SIGKILL' : undefined),
  })
  assert.is(killed.signal, 'SIGKILL')
  assert.match(killed.stderr, /LOST: the data of oas-apps\/odd-thing \(2Gi/)
  const again = await run('upgrade-0.3', two)
  assert.is(again.code, 0, again.stderr)
  assert.equal(await claims(), [])
})

test('the new cluster is matched, shown, and left alone until somebody decides what is not sure', async () => {
  // A cluster that is installed anew has another identity; this one has lost only its objects.
  const map: VolumeMap = JSON.parse(readFileSync(mapFile, 'utf8'))
  rmSync(mapFile)
  writeFileSync(mapFile, JSON.stringify({ ...map, cluster: 'the old one' }))
  for (const { folder: name } of map.volumes) {
    mkdirSync(join(old, name))
    writeFileSync(join(old, name, 'a\nfile'), `data of ${name}`)
    chmodSync(join(old, name, 'a\nfile'), 0o604)
  }
  mkdirSync(join(old, 'lost+found'))
  await workload('Deployment', 'nextcloud', 'nextcloud-nextcloud', 2)
  await workload('StatefulSet', 'nextcloud-mariadb', 'data-nextcloud-mariadb-0')
  await workload('Deployment', 'wordpress', 'wordpress')
  await bound(3)
  const wrongServer = await migrate(['--skip-rest', '--yes', '--scale-down'])
  assert.is(wrongServer.code, 1, wrongServer.stderr)
  assert.match(told(wrongServer)[0]!.what, 'is not there: it is the volume of oas-apps/')
  for (const claim of ['nextcloud-nextcloud', 'data-nextcloud-mariadb-0', 'wordpress']) {
    const path = await place(claim)
    await ssh.sh('mkdir "$1" && echo "made by the new one" > "$1/new"', [path])
  }

  const open = await migrate(['--dry-run'])
  assert.is(open.code, 2)
  assert.match(open.stdout, /oas-apps\/oas-test-files-nextcloud .* oas-apps\/nextcloud-nextcloud +\d+ %/)
  assert.match(
    open.stdout,
    /oas-apps\/data-oas-test-files-mariadb-0 .* oas-apps\/data-nextcloud-mariadb-0 +\d+ %/,
  )
  assert.match(open.stderr, 'lost+found: no volume that is known')
  assert.equal(told(open).length, 1)
  assert.match(told(open)[0]!.what, 'where the data of oas-apps/odd-thing is to go is not sure')
  const asked = await onTerminal(
    'migrate-data',
    ['--from', mapFile, '--old-folder', old, '--scale-down', '--dry-run'],
    [[/Where is the data of oas-apps\/odd-thing to go/, '']],
  )
  assert.is(asked.code, 0, asked.screen)
  assert.match(asked.screen, /copy .* for oas-apps\/wordpress/) // the only one that is free
  const inUse = await migrate(['--skip', 'oas-apps/odd-thing', '--yes'])
  assert.is(inUse.code, 4, inUse.stderr)
  assert.match(
    told(inUse)[0]!.what,
    /in use: -n oas-apps deployment nextcloud, -n oas-apps statefulset nextcloud-mariadb/,
  )
  const printed = await migrate(['--skip-rest', '--print'])
  assert.is(printed.code, 0, printed.stderr)
  assert.match(printed.stdout, /cp -dR '--preserve=\S+' -- '.*old volumes\/pvc-.*\/\.' \/var\/lib/)
  assert.equal(await replicas('Deployment', 'nextcloud'), [2, undefined])
})

test('killed at any step and run again, the data is in place, and everything runs as before', async () => {
  const args = ['--skip-rest', '--scale-down', '--yes', '--checksums']
  for (const step of [
    /^\d+\. Copy/m,
    /^✓ Copy/m,
    /^\d+\. Stop/m,
    /^✓ Stop/m,
    /^\d+\. Put in place/m,
    /^✓ Put in place/m,
  ]) {
    const killed = await migrate(args, { kill: stderr => (step.test(stderr) ? 'SIGKILL' : undefined) })
    assert.is(killed.signal, 'SIGKILL', `${step}: ${killed.stderr}`)
  }
  const outcome = await migrate(args)
  assert.is(outcome.code, 0, outcome.stderr)
  const map: VolumeMap = JSON.parse(readFileSync(mapFile, 'utf8'))
  for (const [from, to] of [
    ['oas-test-files-nextcloud', 'nextcloud-nextcloud'],
    ['data-oas-test-files-mariadb-0', 'data-nextcloud-mariadb-0'],
  ] as const) {
    const { folder: name } = map.volumes.find(({ claim }) => claim === from)!
    const path = await place(to)
    const look = 'cat "$1"/a*; stat -c " %a" "$1"/a*; ls "$1"; cat "$2"'
    const seen = await ssh.sh(look, [path, join(STORAGE, '.migration', basename(path), 'before/new')])
    assert.match(seen, `data of ${name} 604`)
    assert.match(seen, /made by the new one$/)
    assert.is(readFileSync(join(old, name, 'a\nfile'), 'utf8'), `data of ${name}`)
  }
  assert.match(await ssh.sh('cat "$1/new"', [await place('wordpress')]), 'made by the new one')
  assert.equal(await replicas('Deployment', 'nextcloud'), [2, undefined])
  assert.equal(await replicas('StatefulSet', 'nextcloud-mariadb'), [1, undefined])
  const before = await bed.settled()
  const again = await migrate(args)
  assert.is(again.code, 0, again.stderr)
  assert.match(again.stderr, 'nothing was changed')
  assert.equal(await bed.versions(), before)
})

test('by the names of folders alone, a choice of a person fills what was filled with nothing else', async () => {
  const { volumes }: VolumeMap = JSON.parse(readFileSync(mapFile, 'utf8'))
  const odd = volumes.find(({ claim }) => claim === 'odd-thing')!
  const only = (...args: string[]) =>
    run('migrate-data', ['--old-folder', old, '--skip-rest', '--yes', ...args])
  const other = await only('--match', `${odd.folder}=oas-apps/nextcloud-nextcloud`, '--scale-down')
  assert.is(other.code, 4, other.stderr)
  assert.match(told(other)[0]!.what, 'was filled from')
  const chosen = await only('--match', `oas-apps/odd-thing=oas-apps/wordpress`, '--scale-down')
  assert.is(chosen.code, 0, chosen.stderr)
  assert.match(await ssh.sh('cat "$1"/a*', [await place('wordpress')]), odd.folder)
})

test.run()
