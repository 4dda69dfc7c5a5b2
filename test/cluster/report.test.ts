/** report, and what goes along with it, on a platform: what is told, what stays text, and that no secret is told. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { DRILL_MARK, PROOF_MARK, VELERO } from '../../lib/backup/objects.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import type { Report } from '../../scripts/report/facts.ts'
import { run } from '../bed/build/shell.ts'
import { suite } from '../suite.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('report')
const folder = mkdtempSync(join(tmpdir(), 'oas-report-'))
let bed: Bed

const HOSTILE = '<script>alert(1)</script>.example.org'
/** A certificate that somebody ordered for a name that is none. */
const CERTIFICATE: KubeObject = {
  apiVersion: 'cert-manager.io/v1',
  kind: 'Certificate',
  metadata: { namespace: 'oas', name: 'hostile' },
  spec: {
    secretName: 'hostile-tls',
    dnsNames: [HOSTILE],
    issuerRef: { kind: 'ClusterIssuer', name: 'nobody' },
  },
}
const mark = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: VELERO, name },
  data: { backup: 'nightly' },
})

test.before(async () => {
  bed = await Bed.startInstalled()
})
test.after(async () => {
  await bed?.stop()
  rmSync(folder, { recursive: true, force: true })
})

interface Reported {
  file: string
  facts: string
  changes?: string[]
  report: Report
}
async function reported(...args: string[]): Promise<Reported> {
  const { code, stdout, stderr } = await runScript('report', [...args, '--json'])
  assert.is(code, 0, stderr)
  return (JSON.parse(stdout) as { result: Reported }).result
}

let first: Reported

test('the page of a healthy platform: releases, certificates, volumes, backups; for its owner alone', async () => {
  first = await reported()
  const { report, file, facts } = first
  assert.is(report.cluster, 'sandbox')
  assert.equal(
    report.releases.filter(({ wanted, installed }) => wanted !== installed),
    [],
  )
  assert.ok(report.releases.some(({ name }) => name === 'oas-apps/wekan'))
  assert.ok(report.certificates.some(({ hosts }) => hosts.includes('wekan.oas.example.org')))
  assert.ok(report.volumes.length > 0)
  assert.is(report.backups.schedules, 1)
  assert.equal([report.backups.proved, report.backups.drilled, report.drills], [undefined, undefined, []])
  // Prometheus and single sign-on do not run on this bed: that is told, and fails nothing.
  assert.equal(report.gaps.map(({ what }) => what).sort(), [
    'the use of volumes, from Prometheus',
    'the users',
  ])
  for (const path of [file, facts]) assert.is(statSync(path).mode & 0o777, 0o600)
  assert.match(readFileSync(file, 'utf8'), 'No restore of everything has been tried')
})

test('--since tells what has changed; hostile names stay text; drills are told; no secret is', async () => {
  await bed.kubectl.apply(CERTIFICATE)
  for (const name of [PROOF_MARK, DRILL_MARK]) await bed.kubectl.apply(mark(name))
  mkdirSync(join(bed.cluster, 'journal'), { recursive: true })
  const drill = {
    version: 1,
    cluster: 'sandbox',
    backup: 'nightly',
    madeAt: '2026-05-20T10:00:00.000Z',
    rto: 5_400_000,
    rpo: 3_600_000,
    results: [{ app: 'wekan', milliseconds: 5_400_000, claims: [], warnings: 0 }],
  }
  writeFileSync(join(bed.cluster, 'journal/2026-05-20T10-00-00Z-drill-nightly.json'), JSON.stringify(drill))
  const release = { apiVersion: 'helm.toolkit.fluxcd.io/v2', kind: 'HelmRelease', namespace: 'oas-apps' }
  await bed.kubectl.patch({ ...release, name: 'wekan' }, { spec: { suspend: true } })
  let second = first
  await until(
    async () => {
      second = await reported('--since', first.facts)
      const text = second.changes!.join('\n')
      return /new: HelmRelease oas-apps\/wekan/.test(text) ? { done: true } : { last: text }
    },
    { deadline: 90_000, every: 1000, describe: String },
  )
  assert.match(second.changes!.join('\n'), /a restore was tried: \d{4}/)
  assert.is(second.report.drills[0]?.rto, 5_400_000)
  const page = readFileSync(second.file, 'utf8')
  assert.match(page, '&lt;script&gt;alert(1)')
  assert.not.match(page, '<script')
  assert.match(page, '1 h 30 min')

  const markdown = join(folder, 'report.md')
  const { file, facts } = await reported('--markdown', '--since', first.facts, '--output', markdown)
  assert.equal([file, facts], [markdown, join(folder, 'report.json')])
  const values = await bed.secretValues()
  for (const text of [page, ...[markdown, facts, second.facts].map(path => readFileSync(path, 'utf8'))])
    for (const value of values) assert.not.ok(text.includes(value))
  await bed.kubectl.patch({ ...release, name: 'wekan' }, { spec: { suspend: null } })
  await bed.kubectl.delete({ ...CERTIFICATE, ...CERTIFICATE.metadata })
})

test('--since with another file, and an output folder that does not exist: wrong usage', async () => {
  const wrong = join(folder, 'wrong.json')
  for (const text of ['{}', '[', '{"version": 2}', 'null']) {
    writeFileSync(wrong, text)
    const { code, stderr } = await runScript('report', ['--since', wrong])
    assert.is(code, 2, text)
    assert.match(stderr, /is not a report|cannot be read/)
  }
  assert.is((await runScript('report', ['--output', join(folder, 'none/report.html')])).code, 2)
})

test('the bundle takes the newest report along; info --journal lists runs', async () => {
  const bundle = join(folder, 'bundle.tar.gz')
  const made = await runScript('bundle', ['--skip-logs', '--output', bundle])
  assert.is(made.code, 0, made.stderr)
  const into = join(folder, 'bundle')
  mkdirSync(into)
  await run('tar', ['-xzf', bundle, '-C', into])
  const names = readdirSync(into, { recursive: true, encoding: 'utf8' })
  assert.ok(
    names.some(name => /report.*\.(json|html)$/.test(name)),
    names.join('\n'),
  )
  const { code, stdout } = await runScript('info', ['--journal'])
  assert.is(code, 0)
  assert.match(stdout, 'install-core')
  assert.not.match(stdout, 'drill-nightly')
})

test.run()
