import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newestServed } from '../../../../lib/flux/flux-versions.ts'
import { releaseName } from '../../../../lib/flux/stored-release.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import type { ExpectedError } from '../../../../lib/script/errors.ts'
import { diffBackup } from '../../../../lib/secret-backup/diff.ts'
import type { BackupManifest } from '../../../../lib/secret-backup/manifest.ts'
import { blockersOf, isFetched } from '../../../../scripts/upgrade-0.7/blockers.ts'
import {
  dependsOnNames,
  inOrderOfDependence,
  kustomizationNamed,
  upgradeFacts,
} from '../../../../scripts/upgrade-0.7/facts.ts'
import { branchesIn } from '../../../../scripts/upgrade-0.7/git.ts'
import {
  knownIssue,
  lasting,
  nextAsks,
  type RequestedReconciles,
  TRIES,
  unsettled,
} from '../../../../scripts/upgrade-0.7/reconcile.ts'
import { grownSince, lostOf, withAdded } from '../../../../scripts/upgrade-0.7/secrets.ts'
import {
  helmMetadata,
  ownershipOf,
  readUpgradeState,
  writeUpgradeState,
} from '../../../../scripts/upgrade-0.7/state.ts'
import { beginning, branchOf, checkHealth, upgradePlan } from '../../../../scripts/upgrade-0.7/upgrade.ts'
import { facts, fluxObject, kustomization, type Parts, pod, ready, release } from '../../flux-objects.ts'
import { temporaryFolder } from '../../helpers.ts'

const NOW = Date.parse('2026-01-02T04:00:00Z')
const git = (branch: string, revision: string, more: Record<string, unknown> = {}) =>
  fluxObject('GitRepository', 'openappstack', [ready], {
    spec: { url: 'https://example.org/oas.git', ref: { branch }, ...more },
    status: { artifact: { revision } },
  })
/** A HelmRelease of the secrets that the Kustomization `infrastructure` has applied. */
const owner = (metadata: Record<string, unknown> = {}, condition = ready): KubeObject => {
  const object = fluxObject('HelmRelease', 'oas-secrets', [condition])
  const labels = { 'kustomize.toolkit.fluxcd.io/name': 'infrastructure' }
  return { ...object, metadata: { ...object.metadata, labels, ...metadata } }
}
const V7 = 'v0.7@sha1:4f3c'
const infrastructure = (
  at = V7,
  more: { spec?: Record<string, unknown>; entries?: string[]; condition?: string } = {},
): KubeObject => {
  const object = kustomization('infrastructure', [], more.condition ?? ready)
  const entries = (more.entries ?? []).map(id => ({ id, v: 'v2' }))
  return {
    ...object,
    spec: { ...object.spec, prune: true, path: './x', ...more.spec },
    status: { ...object.status, lastAppliedRevision: at, lastAttemptedRevision: at, inventory: { entries } },
  }
}
const seen = (more: Partial<Parts>) => upgradeFacts(facts(more))
const served = (...list: string[]) =>
  new Map(list.map(each => [each.split(' ')[0]!, new Set(each.split(' ').slice(1))]))
const secretOf = (name: string, data: Record<string, string>, namespace = 'flux-system'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  type: 'Opaque',
  data,
})

test('of what is served the newest version that is known is taken, for each kind by itself', () => {
  const sources = 'GitRepository HelmRepository HelmChart'
  const versions = (...list: string[]) =>
    Object.values(newestServed(served(...list))).map(each => each.apiVersion)
  assert.equal(
    versions(
      `source.toolkit.fluxcd.io/v1beta1 ${sources}`,
      'kustomize.toolkit.fluxcd.io/v1beta1 Kustomization',
      'helm.toolkit.fluxcd.io/v2beta1 HelmRelease',
    ),
    [
      ...Array(3).fill('source.toolkit.fluxcd.io/v1beta1'),
      'kustomize.toolkit.fluxcd.io/v1beta1',
      'helm.toolkit.fluxcd.io/v2beta1',
    ],
  )
  assert.equal(
    versions(
      `source.toolkit.fluxcd.io/v1beta2 ${sources}`,
      'source.toolkit.fluxcd.io/v1 GitRepository',
      'kustomize.toolkit.fluxcd.io/v1beta2 Kustomization',
      'kustomize.toolkit.fluxcd.io/v1 Kustomization',
      'helm.toolkit.fluxcd.io/v2beta1 HelmRelease',
    ).map(each => each.split('/')[1]),
    ['v1', 'v1beta2', 'v1beta2', 'v1', 'v2beta1'],
  )
  assert.throws(
    () => newestServed(served(`source.toolkit.fluxcd.io/v1 ${sources}`)),
    (error: ExpectedError) => /Kustomization, HelmRelease/.test(error.message),
  )
})

