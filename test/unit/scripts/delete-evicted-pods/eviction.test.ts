import type { RequestListener } from 'node:http'
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { evictionCause, isEvicted } from '../../../../lib/diagnosis/eviction.ts'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import {
  count,
  countsText,
  deleteEvicted,
  evictedAt,
  isMeant,
  newSurvey,
  pressures,
  surveyFailed,
  surveyRows,
} from '../../../../scripts/delete-evicted-pods/eviction.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

const NOW = Date.parse('2026-06-01T12:00:00Z')
const HOUR = 3_600_000

/** A pod of this status, created this many milliseconds ago. */
function pod(status: object, age = 0, namespace = 'oas'): KubeObject {
  const creationTimestamp = new Date(NOW - age).toISOString()
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace, uid: 'u', creationTimestamp },
    status,
  }
}
const evicted = { phase: 'Failed', reason: 'Evicted' }

test('only Failed and Evicted together make an evicted pod', () => {
  assert.ok(isEvicted(pod(evicted)))
  for (const status of [
    { phase: 'Failed' },
    { phase: 'Failed', reason: 'NotEvicted' },
    { phase: 'Failed', reason: 'EvictedByHand' },
    { phase: 'Failed', reason: 'evicted' },
    { phase: 'Failed', reason: 'Error', message: 'Evicted' },
    { phase: 'Failed', reason: 'Preempting' },
    { phase: 'Running', reason: 'Evicted' },
    { phase: 'Pending', reason: 'Evicted' },
    { reason: 'Evicted' },
    {},
  ])
    assert.not.ok(isEvicted(pod(status)), JSON.stringify(status))
  assert.not.ok(isEvicted({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } }))
})

test('fuzz: any other phase or reason is none', () => {
  const word = fc.oneof(fc.constantFrom('Failed', 'Evicted', 'Running', 'Evicted '), fc.string())
  fc.assert(
    fc.property(word, word, (phase, reason) => {
      assert.is(isEvicted(pod({ phase, reason })), phase === 'Failed' && reason === 'Evicted')
    }),
  )
})

test('the kubelet’s condition tells when a pod was evicted, else when it came', () => {
  const at = new Date(NOW - HOUR).toISOString()
  const conditions = [{ type: 'DisruptionTarget', status: 'True', lastTransitionTime: at }]
  assert.is(evictedAt(pod({ ...evicted, conditions }, 9 * HOUR)), NOW - HOUR)
  assert.is(evictedAt(pod(evicted, 9 * HOUR)), NOW - 9 * HOUR)
})

test('--older-than takes what is as old or older, and nothing of which the age is not known', () => {
  const selection = { olderThan: 2 * HOUR }
  assert.ok(isMeant(pod(evicted, 2 * HOUR), selection, NOW))
  assert.not.ok(isMeant(pod(evicted, 2 * HOUR - 1), selection, NOW))
  assert.not.ok(isMeant(pod({ phase: 'Failed' }, 9 * HOUR), selection, NOW))
  const ageless = pod(evicted)
  ageless.metadata.creationTimestamp = undefined
  assert.not.ok(isMeant(ageless, selection, NOW))
  assert.ok(isMeant(ageless, {}, NOW))
})

for (const [message, cause] of [
  [
    'The node was low on resource: ephemeral-storage. Threshold quantity: 1, available: 0. ',
    'ephemeral-storage',
  ],
  ['The node was low on resource: memory. Container x was using 5Gi', 'memory'],
  ['The node was low on resource: pids. ', 'pids'],
  ['The node had condition: [DiskPressure]. ', 'DiskPressure'],
  [
    'Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ',
    'its own limit of storage',
  ],
  ['Usage of EmptyDir volume "x" exceeds the limit "1Gi". ', 'its own limit of storage'],
  ['Container x exceeded its local ephemeral storage limit "1Gi". ', 'its own limit of storage'],
  ['', 'unknown'],
] as const)
  test(`the cause in ${JSON.stringify(message.slice(0, 45))} is ${cause}`, () => {
    assert.is(evictionCause(pod({ ...evicted, message })), cause)
  })

test('a survey counts by namespace and age, and everything that it leaves alone', () => {
  const survey = newSurvey()
  for (const each of [
    pod(evicted, 3 * HOUR),
    pod(evicted, 3 * HOUR),
    pod(evicted, 24 * HOUR),
    pod({ ...evicted, message: 'The node had condition: [DiskPressure]. ' }, 9 * 24 * HOUR, 'oas-apps'),
    pod(evicted, HOUR),
    pod({ phase: 'Failed', reason: 'NodeShutdown' }),
    pod({ phase: 'Failed' }),
  ])
    count(survey, each, { olderThan: 2 * HOUR }, NOW)
  assert.equal([survey.evicted, survey.younger], [4, 1])
  assert.equal(surveyRows(survey), [
    ['NAMESPACE', 'EVICTED', '< 1 H', '< 1 D', '< 7 D', 'OLDER', 'OLDEST'],
    ['oas', '3', '0', '2', '1', '0', '1 d'],
    ['oas-apps', '1', '0', '0', '0', '1', '9 d'],
  ])
  assert.is(countsText(survey.causes), 'unknown 3, DiskPressure 1')
  assert.is(countsText(survey.others), 'NodeShutdown 1, no reason given 1')
})

