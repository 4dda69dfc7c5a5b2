import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import type { Finding, Rule } from '../../../../lib/diagnosis/finding.ts'
import { settled } from '../../../../lib/diagnosis/fix.ts'
import { readIgnored } from '../../../../lib/diagnosis/ignore.ts'
import { actionText, causeLines, headline } from '../../../../lib/diagnosis/show.ts'
import { refOf } from '../../../../lib/kubectl/kubectl.ts'
import { writeFileAtomic } from '../../../../lib/script/files.ts'
import { temporaryFolder } from '../../helpers.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

const pod = objectOf('Pod', 'oas', 'a')
const broken: Finding = {
  rule: 'pod-crashing',
  verdict: 'broken',
  subject: refOf(pod),
  cause: 'keeps crashing',
  evidence: ['exit code 1'],
  remedy: { text: 'read why it ends', command: 'npx tsx scripts/logs.ts oas/a --previous' },
}
const rule: Rule = () => [broken]

test('a rule that fails leaves a gap, and the others tell what they find', () => {
  const damaged: Rule = index => [index.snapshot.hosts![0] as never]
  const { causes, gaps } = diagnose(snapshotOf([pod]), [damaged, rule])
  assert.equal(
    causes.map(cause => cause.rule),
    ['pod-crashing'],
  )
  assert.is(gaps.length, 1)
  assert.match(gaps[0]!.why, 'a defect of the toolkit')
})

test('how much is wrong is told in one line', () => {
  assert.is(headline(diagnose(snapshotOf([]), [])), 'nothing is broken')
  assert.is(headline(diagnose(snapshotOf([pod]), [rule])), '1 not healthy, 1 cause')
  const gaps = [{ what: 'Pod', why: 'Forbidden' }]
  const warning: Rule = () => [{ ...broken, verdict: 'warning' }]
  assert.is(headline(diagnose(snapshotOf([], { gaps }), [warning])), '1 warning · 1 thing could not be read')
})

test('a finding is told with what was seen, what to do, and what it explains', () => {
  const release = objectOf('HelmRelease', 'oas', 'b')
  const explains = [
    { ...broken, subject: refOf(release) },
    { ...broken, subject: refOf(release) },
  ]
  assert.equal(causeLines({ ...broken, explains }), [
    '✗ Pod oas/a: keeps crashing',
    '    seen: exit code 1',
    '    do: read why it ends',
    '    $ npx tsx scripts/logs.ts oas/a --previous',
    '    explains: HelmRelease oas/b',
  ])
})

test('a finding is ignored until its day is over, by rule and subject, and told again afterwards', () => {
  const entry = { rule: 'pod-crashing', subject: 'Pod oas/a', reason: 'is known', until: '2026-03-01' }
  const told = (more: object) => {
    const { causes, ignored } = diagnose(snapshotOf([pod]), [rule], { ignored: [{ ...entry, ...more }] })
    return [causes.length, ignored.length]
  }
  assert.equal(told({}), [0, 1])
  assert.equal(told({ subject: undefined }), [0, 1])
  assert.equal(told({ until: '2026-02-28' }), [1, 0])
  assert.equal(told({ subject: 'Pod oas/b' }), [1, 0])
  assert.equal(told({ rule: 'pod' }), [1, 0])
})

test('an entry without a reason or an end is refused, with all that is wrong', async () => {
  const file = `${temporaryFolder()}/ignored-findings.yaml`
  const read = async (text: string) => {
    writeFileAtomic(file, text)
    return await readIgnored(file).catch(error => String(error))
  }
  assert.equal(await readIgnored(`${file}.absent`), [])
  assert.equal(await read(''), [])
  assert.equal(await read('- { rule: a, reason: b, until: "2026-01-31" }'), [
    { rule: 'a', reason: 'b', until: '2026-01-31' },
  ])
  assert.match(
    String(await read('- { rule: a }\n- 7')),
    /entry 1 has no reason; entry 1 has no day .*; entry 2 is not an entry/,
  )
  assert.match(String(await read('- { rule: a, reason: b, until: "2026-13-01" }')), /no day/)
  assert.match(String(await read('a: [')), /is not YAML/)
  assert.match(String(await read('a: b')), /is not a list/)
})

test('an action is asked about in words', () => {
  const ref = refOf(objectOf('HelmRelease', 'oas', 'b'))
  assert.is(
    actionText({ do: 'reconcile', ref, reset: true }),
    'have Flux reconcile HelmRelease oas/b now, with a retry',
  )
  assert.is(actionText({ do: 'delete', ref, uid: '1' }), 'delete HelmRelease oas/b')
  assert.is(
    actionText({ do: 'script', script: 'install-core', args: [] }),
    'run npx tsx scripts/install-core.ts',
  )
})

test('what is settled needs no further wait', () => {
  const deployment = (ready: number) =>
    objectOf('Deployment', 'oas', 'a', { spec: { replicas: 2 }, status: { readyReplicas: ready } })
  assert.ok(settled(undefined))
  assert.ok(settled(deployment(2)))
  assert.not(settled(deployment(1)))
  assert.not(settled(objectOf('HelmRelease', 'oas', 'a')))
  assert.not(settled(objectOf('PersistentVolumeClaim', 'oas', 'a', { status: { phase: 'Pending' } })))
  assert.ok(settled(objectOf('ConfigMap', 'oas', 'a')))
  const daemon = (ready: number) =>
    objectOf('DaemonSet', 'oas', 'a', { status: { desiredNumberScheduled: 2, numberReady: ready } })
  assert.equal([settled(daemon(1)), settled(daemon(2))], [false, true])
  const job = (status: object) => settled(objectOf('Job', 'oas', 'a', { status }))
  const ended = { conditions: [{ type: 'Failed', status: 'True' }] }
  assert.equal(
    [job({}), job({ active: 1 }), job({ active: 1, ready: 1 }), job(ended)],
    [false, false, true, true],
  )
})

test.run()
