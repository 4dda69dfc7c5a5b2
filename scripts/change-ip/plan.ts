import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { readConfig } from '../../lib/platform/config.ts'
import { ProviderClient } from '../../lib/provider/provider-client.ts'
import { checkProviderUrl, PROVIDERS, providerToken } from '../../lib/provider/providers.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { type ServerRun, serverOfCluster } from '../../lib/server/server.ts'
import { ConnectionLost, HostKeyError, type Ssh } from '../../lib/ssh/ssh.ts'
import { answering } from './api.ts'
import { unifiedDiff } from './diff.ts'
import { lookUpHosts, lookupText, planRecords } from './dns.ts'
import { addressArgument, namedAddresses, oldAddress } from './local.ts'
import { type ChangeState, isOpen, recordsLeft } from './state.ts'
import { comparisons, type Edits, planRollback, recordByHand } from './steps.ts'
import { checkIdentity, connectAt, look, lookAgain } from './survey.ts'
import { nodesToWaitFor, readyNodes, unhealthy } from './verify.ts'

/** What one direction of a change is about to do. */
export interface Prospect {
  ssh: Ssh
  state: ChangeState
  edits: Edits
  plan: string[]
  question: string
  /** The API server, where it answers. */
  api: Kubectl | undefined
  /** The objects of Flux that are not ready now. */
  unhealthy: readonly string[]
  /** The nodes to wait for, as they were Ready before; undefined for all. */
  ready: readonly string[] | undefined
  /** Hosts whose DNS leads to the new address already, and that the certificate of the API server names. */
  domains: readonly string[]
  /** What has to be done by hand afterwards. */
  left: string[]
  /** Why there is nothing to do, if so. */
  done: string | undefined
  result: Record<string, unknown>
  /** Throws when something was changed since. To be called once the server is held. */
  check: () => Promise<void>
}

/** The client of --provider. Throws all that is wrong with the flags, and a token that is missing. */
export function providerOf(
  flags: { provider: string | undefined; 'provider-url': string | undefined },
  signal: AbortSignal,
): ProviderClient | undefined {
  const { provider, 'provider-url': url } = flags
  if (provider === undefined) {
    if (url === undefined) return undefined
    throw new UsageError('--provider-url needs a provider', 'add --provider NAME')
  }
  const spec = Object.hasOwn(PROVIDERS, provider) ? PROVIDERS[provider] : undefined
  if (!spec)
    throw new UsageError(
      `--provider ${JSON.stringify(provider)} is unknown`,
      suggestion(provider, Object.keys(PROVIDERS)),
    )
  const problem = url === undefined ? undefined : checkProviderUrl(url)
  if (problem) throw new UsageError(`--provider-url ${JSON.stringify(url)} ${problem}`, 'correct it')
  return new ProviderClient(spec, url ?? spec.url, providerToken(spec), { signal })
}

/** Looks at everything that has to do with a change to this address, and plans it. Nothing is changed. */
export async function lookAhead(
  run: ServerRun,
  argument: string,
  from: string | undefined,
  last: ChangeState | undefined,
  provider: ProviderClient | undefined,
): Promise<Prospect> {
  const address = addressArgument('NEW', argument)
  const { cluster } = run
  const server = await serverOfCluster(cluster, run.flags.hostname)
  const given = from === undefined ? undefined : addressArgument('--old-ip', from)
  const old = oldAddress(address, await namedAddresses(cluster, server.host), given, last)
  const open = isOpen(last) ? last : undefined
  const wanted = { old, address, server, state: open }
  const found = await look(run, wanted)
  const { ssh, api, edits } = found

  const { domain, wordpress_domain: wordpress } = readConfig(cluster.env)
  const hosts = [...new Set([domain, wordpress ?? (domain && `www.${domain}`)])].flatMap(host => host || [])
  const lookups = await lookUpHosts(domain ? [...hosts, `files.${domain}`] : hosts, address)
  const records = provider && old !== address ? await planRecords(provider, hosts, old, address) : undefined
  edits.records.push(...(records?.edits ?? []))
  const dns = lookups.flatMap(lookup => lookupText(lookup, address) ?? [])
  const left = [...found.left, ...(records?.others ?? [])]

  const state: ChangeState = open ?? {
    version: 1,
    old,
    new: address,
    startedAt: new Date().toISOString(),
    phase: 'changing',
    restart: false,
    before: found.before,
    nodes: [],
    files: [],
    variables: [],
    records: recordsLeft(last, old, address),
  }
  state.nodes = [...new Set([...state.nodes, ...found.nodes])]
  const diff = diffOf(edits)
  const isRestarted = state.restart || found.stale || edits.files.some(({ place }) => place === 'server')
  const nothing = !open && diff.length === 0 && !isRestarted
  state.restart ||= found.stale
  return {
    ...(await standing({ ssh, state, edits, api })),
    ready: state.before.ready,
    domains: lookups
      .filter(
        lookup => lookup.host === domain && !lookupText(lookup, address) && found.certifies(lookup.host),
      )
      .map(({ host }) => host),
    left: [...dns, ...left.map(place => `${place} still has ${old}`)],
    plan: [
      ...(open ? [`complete the change that began ${open.startedAt}`] : []),
      ...diff,
      ...found.nodes.map(name => `node ${name}: ${old} → ${address}, by itself`),
      ...(isRestarted ? ['restart k3s; the applications go on running'] : []),
      ...(api ? [`verify that the API server answers at ${address}, and that node and Flux are ready`] : []),
      ...tell('left as it is', left),
      ...tell('DNS', dns),
      ...tell('WARNING', found.warnings),
    ],
    question: `Change the address of ${cluster.name} from ${old} to ${address}?`,
    done: nothing ? `${cluster.name} has the address ${address} everywhere; nothing was changed.` : undefined,
    result: { old: old === address ? undefined : old, new: address, diff, left, dns },
    check: () => lookAgain(run, ssh, wanted, found),
  }
}

