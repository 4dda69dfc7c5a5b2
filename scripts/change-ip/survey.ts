import { existsSync } from 'node:fs'
import { K3S } from '../../lib/k3s/k3s.ts'
import { effectiveSettings, valueIn } from '../../lib/k3s/settings.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { probePort } from '../../lib/preflight/net.ts'
import { codeOf, EXIT, ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import { settingsSources } from '../../lib/server/k3s-files.ts'
import { connectServer, type ServerRun } from '../../lib/server/server.ts'
import { identityProblem, knownIdentity, readIdentity } from '../../lib/server/server-identity.ts'
import { HostKeyError, type Ssh, type SshTarget } from '../../lib/ssh/ssh.ts'
import { inUrl } from './address.ts'
import { answering } from './api.ts'
import { apiAt, findInCluster, planVariables } from './cluster.ts'
import { findElsewhere, findHere, planHere, targetAt } from './local.ts'
import { needsInterface, planServer, readServer, type ServerState } from './server.ts'
import type { ChangeState } from './state.ts'
import type { Edits } from './steps.ts'
import { inEtcd, nodesWith, readyNodes } from './verify.ts'

/** From which address to which, on which server. */
export interface AddressChange {
  old: string
  address: string
  /** How the server is reached by the files of the cluster. */
  server: SshTarget
  /** The state of a change that is not complete. */
  state: ChangeState | undefined
}

/** What was found, and the changes that follow from it. */
export interface Situation {
  ssh: Ssh
  /** The API server, where it answers. */
  api: Kubectl | undefined
  edits: Edits
  /** The nodes whose address the old one is. */
  nodes: string[]
  /** What is noted of it before anything changes. */
  before: ChangeState['before']
  /** Whether the API server answers at the new address with a certificate that is not valid for it. */
  stale: boolean
  /** Whether k3s has this host among the names of its certificate. */
  certifies: (host: string) => boolean
  /** What holds the old address and is left as it is. */
  left: string[]
  warnings: string[]
}

/** Logs in to the server at its new address. When that does not answer, the error tells what to do about it. */
export async function connectAt(
  run: ServerRun,
  { old, address, server }: AddressChange,
): Promise<{ ssh: Ssh; left: string[] }> {
  const { target, left } = targetAt(address, server, old)
  try {
    return { ssh: await connectServer(run, target), left }
  } catch (error) {
    if (!(error instanceof ExpectedError) || error instanceof HostKeyError || error instanceof UsageError)
      throw error
    run.signal.throwIfAborted()
    const port = target.port ?? 22
    if ((await probePort(address, port)) === 'open') throw error // it answers, and does not let us in
    throw new ExpectedError(
      `nobody answers at the new address ${address} (port ${port}): ${error.message}`,
      (await probePort(old, port).catch(() => 'filtered')) === 'open'
        ? `the server answers at ${old}: give it ${address} in addition (ip address add ${address}/PREFIX dev INTERFACE, and in the configuration of its network), open the firewall for it, then run this again`
        : `${old} does not answer either: see on the console of the server which addresses it has (ip address), and that sshd and the firewall let you in`,
      { exitCode: EXIT.refused, cause: error },
    )
  }
}

/** Throws unless this server is the one that the cluster folder means. */
export async function checkIdentity(run: ServerRun, ssh: Ssh): Promise<string[]> {
  const identity = await readIdentity(ssh)
  const problem = identityProblem(identity, await knownIdentity(run.cluster))
  // Without k3s and kubeconfig there is no cluster yet that could be damaged, and the host key was checked.
  const isEmpty = identity.serverCa === undefined && identity.marked === undefined
  if (problem && !isEmpty)
    throw new ExpectedError(
      `${ssh.name} is not the server of ${run.cluster.name}: ${problem}`,
      'find out which machine has this address now',
      { exitCode: EXIT.refused },
    )
  return identity.addresses
}

/** Looks at everything that may hold the old address. Throws all that stands in the way at once. */
export async function look(run: ServerRun, wanted: AddressChange): Promise<Situation> {
  const { old, address, state } = wanted
  const { cluster } = run
  const { ssh, left } = await connectAt(run, wanted)
  const addresses = await checkIdentity(run, ssh)
  const server = await readServer(ssh, old, address)
  const [isHere, wasHere] = [addresses.includes(address), addresses.includes(old)]
  const api = server.k3s === 'absent' ? undefined : await answering(run, [...new Set([address, old])])
  const nodes = api ? await api.list('v1', 'Node') : []
  const named = old === address ? [] : [...new Set([...(state?.nodes ?? []), ...nodesWith(nodes, old)])]
  const files = [
    ...(await planServer(server, { old, address, nodeIp: named.length > 0 && isHere && wasHere })),
    ...(await planHere(cluster, old, address)),
  ]
  const edits = {
    files,
    variables: api && old !== address ? await planVariables(api, old, address) : [],
    records: [],
  }

  const problems: ExpectedError[] = []
  const refuse = (what: string, fix: string) =>
    problems.push(new ExpectedError(what, fix, { exitCode: EXIT.refused }))
  const bound = needsInterface(files, address)
  if (bound.length > 0 && !isHere)
    refuse(
      `${bound.join(' and ')} of k3s would become ${address}, which no interface of the server has (it has ${addresses.join(', ')})`,
      `give the server the address (ip address add ${address}/PREFIX dev INTERFACE, and in the configuration of its network); behind NAT, correct ${bound.join(' and ')} in ${K3S.config} to the inner address first`,
    )
  if (nodes.some(node => inEtcd(node) && named.includes(node.metadata.name)))
    refuse(
      'k3s on this server uses its embedded etcd, which does not start with another address of its node',
      'see "With embedded etcd" in runbooks/change-ip.md',
    )
  const strangers = nodesWith(nodes, address).filter(name => !named.includes(name) && !isHere)
  if (strangers.length > 0)
    refuse(
      `${address} is the address of the node ${strangers.join(', ')} already`,
      'give the address of the server',
    )
  if (server.k3s === 'active') problems.push(...apiProblems(run, wanted, api, bound))
  if (server.k3s !== 'absent' && !['active', 'activating'].includes(server.k3s) && wasHere && !state)
    refuse(
      `k3s is not running on the server (${server.k3s}), though the server still has ${old}`,
      'start it first, so that it is seen what the change does: systemctl start k3s; journalctl -u k3s -n 50',
    )
  const config = valueIn(await effectiveSettings(settingsSources(server.files)), 'config')
  if (config !== undefined && config !== K3S.config)
    refuse(
      `k3s reads its settings from ${config}, not from ${K3S.config}`,
      `move them to ${K3S.config}, and remove that flag or K3S_CONFIG_FILE`,
    )
  for (const path of server.binary) refuse(`${path} on the server is not text`, 'correct it by hand')
  throwAll(problems)

  const elsewhere = findElsewhere(server.elsewhere, old, address)
  const agents = nodes
    .map(node => node.metadata.name)
    .filter(name => named.length > 0 && !named.includes(name))
  return {
    ssh,
    api,
    edits,
    stale: api !== undefined && !(await isValid(run, address)),
    certifies: host =>
      server.files.some(
        ({ path, text }) => path !== '/etc/hosts' && text.split(/[\s"',[\]]+/).includes(host),
      ),
    nodes: isHere ? named : [],
    before: { hasOld: wasHere, hasNew: isHere, api: api !== undefined, ready: api && readyNodes(nodes) },
    left:
      old === address
        ? []
        : [
            ...left,
            ...elsewhere.places,
            ...findHere(cluster, old, files),
            ...agents.map(
              name =>
                `the server ${name}: if it joins by ${old}, its /etc/rancher/k3s/config.yaml (server) or k3s-agent.service.env (K3S_URL)`,
            ),
            ...(api ? await findInCluster(api, old) : []),
          ],
    warnings: [
      ...(elsewhere.warning && old !== address ? [elsewhere.warning] : []),
      ...(named.length > 0 && !isHere
        ? [`no interface of the server has ${address}, so ${named.join(', ')} keeps its inner address`]
        : []),
      ...(server.k3s !== 'absent' && !api
        ? ['the API server does not answer: what is in the cluster is looked at once it does']
        : []),
    ],
  }
}

/** Whether the API server's certificate is valid for an address; true where it does not answer there at all. */
async function isValid(run: ServerRun, address: string): Promise<boolean> {
  try {
    await (await apiAt(run.cluster, address, { signal: run.signal }))?.serverVersion()
    return true
  } catch (error) {
    run.signal.throwIfAborted()
    if (!(error instanceof ExpectedError)) throw error
    return !/^ERR_TLS_CERT_ALTNAME/.test(codeOf(error) ?? '')
  }
}

/** Whether the port of the API server is open where it will be needed: there it was asked first. */
function apiProblems(
  run: ServerRun,
  { old, address }: AddressChange,
  api: Kubectl | undefined,
  bound: readonly string[],
): ExpectedError[] {
  if (!existsSync(run.cluster.kubeconfig))
    return [
      new ExpectedError(
        `there is no ${run.cluster.kubeconfig}, so nobody could see whether the change works`,
        `fetch it first: npx tsx scripts/install-cluster.ts --cluster ${run.cluster.name}`,
        { exitCode: EXIT.refused },
      ),
    ]
  const isThere = api !== undefined && new URL(api.client.server).hostname === inUrl(address)
  if (bound.includes('bind-address') || isThere) return []
  return [
    new ExpectedError(
      api
        ? `the API server answers at ${old}, but not at ${address}`
        : `k3s is running, and its API server answers neither at ${address} nor at ${old}`,
      `open port 6443 for you at ${address} (firewall of the server and of the provider)`,
      { exitCode: EXIT.refused },
    ),
  ]
}

/** The same edits, looked for again: another run may have been here before we had the lock. */
export async function lookAgain(
  run: ServerRun,
  ssh: Ssh,
  wanted: AddressChange,
  before: Situation,
): Promise<void> {
  const { old, address } = wanted
  const server: ServerState = await readServer(ssh, old, address)
  const files = [
    ...(await planServer(server, {
      old,
      address,
      nodeIp: before.edits.files.some(({ after }) => /^node-ip:/m.test(after ?? '')),
    })),
    ...(await planHere(run.cluster, old, address)),
  ]
  if (JSON.stringify(files) === JSON.stringify(before.edits.files)) return
  throw new ExpectedError(
    `the configuration was changed meanwhile, on ${ssh.name} or in ${run.cluster.folder}`,
    'run the same command again and look at its plan',
    { exitCode: EXIT.refused },
  )
}
