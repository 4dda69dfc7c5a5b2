import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { deployedRelease } from '../../lib/flux/stored-release.ts'
import { parseValues } from '../../lib/flux/values.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { APPS } from '../../lib/platform/apps.ts'
import type { Config } from '../../lib/platform/config.ts'
import { overrideText } from '../../lib/platform/overrides.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { inQuotes } from '../../lib/script/printable.ts'
import { INGRESS_RELEASE, LAYERS, type Restriction, restrictionIn } from './override.ts'
import { parseRange } from './ranges.ts'
import {
  HOST_LABEL,
  INGRESS_ROUTE,
  type RestrictedHost,
  restrictedHosts,
  TRAEFIK_MIDDLEWARE,
} from './routes.ts'

/** What a cluster has of restrictions, and what they are about. */
export interface AccessSurvey {
  /** The values of LAYERS. */
  texts: string[]
  /** Whether the Secret exists, and what else is in it than values.yaml. */
  secret: KubeObject | undefined
  hosts: RestrictedHost[]
  /** What restricts everything by what Helm has installed: a killed run may not have waited for it. */
  installed: Restriction | undefined
  /** The hosts that the ingress serves. */
  served: string[]
  /** Hosts without TLS: port 80 serves them, where no range counts. */
  plain: string[]
  /** The addresses of the cluster itself: pods reach single sign-on by its public name. */
  own: string[]
}

/** Reads all of it. Throws an ExpectedError where the platform's ingress is not installed. */
export async function surveyAccess(kubectl: Kubectl, config: Config): Promise<AccessSurvey> {
  const layers = LAYERS.map(({ kind, name }) =>
    kubectl.get({ apiVersion: 'v1', kind, name, namespace: 'oas' }),
  )
  const [objects, kinds, ingresses, nodes] = await Promise.all([
    Promise.all(layers),
    kubectl.kinds(TRAEFIK_MIDDLEWARE.apiVersion),
    kubectl.list('networking.k8s.io/v1', 'Ingress'),
    kubectl.list('v1', 'Node'),
  ])
  if (!objects[0] || !kinds.has('IngressRoute'))
    throw new ExpectedError(
      'the ingress of the platform is not installed: ConfigMap oas/oas-ingress-values or the kinds of Traefik are missing',
      'run `npx tsx scripts/install-core.ts` first',
    )
  const rules = ingresses.flatMap(({ spec }) =>
    ((spec?.rules ?? []) as { host?: string; http?: { paths?: { path?: string }[] } }[])
      // Those that answer an authority have no TLS, on purpose.
      .filter(
        ({ http }) => !http?.paths?.some(({ path }) => path?.startsWith('/.well-known/acme-challenge/')),
      )
      .flatMap(({ host }) => (host ? [{ host, secure: Boolean(spec?.tls) }] : [])),
  )
  const texts = objects.map(object => overrideText(object) ?? '')
  for (const [i, text] of texts.entries()) await checkText(text, LAYERS[i]!)
  const ofHosts = await Promise.all(
    [TRAEFIK_MIDDLEWARE, INGRESS_ROUTE].map(({ apiVersion, kind }) =>
      kubectl.list(apiVersion, kind, { namespace: 'oas', labelSelector: HOST_LABEL }),
    ),
  )
  const release = await kubectl.get(INGRESS_RELEASE)
  const installed = release && (await deployedRelease(kubectl, release))?.config
  return {
    texts,
    secret: objects[2],
    hosts: restrictedHosts(ofHosts.flat()),
    installed: restrictionIn([JSON.stringify(installed ?? {})]),
    served: [...new Set(rules.map(({ host }) => host))].sort(),
    plain: [...new Set(rules.filter(({ secure }) => !secure).map(({ host }) => host))].sort(),
    own: ownRanges(nodes, config.ip_address ?? ''),
  }
}

/** Throws an ExpectedError for an override that Helm could not read either: nothing can be added to it. */
async function checkText(text: string, { kind, name }: (typeof LAYERS)[number]): Promise<void> {
  await parseValues(text, `${kind} oas/${name}`).catch(error => {
    if (!(error instanceof UsageError)) throw error
    throw new ExpectedError(error.message, `correct it: kubectl -n oas edit ${kind.toLowerCase()} ${name}`)
  })
}

/** The addresses of nodes and their pods, and the public one. Pure. */
export function ownRanges(nodes: readonly KubeObject[], address: string): string[] {
  const found = [
    address,
    ...nodes.flatMap(({ status, spec }) => [
      ...((status?.addresses ?? []) as { address: string }[]).map(each => each.address),
      ...((spec?.podCIDRs ?? []) as string[]),
    ]),
  ]
  return [
    ...new Set(
      found.flatMap(text => {
        const parsed = parseRange(text)
        return 'range' in parsed ? [parsed.range] : []
      }),
    ),
  ]
}

/** The hosts of an application, or the one host. Throws a UsageError for what the ingress does not serve. */
export function restrictableHosts(name: string, config: Config, served: readonly string[]): string[] {
  const isServed = (host: string) => served.includes(host)
  const app = APPS.find(each => each.name === name)
  const all = app ? app.hosts(config) : [name]
  const hosts = all.filter(isServed)
  if (hosts.length > 0) return hosts
  if (app && all.length > 0)
    throw new UsageError(
      `${name} is not installed`,
      `install it first: npx tsx scripts/install-app.ts ${name}`,
    )
  const apps = APPS.filter(each => each.hosts(config).some(isServed)).map(each => each.name)
  throw new UsageError(
    app ? `${name} has no address` : `the ingress does not serve ${inQuotes(name)}`,
    suggestion(app ? '' : name, [...apps, ...served]),
  )
}

/** The addresses at which this machine reaches the ingress: those of the domain in DNS, and that of the settings. */
export async function ingressAddresses({ domain = '', ip_address = '' }: Config): Promise<string[]> {
  const found = await lookup(domain, { all: true }).catch(() => [])
  return [...new Set([...found.map(({ address }) => address), ip_address])].filter(
    address => isIP(address) !== 0,
  )
}