test('a revision is told to be of a branch in the old and the new form', () => {
  const commit = '4f3c2b1a'
  assert.ok(isFetched(git('v0.7', `v0.7@sha1:${commit}`), 'v0.7'))
  assert.ok(isFetched(git('v0.7', `v0.7/${commit}`), 'v0.7'))
  assert.ok(isFetched(git('my/v0.7', `my/v0.7/${commit}`), 'my/v0.7'))
  assert.not.ok(isFetched(git('v0.7', `v0.6@sha1:${commit}`), 'v0.7'))
  assert.not.ok(isFetched(git('v0.6', `v0.7@sha1:${commit}`), 'v0.7'))
  assert.not.ok(isFetched(undefined, 'v0.7'))
})

test('only a branch alone can be changed', () => {
  assert.is(branchOf(git('v0.6', 'x')), 'v0.6')
  assert.is(branchOf(fluxObject('GitRepository', 'openappstack', [ready])), 'master')
  assert.throws(() => branchOf(undefined), /GitRepository .* does not exist/)
  assert.throws(() => branchOf(git('v0.6', 'x', { ref: { branch: 'v0.6', tag: '0.6.1' } })), /follows a tag/)
})

test('a backup is begun only where the secrets are the original ones', () => {
  const target = { target: 'v0.7' }
  const untouched = seen({ helmReleases: [owner()] })
  assert.is(beginning(untouched, undefined, target), 'new')
  const dying = seen({ helmReleases: [owner({ deletionTimestamp: '2026-01-02T03:59:00Z' })] })
  const failed = seen({ helmReleases: [owner({}, 'Ready=False InstallFailed: no')] })
  for (const each of [dying, failed, seen({})]) {
    assert.throws(
      () => beginning(each, undefined, target),
      (error: ExpectedError) => error.exitCode === 4 && error.fix.includes('--backup DIR'),
    )
    assert.is(beginning(each, undefined, { ...target, backup: '/b' }), 'by hand')
  }
  const state = {
    format: 'openappstack-upgrade-0.7/1' as const,
    ...{ cluster: 'a', target: 'v0.7', backup: 'b', owned: [], startedAt: 'then' },
  }
  for (const each of [untouched, dying, seen({})]) assert.is(beginning(each, state, target), 'begun')
  assert.throws(() => beginning(untouched, state, { target: 'v0.8' }), /branch v0\.7 was started/)
  assert.throws(() => beginning(untouched, state, { ...target, backup: '/b' }), /no other one is used/)
})

test('everything that is not in order is told before an upgrade', () => {
  const broken = kustomization('wekan', [], 'Ready=False BuildFailed: bad')
  const suspended = { ...kustomization('core'), spec: { ...kustomization('core').spec, suspend: true } }
  assert.throws(
    () => checkHealth(seen({ kustomizations: [broken, suspended] })),
    (error: ExpectedError) => error.message === '2 problems',
  )
  assert.throws(() => checkHealth(seen({})), /no Kustomization comes from/)
})

test('what holds the release is named: source, Kustomization, branch', () => {
  const told = (more: Partial<Parts>) => blockersOf(seen(more), 'v0.7', NOW).map(({ cause }) => cause)
  const release = { helmReleases: [owner()], sources: [git('v0.7', V7)] }
  assert.equal(told({}), [])
  assert.equal(
    told({
      sources: [git('v0.7', 'v0.6@sha1:1')],
      helmReleases: [owner()],
      kustomizations: [infrastructure()],
    }),
    [],
  )
  const missing = fluxObject('GitRepository', 'openappstack', [
    "Ready=False GitOperationFailed: couldn't find remote ref v0.7",
  ])
  const [source] = blockersOf(
    seen({ ...release, sources: [missing], kustomizations: [infrastructure()] }),
    'v0.7',
    NOW,
  )
  assert.match(source!.fix, '--rollback')
  assert.match(
    told({ ...release, helmReleases: [owner({ labels: {} })] })[0]!,
    'no Kustomization has applied it',
  )
  assert.match(told(release)[0]!, 'does not exist any more')
  const held = (spec: Record<string, unknown>) =>
    told({ ...release, kustomizations: [infrastructure(V7, { spec })] })[0]!
  assert.match(held({ prune: false }), 'spec.prune is not true')
  assert.ok(
    told({ ...release, kustomizations: [infrastructure('v0.6@sha1:1', { spec: { suspend: true } })] }).some(
      cause => cause.startsWith('is suspended'),
    ),
  )
  assert.match(held({ dependsOn: [{ name: 'other' }] }), 'waits for Kustomization other')
  const disabled = owner({ annotations: { 'kustomize.toolkit.fluxcd.io/prune': 'disabled' } })
  assert.match(
    told({ ...release, helmReleases: [disabled], kustomizations: [infrastructure()] })[0]!,
    'prune: disabled',
  )
  const entries = ['flux-system_oas-secrets_helm.toolkit.fluxcd.io_HelmRelease']
  assert.match(
    told({ ...release, kustomizations: [infrastructure(V7, { entries })] })[0]!,
    'not a 0.7 branch',
  )
  assert.equal(told({ ...release, kustomizations: [infrastructure()] }), [])
  assert.match(told({ ...release, kustomizations: [infrastructure('v0.6@sha1:1')] })[0]!, 'has not applied')
})

