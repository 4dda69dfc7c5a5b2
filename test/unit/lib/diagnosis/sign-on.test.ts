import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { rules } from '../../../../lib/diagnosis/rules/sign-on.ts'
import { clientDifferences, type SignOnFacts } from '../../../../lib/diagnosis/sign-on.ts'
import { parseSnapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

const client = objectOf('OAuth2Client', 'oas-apps', 'wekan', {
  metadata: { creationTimestamp: '2026-03-01T10:00:00Z' },
  spec: {
    secretName: 'oas-wekan-oauth',
    redirectUris: ['https://wekan.example.org/_oauth/oidc'],
    scopeArray: ['openid', 'email'],
    grantTypes: ['authorization_code'],
    tokenEndpointAuthMethod: 'client_secret_post',
  },
  status: { conditions: [{ type: 'Ready', status: 'True' }] },
})
const registered = {
  client_id: 'wekan',
  redirect_uris: ['https://wekan.example.org/_oauth/oidc'],
  scope: 'email openid',
  grant_types: ['authorization_code'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_post',
}

test('a client is compared by what its object says, in any order', () => {
  assert.equal(clientDifferences(client, registered), [])
  assert.equal(clientDifferences(client, undefined), ['registration'])
  assert.equal(clientDifferences(client, { ...registered, redirect_uris: [], scope: 'openid' } as never), [
    'redirect addresses',
    'scopes',
  ])
  assert.equal(
    clientDifferences(client, { ...registered, token_endpoint_auth_method: 'client_secret_basic' } as never),
    ['authentication method'],
  )
})

const told = (facts: Partial<SignOnFacts>) => {
  const kratos = objectOf('Deployment', 'oas', 'kratos')
  const signOn = { unready: [], clients: [], ...facts }
  return diagnose(snapshotOf([client, kratos], { signOn }), rules).causes
}
const differing = (...differs: string[]) =>
  told({ clients: [{ namespace: 'oas-apps', name: 'wekan', differs }] })

test('a client that differs is named although it says Ready, and hydra-maester is made to send it again', () => {
  const [cause] = differing('registration')
  assert.is(cause!.cause, 'is not registered at hydra')
  assert.is(cause!.verdict, 'broken')
  assert.match(cause!.evidence.join(), 'Ready all the same')
  assert.equal(cause!.remedy.action, {
    do: 'patch',
    ref: { apiVersion: 'v1', kind: 'OAuth2Client', namespace: 'oas-apps', name: 'wekan' },
    patch: { status: { observedGeneration: 0 } },
    subresource: 'status',
    why: 'have hydra-maester send the client again',
  })
  assert.match(
    differing('client secret')[0]!.cause,
    'differs at hydra from Secret oas-apps/oas-wekan-oauth and this object: client secret',
  )
  assert.is(differing('scopes')[0]!.verdict, 'warning')
  assert.equal(differing(), [])
})

test('keys that hydra cannot read are named', () => {
  const hydra = objectOf('Deployment', 'oas', 'hydra')
  const signOn = { unready: [], clients: [], unreadableKeys: '/.well-known/jwks.json answers 500' }
  const [cause] = diagnose(snapshotOf([hydra], { signOn }), rules).causes
  assert.match(cause!.cause, 'hydra_system_secret')
  assert.match(cause!.evidence.join(), 'answers 500')
})

test('a Service that only the user panel asks is missed when what it leads to is there', () => {
  const deployments = ['single-sign-on', 'kratos', 'hydra'].map(name => objectOf('Deployment', 'oas', name))
  const services = ['kratos-public', 'kratos-admin', 'hydra-admin'].map(name =>
    objectOf('Service', 'oas', name),
  )
  const causes = (...objects: typeof services) =>
    diagnose(snapshotOf(objects), rules).causes.map(({ cause }) => cause)
  assert.equal(causes(...deployments, ...services), [])
  assert.equal(causes(...deployments, ...services.slice(1)), [
    'asks Service oas/kratos-public, which does not exist',
  ])
  // Before the first installation has come so far, nothing is missed.
  assert.equal(causes(deployments[0]!), [])
})

test('no administrator, services that are not ready and refused mails are named', () => {
  assert.equal(told({}), [])
  assert.equal(told({ administrator: true }), [])
  assert.match(told({ administrator: false })[0]!.remedy.command!, 'users.ts reset-admin')
  assert.match(
    told({ unready: [{ service: 'kratos', why: 'database: refused' }] })[0]!.cause,
    'database: refused',
  )
  assert.match(
    told({ refusedMail: { count: 2, why: '550 no' } })[0]!.cause,
    /2 mails to users were given up: 550 no/,
  )
})

test('saved facts keep what single sign-on has said, and nothing that was added to them', () => {
  const facts = { unready: [], clients: [{ namespace: 'a', name: 'b', differs: ['scopes'], secret: 'x' }] }
  const text = JSON.stringify(snapshotOf([], { signOn: { ...facts, secret: 'x' } as never }))
  assert.equal(parseSnapshot(text, 'f').signOn, {
    unready: [],
    clients: [{ namespace: 'a', name: 'b', differs: ['scopes'] }],
  })
})

test.run()
