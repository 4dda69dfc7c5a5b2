import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ago, judged, node, PLATFORM, platformWith, told, without } from './workload-objects.ts'

const ready = { type: 'Ready', status: 'True', lastTransitionTime: ago(999) }
const is = (type: string, status: string, message = '', lasts = 120) => ({
  type,
  status,
  reason: 'Reason',
  message,
  lastTransitionTime: ago(lasts),
})

for (const [rule, conditions] of [
  ['node-silent', [is('Ready', 'Unknown', 'Kubelet stopped posting node status.')]],
  ['node-not-ready', [is('Ready', 'False', 'PLEG is not healthy')]],
  [
    'node-network-failing',
    [
      is(
        'Ready',
        'False',
        'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized',
      ),
    ],
  ],
  ['node-disk-pressure', [ready, is('DiskPressure', 'True')]],
  ['node-memory-pressure', [ready, is('MemoryPressure', 'True')]],
  ['node-pid-pressure', [ready, is('PIDPressure', 'True')]],
  ['node-network-failing', [ready, is('NetworkUnavailable', 'True')]],
] as const)
  test(`${rule}: ${conditions.at(-1)!.type}`, () => {
    assert.equal(told(platformWith(node([...conditions]))), [`${rule} Node server`])
  })

test('a kubelet that has just started is none, nor is what it does not say', () => {
  assert.equal(told(platformWith(node([is('Ready', 'False', 'starting', 5)]))), [])
  assert.equal(
    told(platformWith(node([ready, is('DiskPressure', 'False'), is('MemoryPressure', 'Unknown')]))),
    [],
  )
})

test('a cordoned node is a warning for as long as nothing waits', () => {
  const [cause] = judged(platformWith(node([ready], { unschedulable: true })))
  assert.equal([cause!.rule, cause!.verdict], ['node-cordoned', 'warning'])
  assert.equal(cause!.remedy.action, {
    do: 'patch',
    ref: { apiVersion: 'v1', kind: 'Node', name: 'server', namespace: undefined },
    patch: { spec: { unschedulable: null } },
    why: 'uncordon it',
  })
})

test('no node at all, unless nodes could not be read', () => {
  const objects = without(without(PLATFORM, 'Node', 'server'), 'Pod', 'wekan-5f-a')
  assert.ok(told(objects).includes('cluster-without-nodes Host 192.0.2.1'))
  const gaps = [{ what: 'Node', why: 'Forbidden' }]
  assert.not.ok(told(objects, { gaps }).some(text => text.startsWith('cluster-without')))
})

test('clocks that differ', () => {
  assert.equal(told(PLATFORM, { clockOffset: 20 }), [])
  const [cause] = judged(PLATFORM, { clockOffset: -3600 })
  assert.equal([cause!.rule, cause!.verdict], ['clock-offset', 'warning'])
  assert.is(cause!.cause, 'its clock is 1 h behind that of this machine')
})

test.run()