test('what holds a release that is being deleted is named', () => {
  const dying = (more: Record<string, unknown>, condition = ready) =>
    blockersOf(
      seen({ helmReleases: [owner({ deletionTimestamp: '2026-01-02T03:58:00Z', ...more }, condition)] }),
      'v0.7',
      NOW,
    )
  assert.match(dying({ finalizers: ['finalizers.fluxcd.io'] })[0]!.cause, 'has been terminating for 120 s')
  assert.match(
    dying({ finalizers: ['finalizers.fluxcd.io', 'x.org/mine'] })[0]!.cause,
    'finalizer x.org/mine',
  )
  assert.match(
    dying({}, 'Ready=False UninstallFailed: it is locked\nmore')[0]!.cause,
    'cannot uninstall it: it is locked',
  )
})

test('Kustomizations come after what they depend on and what has applied them', () => {
  const child = kustomization('a')
  child.metadata.labels = { 'kustomize.toolkit.fluxcd.io/name': 'root' }
  assert.equal(
    inOrderOfDependence([child, kustomization('b', ['c', 'a']), kustomization('root'), kustomization('c')]),
    ['root', 'a', 'c', 'b'],
  )
  assert.equal(inOrderOfDependence([kustomization('x', ['y']), kustomization('y', ['x'])]).sort(), ['x', 'y'])
})

test('a Kustomization without an inventory has the releases that carry its labels', () => {
  const old = kustomization('core')
  old.status = { ...old.status, inventory: undefined, snapshot: { checksum: 'x' } }
  const loki = release('loki')
  loki.metadata.labels = {
    'kustomize.toolkit.fluxcd.io/name': 'core',
    'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
  }
  const found = seen({ kustomizations: [old], helmReleases: [loki, release('other')] })
  assert.equal(
    found.index.all('Kustomization')[0]!.status.inventory.entries.map((each: { id: string }) => each.id),
    ['oas-apps_loki_helm.toolkit.fluxcd.io_HelmRelease'],
  )
})

test('the issues of the docs are recognised, in the words of old and new controllers', () => {
  const issue = (...conditions: string[]) => knownIssue(fluxObject('HelmRelease', 'x', conditions))
  const template =
    'Helm upgrade failed: template: single-sign-on/templates/secret-oauth2-clients.yaml:9:55: executing "single-sign-on/templates/secret-oauth2-clients.yaml" at <b64enc>: invalid value; expected string'
  assert.is(issue(`Ready=False UpgradeFailed: ${template}`), 'empty client secret')
  assert.is(
    issue('Ready=False UpgradeFailed: x', `Released=False UpgradeFailed: ${template}`),
    'empty client secret',
  )
  assert.is(issue('Ready=False UpgradeFailed: upgrade retries exhausted'), 'retries exhausted')
  assert.is(
    issue(
      'Ready=False UpgradeFailed: x',
      'Stalled=True RetriesExceeded: Failed to upgrade after 1 attempt(s)',
    ),
    'retries exhausted',
  )
  assert.is(issue('Ready=False UpgradeFailed: timed out waiting for the condition'), undefined)
  assert.is(issue(ready, `Released=False UpgradeFailed: ${template}`), undefined)
})

