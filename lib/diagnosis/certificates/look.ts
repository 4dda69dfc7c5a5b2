import { existsSync } from 'node:fs'
import type { Kubectl, KubeObject } from '../../kubectl/kubectl.ts'
import { readConfig } from '../../platform/config.ts'
import { type GatherOptions, gather } from '../gather.ts'
import type { Gap, Snapshot } from '../snapshot.ts'
import type { HostFacts } from './host-facts.ts'
import { ingressServices, probeInside } from './inside.ts'
import { type ProbeOptions, probeHosts } from './probe.ts'
import { chosenHosts } from './scope.ts'

/** What is read. */
export interface LookOptions extends Omit<ProbeOptions, 'expected'> {
  host?: string
  /** Whether hosts are probed, besides the cluster. */
  probes: boolean
  /** The `.flux.env` of the cluster, which knows the address of the server. */
  env?: string
  gather?: GatherOptions
}

/** The objects of the cluster, and the facts of its hosts from DNS and ports. Read-only. */
export async function lookAtCertificates(kubectl: Kubectl, options: LookOptions): Promise<Snapshot> {
  const snapshot = await gather(kubectl, options.gather)
  const hosts = chosenHosts(options.host, snapshot.objects)
  if (!options.probes) return snapshot
  const challenges = snapshot.objects.filter(({ kind }) => kind === 'Challenge')
  const expected = addresses(snapshot.objects, options.env)
  const [inside, facts] = await Promise.all([
    probeInside(kubectl, snapshot.objects),
    probeHosts(hosts, challenges, { ...options, expected }),
  ])
  return {
    ...snapshot,
    gaps: [...snapshot.gaps, ...silence(facts)],
    hosts: facts.map(each => ({ ...each, inside })),
  }
}

/** The addresses of the server: the configured one, and those of its load balancers. */
function addresses(objects: readonly KubeObject[], env: string | undefined): string[] {
  const configured = env && existsSync(env) ? readConfig(env).ip_address : undefined
  const balanced = ingressServices(objects).flatMap(({ status }) =>
    ((status?.loadBalancer?.ingress ?? []) as { ip?: string }[]).map(({ ip }) => ip),
  )
  return [
    ...new Set([configured, ...balanced].filter(address => address !== undefined && address !== '')),
  ] as string[]
}

/** A gap when no resolver answers: then nothing is known about the hosts. Pure. */
export function silence(facts: readonly HostFacts[]): Gap[] {
  const answers = facts.flatMap(({ dns }) => dns)
  if (facts.length === 0 || answers.some(({ failed }) => failed === undefined || failed === 'ESERVFAIL'))
    return []
  const told = [...new Set(answers.map(({ resolver, failed }) => `${resolver} ${failed}`))]
  return [{ what: 'DNS', why: `no resolver answers${told.length > 0 ? `: ${told.join(', ')}` : ''}` }]
}
