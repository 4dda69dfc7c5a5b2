import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AuditedRequest, auditedRequests, isWrite } from '../../bed/build/audit.ts'

const event = (auditID: string, verb: string, objectRef?: object, requestURI = '/x?y=1') =>
  JSON.stringify({
    auditID,
    stage: 'ResponseComplete',
    verb,
    requestURI,
    objectRef,
    userAgent: 'someone/1',
    user: { username: 'admin' },
  })

test('tells each request once, by what it is about', () => {
  const configMap = { resource: 'configmaps', namespace: 'oas', name: 'a', apiVersion: 'v1' }
  const scale = {
    resource: 'deployments',
    apiGroup: 'apps',
    subresource: 'scale',
    namespace: 'oas',
    name: 'b',
  }
  const log = [
    event('1', 'patch', configMap),
    event('1', 'patch', configMap),
    event('2', 'update', scale),
    event('3', 'list', { resource: 'nodes' }),
    event('5', 'delete', { resource: 'namespaces', namespace: 'c', name: 'c' }),
    event('4', 'get', undefined, '/readyz?verbose'),
    '',
  ].join('\n')
  assert.equal(
    auditedRequests(log).map(({ verb, target }) => `${verb} ${target}`),
    [
      'patch configmaps oas/a',
      'update deployments.apps/scale oas/b',
      'list nodes',
      'delete namespaces c',
      'get /readyz',
    ],
  )
  assert.equal(auditedRequests(log)[0], {
    verb: 'patch',
    target: 'configmaps oas/a',
    user: 'admin',
    userAgent: 'someone/1',
  })
})

test('tells writes from what only looks', () => {
  const request = (verb: string, target: string): AuditedRequest => ({
    verb,
    target,
    user: '',
    userAgent: '',
  })
  for (const verb of ['create', 'update', 'patch', 'delete', 'deletecollection'])
    assert.ok(isWrite(request(verb, 'pods oas/a')))
  for (const verb of ['get', 'list', 'watch']) assert.not.ok(isWrite(request(verb, 'pods')))
  assert.not.ok(isWrite(request('create', 'selfsubjectaccessreviews.authorization.k8s.io')))
  assert.ok(isWrite(request('create', 'pods/exec oas/a')))
})

test.run()
