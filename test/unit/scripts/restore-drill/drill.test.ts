/** The verdict of a drill, and the job that the cluster runs. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Proof, sealedProof } from '../../../../lib/backup/stored-proof.ts'
import type { Kubectl } from '../../../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import {
  chooseProved,
  type DrillResult,
  drillProblems,
  drillText,
  failedDrill,
  verdictOf,
  writeVerdict,
} from '../../../../scripts/restore-drill/drill.ts'
import { bundleJob, cronOf, nodeImage, scheduleObjects } from '../../../../scripts/restore-drill/schedule.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { serve } from '../../transport.ts'

const good: DrillResult = {
  app: 'wekan',
  milliseconds: 41_000,
  warnings: 0,
  claims: [{ claim: 'oas-apps/data', bytes: 2048 }],
  counted: [{ claim: 'oas-apps/data', text: 'SQLite: 2 tables, 9 rows' }],
  loaded: ['restore-drill-wekan/data'],
  differences: [],
}
const proof = { backup: { startedAt: '2026-03-01T00:00:00Z' } } as Proof
const now = Date.parse('2026-03-01T10:00:00Z')

test('the newest whole proof is taken; a bucket that cannot be read is told, and not taken for one without a proof', async () => {
  const made = (name: string, more: object = {}) =>
    sealedProof({ version: 1, backup: { name, claims: [] }, wrong: [], ...more } as unknown as Proof)
  const files: Record<string, string> = {
    good: made('good'),
    ofWekan: made('ofWekan', { app: 'wekan' }),
    bad: made('bad', { wrong: [{ what: 'a volume is missing', fix: '' }] }),
    changed: made('another'),
  }
  let refused = ''
  const storage = await serve((asked, answer) => {
    const [, name = ''] = /backups\/(\w+)\/openappstack-proof\.json$/.exec(asked.url ?? '') ?? []
    const found = files[name]
    answer.writeHead(refused ? 403 : found === undefined ? 404 : 200).end(refused || found)
  })
  const config = {
    backup_s3_url: storage.url,
    backup_s3_region: 'ceph',
    backup_s3_bucket: 'backups',
    backup_s3_aws_access_key_id: 'id',
    backup_s3_aws_secret_access_key: 'secret',
  }
  const chosen = async (names: string[], of: { name?: string; app?: string } = {}) => {
    const backups = names.map(name => ({ metadata: { name }, status: { phase: 'Completed' } }))
    const kubectl = { list: async () => backups } as unknown as Kubectl
    return (await chooseProved(kubectl, config, of, AbortSignal.timeout(30_000))).backup
  }
  const refusal = async (...args: Parameters<typeof chosen>) =>
    (await expectedFrom(() => chosen(...args))).message
  try {
    const others = ['absent', 'ofWekan', 'bad', 'changed']
    assert.is(await chosen([...others, 'good']), 'good')
    assert.is(await refusal(others), 'no backup is proved')
    assert.is(await chosen([], { name: 'ofWekan', app: 'wekan' }), 'ofWekan')
    assert.match(await refusal([], { name: 'ofWekan' }), /is of wekan only/)
    refused = '<Error><Code>InvalidAccessKeyId</Code><Message>unknown</Message></Error>'
    assert.match(await refusal(['good']), /does not know the access key/)
  } finally {
    storage.close()
  }
})

test('a verdict tells times and what was counted', () => {
  const verdict = verdictOf('oas', { backup: 'nightly', proof, results: [good], now })
  assert.is(verdict.rto, 41_000)
  assert.is(verdict.rpo, 36_000_000)
  const text = drillText(verdict)
  assert.match(text, /everything has come back/)
  assert.match(text, /takes 41 s \(RTO\); its data would have been 10 h .*old/)
  assert.match(text, /oas-apps\/data: 2.0 KiB; SQLite: 2 tables, 9 rows/)
  assert.equal(drillProblems(good), [])
})

test('differences, and an application that could not be restored, are in the verdict and are errors', () => {
  const lost = { ...good, differences: ['oas-apps/data: table x is missing'] }
  const failed = failedDrill('nextcloud', [new Error('the MariaDB of a/b is not ready')])
  const text = drillText(verdictOf('oas', { backup: 'nightly', proof, results: [lost, failed], now }))
  assert.match(text, /NOT everything has come back/)
  assert.match(text, /DIFFERENCE: oas-apps\/data: table x is missing/)
  assert.match(text, /DIFFERENCE: the MariaDB of a\/b is not ready/)
  assert.equal(
    [lost, failed].flatMap(drillProblems).map(({ message }) => message),
    ['oas-apps/data: table x is missing', 'the MariaDB of a/b is not ready'],
  )
})

test('a secret that a database has said is in no file of the verdict, Markdown of it included', () => {
  const secret = 'hunter|2<xyz[9]'
  registerSecret(secret)
  const failed = failedDrill('nextcloud', [new Error(`access denied for ${secret}`)])
  const verdict = verdictOf('oas', { backup: 'nightly', proof, results: [failed], now })
  const file = writeVerdict({ journal: temporaryFolder() } as Cluster, verdict)
  for (const each of [file, file.replace(/md$/, 'json')]) {
    assert.match(readFileSync(each, 'utf8'), 'access denied for')
    assert.not.match(readFileSync(each, 'utf8'), /hunter|xyz/)
  }
})

test('schedules of cron', async () => {
  assert.is(cronOf(' 30  4 1 * * '), '30 4 1 * *')
  assert.is(cronOf('*/5 0-3,7 * * 1'), '*/5 0-3,7 * * 1')
  for (const text of ['', 'monthly', '30 4 1 *', '30 4 1 * * *', '30 4 1 * x;y'])
    assert.match((await expectedFrom(() => cronOf(text))).message, /is not a schedule of cron/)
})

test('the script is one file without a package, and fits a ConfigMap; the image is an official one', async () => {
  const script = await bundleJob()
  assert.ok(script.length > 50_000 && script.length < 1_000_000, String(script.length))
  assert.match(nodeImage(), /^docker\.io\/library\/node:\d/)
})

test('the account may do little, and nothing by a wildcard', () => {
  const objects = scheduleObjects({ cron: '30 4 1 * *', script: 'x', image: 'node', cluster: 'oas' })
  const rules = objects.filter(({ kind }) => /Role$/.test(kind)).flatMap(({ rules }) => rules)
  for (const { resources, verbs } of rules) {
    assert.not.ok([...resources, ...verbs].includes('*'))
    // Secrets by name only: the password of the repositories.
    if (resources.includes('secrets')) assert.equal(verbs, ['get'])
  }
  const secrets = rules.filter(({ resources }) => resources.includes('secrets'))
  assert.equal(
    secrets.map(({ resourceNames }) => resourceNames),
    [['velero-repo-credentials']],
  )
  const pod = objects.find(({ kind }) => kind === 'CronJob')!.spec.jobTemplate.spec.template.spec
  assert.is(pod.securityContext.runAsNonRoot, true)
  assert.is(pod.containers[0].securityContext.readOnlyRootFilesystem, true)
})

test.run()
