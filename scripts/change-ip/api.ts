import { existsSync } from 'node:fs'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import type { ServerRun } from '../../lib/server/server.ts'
import { inUrl } from './address.ts'
import { apiAt } from './cluster.ts'
import { type WantedNodes, waitForNodes } from './verify.ts'

/** Milliseconds in which the API server has to answer after k3s was started. */
const ANSWER = 45_000

/** What of a run the steps need. */
export type StepRun = ServerRun & Pick<Run, 'step'>

/**
 * Looks at the API server by an address, and by the hosts that lead to it, each time with the certificate; then at
 * the nodes. Returns the API server, if there is a kubeconfig to ask it with.
 */
export async function verifyApi(
  run: StepRun,
  wanted: WantedNodes & { domains: readonly string[]; deadline: number },
): Promise<Kubectl | undefined> {
  const { log, signal } = run
  const { deadline } = wanted
  const api = await apiAt(run.cluster, wanted.address, { signal })
  if (!api) return undefined
  for (const host of [wanted.address, ...wanted.domains]) {
    const named = host === wanted.address ? api : await apiAt(run.cluster, host, { signal })
    const byHand = `kubectl --server=https://${inUrl(host)}:6443 get --raw /version`
    if (named) await run.step(`API server at ${host}`, byHand, () => valid(named, run))
  }
  await run.step('Nodes', 'kubectl get nodes -o wide', () =>
    waitForNodes(api, wanted, { deadline, log, signal }),
  )
  return api
}

/** Waits until the API server answers with a certificate that is valid for the name it was asked by. */
async function valid(api: Kubectl, { signal }: ServerRun): Promise<string> {
  return until<string, string>(
    async () => {
      try {
        return { done: `${await api.serverVersion()}, the certificate is valid` }
      } catch (error) {
        if (!(error instanceof ExpectedError) || signal.aborted) throw error
        return { last: error.message }
      }
    },
    {
      deadline: ANSWER,
      every: 500,
      describe: last => last ?? 'nothing',
      fix: 'look at k3s on the server: journalctl -u k3s -n 50',
      signal,
    },
  )
}

/**
 * The API server at the first in this list that answers, whatever name its certificate has. They are asked at once;
 * the answer of an earlier one is awaited even if a later one has answered, as callers conclude from it which do not.
 */
export async function answering(run: ServerRun, hosts: readonly string[]): Promise<Kubectl | undefined> {
  const asked = hosts.map(async host => {
    const api = await apiAt(run.cluster, host, { anyName: true, signal: run.signal })
    try {
      await api?.serverVersion()
      return api
    } catch (error) {
      run.signal.throwIfAborted()
      if (!(error instanceof ExpectedError)) throw error
      run.log.detail(error.message)
      return undefined
    }
  })
  return (await Promise.all(asked)).find(api => api !== undefined)
}

/**
 * The same after k3s was started, with the time that its API server has to answer. Undefined where none does, and at
 * once without a kubeconfig.
 */
export async function answeringAfterStart(
  run: ServerRun,
  hosts: readonly string[],
): Promise<Kubectl | undefined> {
  const end = performance.now() + ANSWER
  for (;;) {
    const api = await answering(run, hosts)
    if (api || !existsSync(run.cluster.kubeconfig) || performance.now() >= end) return api
    await sleep(500, run.signal)
  }
}

/**
 * The lock of the cluster. It lives in the API server and would count as lost while that restarts, so it is given
 * back before, and taken again after.
 */
export class ClusterLock {
  readonly #run: Pick<ServerRun, 'log' | 'abort' | 'onEnd'>
  #release: (() => Promise<void>) | undefined

  constructor(run: Pick<ServerRun, 'log' | 'abort' | 'onEnd'>) {
    this.#run = run
    run.onEnd(() => this.give())
  }

  /** Takes it, wherever the API server is reached now. */
  async take(kubectl: Kubectl): Promise<void> {
    await this.give()
    await lockCluster(kubectl, {
      log: this.#run.log,
      abort: reason => this.#run.abort(reason),
      onEnd: release => {
        this.#release = release
      },
    })
  }

  /** Gives it back, if it is held. */
  async give(): Promise<void> {
    const release = this.#release
    this.#release = undefined
    await release?.()
  }
}
