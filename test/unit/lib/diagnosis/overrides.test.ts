import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { overrideFacts } from '../../../../lib/diagnosis/overrides.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { rules } from '../../../../lib/diagnosis/rules/overrides.ts'
import type { OverrideFact } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { CHECK_LABEL, EXPORTED } from '../../../../lib/platform/overrides.ts'
import { sha256 } from '../../../../lib/script/digest.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

const fact = (more: Partial<OverrideFact>): OverrideFact => ({
  kind: 'ConfigMap',
  namespace: 'oas-apps',
  name: 'oas-wekan-override',
  release: 'wekan',
  chart: 'wekan',
  unknown: [],
  changed: false,
  ...more,
})
const kustomization = objectOf('Kustomization', 'flux-system', 'wekan')
const told = (override: OverrideFact, objects: readonly KubeObject[] = [kustomization]) =>
  diagnose(snapshotOf(objects, { overrides: [override] }), rules).causes.map(
    ({ rule, cause, remedy }) => `${rule}: ${cause}; ${remedy.command}`,
  )

test('keys that the chart does not know, each with the one that was meant and the command that removes it', () => {
  assert.equal(told(fact({})), [])
  assert.equal(told(fact({ unknown: [{ key: 'replicaCout', meant: 'replicaCount' }] })), [
    'override-unknown-key: sets replicaCout, which the chart wekan does not know; it knows replicaCount; npx tsx scripts/override-app.ts wekan --unset replicaCout',
  ])
})

test('an override that nobody reads, but not that of an application that is not installed', () => {
  assert.match(
    told(fact({ name: 'oas-wekna-override', release: undefined }))[0]!,
    /^override-unread: no HelmRelease/,
  )
  assert.match(
    told(fact({ namespace: 'default', release: undefined }))[0]!,
    /delete configmap oas-wekan-override/,
  )
  assert.equal(told(fact({ release: undefined }), []), [])
})

test('an override that differs from its exported file', () => {
  assert.match(told(fact({ changed: true }))[0]!, /^override-differs: differs from the file/)
})

test('a check that a killed run has left does not count as a failing release', () => {
  const message = 'serviceaccounts "wekan" is forbidden'
  const status = {
    failures: 1,
    conditions: [{ type: 'Ready', status: 'False', reason: 'InstallFailed', message }],
  }
  const check = objectOf('HelmRelease', 'oas-apps', 'oas-check-1', {
    metadata: { name: 'oas-check-1', namespace: 'oas-apps', labels: { [CHECK_LABEL]: 'true' } },
    status,
  })
  assert.equal(
    diagnose(snapshotOf([check]), RULES, {
      only: ({ subject }) => subject.name === 'oas-check-1',
    }).causes.map(({ rule, verdict }) => `${rule} ${verdict}`),
    ['override-check-left warning'],
  )
})

test('nothing of the values is kept; those of Secrets are never shown', async () => {
  const text = 'replicaCout: 2\ntoken: very-secret-token-1\n'
  const stored = {
    name: 'wekan',
    version: 1,
    config: { token: 'very-secret-token-1', replicaCout: 2 },
    chart: { metadata: { name: 'wekan' }, values: { replicaCount: 1, token: '' }, templates: [] },
  }
  const release = objectOf('HelmRelease', 'oas-apps', 'wekan', {
    spec: { valuesFrom: [{ kind: 'Secret', name: 'oas-wekan-override', optional: true }] },
  })
  const override = objectOf('Secret', 'oas-apps', 'oas-wekan-override', {
    metadata: { annotations: { [EXPORTED]: sha256('other') } },
    data: { 'values.yaml': Buffer.from(text).toString('base64') },
  })
  const facts = await overrideFacts(override, release, stored)
  assert.equal(facts, [
    fact({ kind: 'Secret', unknown: [{ key: 'replicaCout', meant: 'replicaCount' }], changed: true }),
  ])
  assert.not.match(redact('very-secret-token-1'), /secret/)
})

test.run()
