/**
 * Diagnoses of certificates on the real controllers of cert-manager, a real ACME server (pebble) and a real DNS
 * server. What plays the ingress controller is a web server of the sandbox that serves by Ingresses and Secrets.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { concernsHost } from '../../lib/diagnosis/certificates/scope.ts'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import type { RootCause } from '../../lib/diagnosis/finding.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import type { Index } from '../../lib/diagnosis/snapshot.ts'
import { condition } from '../../lib/flux/flux.ts'
import { until } from '../../lib/script/wait.ts'
import { suite } from '../suite.ts'
import { healthy, type Look, look, testFaults, testTogether } from './fault-suite.ts'
import { apart, certificate, hostOf, probing, remove, together } from './faults/certificates.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('diagnose-certificates')
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
})
test.after(() => bed?.stop())

/** How a user looks at the cluster and at all hosts. */
const seen: Look = { script: 'cert-debug', args: probing }

test('nothing is found on a new platform, with probes and without', async () => {
  await healthy(probing(bed), 'cert-debug')
  await healthy()
})

test('the docs’ example runs as written: 503, the cause removed, the challenge deleted, the certificate ready', async () => {
  const object = certificate('chat')
  const host = hostOf('chat')
  const ref = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', namespace: 'oas-apps', name: 'chat' }
  bed.certificates.fault(host, 503)
  await bed.kubectl.apply(object)
  try {
    const seen = await until<string, string>(
      async () => {
        const { stdout } = await runScript('cert-debug', [host, ...probing(bed)])
        return /^✗ Challenge oas-apps\/chat-/m.test(stdout) ? { done: stdout } : { last: stdout }
      },
      { deadline: 180_000, every: 1000, describe: last => last ?? '' },
    )
    assert.match(seen, "Waiting for HTTP-01 challenge propagation: wrong status code '503', expected '200'")
    assert.match(seen, /explains: .*Certificate oas-apps\/chat/)

    // While the cause is there, nothing is deleted.
    const before = bed.auditMark()
    const refused = await runScript('cert-debug', [host, ...probing(bed), '--fix', '--yes'])
    assert.is(refused.code, 3, refused.stderr)
    assert.equal(bed.writesSince(before), [])

    bed.certificates.fault(host, undefined)
    const mark = bed.auditMark()
    const fixed = await runScript('cert-debug', [host, ...probing(bed), '--fix', '--yes'])
    assert.is(fixed.code, 0, `${fixed.stdout}\n${fixed.stderr}`)
    const deletions = bed.writesSince(mark).filter(write => write.startsWith('delete challenges'))
    assert.is(deletions.length, 1, bed.writesSince(mark).join('\n'))
    const issued = await bed.kubectl.get(ref)
    assert.is(condition(issued!, 'Ready')?.status, 'True')
  } finally {
    bed.certificates.fault(host, undefined)
    await remove(bed, object)
  }
})

testTogether(test, () => bed, apart, seen)

test('after five failed validations nothing is retried within the hour', async () => {
  const objects = ['a', 'b', 'c', 'd', 'e'].map(each =>
    certificate(`limited-${each}`, { dnsNames: [hostOf('limited')] }),
  )
  const host = hostOf('limited')
  bed.certificates.fault(host, 503, 'acme')
  try {
    for (const object of objects) await bed.kubectl.apply(object)
    await until<string, true>(
      async () => {
        const only = (cause: RootCause, index: Index) => concernsHost(cause, host, index)
        const { causes } = diagnose(await look(bed, seen), RULES, { only })
        const remedies = causes.map(({ remedy }) => remedy.text)
        const isLimited = remedies.some(text => /before \d{4}-.*5 validations/.test(text))
        return isLimited ? { done: true } : { last: remedies.join('\n') }
      },
      { deadline: 180_000, every: 1000, describe: last => last ?? '' },
    )
    bed.certificates.fault(host, undefined)
    const mark = bed.auditMark()
    const outcome = await runScript('cert-debug', [host, ...probing(bed), '--fix', '--yes'])
    assert.is(outcome.code, 3, outcome.stderr)
    assert.equal(bed.writesSince(mark), [])
  } finally {
    bed.certificates.fault(host, undefined)
    await remove(bed, ...objects)
  }
})

testFaults(test, () => bed, together)

test('no secret is in what was said, nor in what was kept', async () => {
  const values = await bed.secretValues()
  assert.equal(bed.leaks(values), [])
  const kept = readFileSync(join(bed.folder, 'facts.json'), 'utf8')
  assert.not(values.some(value => value !== '' && kept.includes(value)))
  assert.not(kept.includes('PRIVATE KEY'))
})

test.run()
