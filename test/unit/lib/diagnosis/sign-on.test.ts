import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { rules } from '../../../../lib/diagnosis/rules/sign-on.ts'
import { rules as workloads } from '../../../../lib/diagnosis/rules/workloads.ts'
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

test('what others stop from working is told of them: a database that is stopped, a hydra-maester that does not run', () => {
  const stopped = (kind: string, name: string) =>
    objectOf(kind, 'oas', name, {
      metadata: {
        labels: { 'helm.toolkit.fluxcd.io/name': name, 'helm.toolkit.fluxcd.io/namespace': 'oas' },
      },
      spec: { replicas: 0 },
    })
  const signOn = {
    unready: [{ service: 'kratos', why: 'database: refused' }],
    clients: [{ namespace: 'oas-apps', name: 'wekan', differs: ['client secret'] }],
  }
  const [database, maester] = [
    stopped('StatefulSet', 'single-sign-on-database'),
    stopped('Deployment', 'hydra-hydra-maester'),
  ]
  const objects = [client, objectOf('Deployment', 'oas', 'kratos'), database, maester]
  const releases = [database, maester].map(({ metadata }) => objectOf('HelmRelease', 'oas', metadata.name))
  const causes = (...more: typeof objects) =>
    diagnose(snapshotOf([...objects, ...more], { signOn }), [...workloads, ...rules]).causes.map(
      ({ rule, explains }) => [rule, ...explains.map(each => each.rule)],
    )
  assert.equal(causes(...releases), [
    ['workload-scaled-to-zero', 'oauth-client-differs'],
    ['workload-scaled-to-zero', 'sign-on-not-ready'],
  ])
  // Where nothing explains them, they stand for themselves.
  assert.equal(causes(), [['sign-on-not-ready'], ['oauth-client-differs']])
})

test('a client whose id another object has gets one of its own', () => {
  const description = 'ID provided in secret oas-wekan-oauth/oas-apps is assigned to another resource'
  const status = { reconciliationError: { statusCode: 'INVALID_SECRET', description } }
  const [cause] = diagnose(snapshotOf([{ ...client, status }]), rules).causes
  assert.is(cause!.rule, 'oauth-client-not-registered')
  assert.match(cause!.remedy.text, 'a CLIENT_ID that no other OAuth2Client has')
})

test('what does not answer although its pods are ready is named: a program that hangs, or a Service', () => {
  const ready = (lastTransitionTime: string) => ({
    status: { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime }] },
  })
  const labels = { app: 'hydra' }
  const pod = (since: string) => objectOf('Pod', 'oas', 'hydra-1', { metadata: { labels }, ...ready(since) })
  const services = ['hydra-admin', 'hydra-public'].flatMap(name => [
    objectOf('Service', 'oas', name, { spec: { selector: labels } }),
    objectOf('EndpointSlice', 'oas', name, {
      metadata: { labels: { 'kubernetes.io/service-name': name } },
      endpoints: [{ conditions: { ready: true } }],
    }),
  ])
  const why = 'connect: connection refused'
  const causes = (since: string, ...silent: string[]) =>
    diagnose(
      snapshotOf([objectOf('Deployment', 'oas', 'hydra'), pod(since), ...services], {
        signOn: { unready: [], clients: [], silent: silent.map(service => ({ service, why })) },
      }),
      rules,
    ).causes
  const [hours, seconds] = ['2026-03-01T10:00:00Z', '2026-03-01T11:59:50Z']
  const [hung] = causes(hours, 'hydra-admin', 'hydra-public')
  assert.is(hung!.subject.kind, 'Deployment')
  assert.match(hung!.cause, 'connection refused')
  assert.is(hung!.remedy.action!.do, 'patch')
  const [astray] = causes(hours, 'hydra-admin', 'kratos-admin')
  assert.is(astray!.subject.name, 'hydra-admin')
  assert.match(astray!.remedy.text, 'correct the targetPort')
  assert.equal(causes(hours), [])
  assert.equal(causes(seconds, 'hydra-admin', 'hydra-public'), [], 'it has only just become ready')
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
  const why = 'failed SASL auth: FATAL: password authentication failed for user "kratos" (SQLSTATE 28P01)'
  assert.match(told({ unready: [{ service: 'kratos', why }] })[0]!.remedy.text, 'kratos_postgres_password')
  assert.match(
    told({ refusedMail: { count: 2, why: '550 no' } })[0]!.cause,
    /2 mails to users could not be sent: 550 no/,
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
