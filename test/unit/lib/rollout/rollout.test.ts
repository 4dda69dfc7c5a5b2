import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { obstacleError, obstacles } from '../../../../lib/rollout/obstacles.ts'
import {
  gitSourceOf,
  kustomizationsOf,
  outdatedFailures,
  progressLine,
  unreadyReason,
} from '../../../../lib/rollout/standing.ts'
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

test('Kustomizations and sources of the same names in another namespace are somebody else’s', () => {
  const theirs = (object: KubeObject) => ({ ...object, metadata: { ...object.metadata, namespace: 'acme' } })
  const broken = theirs(kustomization('wekan', [], 'Ready=False BuildFailed: x'))
  const other = theirs(git('main@sha1:5e5e'))
  const ours = kustomization('wekan')
  const index = facts({
    sources: [other, git()],
    kustomizations: [broken, ours],
    helmReleases: [release('wekan')],
  })
  assert.is(unreadyReason('wekan', index), undefined)
  assert.equal(kustomizationsOf(['wekan'], index), [ours])
  assert.equal(obstacles(index, ['wekan']), [])
  assert.is(progressLine(['wekan'], index), 'Kustomizations 1/1 · HelmReleases 1/1')
  assert.is(gitSourceOf(ours, index)?.metadata.namespace, 'flux-system')
  // A source of another namespace has to be named so.
  assert.is(gitSourceOf(broken, index), other)
  const named = {
    ...ours,
    spec: { sourceRef: { kind: 'GitRepository', name: 'openappstack', namespace: 'acme' } },
  }
  assert.is(gitSourceOf(named, index), other)
  assert.is(reason({ kustomizations: [broken] }), 'does not exist')
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
