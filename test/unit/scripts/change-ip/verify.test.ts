import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import type { ChangeState } from '../../../../scripts/change-ip/state.ts'
import { nodeProblems, nodesToWaitFor, readyNodes } from '../../../../scripts/change-ip/verify.ts'

const [OLD, NEW] = ['203.0.113.7', '203.0.113.8']
const node = (name: string, address: string, ready = 'True'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { addresses: [{ type: 'InternalIP', address }], conditions: [{ type: 'Ready', status: ready }] },
})
const wanted = { names: ['vps'], address: NEW, old: OLD }
/** A kubelet that has given a new sign of life, and one that has not. */
const signs = {
  before: new Map([
    ['vps', '10:00'],
    ['off', '09:00'],
  ]),
  now: new Map([
    ['vps', '10:01'],
    ['off', '09:00'],
  ]),
}
const problems = (nodes: KubeObject[], ready: string[] | undefined) =>
  nodeProblems(nodes, { ...wanted, ready }, signs)

test('a node that was not Ready before is not waited for', () => {
  const nodes = [node('vps', NEW), node('off', '203.0.113.9', 'Unknown')]
  assert.equal(readyNodes(nodes), ['vps'])
  assert.equal(problems(nodes, ['vps']), [])
  assert.equal(problems(nodes, ['vps', 'off']), ['off is not Ready'])
  // An older state does not tell which were Ready.
  assert.equal(problems(nodes, undefined), ['off is not Ready'])
  assert.equal(problems([node('vps', NEW)], ['vps', 'deleted']), [])
  assert.equal(problems([], ['vps']), ['there is no node'])
})

test('one that was has to be Ready again, with the address and by a kubelet that lives', () => {
  assert.equal(problems([node('vps', NEW, 'False')], ['vps']), ['vps is not Ready'])
  assert.equal(problems([node('vps', '10.0.0.1')], ['vps']), ['vps has 10.0.0.1'])
  assert.equal(problems([node('other', OLD)], ['other']), [`other has ${OLD}`])
  assert.equal(problems([node('off', '203.0.113.9')], ['off']), [
    'the kubelet of off has given no sign of life since 09:00',
  ])
})

test("the server's own node gets the address, Ready before or not", () => {
  assert.equal(problems([node('vps', OLD, 'False')], []), [`vps has ${OLD}`])
  assert.equal(problems([node('vps', NEW, 'False')], []), [])
  const bare: KubeObject = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'vps' } }
  assert.equal(problems([bare], []), ['vps has no address'])
  // Of a server that got another name, the node of before is never updated.
  const both = (address: string) =>
    nodeProblems(
      [node('vps', address), node('before', OLD, 'Unknown')],
      { ...wanted, names: ['vps', 'before'], ready: ['vps'] },
      signs,
    )
  assert.equal(both(NEW), [])
  assert.equal(both(OLD), [`vps has ${OLD}`])
  // Behind NAT, no node gets the address.
  assert.equal(
    nodeProblems([node('vps', '10.0.0.1', 'False')], { ...wanted, names: [], ready: [] }, signs),
    [],
  )
})

test('to take a change back, a node that was lost since the change is not waited for, the server is', () => {
  const state = (phase: ChangeState['phase'], ready?: string[]) =>
    ({ phase, nodes: ['vps'], before: { hasOld: true, hasNew: true, api: true, ready } }) as ChangeState
  const before = ['vps', 'agent', 'lost']
  assert.equal(nodesToWaitFor(state('changed', before), ['agent', 'new']), ['vps', 'agent'])
  // While a change is at work, nodes may be not Ready because of it.
  assert.equal(nodesToWaitFor(state('changing', before), ['agent']), before)
  assert.equal(nodesToWaitFor(state('changed', before), undefined), before)
  assert.is(nodesToWaitFor(state('changed'), ['agent']), undefined)
})

test.run()