test('Flux is asked for everything once, in the order of dependence, and for what fails again', () => {
  const failing = 'Ready=False UpgradeFailed: upgrade retries exhausted'
  const base = { kustomizations: [kustomization('b', ['a']), kustomization('a')] }
  const all = seen({ ...base, helmReleases: [release('a'), release('b')] })
  const asked: RequestedReconciles = new Map()
  const names = (found = all, now = 0) =>
    nextAsks(found, asked, now).map(
      ({ object, reset }) => `${object.kind} ${object.metadata.name}${reset ? ' reset' : ''}`,
    )
  const mark = (object: string, at = 0, times = 1) => asked.set(object, { at, times })
  assert.equal(names(), ['Kustomization a'])
  assert.equal(unsettled(all, asked), ['a waits for its turn', 'b waits for its turn'])
  mark('Kustomization flux-system/a')
  assert.equal(names(), ['HelmRelease a', 'Kustomization b'])
  mark('HelmRelease oas-apps/a')
  mark('Kustomization flux-system/b')
  mark('HelmRelease oas-apps/b')
  assert.equal([names(), unsettled(all, asked)], [[], []])

  const broken = seen({ ...base, helmReleases: [release('a', failing), release('b')] })
  assert.equal(names(broken, 9000), [])
  assert.equal(names(broken, 11_000), ['HelmRelease a reset'])
  assert.match(unsettled(broken, asked)[0]!, 'a waits for HelmRelease a')
  assert.equal(lasting(broken, asked), [])
  mark('HelmRelease oas-apps/a', 0, TRIES)
  assert.equal(names(broken, 11_000), [])
  assert.equal(
    lasting(broken, asked).map(({ subject }) => subject),
    ['HelmRelease oas-apps/a'],
  )
})

test('a value counts as lost unless it is there byte by byte', () => {
  const lost = (backup: KubeObject, cluster?: KubeObject) =>
    lostOf(diffBackup([backup], cluster ? [cluster] : [])).map(({ problem }) => problem)
  const secret = secretOf('oas-wekan-variables', { a: 'YQ==', e: '' })
  assert.equal(lost(secret), ['is not in the cluster'])
  assert.equal(lost(secret, secret), [])
  assert.equal(lost(secret, secretOf('oas-wekan-variables', { a: 'YQ==', e: '', more: 'YQ==' })), [])
  assert.equal(lost(secret, secretOf('oas-wekan-variables', { a: 'YQo=', e: 'YQ==' })), [
    'differs from the backup in a, e',
  ])
  assert.equal(lost(secret, secretOf('oas-wekan-variables', { a: 'YQ==' })), ['differs from the backup in e'])
  // A client secret that was empty got a value, as 0.7 needs it.
  const oauth = secretOf('oas-oauth-variables', { wekan_oauth_client_secret: '', other: '' })
  assert.equal(
    lost(oauth, secretOf('oas-oauth-variables', { wekan_oauth_client_secret: 'YQ==', other: '' })),
    [],
  )
  assert.equal(
    lost(oauth, secretOf('oas-oauth-variables', { wekan_oauth_client_secret: '', other: 'YQ==' })),
    ['differs from the backup in other'],
  )
})

test('what came since the backup is told apart, and added without replacing anything', () => {
  const wekan = { namespace: 'flux-system', name: 'oas-wekan-variables' }
  const oauth = secretOf('oas-oauth-variables', { a: 'YQ==', e: '' })
  const backup = {
    folder: '/b',
    secrets: [oauth],
    manifest: { absent: [wekan] } as unknown as BackupManifest,
  }
  const grown = (...cluster: KubeObject[]) => grownSince(backup, cluster).map(({ metadata }) => metadata.name)
  assert.equal(grown(), [])
  assert.equal(grown(oauth, secretOf('another', { a: 'YQ==' })), [])
  assert.equal(grown(secretOf('oas-oauth-variables', { a: 'b3RoZXI=' })), [])
  const more = secretOf('oas-oauth-variables', { a: 'b3RoZXI=', n: 'bmV3' })
  assert.equal(grown(more, secretOf(wekan.name, { w: 'dw==' })), ['oas-oauth-variables', wekan.name])

  const all = withAdded(backup.secrets, [more, secretOf(wekan.name, { w: 'dw==' })])
  assert.equal(
    all.map(({ metadata, data }) => [metadata.name, data]),
    [
      ['oas-oauth-variables', { n: 'bmV3', a: 'YQ==', e: '' }],
      [wekan.name, { w: 'dw==' }],
    ],
  )
})

test('the plan says what will happen, and what is missing', () => {
  const plan = upgradePlan(seen({ helmReleases: [owner()], kustomizations: [kustomization('core')] }), {
    ...{ from: 'v0.6', target: 'v0.7', folder: '/b' },
    secrets: [secretOf('oas-oauth-variables', { grafana_oauth_client_secret: 'YQ==' })],
    absent: [{ namespace: 'flux-system', name: 'oas-wekan-variables' }],
    users: ['carry over 2 users of 0.6'],
  }).join('\n')
  for (const text of [
    'branch v0.6 → v0.7',
    'oas-wekan-variables is not in the cluster',
    'wekan_oauth_client_secret',
    'reconcile: core',
    'carry over 2 users',
  ])
    assert.match(plan, text)
  assert.not.match(plan, /grafana_oauth/)
})

