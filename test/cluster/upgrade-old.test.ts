/**
 * upgrade-0.7 with the APIs that a cluster of 0.6 serves: helm v2beta1 alone, by its real controller v0.36.0; source
 * and kustomize v1beta1, by today's controllers (see old-flux.ts). The platform is the one of test/fixtures/upgrade.
 */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { reconcile } from '../../lib/flux/flux.ts'
import { type FluxKinds, servedKinds } from '../../lib/flux/flux-versions.ts'
import { Kubectl, type KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { gatherUpgradeFacts } from '../../scripts/upgrade-0.7/facts.ts'
import { knownIssue } from '../../scripts/upgrade-0.7/reconcile.ts'
import { APPS, commitPlatform, platformObjects, platformReady } from '../fixtures/upgrade/platform.ts'
import { suite } from '../suite.ts'
import { ApiProxy, folderWith } from './faults.ts'
import { Bed, type Outcome, runScript } from './harness.ts'
import { OldFlux } from './old-flux.ts'
import { base64, same, secretRef, secretsOf } from './upgrading.ts'

const test = suite('upgrade with old APIs')
const HELM = 'helm.toolkit.fluxcd.io/v2beta1'
let bed: Bed
let flux: OldFlux | undefined
let proxy: ApiProxy | undefined
/** To the same API server, which seems to be an old one. */
let kubectl: Kubectl
let kinds: FluxKinds
let cluster: string[]
/** What was asked of it. */
const paths: string[] = []

const setUp = async () => {
  bed = await Bed.start()
  flux = await OldFlux.start(bed)
  proxy = new ApiProxy(bed)
  proxy.meddle = OldFlux.hidesNewer(paths)
  const server = await proxy.listen()
  cluster = folderWith(bed, 'old', config => {
    config.clusters[0]!.cluster.server = server
  })
  kubectl = await Kubectl.connect(join(bed.folder, 'old', 'kube_config_cluster.yml'))
  kinds = await servedKinds(kubectl)
  await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'flux-system' } })
  commitPlatform(join(bed.cluster, '.state', 'served', 'openappstack.git'), text =>
    text
      .replaceAll('helm.toolkit.fluxcd.io/v2\n', 'helm.toolkit.fluxcd.io/v2beta1\n')
      .replaceAll('kustomize.toolkit.fluxcd.io/v1\n', 'kustomize.toolkit.fluxcd.io/v1beta1\n'),
  )
  for (const object of platformObjects(kinds, bed.up.gitUrl, APPS)) await kubectl.create(object)
  await platformReady(kubectl, kinds, 7)
}

test.before(setUp)

test.after(async () => {
  flux?.stop()
  kubectl?.client.close()
  await proxy?.close()
  await bed?.stop()
})

const secrets = () => secretsOf(bed.kubectl)
const upgrade = (args: readonly string[] = [], kill?: string): Promise<Outcome> =>
  runScript('upgrade-0.7', [...cluster, '--yes', ...args], {
    kill: stderr => (kill && stderr.includes(kill) ? 'SIGKILL' : undefined),
    timeout: 400_000,
  })

const loki = () => bed.kubectl.get({ ...kinds.helmRelease, namespace: 'oas', name: 'loki' })

async function lokiIs(what: string, wanted: (release: KubeObject) => boolean): Promise<void> {
  await until<string, true>(
    async () => {
      const release = (await loki())!
      return wanted(release) ? { done: true } : { last: JSON.stringify(release.status) }
    },
    { deadline: 300_000, every: 300, describe: last => `loki is not ${what}: ${last}` },
  )
}

test('the old versions are taken, and nothing of the new ones is asked for', async () => {
  const outcome = await upgrade(['--dry-run'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, 'Flux runs: source v1beta1, kustomize v1beta1, helm v2beta1')
})

test('without Wekan, and with retries that were used up: every value is as before', async () => {
  await bed.kubectl.delete({ ...kinds.kustomization, namespace: 'flux-system', name: 'wekan' })
  await bed.kubectl.delete(secretRef('oas-wekan-variables'))
  await platformReady(kubectl, kinds, 6)
  const before = await secrets()
  assert.is(Object.keys(before).length, 9)
  const killed = await upgrade([], '✓ Wait until oas-secrets is gone')
  assert.is(killed.signal, 'SIGKILL', killed.stderr)
  // Whether its upgrade came before the secrets went is a matter of moments: now it has to be tried without them.
  const ref = { ...kinds.helmRelease, namespace: 'oas', name: 'loki' }
  await bed.kubectl.patch(ref, { spec: { values: { again: 'yes' } } })
  await lokiIs('out of retries', release => knownIssue(release) === 'retries exhausted')
  // A new generation is all that a reset can be here. Its cause is still there: Helm tries once more, and fails.
  const { lastReleaseRevision } = (await loki())!.status
  await reconcile(bed.kubectl, ref, { reset: true })
  await lokiIs('tried again', release => release.status.lastReleaseRevision > lastReleaseRevision)
  await lokiIs('out of retries', release => knownIssue(release) === 'retries exhausted')

  paths.length = 0
  const outcome = await upgrade()
  assert.is(outcome.code, 0, outcome.stderr)
  assert.match(outcome.stderr, 'HelmRelease oas/loki: retries exhausted')
  assert.equal(await secrets(), before)
  await platformReady(kubectl, kinds, 6)
  assert.is((await gatherUpgradeFacts(kubectl, kinds)).owner, undefined)
  const writes = paths.filter(path => path.startsWith('PATCH /apis/'))
  for (const version of ['source.toolkit.fluxcd.io/v1beta1', 'kustomize.toolkit.fluxcd.io/v1beta1', HELM])
    assert.ok(
      writes.some(path => path.includes(`/${version}/`)),
      writes.join('\n'),
    )
})

test('back, after Wekan was installed on 0.7: Helm 3 takes over what it did not own', async () => {
  const { apiVersion, kind, namespace, name } = secretRef('oas-wekan-variables')
  const data = { wekan_password: base64('made-on-0.7') }
  await bed.kubectl.create({ apiVersion, kind, metadata: { namespace, name }, data })
  const before = await secrets()
  const outcome = await upgrade(['--rollback'])
  assert.is(outcome.code, 0, outcome.stderr)
  assert.equal(same(await secrets(), before), [])
  await platformReady(kubectl, kinds, 6)
})

test.run()
