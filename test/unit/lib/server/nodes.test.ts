import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NODE_SIGNS, nodesNotReady } from '../../../../lib/server/nodes.ts'
import { parseFacts } from '../../../../lib/server/reader.ts'
import { said } from './said.ts'

const START = Date.parse('2026-11-28T10:00:00Z')
const signs = (changes: { leases?: string; nodes?: string; started?: string } = {}) =>
  parseFacts(
    NODE_SIGNS,
    said(NODE_SIGNS, {
      started: `${START / 1000}\n`,
      leases: 'a\t2026-11-28T10:00:05.123456Z\nb\t2026-11-28T10:00:07.000000Z\n',
      nodes: 'a\ttrue\tTrue\tv1.36.4+k3s1\tposting ready status\nb\t\tTrue\tv1.36.4+k3s1\t\n',
      ...changes,
    }),
  )

test('nodes are Ready when their kubelets have reported since k3s was started', () => {
  assert.equal(nodesNotReady(signs(), ['a', 'b']), [])
  assert.equal(signs().nodes![0], {
    name: 'a',
    isServer: true,
    isReady: true,
    version: 'v1.36.4+k3s1',
    message: 'posting ready status',
  })
})

test('a node that has another name now, or only its former state, is not Ready', () => {
  const leases = 'a\t2026-11-28T09:59:59.000000Z\n'
  assert.equal(nodesNotReady(signs({ leases }), ['a']), [
    'the kubelet of node a has not reported since k3s was started',
  ])
  assert.equal(nodesNotReady(signs({ nodes: 'new\ttrue\tTrue\tv1\t\n' }), ['a']), ['node a does not exist'])
  const unknown = (message: string) => signs({ nodes: `a\ttrue\tUnknown\tv1\t${message}\n` })
  assert.equal(nodesNotReady(unknown(''), ['a']), ['node a is not Ready'])
  assert.equal(nodesNotReady(unknown('no news\nof it'), ['a']), ['node a is not Ready: no news'])
  const silent = parseFacts(NODE_SIGNS, said(NODE_SIGNS, { started: '1\n' }))
  assert.equal(nodesNotReady(silent, ['a']), ['the API server does not answer'])
})

test.run()
