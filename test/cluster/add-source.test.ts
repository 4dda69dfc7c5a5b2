/**
 * Own sources on the bed, with the real Flux controllers: their repositories are branches of what the bed's Git server
 * serves.
 */

import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { admits, type Peer } from '../../lib/diagnosis/rules/policy-facts.ts'
import { GIT_REPOSITORY, KUSTOMIZATION, reconcile, standing } from '../../lib/flux/flux.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { findPods } from '../../scripts/logs/pods.ts'
import { findTarget } from '../../scripts/logs/target.ts'
import { cleanUp, folder, me, newHome, newKey, Sshd } from '../host/sshd.ts'
import { all, suite } from '../suite.ts'
import { indexOf } from '../unit/lib/diagnosis/snapshots.ts'
import { told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt } from './killing.ts'
import { pushFolder, pushManifests, servedRepository } from './own-sources.ts'

const test = suite('add-source')
let bed: Bed
let url: string
let platform: string[]

const run = (script: string, ...args: string[]): Promise<Outcome> => runWith({}, script, ...args)
const runWith = (options: ScriptOptions, script: string, ...args: string[]): Promise<Outcome> =>
  runScript(script, ['--cluster', 'sandbox', ...args], { timeout: 300_000, ...options })
const addArgs = (name: string, ...args: string[]) =>
  [...['add-source', '--yes', '--timeout', '90s', name, url, '--branch', `own-${name}`], ...args] as [
    string,
    ...string[],
  ]
const add = (name: string, ...args: string[]) => run(...addArgs(name, ...args))

