import { checkServerIdentity, connect } from 'node:tls'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, messageOf, TransientError } from '../../lib/script/errors.ts'
import { readIfExists } from '../../lib/script/files.ts'

const TIMEOUT = 10_000

/** What of a kubeconfig says which cluster it is for. */
interface Access {
  server: string
  /** PEM */
  ca: string
}

async function accessOf(text: string): Promise<Access | undefined> {
  const { load } = await import('js-yaml')
  try {
    const { clusters } = load(text) as { clusters: { cluster: Record<string, string> }[] }
    const { server = '', 'certificate-authority-data': ca = '' } = clusters[0]!.cluster
    return { server, ca: Buffer.from(ca, 'base64').toString() }
  } catch {
    return undefined
  }
}

/**
 * Refuses a cluster folder whose kubeconfig is for another cluster: one at another address, with another
 * certificate authority. `serverCa` is that of the k3s on the server, if there is one. The server's own old one
 * (it was purged, or has a new address) may be replaced.
 */
export async function checkKubeconfig(
  cluster: Cluster,
  address: string,
  domain: string,
  remote: string | undefined,
): Promise<void> {
  const present = readIfExists(cluster.kubeconfig)
  if (present === undefined) return
  const here = await accessOf(present)
  const there = remote === undefined ? undefined : await accessOf(remote)
  const host = URL.parse(here?.server ?? '')?.hostname.replace(/^\[|\]$/g, '')
  if (host && [address, domain].includes(host)) return
  if (here && there && here.ca === there.ca) return
  throw new ExpectedError(
    `${cluster.kubeconfig} is for another cluster${here ? `, at ${here.server}` : ''}`,
    'check --cluster and the address of the server; to replace the file, move it away first',
    { exitCode: EXIT.refused },
  )
}

/**
 * Asks the API server for its certificate, at its address: it has to be of the cluster's authority and valid for
 * every name, also one that DNS does not know yet. Returns the names it is not valid for.
 */
export async function namesMissing(kubeconfig: string, names: readonly string[]): Promise<string[]> {
  const access = await accessOf(kubeconfig)
  const { hostname, port } = new URL(access!.server)
  const socket = connect({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port),
    ca: access!.ca,
    timeout: TIMEOUT,
    checkServerIdentity: () => undefined, // every name is held against it below
  })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
      socket.once('timeout', () => reject(new Error('no answer')))
    })
    const certificate = socket.getPeerCertificate()
    return names.filter(name => checkServerIdentity(name, certificate) !== undefined)
  } catch (error) {
    throw new TransientError(
      `the API server ${access!.server} cannot be reached from here: ${messageOf(error)}`,
      'open port 6443 of the server for this machine (firewall), then run the same command again',
      { cause: error },
    )
  } finally {
    socket.destroy()
  }
}
