import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { isStale, LEASE_SECONDS } from '../../../../lib/platform/lock.ts'

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

test.run()