test('a pod from the future is counted as new', () => {
  const survey = newSurvey()
  count(survey, pod(evicted, -HOUR), {}, NOW)
  assert.equal(survey.namespaces.get('oas'), { ages: [1, 0, 0, 0], oldest: 0 })
})

test('the disk pressure of every node is told, another one only where it is', () => {
  const node = (conditions: object[]) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n' },
    status: { conditions },
  })
  const since = '2026-06-01T11:00:00Z'
  const disk = (status: string) => ({ type: 'DiskPressure', status, message: 'm', lastTransitionTime: since })
  const told = (...conditions: object[]) => pressures([node(conditions)])
  assert.equal(told(disk('True')), [{ node: 'n', type: 'DiskPressure', state: 'on', since, message: 'm' }])
  assert.equal(told(disk('False'))[0]!.state, 'over')
  assert.equal(told(disk('Unknown'))[0]!.state, 'unknown')
  assert.equal(told()[0]!.state, 'unknown')
  const memory = { type: 'MemoryPressure', status: 'True' }
  assert.equal(
    told(disk('False'), memory, { type: 'PIDPressure', status: 'False' }).map(({ type }) => type),
    ['DiskPressure', 'MemoryPressure'],
  )
})

/** A Kubectl against canned answers: what is tested is the client side of the wire. */
async function against(answer: RequestListener, work: (kubectl: Kubectl) => Promise<void>) {
  const { url, close } = await serve((request, response) => {
    if (request.url === '/api/v1') {
      const resources = [{ name: 'pods', kind: 'Pod', namespaced: true }]
      response.end(JSON.stringify({ resources }))
    } else answer(request, response)
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  try {
    await work(kubectl)
  } finally {
    kubectl.client.close()
    close()
  }
}
const signal = new AbortController().signal
const podNumber = (i: number) => ({
  metadata: { name: `p${i}`, namespace: 'oas', uid: `uid${i}` },
  status: evicted,
})

test('transport: a list that expires is begun anew', async () => {
  let lists = 0
  await against(
    (request, response) => {
      const token = new URL(request.url!, 'http://x').searchParams.get('continue')
      if (!token) lists++
      if (token && lists < 3) response.writeHead(410).end('{"reason":"Expired","message":"too old"}')
      else {
        const page = { items: [podNumber(token ? 1 : 0)], metadata: { continue: token ? '' : 'more' } }
        response.end(JSON.stringify(page))
      }
    },
    async kubectl => {
      assert.is((await surveyFailed(kubectl, {})).evicted, 2)
      assert.is(lists, 3)
    },
  )
})

test('transport: deletes by uid, 32 at once, and takes what vanished or was replaced for done', async () => {
  const bodies: string[] = []
  let [open, most] = [0, 0]
  await against(
    (request, response) => {
      if (request.method === 'GET') {
        const items = Array.from({ length: 100 }, (_, i) => podNumber(i))
        response.end(JSON.stringify({ items, metadata: {} }))
        return
      }
      most = Math.max(most, ++open)
      let body = ''
      request.on('data', piece => {
        body += piece
      })
      request.on('end', () =>
        setTimeout(() => {
          open--
          bodies.push(`${request.url} ${JSON.parse(body).preconditions.uid}`)
          const code = request.url!.endsWith('p7') ? 404 : request.url!.endsWith('p8') ? 409 : 200
          response.writeHead(code).end(code === 404 ? '{"reason":"NotFound"}' : '{}')
        }, 150),
      )
    },
    async kubectl => {
      const done = await deleteEvicted(kubectl, {}, () => undefined, signal)
      assert.equal(done, { deleted: 98, vanished: 2 })
      assert.is(most, 32)
      assert.is(new Set(bodies).size, 100)
      assert.ok(bodies.includes('/api/v1/namespaces/oas/pods/p42 uid42'))
    },
  )
})

test('transport: a server that is overloaded is given time, one that refuses ends the work', async () => {
  let busy = 1
  let code = 429
  await against(
    (request, response) => {
      const items = [podNumber(0)]
      if (request.method === 'GET') response.end(JSON.stringify({ items, metadata: {} }))
      else if (code === 429 && busy-- <= 0) response.end('{}')
      else response.writeHead(code).end('{"message":"no"}')
    },
    async kubectl => {
      const work = () => deleteEvicted(kubectl, {}, () => undefined, signal)
      assert.equal(await work(), { deleted: 1, vanished: 0 })
      code = 403
      assert.match((await expectedFrom(work)).message, 'deleting Pod oas/p0: no')
    },
  )
})

test.run()