/** Looks at what the last change has left, and plans how to take it back. Nothing is changed. */
export async function lookBack(
  run: ServerRun,
  state: ChangeState | undefined,
  provider: ProviderClient | undefined,
): Promise<Prospect> {
  const { cluster } = run
  if (!state)
    throw new UsageError(
      `no change of the address of ${cluster.name} is known here`,
      'change it with: change-ip NEW',
    )
  const { old, new: address } = state
  const server = await serverOfCluster(cluster, run.flags.hostname)
  const ssh = await connectAnywhere(run, server, address, old)
  const addresses = await checkIdentity(run, ssh)
  // Behind NAT neither of both was ever there; else what a change has made work must not be broken again.
  const { hasOld, hasNew } = state.before
  if (state.phase === 'changed' && (hasOld || hasNew) && !addresses.includes(old))
    throw new ExpectedError(
      `the server does not have ${old} any more (it has ${addresses.join(', ')})`,
      `give it the address again first: ip address add ${old}/PREFIX dev INTERFACE`,
      { exitCode: EXIT.refused },
    )
  const edits = await planRollback({ cluster, ssh, state })
  const byHand = provider ? [] : edits.records.map(recordByHand)
  const diff = diffOf(provider ? edits : { ...edits, records: [] })
  const api = await answering(run, [address, old])
  return {
    ...(await standing({ ssh, state, edits, api })),
    ready: nodesToWaitFor(state, api && readyNodes(await api.list('v1', 'Node'))),
    domains: [],
    left: byHand,
    plan: [
      ...diff,
      ...tell('left as it is', byHand),
      ...(state.restart || edits.files.some(({ place }) => place === 'server')
        ? ['restart k3s; the applications go on running']
        : []),
    ],
    question: `Take the change of ${cluster.name} from ${old} to ${address} back?`,
    done:
      state.phase === 'undone' && diff.length === 0
        ? `the change from ${old} to ${address} is taken back already; nothing was changed.`
        : undefined,
    result: { old, new: address, undone: true, diff },
    check: async () => {
      const now = await planRollback({ cluster, ssh, state })
      if (JSON.stringify(now) !== JSON.stringify(edits))
        throw new ExpectedError(
          'something was changed meanwhile',
          'run the same command again and look at its plan',
          {
            exitCode: EXIT.refused,
          },
        )
    },
  }
}

/** The start of a change in either direction, with the objects of Flux that are not ready before it. */
async function standing(at: Pick<Prospect, 'ssh' | 'state' | 'edits' | 'api'>) {
  return { ...at, unhealthy: at.api ? await unhealthy(at.api) : [] }
}

/** Logs in at whichever of the two addresses answers. */
async function connectAnywhere(
  run: ServerRun,
  server: Parameters<typeof connectAt>[1]['server'],
  address: string,
  old: string,
): Promise<Ssh> {
  const at = (here: string, there: string) =>
    connectAt(run, { old: there, address: here, server, state: undefined }).then(({ ssh }) => ssh)
  return at(address, old).catch(error => {
    if (error instanceof HostKeyError || run.signal.aborted) throw error
    return at(old, address)
  })
}

function diffOf(edits: Edits): string[] {
  return comparisons(edits).flatMap(unifiedDiff)
}

function tell(what: string, lines: readonly string[]): string[] {
  return lines.map(line => `${what}: ${line}`)
}

/** Whether a failure leaves us able to take the change back at once: not when the connection or the lock is gone. */
export function canRollBack(error: unknown, signal: AbortSignal): error is ExpectedError {
  return (
    error instanceof ExpectedError &&
    !(error instanceof ConnectionLost) &&
    error.exitCode !== EXIT.locked &&
    !signal.aborted
  )
}
