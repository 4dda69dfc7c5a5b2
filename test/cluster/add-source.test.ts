/**
 * Own sources on the bed, with the real Flux controllers: their repositories are branches of what the bed's Git server
 * serves.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { GIT_REPOSITORY, KUSTOMIZATION, reconcile, standing } from '../../lib/flux/flux.ts'
import { until } from '../../lib/script/wait.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { all, suite } from '../suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'

const test = suite('add-source')
let bed: Bed
let url: string
let platform: string[]

const run = (script: string, ...args: string[]): Promise<Outcome> =>
  runScript(script, ['--cluster', 'sandbox', ...args], { timeout: 300_000 })
const add = (name: string, ...args: string[]) =>
  run('add-source', '--yes', '--timeout', '90s', name, url, '--branch', `own-${name}`, ...args)

/** Puts a commit with these manifests on a branch of the bed's repository. */
function push(branch: string, manifests: string): void {
  const git = (input: string, ...args: string[]) =>
    execFileSync('git', ['--git-dir', join(layoutOf('sandbox').served, 'openappstack.git'), ...args], {
      input,
      encoding: 'utf8',
      env: {
        ...process.env,
        GIT_AUTHOR_NAME: 'x',
        GIT_AUTHOR_EMAIL: 'x@example.org',
        GIT_COMMITTER_NAME: 'x',
        GIT_COMMITTER_EMAIL: 'x@example.org',
      },
    }).trim()
  const blob = git(manifests, 'hash-object', '-w', '--stdin')
  const tree = git(`100644 blob ${blob}\tall.yaml\n`, 'mktree')
  git('', 'update-ref', `refs/heads/${branch}`, git('', 'commit-tree', tree, '-m', 'x'))
}

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

/** What an add-source that should have refused would have created. */
async function ownObjects(): Promise<string[]> {
  const kinds = [
    ['v1', 'Namespace'],
    ['v1', 'Secret'],
    [GIT_REPOSITORY.apiVersion, GIT_REPOSITORY.kind],
  ] as const
  const found = await Promise.all(kinds.map(([version, kind]) => bed.kubectl.list(version, kind)))
  return found
    .flat()
    .map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)
    .sort()
}

const exists = async (apiVersion: string, kind: string, name: string, namespace?: string) =>
  (await bed.kubectl.get({ apiVersion, kind, name, namespace })) !== undefined

test.before(async () => {
  bed = await Bed.startInstalled()
  const ours = await bed.kubectl.get({ ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' })
  url = ours!.spec.url
  platform = await unready()
})
test.after(() => bed?.stop())

test('a source is applied in its namespace, with its limits, and listed', async () => {
  push('own-shop', configMap('shop') + APP)
  const { code, stderr } = await add('shop', '--login', 'shop.oas.example.org')
  assert.is(code, 0, stderr)
  assert.ok(await exists('v1', 'ConfigMap', 'own', 'shop'))
  assert.ok(await exists('v1', 'ResourceQuota', 'own-source', 'shop'))
  assert.ok(await exists('networking.k8s.io/v1', 'NetworkPolicy', 'own-source', 'shop'))
  assert.ok(await exists('hydra.ory.sh/v1alpha1', 'OAuth2Client', 'shop', 'oas-apps'))
  assert.match((await run('add-source')).stdout, /shop +http.* own-shop +ready/)
  const again = await add('shop', '--login', 'shop.oas.example.org')
  assert.is(again.code, 0, again.stderr)
  assert.is.not(again.stderr.includes('Namespace, rights'), true)
  const secret = await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: 'shop' })
  assert.equal(bed.leaks([Buffer.from(secret!.data.CLIENT_SECRET, 'base64').toString()]), [])
})

test('what leaves the namespace is refused by the cluster, and diagnose names it', async () => {
  push('own-greedy', `${configMap('greedy')}---\n${configMap('oas', 'greedy')}`)
  const { code, stderr } = await add('greedy')
  assert.is(code, 1, stderr)
  assert.is(await exists('v1', 'ConfigMap', 'greedy', 'oas'), false)
  const told = await diagnosed('Kustomization greedy/greedy')
  assert.match(told, 'holds configmaps for namespace oas: the cluster refuses that to an own source')
  assert.is.not(told.includes('grant the right'), true)
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
      push(`own-${name}`, manifests)
      assert.is((await add(name)).code, 1)
      await diagnosed(`Kustomization ${name}/${name}`)
      assert.equal(await unready(), platform)
      assert.is((await run('remove-source', '--yes', name)).code, 0)
    })

  test('an unsigned, an unreachable and a suspended source harm nothing', async () => {
    const keys = join(bed.folder, 'keys.asc')
    writeFileSync(keys, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n')
    push('own-signed', configMap('signed'))
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
    assert.is((await run('remove-source', '--yes', 'oas')).code, 2)
    assert.equal(await ownObjects(), before)
  })
}

test.run()
