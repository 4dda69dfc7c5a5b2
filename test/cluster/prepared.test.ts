/** Prepared states: sandboxes that start with what another one had installed, side by side. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { preparedState, upFrom } from '../bed/cluster/prepared.ts'
import { down, type Up, up } from '../bed/cluster/sandbox.ts'
import { test } from '../suite.ts'

const building = {
  progress: (text: string) => console.log(text),
  waiting: (text: string) => console.log(text),
}
const NAMES = ['first', 'second']
const repository = {
  apiVersion: 'source.toolkit.fluxcd.io/v1',
  kind: 'GitRepository',
  namespace: 'flux-system',
}
let folder: string
let state: string

const secret = { apiVersion: 'v1', kind: 'Secret', namespace: 'flux-system', name: 'variables' }
const metadata = ({ namespace, name }: { namespace: string; name: string }) => ({ namespace, name })

/** Installs a Git repository and a Secret with the address of the charts, and waits until Flux has fetched. */
async function install({ kubeconfig, gitUrl, chartsMirror }: Up): Promise<void> {
  const kubectl = await Kubectl.connect(kubeconfig)
  try {
    await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'flux-system' } })
    await kubectl.create({ ...secret, metadata: metadata(secret), stringData: { mirror: chartsMirror } })
    await kubectl.create({
      ...repository,
      metadata: { namespace: 'flux-system', name: 'oas' },
      spec: { url: gitUrl, interval: '1h', ref: { branch: 'main' } },
    })
    await fetched(kubectl)
  } finally {
    kubectl.client.close()
  }
}

/** The Git repository once Flux is done with it as it is now. */
async function fetched(kubectl: Kubectl): Promise<KubeObject> {
  return await until<unknown, KubeObject>(
    async () => {
      const found = await kubectl.get({ ...repository, name: 'oas' })
      const ready = found?.status?.conditions?.find(({ type }: { type: string }) => type === 'Ready')
      const done = ready?.status === 'True' && ready.observedGeneration === found?.metadata.generation
      return done ? { done: found! } : { last: found?.status }
    },
    { deadline: 120_000, every: 200, describe: last => JSON.stringify(last) },
  )
}

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oas-prepared-'))
  process.env.OAS_CLUSTERS_DIR = folder
  state = await preparedState('test', building, async () => install(await up({ worktree: true })))
})

test.after(async () => {
  for (const name of NAMES) await down(name)
  rmSync(folder, { recursive: true, force: true })
})

test('a state is prepared once', async () => {
  const again = await preparedState('test', building, () => {
    throw new Error('it is prepared already')
  })
  assert.is(again, state)
})

test('two sandboxes start from it at once, and Flux asks each one its own Git server', async () => {
  const started = await Promise.all(NAMES.map(name => upFrom(state, { name, worktree: true })))
  assert.is(new Set(started.map(({ gitUrl }) => gitUrl)).size, NAMES.length)
  for (const { name, kubeconfig, gitUrl, chartsMirror, moved } of started) {
    assert.equal(moved, [])
    const kubectl = await Kubectl.connect(kubeconfig)
    try {
      const found = await fetched(kubectl)
      assert.is(found.spec.url, gitUrl)
      assert.ok(found.metadata.generation! > 1, 'it was told another address')
      const { data } = (await kubectl.get(secret))!
      assert.is(Buffer.from(data!.mirror, 'base64').toString(), chartsMirror)
      const answer = await fetch(found.status.artifact.url)
      assert.ok(answer.ok, `${name}: ${found.status.artifact.url}`)
      await answer.body?.cancel()
    } finally {
      kubectl.client.close()
    }
  }
})

test.run()
