import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { completeConfig } from '../../../../lib/platform/config.ts'
import { clusterVariables, variablesOf } from '../../../../lib/platform/variables.ts'
import { redact } from '../../../../lib/script/redact.ts'

test('the cluster gets the variables and not the settings', () => {
  const variables = clusterVariables(
    completeConfig({ domain: 'a.org', ip_address: '203.0.113.7', admin_email: 'x@a.org' }),
  )
  assert.is(variables.domain, 'a.org')
  for (const name of ['git_url', 'git_branch', 'flux_manifest']) assert.not.ok(name in variables, name)
})

test('of the variables in the cluster the secret and unknown ones are hidden, the others are not', () => {
  const data = {
    domain: 'shown.example.org',
    outgoing_mail_smtp_password: 'cluster-password',
    foreign: 'foreign-password',
  }
  const encoded = Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  )
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'oas-cluster-variables' },
    data: encoded,
  }
  assert.equal(variablesOf(secret), data)
  assert.is(redact('shown.example.org cluster-password foreign-password'), 'shown.example.org *** ***')
  assert.equal(variablesOf(undefined), {})
})

test.run()
