import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { obstacleError } from '../../../../lib/rollout/obstacles.ts'
import { outdatedFailures, progressLine, unreadyReason } from '../../../../lib/rollout/standing.ts'
import { facts, git, kustomization, type Parts, release, unready } from '../../flux-objects.ts'

const reason = (more: Partial<Parts>) =>
  unreadyReason(
    'wekan',
    facts({ kustomizations: [kustomization('wekan')], helmReleases: [release('wekan')], ...more }),
  )

test('a Kustomization is ready when it and its releases are, at the fetched revision', () => {
  assert.is(reason({}), undefined)
  // A source that is gone says nothing about the revision.
  assert.is(reason({ sources: [] }), undefined)
})

test('whatever is missing or not ready is said in one line', () => {
  assert.is(reason({ kustomizations: [] }), 'does not exist')
  assert.is(reason({ helmReleases: [] }), 'lacks HelmRelease oas-apps/wekan')
  assert.is(
    reason({ helmReleases: [release('wekan', unready)] }),
    'waits for HelmRelease wekan: Helm install failed',
  )
  assert.is(
    reason({
      kustomizations: [kustomization('wekan', [], 'Ready=False BuildFailed: kustomize build failed\nx')],
    }),
    'is not ready (BuildFailed): kustomize build failed',
  )
  assert.is(reason({ sources: [git('main@sha1:5e5e')] }), 'is not at main@sha1:5e5e yet')
  const elsewhere = { ...release('wekan'), metadata: { ...release('wekan').metadata, namespace: 'oas' } }
  assert.match(reason({ helmReleases: [elsewhere] })!, 'lacks HelmRelease')
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
  const outdated = (more: Partial<Parts>) =>
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

test('an obstacle becomes an error in two lines', () => {
  const error = obstacleError({ subject: 'Pod a/b', cause: 'is broken', fix: 'repair it', grace: 0 })
  assert.equal([error.message, error.fix], ['Pod a/b: is broken', 'repair it'])
})

test.run()
