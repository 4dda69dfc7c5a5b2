import { join } from 'node:path'
import { Kubectl } from '../../../lib/kubectl/kubectl.ts'
import { completeConfig, readConfig } from '../../../lib/platform/config.ts'
import { lockCluster } from '../../../lib/platform/lock.ts'
import { accountServices } from '../../../lib/platform/sign-on.ts'
import { parseConnectTo } from '../../../lib/preflight/host-name.ts'
import { privateFolder } from '../../../lib/script/files.ts'
import { fileTime } from '../../../lib/script/timestamp.ts'
import type { ServerRun } from '../../../lib/server/server.ts'
import { attempt, type TestCheck } from '../checks.ts'
import { startChromium } from './chromium.ts'
import { removeTestPeople } from './people.ts'
import { tour } from './tour.ts'

/** Milliseconds that something on a page may take to appear, at least and at most. */
const [LEAST, MOST] = [5000, 60_000] as const

/**
 * Logs people in with the browser of this machine, as `tour` does. They are removed before anything is told, however the
 * tour ends; those of a killed run before it begins. `deadline`: milliseconds that something on a page may take. It holds
 * the lock of the cluster: one run at a time has these people.
 */
export async function browserTests(
  run: ServerRun,
  options: { app?: string; connectTo?: string; deadline: number },
): Promise<TestCheck[]> {
  const { cluster, signal } = run
  const work = async () => {
    const config = completeConfig(readConfig(cluster.env))
    const kubectl = await Kubectl.connect(cluster.kubeconfig, signal)
    // Without the signal of the run: an interrupted one removes people, too.
    const services = accountServices(await Kubectl.connect(cluster.kubeconfig))
    const connectTo = options.connectTo === undefined ? undefined : parseConnectTo(options.connectTo)
    const release = await lockCluster(kubectl, run)
    try {
      await removeTestPeople(services)
      const browser = await startChromium(connectTo)
      // A browser that is gone rejects whatever is waited for in it.
      signal.addEventListener('abort', () => void browser.close().catch(() => {}))
      return await tour({
        domain: config.domain ?? '',
        services,
        browser,
        app: options.app,
        isStaging: config.cluster_issuer === 'letsencrypt-staging',
        folder: privateFolder(join(cluster.folder, 'browser', fileTime(new Date()))),
        signal,
        progress: text => run.log.progress(text),
        patience: Math.min(Math.max(options.deadline, LEAST), MOST),
      }).finally(() => browser.close())
    } finally {
      await removeTestPeople(services)
      await release()
    }
  }
  return attempt('browser', work, signal)
}
