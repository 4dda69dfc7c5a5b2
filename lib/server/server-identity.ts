import { X509Certificate } from 'node:crypto'
import { readConfig } from '../platform/config.ts'
import type { Cluster } from '../script/cluster.ts'
import { EXIT, ExpectedError, messageOf } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'
import type { Ssh } from '../ssh/ssh.ts'
import { ADDRESSES, fileText, firstLine, HOSTNAME } from './facts.ts'
import { mapped, readFacts, shell } from './reader.ts'

/** The file on a server that says which cluster it belongs to. */
export const IDENTITY_FILE = '/etc/openappstack/cluster.json'

/** What the mark of a server says. */
export interface Mark {
  cluster: string
  domain: string
  /** The server that was marked: a copy of its disk is another one. */
  machineId: string
  markedAt: string
  /** Set before the first thing is removed. Until the end it tells whose rest is on the server. */
  purging?: Purging
}

/** What an unfinished purge needs to know when no other trace of the cluster remains. */
export interface Purging {
  since: string
  serverCa?: string
  /** The server was an agent: the cluster goes on without it. */
  agent?: boolean
}

/** Who a server is. */
export interface ServerIdentity {
  hostname: string
  machineId: string
  addresses: string[]
  marked?: Mark
  /** SHA-256 fingerprint of the certificate authority of the k3s on it. */
  serverCa?: string
}

/** What a cluster folder knows about the identity of its server. */
export interface KnownIdentity {
  cluster: string
  domain: string | undefined
  /** SHA-256 fingerprint of the certificate authority in the kubeconfig. */
  serverCa?: string
}

/**
 * The certificate authority of k3s, in PEM. The first certificate of a file is the one that signs; those behind it may
 * be an authority that several clusters share (https://docs.k3s.io/cli/certificate#using-custom-ca-certificates).
 * Agents keep a copy.
 */
const AUTHORITY = shell(
  'for file; do if [ -s "$file" ]; then cat -- "$file"; break; fi; done',
  ['/var/lib/rancher/k3s/server/tls/server-ca.crt', '/var/lib/rancher/k3s/agent/server-ca.crt'],
  ({ text }) => (text === '' ? undefined : fingerprintOf(text)),
)

/** The facts that tell who a server is. */
export const IDENTITY = {
  hostname: HOSTNAME,
  machineId: firstLine('cat', '/etc/machine-id'),
  addresses: ADDRESSES,
  marked: mapped(fileText(IDENTITY_FILE), text => (text === undefined ? undefined : parseMark(text))),
  serverCa: AUTHORITY,
}

/** Reads who a server is. Throws an ExpectedError (exit code 4) for a mark that cannot be read. */
export async function readIdentity(ssh: Ssh): Promise<ServerIdentity> {
  return readFacts(ssh, IDENTITY, { sudo: true, title: 'reading who the server is' })
}

function parseMark(text: string): Mark {
  try {
    const mark = JSON.parse(text) as Mark
    const { cluster, domain, machineId, markedAt, purging } = mark
    for (const [name, value] of Object.entries({ cluster, domain, machineId, markedAt }))
      if (typeof value !== 'string' || value === '') throw new Error(`it has no ${name}`)
    if (purging !== undefined && typeof purging?.since !== 'string') throw new Error('purging has no since')
    return mark
  } catch (error) {
    throw new ExpectedError(
      `${IDENTITY_FILE} on the server is damaged: ${messageOf(error)}`,
      'find out which cluster this server belongs to, and correct the file by hand',
      { exitCode: EXIT.refused, cause: error },
    )
  }
}

function fingerprintOf(pem: string): string | undefined {
  try {
    return new X509Certificate(pem).fingerprint256
  } catch {
    return undefined // cut short by a crash: then it proves nothing
  }
}

/** What a cluster folder knows about its server, by its configuration and its kubeconfig. */
export async function knownIdentity(cluster: Cluster): Promise<KnownIdentity> {
  const { domain } = readConfig(cluster.env)
  const text = readIfExists(cluster.kubeconfig)
  return {
    cluster: cluster.name,
    domain,
    serverCa: text === undefined ? undefined : await authorityOf(text, cluster.kubeconfig),
  }
}

/** The fingerprint of the authority that the current context of a kubeconfig trusts, if it names one. */
async function authorityOf(text: string, file: string): Promise<string | undefined> {
  const { load } = await import('js-yaml')
  try {
    // biome-ignore lint/suspicious/noExplicitAny: a kubeconfig may be anything, and what fails is caught
    const config = load(text) as any
    const context = config.contexts.find((each: { name: string }) => each.name === config['current-context'])
    const { cluster } = config.clusters.find(
      (each: { name: string }) => each.name === context.context.cluster,
    )
    const data = cluster['certificate-authority-data']
    return data ? fingerprintOf(Buffer.from(data, 'base64').toString()) : undefined
  } catch (error) {
    throw new ExpectedError(
      `${file} is not a kubeconfig: ${messageOf(error).split('\n')[0]}`,
      'fetch the kubeconfig from the cluster again, or move the file away',
      { cause: error },
    )
  }
}

/** The beginning of a fingerprint, enough for people to compare. */
const short = (fingerprint: string) => fingerprint.slice(0, 23)

/**
 * Why a server is not the one that a cluster folder means; undefined when it is. Whatever both sides know has to
 * be equal, and at least one thing has to be known by both: the mark, or the certificate authority of k3s for a
 * server that was installed without one. Pure.
 */
export function identityProblem(server: ServerIdentity, known: KnownIdentity): string | undefined {
  const { marked, machineId } = server
  const serverCa = server.serverCa ?? marked?.purging?.serverCa
  if (marked && marked.cluster !== known.cluster)
    return `it is marked as the server of the cluster ${marked.cluster}, not of ${known.cluster}`
  if (marked && known.domain !== undefined && marked.domain !== known.domain)
    return `it is marked as the server of the domain ${marked.domain}, not of ${known.domain}`
  if (marked && marked.machineId !== machineId)
    return `its mark was written on another machine (machine-id ${marked.machineId}, here ${machineId}): this is a copy of its disk`
  if (serverCa !== undefined && known.serverCa !== undefined && serverCa !== known.serverCa)
    return `its k3s has another certificate authority than the kubeconfig of ${known.cluster} (${short(serverCa)} there, ${short(known.serverCa)} here)`
  if (marked || (serverCa !== undefined && known.serverCa !== undefined)) return undefined
  return serverCa === undefined
    ? `it has neither a mark (${IDENTITY_FILE}) nor a k3s to know it by`
    : `it has no mark (${IDENTITY_FILE}), and there is no kubeconfig here to compare its k3s with`
}

/** Who a server says it is, in one line for people. Pure. */
export function identityText({ hostname, machineId, addresses, marked }: ServerIdentity): string {
  const mark = marked ? `marked as ${marked.cluster} (${marked.domain})` : 'not marked'
  return `${hostname}, ${addresses.join(' ') || 'no address'}, machine-id ${machineId}, ${mark}`
}

/** Writes the mark of a server; everybody on the server may read it. */
export async function writeMark(ssh: Ssh, mark: Mark): Promise<void> {
  await ssh.run(['install', '-d', '-m', '0755', '/etc/openappstack'], { sudo: true })
  await ssh.upload(`${markText(mark)}\n`, IDENTITY_FILE, { mode: 0o644, sudo: true })
}

/** The text of a mark, as it is in the file, without the newline at its end. */
export function markText(mark: Mark): string {
  return JSON.stringify(mark, null, 2)
}
