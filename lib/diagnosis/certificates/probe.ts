import { setMaxListeners } from 'node:events'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { defaultResolvers, lookUpCaa, lookUpNames, upwards } from '../../preflight/dns.ts'
import type { CaaRecord } from '../../preflight/dns-rules.ts'
import type { ConnectTo } from '../../preflight/host-name.ts'
import { probePort } from '../../preflight/net.ts'
import type { HostFacts, ProbeFailure } from './host-facts.ts'
import { at, probeHttp } from './http-probe.ts'
import { probeFailureOf, TIMEOUT } from './probe-failure.ts'
import { probeTls } from './tls-probe.ts'

/** Hosts that are probed at the same time. */
const AT_ONCE = 16

/** An unknown path in the folder of challenges: its answer shows which server answers. */
export const TRIAL_PATH = '/.well-known/acme-challenge/test'

/** How hosts are probed. */
export interface ProbeOptions {
  /** The known addresses of the server. */
  expected: readonly string[]
  resolvers?: readonly string[]
  connectTo?: ConnectTo
  signal?: AbortSignal
}

/**
 * Probes DNS, port 80 and port 443 of each host, bounded and read-only, with the path of its pending challenge
 * if there is one. Never throws, except for the signal: a failure is a fact, too.
 */
export async function probeHosts(
  hosts: readonly string[],
  challenges: readonly KubeObject[],
  options: ProbeOptions,
): Promise<HostFacts[]> {
  if (options.signal) setMaxListeners(0, options.signal) // every question under way listens to it
  const waiting = [...hosts]
  const facts: HostFacts[] = []
  const ports = new Map<string, Promise<ProbeFailure | undefined>>()
  const work = async () => {
    for (let host = waiting.shift(); host; host = waiting.shift())
      facts.push(await probeHost(host, challenges, options, ports))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return facts.sort((a, b) => a.host.localeCompare(b.host))
}

async function probeHost(
  host: string,
  challenges: readonly KubeObject[],
  { expected, resolvers = defaultResolvers(expected[0] ?? ''), connectTo, signal }: ProbeOptions,
  ports: Map<string, Promise<ProbeFailure | undefined>>,
): Promise<HostFacts> {
  const dns = await lookUpNames([host], resolvers, signal)
  const [answering] = dns.filter(answer => answer.failed === undefined)
  // If the only resolver fails for the host, it also fails for CAA.
  const records: ReadonlyMap<string, CaaRecord[] | { failed: string }> = resolvers[0]
    ? await lookUpCaa([host], answering?.resolver ?? resolvers[0], signal)
    : new Map()
  const caa = upwards(host).flatMap(name => {
    const found = records.get(name)
    return found ? [{ name, records: found }] : []
  })

  const found = [...new Set(dns.flatMap(({ a, aaaa }) => [...a, ...aaaa]))]
  const targets = connectTo ? [connectTo] : found.map(address => ({ address, http: 80, https: 443 }))
  const waiting = challenges.find(
    // A finished challenge is not answered any more.
    ({ spec, status }) =>
      spec?.dnsName === host &&
      spec?.type === 'HTTP-01' &&
      ['', 'pending', 'processing'].includes(status?.state ?? ''),
  )
  const challenge = waiting && { name: waiting.metadata.name, key: String(waiting.spec.key) }
  const token = String(waiting?.spec.token ?? '')
  const path = /^[\w-]+$/.test(token) ? `/.well-known/acme-challenge/${token}` : TRIAL_PATH
  // Most hosts share one address: its ports are probed once, not by each host.
  const reach = (address: string, port: number) => {
    const key = at(address, port)
    const known = ports.get(key) ?? portFailure(address, port, signal)
    ports.set(key, known)
    return known
  }
  const [http, tls] = await Promise.all([
    Promise.all(
      targets.map(async target => {
        const failed = await reach(target.address, target.http)
        if (failed)
          return { at: at(target.address, target.http), path, challenge: challenge?.name, hops: [], failed }
        return probeHttp({ host, ...target, path, challenge }, signal)
      }),
    ),
    Promise.all(
      targets.map(async target => {
        const failed = await reach(target.address, target.https)
        if (failed) return { at: at(target.address, target.https), chain: [], failed }
        return probeTls({ host, ...target }, signal)
      }),
    ),
  ])
  return { host, expected: [...expected], ...(connectTo ? { directed: true } : {}), dns, caa, http, tls }
}

/** Why a port cannot be reached; undefined when it is open. */
async function portFailure(
  address: string,
  port: number,
  signal?: AbortSignal,
): Promise<ProbeFailure | undefined> {
  try {
    const state = await probePort(address, port, signal)
    if (state === 'open') return undefined
    const code = state === 'refused' ? 'ECONNREFUSED' : TIMEOUT
    return probeFailureOf(
      Object.assign(new Error(state === 'refused' ? 'connection refused' : 'no answer'), { code }),
    )
  } catch (error) {
    signal?.throwIfAborted()
    return probeFailureOf(error)
  }
}
