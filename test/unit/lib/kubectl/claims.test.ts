import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { podsByClaim, podsUsing } from '../../../../lib/kubectl/claims.ts'

const pod = (name: string, phase: string, ...claims: string[]) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'a', name },
  spec: { volumes: claims.map(claimName => ({ persistentVolumeClaim: { claimName } })) },
  status: { phase },
})

test('a pod counts once for a claim that it mounts twice', () => {
  const twice = pod('twice', 'Running', 'data', 'data')
  assert.equal([...podsByClaim([twice])], [['a/data', [twice]]])
})

test('pods that have ended use nothing', () => {
  const pods = ['Running', 'Pending', 'Unknown', 'Succeeded', 'Failed'].map(phase => pod(phase, phase, 'x'))
  const names = (claim: string) => podsUsing(pods, new Set([claim])).map(({ metadata }) => metadata.name)
  assert.equal(names('a/x'), ['Running', 'Pending', 'Unknown'])
  assert.equal(names('b/x'), [])
})

test.run()
