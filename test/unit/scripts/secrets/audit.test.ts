import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { auditSecrets } from '../../../../scripts/secrets/audit.ts'
import { basic, entry } from '../../secrets.ts'

test('an audit finds what is missing, empty, or ends with a newline, and quotes no value', () => {
  assert.equal(auditSecrets(entry, { one: 'a', two: 'b' }), [])
  const findings = auditSecrets(entry, { one: '', other: 'hunter2\n' })
  assert.equal(
    findings.map(({ secret: name, key, problem }) => `${name} ${key} ${problem}`),
    [
      'flux-system/oas-wekan-variables one is empty',
      'flux-system/oas-wekan-variables two is missing',
      'flux-system/oas-wekan-variables other ends with a newline',
    ],
  )
  assert.match(findings[0]!.fix, 'install-app.ts wekan`')
  assert.match(auditSecrets(basic, { pass: 'x' })[0]!.fix, 'install-core.ts`')
  assert.not.match(JSON.stringify(findings), 'hunter2')
  assert.match(auditSecrets(entry, { one: 'a\r', two: 'b' })[0]!.problem, 'newline')
})

test('the published password of Velero is told, any other one is not', () => {
  const velero = {
    name: 'velero-repo-credentials',
    namespace: 'velero',
    app: 'velero',
    keys: { 'repository-password': { length: 64 } },
  }
  const problems = (value: string) =>
    auditSecrets(velero, { 'repository-password': value }).map(({ problem }) => problem)
  assert.match(problems('static-passw0rd').join(), /publishes: whoever has the bucket can read all backups/)
  assert.equal(problems('x'.repeat(64)), [])
  const elsewhere = { ...velero, namespace: 'oas' }
  assert.equal(auditSecrets(elsewhere, { 'repository-password': 'static-passw0rd' }), [])
})

test.run()