test('the plan names programs whose data the ones of 0.7 do not open', () => {
  const planned = (image: string, namespace = 'oas-apps') => {
    const old = { ...pod('app', {}), metadata: { name: 'app', namespace }, spec: { containers: [{ image }] } }
    const plan = { from: 'v0.6', target: 'v0.7', folder: '/b', secrets: [], absent: [], users: [] }
    return upgradePlan(seen({ pods: [old] }), plan).filter(line => line.startsWith('!'))
  }
  assert.match(planned('docker.io/library/nextcloud:22.2.0-apache').join(), '! nextcloud 22.2.0-apache: ')
  assert.match(planned('registry.example:5000/bitnami/mongodb:4.4.6@sha256:0').join(), '! mongodb 4.4.6: ')
  for (const image of [
    'nextcloud:33.0.1',
    'nextcloud:latest',
    'nextcloud',
    'rocket.chat:8.6.1',
    'constructor:1',
    '',
  ])
    assert.equal(planned(image), [], image)
  assert.equal(planned('nextcloud:22', 'shop'), [])
})

test('the branches in the answer of a Git server are read', () => {
  const commit = 'a'.repeat(40)
  const answer = `001e# service=git-upload-pack\n000001${commit} HEAD\0multi_ack agent=git\n003d${commit} refs/heads/v0.6\n003d${commit} refs/heads/x/v0.7\n003d${commit} refs/tags/v0.7\n0000`
  assert.equal([...branchesIn(answer)!], ['v0.6', 'x/v0.7'])
  assert.is(branchesIn('<html>refs/heads/v0.7'), undefined)
})

test('whose a secret was is kept, and told to Helm again', () => {
  const ownership = { namespace: 'oas', name: 'a', release: 'oas-secrets', releaseNamespace: 'flux-system' }
  const secret = secretOf('a', {}, 'oas')
  assert.equal(ownershipOf([secret]), [])
  assert.equal(ownershipOf([{ ...secret, metadata: { ...secret.metadata, ...helmMetadata(ownership) } }]), [
    ownership,
  ])
  const named = (spec: object) => releaseName({ ...owner(), spec })
  assert.equal(
    [named({}), named({ targetNamespace: 'oas' }), named({ releaseName: 'x', targetNamespace: 'oas' })],
    ['oas-secrets', 'oas-oas-secrets', 'x'],
  )
})

test('the state of an upgrade is read as it was written, and refused when it is damaged or of another cluster', () => {
  const folder = join(temporaryFolder(), 'a.org')
  mkdirSync(folder)
  const cluster = { name: 'a.org', folder }
  assert.is(readUpgradeState(cluster), undefined)
  const written = writeUpgradeState(cluster, {
    target: 'v0.7',
    before: 'v0.6',
    backup: join(folder, 'secrets-backup', 'x'),
    owned: [],
    startedAt: 'then',
  })
  assert.is(written.backup, 'secrets-backup/x')
  assert.equal(readUpgradeState(cluster), written)
  assert.throws(() => readUpgradeState({ ...cluster, name: 'b.org' }), /is of the cluster a\.org/)
  writeFileSync(join(folder, 'upgrade-0.7', 'state.json'), '{"format":"openappstack-upgrade-0.7/1"')
  assert.throws(
    () => readUpgradeState(cluster),
    (error: ExpectedError) => error.message.includes('damaged') && error.fix.includes('--backup'),
  )
})

test('Kustomizations outside of flux-system are somebody else’s, whatever they are called and built from', () => {
  const core = kustomization('core')
  const theirs = (name: string) => {
    const object = kustomization(name)
    const sourceRef = { ...object.spec.sourceRef, namespace: 'flux-system' }
    return { ...object, metadata: { ...object.metadata, namespace: 'acme' }, spec: { sourceRef } }
  }
  const found = seen({ kustomizations: [theirs('core'), theirs('shop'), core] })
  assert.equal(found.scope, ['core'])
  assert.is(kustomizationNamed('core', found)?.metadata.namespace, 'flux-system')
  const dependsOn = [{ name: 'shop', namespace: 'acme' }, { name: 'core' }]
  assert.equal(dependsOnNames({ ...core, spec: { dependsOn } }), ['core'])
})

test.run()