const configMap = (namespace: string, name = 'own') =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: ${namespace}}\ndata: {a: b}\n`
const APP = `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {accessModes: [ReadWriteOnce], storageClassName: local-path, resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers: [{name: shop, image: shop, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`

/** Every Kustomization of the platform that is not ready. */
async function unready(): Promise<string[]> {
  const found = await bed.kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind, {
    namespace: 'flux-system',
  })
  return found.filter(each => standing(each).state !== 'ready').map(({ metadata }) => metadata.name)
}

/** What diagnose says once it names an object: it keeps quiet about what has failed for less than half a minute. */
const diagnosed = (object: string) =>
  until<string, string>(
    async () => {
      const { stdout } = await run('diagnose')
      return stdout.includes(object) ? { done: stdout } : { last: stdout }
    },
    { deadline: 120_000, every: 3000, describe: last => `${object} is not named in ${last}` },
  )

/** What an add-source that should have refused would have created; what a test before has removed is just going. */
async function ownObjects(): Promise<string[]> {
  const kinds = [
    ['v1', 'Namespace'],
    ['v1', 'Secret'],
    [GIT_REPOSITORY.apiVersion, GIT_REPOSITORY.kind],
  ] as const
  const found = await Promise.all(kinds.map(([version, kind]) => bed.kubectl.list(version, kind)))
  return found
    .flat()
    .filter(({ metadata }) => !metadata.deletionTimestamp)
    .map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)
    .sort()
}

const exists = async (apiVersion: string, kind: string, name: string, namespace?: string) =>
  (await bed.kubectl.get({ apiVersion, kind, name, namespace })) !== undefined

/** Waits until a namespace is gone. */
const gone = (namespace: string) =>
  until(
    async () => ((await exists('v1', 'Namespace', namespace)) ? { last: undefined } : { done: undefined }),
    { deadline: 120_000, describe: () => `namespace ${namespace} exists` },
  )

/** The bed's Git server behind a password, as a private repository over https has it. */
async function guardedGit(user: string, password: string): Promise<{ url: string; server: Server }> {
  const { hostname, port, pathname } = new URL(url)
  const wanted = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const server = createServer((asked, answer) => {
    if (asked.headers.authorization !== wanted) {
      answer.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    const { method, headers, url: path } = asked
    const onward = request({ host: hostname, port, method, headers, path }, reply => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    asked.pipe(onward)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}` }
}

test.before(async () => {
  bed = await Bed.startInstalled()
  const ours = await bed.kubectl.get({ ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' })
  url = ours!.spec.url
  platform = await unready()
})
test.after(() => bed?.stop())

test('a source is applied in its namespace, with its limits, and listed', async () => {
  pushManifests('own-shop', configMap('shop') + APP)
  const { code, stderr } = await add('shop', '--login', 'shop.oas.example.org')
  assert.is(code, 0, stderr)
  assert.ok(await exists('v1', 'ConfigMap', 'own', 'shop'))
  assert.ok(await exists('v1', 'ResourceQuota', 'own-source', 'shop'))
  assert.ok(await exists('networking.k8s.io/v1', 'NetworkPolicy', 'own-source', 'shop'))
  assert.ok(await exists('hydra.ory.sh/v1alpha1', 'OAuth2Client', 'shop', 'oas-apps'))
  assert.match((await run('add-source')).stdout, /shop +http.* own-shop +ready/)
  // Its quota forbids ports of the server: none of them is used up.
  assert.not.match((await run('diagnose')).stdout, /ResourceQuota shop/)
  const again = await add('shop', '--login', 'shop.oas.example.org')
  assert.is(again.code, 0, again.stderr)
  assert.is.not(again.stderr.includes('Namespace, rights'), true)
  const secret = await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: 'shop' })
  assert.equal(bed.leaks([Buffer.from(secret!.data.CLIENT_SECRET, 'base64').toString()]), [])
})

test('what leaves the namespace is refused by the cluster, and diagnose names it', async () => {
  pushManifests('own-greedy', `${configMap('greedy')}---\n${configMap('oas', 'greedy')}`)
  const { code, stderr } = await add('greedy')
  assert.is(code, 1, stderr)
  assert.is(await exists('v1', 'ConfigMap', 'greedy', 'oas'), false)
  const diagnosis = await diagnosed('Kustomization greedy/greedy')
  assert.match(diagnosis, 'holds configmaps for namespace oas: the cluster refuses that to an own source')
  assert.is.not(diagnosis.includes('grant the right'), true)
  assert.equal(await unready(), platform)
})

test('removing it keeps its volumes, and nothing else', async () => {
  const { code, stderr } = await run('remove-source', '--yes', 'shop')
  assert.is(code, 0, stderr)
  assert.ok(await exists('v1', 'PersistentVolumeClaim', 'data', 'shop'))
  assert.is(await exists('apps/v1', 'Deployment', 'shop', 'shop'), false)
  assert.is(await exists('v1', 'ConfigMap', 'own', 'shop'), false)
  assert.is(await exists('hydra.ory.sh/v1alpha1', 'OAuth2Client', 'shop', 'oas-apps'), false)
})

if (all) {
  test('with --delete-data the namespace goes, after its name', async () => {
    assert.is((await run('remove-source', '--yes', 'shop', '--delete-data', '--confirm', 'shp')).code, 4)
    assert.is((await run('remove-source', '--yes', 'shop', '--delete-data', '--confirm', 'shop')).code, 0)
    assert.is((await run('remove-source', '--yes', 'greedy')).code, 0)
    await until(
      async () => ((await exists('v1', 'Namespace', 'greedy')) ? { last: 'greedy' } : { done: undefined }),
      { deadline: 60_000, describe: last => `${last} exists` },
    )
  })

  for (const [name, manifests] of [
    ['flux', configMap('flux-system')],
    [
      'wide',
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: own-wide}\nrules: []\n',
    ],
    [
      'policy',
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: own-source, namespace: policy}\nspec: {podSelector: {}}\n',
    ],
    [
      'nested',
      `apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: x, namespace: nested}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: nested}}\n`,
    ],
  ] as const)
    test(`a source is refused what is not its own: ${name}`, async () => {
      pushManifests(`own-${name}`, manifests)
      assert.is((await add(name)).code, 1)
      await diagnosed(`Kustomization ${name}/${name}`)
      assert.equal(await unready(), platform)
      assert.is((await run('remove-source', '--yes', name)).code, 0)
    })

  test('an unsigned, an unreachable and a suspended source harm nothing', async () => {
    const keys = join(bed.folder, 'keys.asc')
    writeFileSync(keys, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n')
    pushManifests('own-signed', configMap('signed'))
    assert.is((await add('signed', '--verify-with', keys)).code, 1)
    assert.is(await exists('v1', 'ConfigMap', 'own', 'signed'), false)
    const away = await run('add-source', '--yes', '--timeout', '60s', 'away', 'http://127.0.0.1:9/x.git')
    assert.is(away.code, 1, away.stderr)
    await diagnosed('GitRepository signed/signed')
    await diagnosed('GitRepository away/away')
    await bed.kubectl.patch(
      { ...KUSTOMIZATION, name: 'away', namespace: 'away' },
      { spec: { suspend: true } },
    )
    await reconcile(bed.kubectl, { ...KUSTOMIZATION, name: 'core', namespace: 'flux-system' })
    await until(
      async () => ((await unready()).length === platform.length ? { done: undefined } : { last: 'core' }),
      {
        deadline: 120_000,
        describe: String,
      },
    )
    for (const name of ['signed', 'away']) assert.is((await run('remove-source', '--yes', name)).code, 0)
  })

  test('removed twice, and two at once: the second one changes nothing', async () => {
    pushManifests('own-twice', configMap('twice'))
    const added = await Promise.all([add('twice'), add('twice')])
    assert.ok(
      added.some(({ code }) => code === 0),
      added.map(({ stderr }) => stderr).join('\n'),
    )
    for (const { code, stderr } of added) assert.ok(code === 0 || code === 75, stderr)
    assert.ok(await exists('v1', 'ConfigMap', 'own', 'twice'))
    const removed = await Promise.all([
      run('remove-source', '--yes', 'twice'),
      run('remove-source', '--yes', 'twice'),
    ])
    assert.ok(
      removed.some(({ code }) => code === 0),
      removed.map(({ stderr }) => stderr).join('\n'),
    )
    for (const { code, stderr } of removed) assert.ok([0, 2, 75].includes(code!), stderr)
    await gone('twice')
    const again = await run('remove-source', '--yes', 'twice')
    assert.is(again.code, 2)
    assert.match(again.stderr, 'is not an own source')
  })

  test('killed at every step: the next run of add-source and remove-source completes it', async () => {
    pushManifests('own-killed', configMap('killed') + APP.replaceAll('shop', 'killed'))
    const login = ['--login', 'killed.oas.example.org']
    const adding: ScriptOptions[] = [
      killedAt('1. Namespace'),
      ...[1, 3, 6, 9, 12].map(count => killedAfterWrite(count)),
      killedAt('✓ Namespace'),
      killedAt('2. Wait'),
    ]
    let password: string | undefined
    for (const [i, options] of adding.entries()) {
      const outcome = await runWith(options, ...addArgs('killed', ...login))
      // What is complete needs no further writes, so that later ones may not be reached.
      assert.ok(outcome.signal === 'SIGKILL' || outcome.code === 0, `${i}: ${outcome.stderr}`)
      const secret = await bed.kubectl.get({
        apiVersion: 'v1',
        kind: 'Secret',
        name: 'login',
        namespace: 'killed',
      })
      password ??= secret?.data.CLIENT_SECRET
      if (secret) assert.is(secret.data.CLIENT_SECRET, password)
    }
    const last = await add('killed', ...login)
    assert.is(last.code, 0, last.stderr)
    assert.ok(await exists('v1', 'ConfigMap', 'own', 'killed'))
    assert.equal(await unready(), platform)

    const removing: ScriptOptions[] = [
      killedAt('1. Remove'),
      ...[1, 2, 3].map(count => killedAfterWrite(count)),
      killedAt('✓ Remove what'),
      killedAt('2. Remove'),
      ...[1, 2, 4].map(count => killedAfterWrite(count)),
      killedAt('✓ Remove the source'),
    ]
    for (const [i, options] of removing.entries()) {
      const outcome = await runWith(options, 'remove-source', '--yes', 'killed')
      assert.ok(outcome.signal === 'SIGKILL' || outcome.code === 0, `${i}: ${outcome.stderr}`)
      assert.ok(await exists('v1', 'PersistentVolumeClaim', 'data', 'killed'), `${i}: its data is gone`)
    }
    assert.is((await run('remove-source', '--yes', 'killed')).code, 0)
    assert.is(await exists('apps/v1', 'Deployment', 'killed', 'killed'), false)
    assert.is(await exists('hydra.ory.sh/v1alpha1', 'OAuth2Client', 'killed', 'oas-apps'), false)
    assert.is(await exists('v1', 'Secret', 'killed-login', 'oas-apps'), false)
    for (const kind of ['Secret', 'ServiceAccount', 'ResourceQuota'])
      assert.equal(
        await bed.kubectl.list('v1', kind, {
          namespace: 'killed',
          labelSelector: 'openappstack.net/own-source',
        }),
        [],
      )
    assert.match((await run('remove-source', '--yes', 'killed')).stderr, 'nothing was changed')
    // The kept volume is found again.
    const volume = await bed.kubectl.get({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      name: 'data',
      namespace: 'killed',
    })
    assert.is((await add('killed')).code, 0)
    const found = await bed.kubectl.get({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      name: 'data',
      namespace: 'killed',
    })
    assert.is(found!.metadata.uid, volume!.metadata.uid)
    for (const options of [killedAt('1. Remove'), killedAt('✓ Remove what'), killedAt('✓ Remove the source')])
      assert.is(
        (await runWith(options, 'remove-source', '--delete-data', '--confirm', 'killed', 'killed')).signal,
        'SIGKILL',
      )
    const end = await run('remove-source', '--delete-data', '--confirm', 'killed', 'killed')
    assert.ok(end.code === 0 || end.code === 2, end.stderr)
    await gone('killed')
    assert.equal(await unready(), platform)
  })

  test('a private repository over https: a wrong token is told, the right one is never shown', async () => {
    const token = 'correct-horse-battery-staple'
    const guarded = await guardedGit('bot', token)
    try {
      pushManifests('own-private', configMap('private'))
      const file = join(bed.folder, 'token')
      const addPrivate = () =>
        run(
          ...['add-source', '--yes', '--timeout', '60s', 'private', guarded.url, '--branch', 'own-private'],
          ...['--username', 'bot', '--token-file', file],
        )
      writeFileSync(file, 'an-expired-token-of-before\n')
      const wrong = await addPrivate()
      assert.is(wrong.code, 1, wrong.stderr)
      assert.match(wrong.stderr, 'authentication required')
      await diagnosed('GitRepository private/private')
      writeFileSync(file, `${token}\n`)
      const right = await addPrivate()
      assert.is(right.code, 0, right.stderr)
      assert.ok(await exists('v1', 'ConfigMap', 'own', 'private'))
      assert.equal(bed.leaks([token, 'an-expired-token-of-before']), [])
      assert.is((await run('remove-source', '--yes', 'private')).code, 0)
    } finally {
      guarded.server.close()
    }
  })

  test('a private repository over ssh: the deploy key is shown once, and Flux logs in with it', async () => {
    const home = newHome()
    try {
      const sshd = await Sshd.start({ alone: true })
      sshd.authorise(newKey(join(folder(), 'key')))
      pushManifests('own-keyed', configMap('keyed'))
      const address = `ssh://${me}@127.0.0.1:${sshd.port}${servedRepository()}`
      const args = ['--yes', '--timeout', '90s', 'keyed', address, '--branch', 'own-keyed']
      const unknown = await run('add-source', ...args)
      assert.is(unknown.code, 1, unknown.stderr)
      assert.match(unknown.stderr, 'host key of')
      const host = readFileSync(`${sshd.hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
      appendFileSync(join(home, '.ssh', 'known_hosts'), `[127.0.0.1]:${sshd.port} ${host}\n`)
      const refused = await run('add-source', ...args)
      assert.is(refused.code, 1, refused.stderr)
      assert.match(refused.stderr, 'does not accept the deploy key yet')
      assert.match(refused.stdout + refused.stderr, /ssh-ed25519 \S+ openappstack keyed/)
      assert.is(await exists('v1', 'Namespace', 'keyed'), false)
      sshd.authorise(join(bed.cluster, 'sources', 'keyed', 'identity'))
      const accepted = await run('add-source', ...args)
      assert.is(accepted.code, 0, accepted.stderr)
      assert.not.match(accepted.stdout + accepted.stderr, /ssh-ed25519 /)
      assert.ok(await exists('v1', 'ConfigMap', 'own', 'keyed'))
      const again = await run('add-source', ...args)
      assert.is(again.code, 0, again.stderr)
      const [, body = ''] = readFileSync(join(bed.cluster, 'sources', 'keyed', 'identity'), 'utf8').split(
        '\n',
      )
      assert.equal(bed.leaks([body]), [])
      assert.is((await run('remove-source', '--yes', 'keyed')).code, 0)
    } finally {
      cleanUp()
    }
  })

  test('only commits that a given key has signed are applied', async () => {
    const [keys, others] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'oas-gpg-'))) as [string, string]
    try {
      const gpg = (home: string, ...args: string[]) =>
        execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', ...args], { encoding: 'utf8' })
      for (const home of [keys, others])
        gpg(home, '--passphrase', '', '--quick-generate-key', 'x <x@example.org>', 'ed25519', 'sign', 'never')
      const file = join(bed.folder, 'signers.asc')
      writeFileSync(file, gpg(keys, '--armor', '--export'))
      pushManifests('own-sealed', configMap('sealed'), { keys })
      const signed = await add('sealed', '--verify-with', file)
      assert.is(signed.code, 0, signed.stderr)
      assert.ok(await exists('v1', 'ConfigMap', 'own', 'sealed'))
      // Added again without the keys it still demands them.
      const again = await add('sealed', '--memory', '1Gi')
      assert.is(again.code, 0, again.stderr)
      // Neither a commit without a signature, nor one by the key of somebody else, is applied.
      for (const signer of [undefined, others]) {
        pushManifests('own-sealed', configMap('sealed', 'forged'), signer ? { keys: signer } : {})
        await reconcile(bed.kubectl, { ...GIT_REPOSITORY, name: 'sealed', namespace: 'sealed' })
        const told = await diagnosed('GitRepository sealed/sealed')
        assert.match(told, /signed|signature/)
        assert.is(await exists('v1', 'ConfigMap', 'forged', 'sealed'), false)
        assert.ok(await exists('v1', 'ConfigMap', 'own', 'sealed'), 'what was signed stays')
        assert.equal(await unready(), platform)
        pushManifests('own-sealed', configMap('sealed'), { keys })
        assert.is((await add('sealed')).code, 0)
      }
      assert.is((await run('remove-source', '--yes', 'sealed')).code, 0)
    } finally {
      for (const folder of [keys, others]) {
        execFileSync('gpgconf', ['--homedir', folder, '--kill', 'all'])
        rmSync(folder, { recursive: true, force: true })
      }
    }
  })

  test('the quota and the Pod Security of the namespace hold, and diagnose names what they refuse', async () => {
    const claim = (size: string) =>
      `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: big, namespace: limits}\nspec: {accessModes: [ReadWriteOnce], storageClassName: local-path, resources: {requests: {storage: ${size}}}}\n`
    const pod = (spec: string) =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: pod, namespace: limits}\nspec: ${spec}\n`
    const service = (type: string) =>
      `apiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: limits}\nspec: {type: ${type}, selector: {app: x}, ports: [{port: 80}]}\n`
    const tries: [manifest: string, message: RegExp][] = [
      [claim('2Gi'), /the quota own-source refuses it/],
      [
        pod('{containers: [{name: x, image: x, resources: {limits: {memory: 2Gi}}}]}'),
        /the quota own-source refuses it/,
      ],
      [service('LoadBalancer'), /the quota own-source refuses it/],
      [service('NodePort'), /the quota own-source refuses it/],
      [pod('{hostNetwork: true, containers: [{name: x, image: x}]}'), /violates PodSecurity/],
      [
        pod('{containers: [{name: x, image: x, securityContext: {privileged: true}}]}'),
        /violates PodSecurity/,
      ],
      [
        pod('{containers: [{name: x, image: x}], volumes: [{name: v, hostPath: {path: /}}]}'),
        /violates PodSecurity/,
      ],
    ]
    for (const [manifest, message] of tries) {
      pushManifests('own-limits', manifest)
      const outcome = await run(...addArgs('limits', '--memory', '1Gi', '--storage', '1Gi'))
      assert.is(outcome.code, 1, manifest)
      assert.match(outcome.stderr, message)
    }
    const told = await diagnosed('Kustomization limits/limits')
    assert.match(told, /PodSecurity/)
    assert.equal(await unready(), platform)
    assert.is((await run('remove-source', '--yes', 'limits')).code, 0)
  })

  test('of the pods that really run only the ingress is let in, by the rules of the NetworkPolicy', async () => {
    pushManifests('own-alone', configMap('alone') + APP.replaceAll('shop', 'alone'))
    assert.is((await add('alone')).code, 0)
    // What reads the logs of the platform finds its pods, too.
    const pods = await findPods(bed.kubectl, await findTarget(bed.kubectl, 'alone'))
    assert.match(pods.map(({ metadata }) => metadata.name).join(), /^shop-[^,]+$|^alone-[^,]+$/)
    // No program of this bed enforces policies: what the API server holds is judged, on the labels of the real pods.
    const policy = (await bed.kubectl.get({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      name: 'own-source',
      namespace: 'alone',
    }))!
    const namespaces = await bed.kubectl.list('v1', 'Namespace')
    const index = indexOf(namespaces)
    const everyPod = await bed.kubectl.list('v1', 'Pod')
    const fitting = (peers: Peer[]) =>
      everyPod
        .filter(pod => peers.some(peer => !peer.ipBlock && admits(peer, pod, 'alone', index)))
        .map(
          ({ metadata }) =>
            `${metadata.namespace}/${metadata.labels?.['app.kubernetes.io/name'] ?? metadata.labels?.app}`,
        )
    assert.equal(policy.spec.podSelector, {})
    assert.equal([...new Set(fitting(policy.spec.ingress[0].from))].sort(), ['alone/alone', 'oas/traefik'])
    const out = policy.spec.egress.flatMap(({ to }: { to: Peer[] }) => fitting(to))
    assert.equal([...new Set(out)].sort(), ['alone/alone', 'oas/traefik'])
    // What is open by address has none of the pods' ranges in it.
    const open = policy.spec.egress.flatMap(({ to }: { to: { ipBlock?: { except?: string[] } }[] }) =>
      to.flatMap(({ ipBlock }) => ipBlock?.except ?? []),
    )
    assert.ok(open.includes('169.254.0.0/16'))
    for (const { spec } of await bed.kubectl.list('v1', 'Node'))
      for (const range of spec.podCIDRs ?? []) assert.ok(open.includes(range), range)
    assert.is((await run('remove-source', '--delete-data', '--confirm', 'alone', 'alone')).code, 0)
  })

  test('the repository of the page is applied as it stands there', async () => {
    const page = readFileSync(join(ROOT, 'runbooks/add-source.md'), 'utf8')
    const repository = mkdtempSync(join(tmpdir(), 'oas-shop-'))
    try {
      for (const [, file, text] of page.matchAll(/^```yaml\n# (\S+)\n([\s\S]*?)^```$/gm))
        writeFileSync(join(repository, file!), text!)
      assert.equal(readdirSync(repository).sort(), ['kustomization.yaml', 'shop.yaml'])
      pushFolder('own-shop', repository)
      const { code, stderr } = await add('shop')
      assert.is(code, 0, stderr)
      assert.ok(await exists('networking.k8s.io/v1', 'Ingress', 'shop', 'shop'))
      assert.ok(await exists('apps/v1', 'Deployment', 'shop', 'shop'))
      assert.is((await run('remove-source', '--yes', 'shop')).code, 0)
      await gone('shop')
    } finally {
      rmSync(repository, { recursive: true, force: true })
    }
  })

  test('limits and rights that somebody removes by hand: diagnose names them, add-source restores them', async () => {
    pushManifests('own-bare', configMap('bare'), { file: 'deploy/all.yaml' })
    const first = await add('bare', '--path', './deploy', '--memory', '1Gi')
    assert.is(first.code, 0, first.stderr)
    const rbac = 'rbac.authorization.k8s.io/v1'
    const parts = [
      { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name: 'own-source' },
      { apiVersion: 'v1', kind: 'ResourceQuota', name: 'own-source' },
      { apiVersion: rbac, kind: 'RoleBinding', name: 'flux-source' },
      { apiVersion: rbac, kind: 'Role', name: 'flux-source' },
      { apiVersion: 'v1', kind: 'ServiceAccount', name: 'flux-source' },
    ].map(part => ({ ...part, namespace: 'bare' }))
    const specs = async () =>
      (await Promise.all(parts.map(part => bed.kubectl.get(part)))).map(part =>
        part ? [part.spec, part.rules, part.subjects] : undefined,
      )
    const complete = await specs()
    for (const part of parts) await bed.kubectl.delete(part)
    await bed.kubectl.patch(
      { apiVersion: 'v1', kind: 'Namespace', name: 'bare' },
      { metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } } },
    )
    const source = { ...KUSTOMIZATION, name: 'bare', namespace: 'bare' }
    await bed.kubectl.patch(source, { spec: { serviceAccountName: null } })
    const loose = (await run('diagnose')).stdout
    assert.match(loose, 'its repository may write everywhere in the cluster')
    for (const { kind, name } of parts) assert.match(loose, `${kind} bare/${name} does not exist`)
    assert.match(loose, 'Namespace bare lets in pods of every kind')
    // Flux, too, is refused now, and the repository is not blamed for it.
    await bed.kubectl.patch(source, { spec: { serviceAccountName: 'flux-source' } })
    await reconcile(bed.kubectl, source)
    await until(
      async () => {
        const { message } = standing((await bed.kubectl.get(source))!)
        return message.includes('flux-source') ? { done: undefined } : { last: message }
      },
      { deadline: 120_000, describe: String },
    )
    const powerless = (await run('diagnose')).stdout
    assert.not.match(powerless, /everything belongs into namespace bare/)
    const command = /npx tsx scripts\/add-source\.ts (bare \S+)/.exec(powerless)
    assert.ok(command, powerless)
    // Without its rights Flux would leave behind what it has applied.
    const kept = await run('remove-source', '--yes', 'bare')
    assert.is(kept.code, 4, kept.stderr)
    assert.match(told(kept)[0]!.what, /bare\/flux-source does not exist/)
    const again = await run('add-source', '--yes', '--timeout', '90s', ...command[1]!.split(' '))
    assert.is(again.code, 0, again.stderr)
    // Its quota was gone with the limit that it had; branch and folder were not.
    complete[1] = [{ hard: { ...complete[1]?.[0]?.hard, 'limits.memory': '2Gi' } }, undefined, undefined]
    assert.equal(await specs(), complete)
    assert.is((await bed.kubectl.get(source))!.spec.path, './deploy')
    assert.not.match((await run('diagnose')).stdout, /bare/)
    assert.equal(await unready(), platform)
    assert.is((await run('remove-source', '--yes', 'bare')).code, 0)
  })

  test('an Ingress for a host of the platform, which the cluster does not refuse, is named', async () => {
    pushManifests(
      'own-taking',
      `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: taking, annotations: {traefik.ingress.kubernetes.io/router.priority: "9999999"}}\nspec: {ingressClassName: nginx, rules: [{host: wekan.oas.example.org, http: {paths: [{path: /sign-in, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}\n`,
    )
    await add('taking')
    assert.match(
      await diagnosed('Ingress taking/web'),
      'is of the own source taking, and serves wekan.oas.example.org',
    )
    assert.is((await run('remove-source', '--yes', 'taking')).code, 0)
  })

  test('a tag and a folder of the repository; another tag is taken over by the same command', async () => {
    const at = (tag: string, ...more: string[]) =>
      run('add-source', '--yes', '--timeout', '90s', 'tagged', url, '--tag', tag, ...more)
    pushManifests('refs/tags/own-1', configMap('tagged', 'first'), { file: 'deploy/prod/all.yaml' })
    pushManifests('refs/tags/own-2', configMap('tagged', 'second'), { file: 'deploy/prod/all.yaml' })
    const wrong = await at('own-1', '--path', './deploy/test')
    assert.is(wrong.code, 1, wrong.stderr)
    assert.match(told(wrong)[0]!.what, /deploy\/test/)
    const first = await at('own-1', '--path', './deploy/prod')
    assert.is(first.code, 0, first.stderr)
    assert.ok(await exists('v1', 'ConfigMap', 'first', 'tagged'))
    assert.match((await run('add-source')).stdout, /tagged +http\S+ own-1 +ready/)
    const second = await at('own-2', '--path', 'deploy/prod')
    assert.is(second.code, 0, second.stderr)
    assert.ok(await exists('v1', 'ConfigMap', 'second', 'tagged'))
    assert.not.ok(await exists('v1', 'ConfigMap', 'first', 'tagged'))
    const missing = await at('own-3', '--path', 'deploy/prod')
    assert.is(missing.code, 1, missing.stderr)
    assert.ok(await exists('v1', 'ConfigMap', 'second', 'tagged'), 'what was applied stays')
    assert.is((await run('remove-source', '--yes', 'tagged')).code, 0)
  })

  test('a repository that is hostile or broken harms nothing but itself, and diagnose names it', async () => {
    const bomb = ['data:', '  a: &a "xxxxxxxxx"', '  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]']
    for (const [i, name] of [...'cdefghijk'].entries())
      bomb.push(`  ${name}: &${name} [${Array(9).fill(`*${'bcdefghij'[i]}`).join()}]`)
    const tries: [manifests: string, file?: string][] = [
      [`${configMap('hostile')}${bomb.join('\n').slice('data:'.length)}\n`],
      ['\u007fELF\u0000\u0001\u0002'],
      [`${configMap('hostile')}---\n${configMap('hostile')}`],
      [
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: hostile}\ndata: {a: "${'x'.repeat(5_000_000)}"}\n`,
      ],
      ['apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../own, namespace: hostile}\n'],
      ['resources: [../../../../etc]\n', 'kustomization.yaml'],
      ['resources: ["https://127.0.0.1:9/x.yaml"]\n', 'kustomization.yaml'],
    ]
    for (const [i, [manifests, file]] of tries.entries()) {
      pushManifests('own-hostile', manifests, { file })
      const outcome = await add('hostile')
      assert.is(outcome.code, 1, `${i}: ${outcome.stderr}`)
      assert.is(told(outcome).length, 1, `${i}: ${outcome.stderr}`)
      assert.ok(outcome.stderr.length < 3000, `${i}: ${outcome.stderr.slice(0, 3000)}`)
    }
    await diagnosed('Kustomization hostile/hostile')
    assert.equal(await unready(), platform)
    // What is corrected is taken over.
    pushManifests('own-hostile', configMap('hostile'))
    assert.is((await add('hostile')).code, 0)
    assert.is((await run('remove-source', '--yes', 'hostile')).code, 0)
  })

  test('hostile names, addresses and paths are one error, and nothing is changed', async () => {
    const before = await ownObjects()
    for (const args of [
      ['flux-system', url],
      ['oas', url],
      ['wekan', url],
      ['../x', url],
      ['X', url],
      ['x', 'file:///etc'],
      ['x', 'https://user:secret@git.example.org/x.git'],
      ['x', 'git@git.example.org:x.git'],
      ['x', url, '--path', '../..'],
      ['x', url, '--branch', '--upload-pack=x'],
      ['x', url, '--branch', 'a..b'],
      ['x', url, '--login', 'https://x'],
      ['x', url, '--memory', '1e9'],
      ['x', url, '--branch', 'a', '--tag', 'b'],
    ]) {
      const { code, stderr } = await run('add-source', '--yes', ...args)
      assert.is(code, 2, `${args}: ${stderr}`)
      assert.is.not(stderr.includes('secret'), true)
    }
    for (const name of ['oas', '../shop', '', 'x\u001b[2J', 'none', '__proto__', 'a'.repeat(5000)])
      assert.is((await run('remove-source', '--yes', name)).code, 2, name)
    const file = (name: string, text: string | Buffer) => {
      writeFileSync(join(bed.folder, name), text)
      return join(bed.folder, name)
    }
    for (const [flag, path] of [
      ['--token-file', file('large', 'x'.repeat(5_000_000))],
      ['--token-file', file('binary', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1]))],
      ['--token-file', file('empty', '')],
      ['--token-file', bed.folder],
      ['--token-file', join(bed.folder, 'none')],
      ['--token-file', '/dev/zero'],
    ] as const)
      assert.is((await run('add-source', '--yes', 'x', url, '--username', 'x', flag, path)).code, 2, path)
    for (const path of [
      file('key', '-----BEGIN PGP PRIVATE KEY BLOCK-----\n'),
      file('text', 'x'),
      '/dev/zero',
    ])
      assert.is((await run('add-source', '--yes', 'x', url, '--verify-with', path)).code, 2, path)
    assert.equal(await ownObjects(), before)
  })
}

test.run()
