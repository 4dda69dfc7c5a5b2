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
      nodes: 'a\ttrue\tTrue\nb\t\tTrue\n',
      ...changes,
    }),
  )

test('nodes are Ready when their kubelets have reported since k3s was started', () => {
  assert.equal(nodesNotReady(signs(), ['a', 'b']), [])
  assert.equal(signs().nodes![0], { name: 'a', isServer: true, isReady: true })
})

test('a node that has another name now, or only its former state, is not Ready', () => {
  const leases = 'a\t2026-11-28T09:59:59.000000Z\n'
  assert.equal(nodesNotReady(signs({ leases }), ['a']), [
    'the kubelet of node a has not reported since k3s was started',
  ])
  assert.equal(nodesNotReady(signs({ nodes: 'new\ttrue\tTrue\n' }), ['a']), ['node a does not exist'])
  assert.equal(nodesNotReady(signs({ nodes: 'a\ttrue\tUnknown\n' }), ['a']), ['node a is not Ready'])
  const silent = parseFacts(NODE_SIGNS, said(NODE_SIGNS, { started: '1\n' }))
  assert.equal(nodesNotReady(silent, ['a']), ['the API server does not answer'])
})

test.run()
