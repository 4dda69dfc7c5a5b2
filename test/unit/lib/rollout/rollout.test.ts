import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Facts } from '../../../../lib/diagnosis/causes.ts'
import { causeError, notInOrder, outdatedFailures, progressLine } from '../../../../lib/rollout/rollout.ts'
import { facts, git, kustomization, release, unready } from '../../flux-objects.ts'

const order = (more: Partial<Facts>) =>
  notInOrder(
    'wekan',
    facts({ kustomizations: [kustomization('wekan')], helmReleases: [release('wekan')], ...more }),
  )

test('a Kustomization is in order when it and its releases are ready at the fetched revision', () => {
  assert.is(order({}), undefined)
  // A source that is gone says nothing about the revision.
  assert.is(order({ sources: [] }), undefined)
})

test('whatever is missing or not ready is said in one line', () => {
  assert.is(order({ kustomizations: [] }), 'is not there')
  assert.is(order({ helmReleases: [] }), 'lacks HelmRelease oas-apps/wekan')
  assert.is(
    order({ helmReleases: [release('wekan', unready)] }),
    'waits for HelmRelease wekan: Helm install failed',
  )
  assert.is(
    order({
      kustomizations: [kustomization('wekan', [], 'Ready=False BuildFailed: kustomize build failed\nx')],
    }),
    'is not ready (BuildFailed): kustomize build failed',
  )
  assert.is(order({ sources: [git('main@sha1:5e5e')] }), 'is not at main@sha1:5e5e yet')
  const elsewhere = { ...release('wekan'), metadata: { ...release('wekan').metadata, namespace: 'oas' } }
  assert.match(order({ helmReleases: [elsewhere] })!, 'lacks HelmRelease')
})

test('the progress is one line: how many are ready, and which are waited for', () => {
  const all = facts({
    kustomizations: [kustomization('wekan', [], 'Ready=Unknown Progressing: x'), kustomization('nextcloud')],
    helmReleases: [release('wekan', 'Ready=Unknown Progressing: x'), release('nextcloud')],
  })
  assert.is(
    progressLine(['wekan', 'nextcloud'], all),
    'Kustomizations 1/2 · HelmReleases 1/2 · waiting for wekan',
  )
  assert.is(progressLine(['nextcloud'], all), 'Kustomizations 1/1 · HelmReleases 1/1')
  assert.is(progressLine(['absent'], all), 'Kustomizations 0/1 · HelmReleases 0/0')
})

test('a failed health check is outdated once all releases that it waited for are ready', () => {
  const failed = kustomization(
    'wekan',
    [],
    'Ready=False HealthCheckFailed: failed early due to stalled resources',
  )
  const outdated = (more: Partial<Facts>) =>
    outdatedFailures(
      ['wekan'],
      facts({ kustomizations: [failed], helmReleases: [release('wekan')], ...more }),
    ).length
  assert.is(outdated({}), 1)
  assert.is(outdated({ helmReleases: [release('wekan', unready)] }), 0)
  assert.is(outdated({ helmReleases: [] }), 0)
  assert.is(outdated({ kustomizations: [kustomization('wekan', [], 'Ready=False BuildFailed: x')] }), 0)
  assert.is(outdated({ kustomizations: [kustomization('wekan')] }), 0)
})

test('a cause becomes an error in two lines', () => {
  const error = causeError({ subject: 'Pod a/b', cause: 'is broken', fix: 'mend it', grace: 0 })
  assert.equal([error.message, error.fix], ['Pod a/b: is broken', 'mend it'])
})

test.run()
