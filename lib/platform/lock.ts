import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { ApiError, isNotFound } from '../kubectl/api-error.ts'
import { explainApiError, FIELD_MANAGER, type Kubectl, type KubeObject } from '../kubectl/kubectl.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import type { Run } from '../script/run.ts'

/** Seconds without renewal after which a lock is stale. */
export const LEASE_SECONDS = 30

/** Milliseconds between renewals. */
const RENEWAL = 10_000

/** kube-system exists on every cluster, before the first run. */
const path = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
const name = 'openappstack-runbooks'

/**
 * The scope of pids: this boot of this machine, in this pid namespace. Host names do not prove it
 * (many are called `debian`). Undefined where /proc is missing; then only time tells.
 */
const pidSpace = (() => {
  try {
    const place = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8') + readlinkSync('/proc/self/ns/pid')
    return createHash('sha256').update(place).digest('hex').slice(0, 8)
  } catch {
    return undefined
  }
})()

/** The user's name; a uid without an entry in the list of users (in a container) has only its number. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.()}`
  }
}

/** The holder of a lock: user@host, with the pid and its scope. */
export const whoami = `${userName()}@${hostname()} (pid ${process.pid}${pidSpace ? ` in ${pidSpace}` : ''})`

/** Whether the holder of a Lease is gone: it has expired by the server's clock, or its process has ended. */
export function isStale(lease: KubeObject, serverNow: number, alive: (pid: number) => boolean): boolean {
  const holder = String(lease.spec?.holderIdentity ?? '')
  if (holder === '') return true
  const [, pid, space] = /\(pid (\d+) in (\w+)\)$/.exec(holder) ?? []
  if (pidSpace !== undefined && space === pidSpace && !alive(Number(pid))) return true
  const renewed = Date.parse(lease.spec?.renewTime ?? '')
  return (
    Number.isNaN(renewed) || renewed + (lease.spec?.leaseDurationSeconds ?? LEASE_SECONDS) * 1000 < serverNow
  )
}

function pidAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The Lease object that says who works on the cluster; times are the server's, so clocks may differ. */
function lease(serverNow: number, resourceVersion?: string): KubeObject {
  const now = new Date(serverNow).toISOString().replace('Z', '000Z') // MicroTime
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: 'kube-system', resourceVersion },
    spec: { holderIdentity: whoami, leaseDurationSeconds: LEASE_SECONDS, acquireTime: now, renewTime: now },
  }
}

/** The part of a run that a lock needs. */
type LockingRun = Pick<Run, 'log' | 'abort' | 'onEnd'>

/**
 * Takes the cluster's lock for this run, so that two changing runs never work side by side: a Lease in
 * kube-system that names its holder, is renewed every ten seconds, released at the end of the run, and taken
 * over when its holder is gone. Throws an ExpectedError with exit code 75 that names the holder.
 * The loss of the lock aborts the run. Returns a function that releases it before the run's end.
 */
export async function lockCluster(kubectl: Kubectl, run: LockingRun): Promise<() => Promise<void>> {
  let held = await acquire(kubectl, run)
  let renewed = performance.now()
  let renewal: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    renewal = renewal.then(renew)
  }, RENEWAL)
  const renew = async () => {
    try {
      held = await putAgain(kubectl, held).catch(async error =>
        putAgain(kubectl, await stillOurs(kubectl, error)),
      )
      renewed = performance.now()
    } catch (error) {
      const taken = error instanceof ApiError && (error.code === 409 || error.code === 404)
      if (taken || performance.now() - renewed > LEASE_SECONDS * 1000)
        run.abort(
          new ExpectedError(
            taken ? 'the lock was taken over by another run' : 'the lock could not be renewed for 30 s',
            'check which other run works on this cluster, then run the same command again',
            { exitCode: EXIT.locked, cause: error },
          ),
        )
    }
  }
  let released = false
  const release = async () => {
    if (released) return
    released = true
    clearInterval(timer)
    await renewal
    await remove(kubectl, held)
      .catch(async error => remove(kubectl, await stillOurs(kubectl, error)))
      .catch(error => {
        if (!(error instanceof ApiError)) throw error
      })
  }
  run.onEnd(release)
  return release
}

/** Renews a Lease that we hold. Throws an ApiError (409) when it was written since it was read. */
async function putAgain(kubectl: Kubectl, held: KubeObject): Promise<KubeObject> {
  const body = lease(Date.now() + kubectl.client.clockOffset, held.metadata.resourceVersion)
  body.spec.acquireTime = held.spec.acquireTime
  return kubectl.client.request({ method: 'PUT', path: `${path}/${name}`, body, timeout: 5000 })
}

/** Deletes our own Lease alone: a takeover keeps the uid, but not the resourceVersion. Throws an ApiError (409) then. */
async function remove(kubectl: Kubectl, { metadata: { uid, resourceVersion } }: KubeObject): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } }
  await kubectl.client.request({ method: 'DELETE', path: `${path}/${name}`, body, timeout: 5000 })
}

/**
 * The Lease after a conflict, where we hold it all the same: the server has stored an earlier renewal whose answer did
 * not arrive in time. Throws the error again when somebody else holds it, and whatever is not a conflict.
 */
async function stillOurs(kubectl: Kubectl, error: unknown): Promise<KubeObject> {
  if (!(error instanceof ApiError && error.code === 409)) throw error
  const found = await kubectl.client.request<KubeObject>({ path: `${path}/${name}`, timeout: 5000 })
  if (found.spec?.holderIdentity !== whoami) throw error
  return found
}

async function acquire(kubectl: Kubectl, run: LockingRun): Promise<KubeObject> {
  const query = { fieldManager: FIELD_MANAGER }
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      // The first answer shows the server's clock, which the times in the Lease use.
      const found = await kubectl.client
        .request<KubeObject>({ path: `${path}/${name}` })
        .catch(error => (isNotFound(error) ? undefined : Promise.reject(error)))
      const serverNow = Date.now() + kubectl.client.clockOffset
      if (!found)
        return await kubectl.client.request<KubeObject>({
          method: 'POST',
          path,
          query,
          body: lease(serverNow),
        })
      if (!isStale(found, serverNow, pidAlive)) throw locked(found)
      run.log.warn(`taking over the stale lock of ${found.spec?.holderIdentity || 'an unknown holder'}`)
      return await kubectl.client.request<KubeObject>({
        method: 'PUT',
        path: `${path}/${name}`,
        query,
        body: lease(serverNow, found.metadata.resourceVersion),
      })
    } catch (error) {
      // Another run was faster: read the lock again.
      if (error instanceof ApiError && (error.code === 409 || error.code === 404)) continue
      throw explainApiError(error, 'taking the lock')
    }
  }
  throw new ExpectedError(
    'the lock could not be taken: other runs were faster',
    'run the same command again',
    {
      exitCode: EXIT.locked,
    },
  )
}

function locked(found: KubeObject): ExpectedError {
  return new ExpectedError(
    `another run holds the lock (since ${found.spec?.acquireTime}): ${found.spec?.holderIdentity}`,
    `wait until it ends; if it was killed on another machine, the lock is free ${LEASE_SECONDS} s after its death`,
    { exitCode: EXIT.locked },
  )
}
