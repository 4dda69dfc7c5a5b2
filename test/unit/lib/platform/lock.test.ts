import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import type http from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { isStale, LEASE_SECONDS, lockCluster } from '../../../../lib/platform/lock.ts'
import type { ExpectedError } from '../../../../lib/script/errors.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

const now = Date.parse('2026-01-02T03:04:05Z')
const alive = () => true
const gone = () => false
const here = createHash('sha256')
  .update(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8') + readlinkSync('/proc/self/ns/pid'))
  .digest('hex')
  .slice(0, 8)

function lease(holderIdentity: string, seconds: number | undefined, duration?: number): KubeObject {
  const renewTime =
    seconds === undefined ? undefined : new Date(now - seconds * 1000).toISOString().replace('Z', '000Z')
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'openappstack-runbooks', namespace: 'kube-system' },
    spec: { holderIdentity, renewTime, leaseDurationSeconds: duration },
  }
}

test('a holder that renews is there', () => {
  assert.not.ok(isStale(lease('ann@laptop (pid 7 in 00000000)', 0), now, gone))
  assert.not.ok(isStale(lease('ann@laptop (pid 7 in 00000000)', LEASE_SECONDS - 1), now, gone))
  // By the server's clock: a renewal from the future of ours counts.
  assert.not.ok(isStale(lease('ann@laptop (pid 7)', -3600), now, gone))
})

test('a holder whose time is over is gone', () => {
  assert.ok(isStale(lease('ann@laptop (pid 7)', LEASE_SECONDS + 1), now, alive))
  assert.not.ok(isStale(lease('ann@laptop (pid 7)', 50, 60), now, alive))
  assert.ok(isStale(lease('ann@laptop (pid 7)', 61, 60), now, alive))
})

test('a lease without a holder or a time is free', () => {
  assert.ok(isStale(lease('', 0), now, alive))
  assert.ok(isStale(lease('ann', undefined), now, alive))
  assert.ok(isStale({ ...lease('', 0), spec: undefined }, now, alive))
})

test('a process of this machine is asked for, and only where pids mean the same', () => {
  const asked: number[] = []
  const ask = (answer: boolean) => (pid: number) => {
    asked.push(pid)
    return answer
  }
  assert.ok(isStale(lease(`ann@laptop (pid 4711 in ${here})`, 0), now, ask(false)))
  assert.not.ok(isStale(lease(`ann@laptop (pid 4711 in ${here})`, 0), now, ask(true)))
  assert.not.ok(isStale(lease('ann@laptop (pid 4711)', 0), now, ask(false)))
  assert.not.ok(isStale(lease(`(pid 4711 in ${here}) bob@laptop (pid 7 in ffffffff)`, 0), now, ask(false)))
  assert.equal(asked, [4711, 4711])
})

/**
 * A lock that was just taken at what answers as an API server. It stores every renewal, but loses the answers to so
 * many. `renew` lets the time of one renewal pass, and `end` releases the lock once they are over.
 */
async function locked(lostAnswers: number) {
  let stored: KubeObject | undefined
  let version = 0
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const sent = JSON.parse((await text(request)) || '{}')
    const say = (code: number, value: unknown) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    const known = (sent.metadata ?? sent.preconditions)?.resourceVersion
    if (request.method !== 'POST' && !stored)
      return say(404, { kind: 'Status', code: 404, reason: 'NotFound', message: 'not found' })
    if (/PUT|DELETE/.test(request.method!) && known !== stored?.metadata.resourceVersion)
      return say(409, { kind: 'Status', code: 409, reason: 'Conflict', message: 'it was modified' })
    if (request.method === 'DELETE') stored = undefined
    if (/POST|PUT/.test(request.method!)) {
      stored = { ...sent, metadata: { ...sent.metadata, uid: 'u', resourceVersion: String(++version) } }
      if (request.method === 'PUT' && lostAnswers-- > 0) return request.socket.destroy()
    }
    return say(200, stored ?? { kind: 'Status', status: 'Success' })
  }
  const { url, close } = await serve((request, response) => void answer(request, response))
  const aborted: ExpectedError[] = []
  const run = { abort: aborted.push.bind(aborted), onEnd: () => undefined, log: { warn: () => undefined } }
  let renew = () => {}
  const { setInterval } = globalThis
  globalThis.setInterval = ((tick: () => void) => {
    renew = tick
    return setInterval(() => {}, 60_000)
  }) as typeof setInterval
  const release = await lockCluster(
    await Kubectl.connect(kubeconfigFile({ server: url })),
    run as unknown as Parameters<typeof lockCluster>[1],
  )
  globalThis.setInterval = setInterval
  return {
    aborted,
    lease: () => stored,
    renew: () => renew(),
    takeAway: () => {
      const spec = { ...stored!.spec, holderIdentity: 'bob@elsewhere (pid 1)' }
      stored = { ...stored!, metadata: { ...stored!.metadata, resourceVersion: String(++version) }, spec }
    },
    end: async () => {
      await release()
      close()
    },
  }
}

test('a renewal whose answer is lost costs nobody the lock: the next ones go on from what the server has stored', async () => {
  const lock = await locked(1)
  for (let time = 0; time < 3; time++) lock.renew()
  await lock.end()
  assert.equal(lock.aborted, [])
  assert.is(lock.lease(), undefined, 'it is given back')
})

test('a lock is given back also when the answer to its last renewal was lost', async () => {
  const lock = await locked(1)
  lock.renew()
  await lock.end()
  assert.equal(lock.aborted, [])
  assert.is(lock.lease(), undefined)
})

test('a lock that another run has taken over ends this one, and stays with the other', async () => {
  const lock = await locked(0)
  lock.takeAway()
  lock.renew()
  await lock.end()
  assert.equal(
    lock.aborted.map(({ message, exitCode }) => [message, exitCode]),
    [['the lock was taken over by another run', 75]],
  )
  assert.match(lock.lease()?.spec.holderIdentity, 'bob@elsewhere')
})

test.run()
