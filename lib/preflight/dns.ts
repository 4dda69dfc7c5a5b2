import { randomBytes } from 'node:crypto'
import { getServers, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { codeOf, ExpectedError, UsageError } from '../script/errors.ts'
import { type CaaRecord, caaFindings, dnsFindings } from './dns-rules.ts'
import type { PreflightFinding } from './findings.ts'
import { isPublic } from './net.ts'

/** Resolvers of the public that do not log who asks: Quad9 and Cloudflare. */
const PUBLIC_RESOLVERS = ['9.9.9.9', '1.1.1.1']

/** What a resolver says of a name: its addresses (none where it has none), or the code with which it failed. */
export interface DnsAnswer {
  name: string
  resolver: string
  a: string[]
  aaaa: string[]
  /** Seconds that the resolver may keep what it says. */
  ttl?: number
  failed?: string
}

/** Milliseconds for the first try; c-ares doubles it for the second. */
const PATIENCE = 2000

/** Codes with which a resolver says that there is no such name or no such record. */
const isNothing = (code: string | undefined) => code === 'ENODATA' || code === 'ENOTFOUND'

/** The resolver of an address, which may have a port: `IP`, `IP:PORT`, `IP#PORT`, `[IPV6]:PORT`. Pure. */
export function parseResolver(text: string): string {
  const [, address = '', port = '53'] =
    /^\[([\da-f:.]+)\](?:[:#](\d+))?$/i.exec(text) ??
    /^([\d.]+)(?:[:#](\d+))?$/.exec(text) ??
    /^((?=[^:]*:)[\da-f:.]+)(?:#(\d+))?$/i.exec(text) ??
    []
  if (!isIP(address) || Number(port) < 1 || Number(port) > 65535)
    throw new UsageError(
      `--resolver ${JSON.stringify(text)} is not the address of a resolver`,
      'give an IP address, with a port where it is not 53: 9.9.9.9, 127.0.0.1:5353, [2620:fe::9]:53',
    )
  const host = isIP(address) === 6 ? `[${address}]` : address
  return port === '53' ? address : `${host}:${port}`
}

/** The resolvers to ask for a server with this address: ours, and those of the public where that can reach it. */
export function defaultResolvers(address: string): string[] {
  return [...new Set([...getServers().slice(0, 2), ...(isPublic(address) ? PUBLIC_RESOLVERS : [])])]
}

/** What to check: names that have to lead to the address of the server. */
export interface DnsQuestion {
  hosts: readonly string[]
  /** Below which any name leads to the server. */
  domain: string
  address: string
  resolvers?: readonly string[]
  /** Further addresses that the server has. */
  alsoIts?: readonly string[]
}

/**
 * Looks up all names, a random one below the domain, and who may sign certificates for them. Throws an
 * ExpectedError when no resolver answers at all.
 */
export async function checkDns(
  question: DnsQuestion,
  signal?: AbortSignal,
): Promise<{ answers: DnsAnswer[]; findings: PreflightFinding[] }> {
  const { hosts, domain, address, alsoIts = [], resolvers = defaultResolvers(address) } = question
  const random = `oas-${randomBytes(6).toString('hex')}.${domain}`
  const answers = await lookUpNames([...hosts, random], resolvers, signal)
  for (const answer of answers) if (answer.name === random) answer.name = `*.${domain}`
  const answering = resolvers.filter(resolver =>
    answers.some(({ failed, ...answer }) => answer.resolver === resolver && failed === undefined),
  )
  const [first] = answering
  if (first === undefined)
    throw new ExpectedError(
      `no resolver answers: ${answers
        .map(a => `${a.resolver} ${a.failed}`)
        .filter(unique)
        .join(', ')}`,
      'check the network of this machine and what blocks DNS (port 53), or name a resolver: --resolver IP',
    )
  const records = await lookUpCaa(hosts, first, signal)
  return {
    answers,
    findings: [...dnsFindings(answers, { domain, address, alsoIts }), ...caaFindings(hosts, records)],
  }
}

const unique = (item: string, i: number, all: readonly string[]) => all.indexOf(item) === i

/** Asks every resolver for every name, all at once. */
export async function lookUpNames(
  names: readonly string[],
  resolvers: readonly string[],
  signal?: AbortSignal,
): Promise<DnsAnswer[]> {
  const perResolver = resolvers.map(resolver =>
    asking(resolver, signal, async client =>
      Promise.all(
        names.map(async (name): Promise<DnsAnswer> => {
          const [a, aaaa] = await Promise.all([
            found(client.resolve4(name, { ttl: true })),
            found(client.resolve6(name, { ttl: true })),
          ])
          const records = [...(a.records ?? []), ...(aaaa.records ?? [])]
          return {
            name,
            resolver,
            a: (a.records ?? []).map(record => record.address).sort(),
            aaaa: (aaaa.records ?? []).map(record => record.address).sort(),
            ttl: records.length > 0 ? Math.max(...records.map(record => record.ttl)) : undefined,
            failed: a.failed ?? aaaa.failed,
          }
        }),
      ),
    ),
  )
  return (await Promise.all(perResolver)).flat()
}

/**
 * The CAA records of these names and of all names above them, where an authority looks for them, too (RFC 8659,
 * section 3). A name without any has an empty list.
 */
export async function lookUpCaa(
  names: readonly string[],
  resolver: string,
  signal?: AbortSignal,
): Promise<Map<string, CaaRecord[] | { failed: string }>> {
  const all = [...new Set(names.flatMap(upwards))]
  return asking(resolver, signal, async client => {
    const records = new Map<string, CaaRecord[] | { failed: string }>()
    await Promise.all(
      all.map(async name => {
        const answer = await found(client.resolveCaa(name))
        // A server of one zone alone refuses to say anything about those above it.
        const isKnown = answer.failed === undefined || answer.failed === 'EREFUSED'
        records.set(name, isKnown ? ((answer.records ?? []) as CaaRecord[]) : { failed: answer.failed! })
      }),
    )
    return records
  })
}

/** A name and all those above it, nearest first. Pure. */
export function upwards(name: string): string[] {
  const labels = name.split('.')
  return labels.map((_, i) => labels.slice(i).join('.'))
}

/** Works with a resolver; an interruption cancels what is under way. */
async function asking<T>(
  resolver: string,
  signal: AbortSignal | undefined,
  work: (client: Resolver) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const client = new Resolver({ timeout: PATIENCE, tries: 2 })
  client.setServers([resolver])
  const cancel = () => client.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    const result = await work(client)
    signal?.throwIfAborted()
    return result
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** The records of an answer; none where there are none; else the code of the failure. */
async function found<T>(answer: Promise<T[]>): Promise<{ records?: T[]; failed?: string }> {
  try {
    return { records: await answer }
  } catch (failure) {
    const code = codeOf(failure)
    return isNothing(code) ? { records: [] } : { failed: code ?? 'unknown' }
  }
}
