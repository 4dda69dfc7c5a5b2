import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { answerTo, secretFor } from '../../bed/cluster/web-routes.ts'

const namespace = 'oas'
const ingress = (name: string, host: string, spec: object, path = '/', pathType = 'Prefix'): KubeObject => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name, namespace },
  spec: {
    ingressClassName: 'nginx',
    rules: [{ host, http: { paths: [{ path, pathType, backend: { service: { name } } }] } }],
    ...spec,
  },
})
const path = '/.well-known/acme-challenge/token'
const solver = (spec = {}) => ingress('solver', 'a.example.org', spec, path, 'ImplementationSpecific')
const service: KubeObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'solver', namespace },
  spec: { selector: { app: 'solver' } },
}
const pod = (
  ready: string,
  args = ['--domain=a.example.org', '--token=token', '--key=token.key'],
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'solver-x', namespace, labels: { app: 'solver' } },
  spec: { containers: [{ name: 'solver', args }] },
  status: { conditions: [{ type: 'Ready', status: ready }] },
})
const tls = { tls: [{ hosts: ['a.example.org', '*.b.example.org'], secretName: 'a.tls' }] }
const site = ingress('a', 'a.example.org', tls)

test('answers a challenge by the Ingress, the Service and the ready pod of its solver', () => {
  const routes = { ingresses: [site, solver()], services: [service], pods: [pod('True')] }
  assert.equal(answerTo(routes, 'a.example.org', path), { status: 200, body: 'token.key' })
  assert.is(answerTo({ ...routes, pods: [pod('False')] }, 'a.example.org', path).status, 503)
  assert.is(answerTo({ ...routes, services: [] }, 'a.example.org', path).status, 503)
  assert.is(
    answerTo({ ...routes, pods: [pod('True', ['--token=other'])] }, 'a.example.org', path).status,
    404,
  )
})

test('does not answer for an ingress of another class, or another host', () => {
  const routes = { services: [service], pods: [pod('True')] }
  const other = solver({ ingressClassName: 'other' })
  assert.is(answerTo({ ...routes, ingresses: [other] }, 'a.example.org', path).status, 404)
  assert.is(answerTo({ ...routes, ingresses: [solver()] }, 'b.example.org', path).status, 404)
})

test('redirects where there is a certificate, and only there', () => {
  const routes = { services: [], pods: [] }
  assert.equal(answerTo({ ...routes, ingresses: [site] }, 'a.example.org', '/x'), {
    status: 308,
    body: '',
    location: 'https://a.example.org/x',
  })
  const plain = ingress('a', 'a.example.org', {})
  assert.is(answerTo({ ...routes, ingresses: [plain] }, 'a.example.org', '/x').status, 200)
})

test('finds the Secret of a host, also by a wildcard of one label', () => {
  assert.equal(secretFor([site], 'a.example.org'), { namespace, name: 'a.tls' })
  assert.equal(secretFor([site], 'x.b.example.org'), { namespace, name: 'a.tls' })
  assert.is(secretFor([site], 'x.y.b.example.org'), undefined)
  assert.is(secretFor([site], 'b.example.org'), undefined)
})

test.run()
