import { checkServerIdentity, connect } from 'node:tls'
import type { Cluster } from '../script/cluster.ts'
import { EXIT, ExpectedError, messageOf, TransientError } from '../script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../script/files.ts'
import type { Ssh } from '../ssh/ssh.ts'
import { K3S, kubeconfigAt } from './k3s.ts'

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

/** k3s' kubeconfig as it is on the server; undefined while there is none. */
export async function remoteKubeconfig(ssh: Ssh): Promise<string | undefined> {
  const { code, stdout } = await ssh.exec(['cat', '--', K3S.kubeconfig], { sudo: true })
  return code === 0 && stdout.length > 0 ? stdout.toString() : undefined
}

/** The kubeconfig for the cluster folder: k3s' own, with the address of the server. Throws for any other text. */
export function localKubeconfig(remote: string | undefined, address: string): string {
  const text = remote === undefined ? undefined : kubeconfigAt(remote, address)
  if (text) return text
  throw new ExpectedError(
    remote === undefined
      ? `k3s has not written ${K3S.kubeconfig}`
      : `${K3S.kubeconfig} on the server has another form than k3s gives it`,
    'check the file, and the log of k3s: journalctl -u k3s',
  )
}

/** Writes the kubeconfig to the cluster folder. Resolves with whether it changed. */
export function saveKubeconfig(cluster: Cluster, text: string): boolean {
  if (readIfExists(cluster.kubeconfig) === text) return false
  privateFolder(cluster.folder)
  writeFileAtomic(cluster.kubeconfig, text)
  return true
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
