import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubectl, Ref } from '../../../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import {
  checkSpace,
  otherVersions,
  releasesWith,
  restorable,
  restorePlan,
} from '../../../../scripts/restore/plan.ts'
import { expectedFrom } from '../../helpers.ts'

test('another chart version than in the backup is named; one that is not known, or the same, is not', () => {
  const parts = { app: 'wekan', releases: ['wekan', 'db'], namespaces: ['oas-apps'], owns: () => true }
  const said = otherVersions(
    parts,
    { 'oas-apps/wekan': '9.1.0', 'oas-apps/db': '1.0.0', 'oas/other': '1' },
    { 'oas-apps/wekan': '9.2.0', 'oas-apps/db': '1.0.0', 'oas/other': '2' },
  )
  assert.equal(said, [
    'the backup is of oas-apps/wekan 9.1.0, and the cluster has 9.2.0: restore before you upgrade',
  ])
  assert.equal(otherVersions(parts, {}, { 'oas-apps/wekan': '9.2.0' }), [])
})

test('a plan: what is loaded is not replaced again', () => {
  const held = [{ claim: 'oas-apps/data', bytes: 1 << 20, volume: 'data', pod: 'wekan-0' }]
  const state = { app: 'wekan', backup: 'nightly' }
  const first = restorePlan(state, held, '9 h').join('\n')
  assert.match(first, /^back up wekan as it is now/)
  assert.match(first, 'REPLACE oas-apps/data')
  const again = restorePlan({ ...state, safety: 'kept', restore: 'r', loaded: 'yes' }, held, '9 h').join('\n')
  assert.not.match(again, /REPLACE|back up|load the dumps/)
  assert.match(again, /resume wekan/)
})

test('only releases whose pods have the data are restored; all, when a pod is called otherwise', () => {
  const held = (...pods: string[]) => pods.map(pod => ({ claim: 'oas/data', bytes: 1, volume: 'data', pod }))
  const core = ['alloy', 'hydra', 'single-sign-on-database']
  assert.equal(releasesWith(held('single-sign-on-database-0'), core), ['single-sign-on-database'])
  assert.equal(releasesWith(held('hydra', 'alloy-x'), core), ['alloy', 'hydra'])
  assert.equal(releasesWith(held('hydra-0', 'prometheus-0'), core), core)
})

test('a backup that failed in part is restored only where that was accepted', async () => {
  const refusals = async (phase: string, expiration: string) => {
    const found = { metadata: { name: 'b' }, status: { phase, expiration } }
    const list = async () => {
      throw new ExpectedError('the volumes are asked for', '')
    }
    const kubectl = { client: { clockOffset: 0 }, get: async () => found, list } as unknown as Kubectl
    const of = async (accepted: object) => {
      const state = { app: 'wekan', backup: 'b', ...accepted }
      return (await expectedFrom(() => restorable(kubectl, {}, state, AbortSignal.timeout(1000)))).message
    }
    return [await of({}), await of({ unproved: 'yes' })]
  }
  const asked = /^the volumes are asked for/ // what comes next
  const cases: [string, string, RegExp, RegExp][] = [
    ['PartiallyFailed', '2226-01-01T00:00:00Z', /^backup b has failed in part/, asked],
    ['PartiallyFailed', '2026-01-01T00:00:00Z', /^backup b has expired/, /^backup b has expired/],
    ['Failed', '2226-01-01T00:00:00Z', /^backup b has failed \(Failed\)/, /^backup b has failed/],
    ['InProgress', '', /^backup b is not finished/, /^backup b is not finished/],
    ['Deleting', '', /^backup b is being deleted/, /^backup b is being deleted/],
  ]
  for (const [phase, expiration, first, second] of cases) {
    const [proved, accepted] = await refusals(phase, expiration)
    assert.match(proved!, first)
    assert.match(accepted!, second)
  }
})

test('space is asked for once: a Restore that exists has used it already', async () => {
  const held = [{ claim: 'oas-apps/data', bytes: 40 * 2 ** 30, volume: 'data', pod: 'wekan-0' }]
  const full = {
    get: async ({ name }: Ref) => (name === 'created' ? { metadata: { name } } : undefined),
    list: async () => [{ metadata: { name: 'vps' } }],
    call: async () => ({ node: { fs: { availableBytes: 10 * 2 ** 30 } } }),
  } as unknown as Kubectl
  await checkSpace(full, held, 'created')
  // The name is kept before Velero has it.
  for (const restore of [undefined, 'named'])
    assert.match((await expectedFrom(() => checkSpace(full, held, restore))).message, /10 GiB are free/)
})

test.run()
