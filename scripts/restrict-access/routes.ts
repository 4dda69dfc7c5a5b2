import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { middlewareOf } from './override.ts'

const LABEL = 'openappstack.net/restrict-access'
/** What selects the objects of one host, and those of a trial. */
export const HOST_LABEL = `${LABEL}=host`
export const TRIAL_LABEL = `${LABEL}=trial`

export const INGRESS_ROUTE = { apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute' } as const
export const TRAEFIK_MIDDLEWARE = { apiVersion: 'traefik.io/v1alpha1', kind: 'Middleware' } as const

/** Above the routes that Traefik makes of Ingress objects, whose priority is the length of their rule. */
const PRIORITY = 1_000_000

/** An address that is nobody's: it never sends anything (RFC 919). */
const NOBODY = '255.255.255.255/32'

const route = (
  name: string,
  label: 'host' | 'trial',
  entryPoint: 'web' | 'websecure',
  routes: object[],
): KubeObject => ({
  ...INGRESS_ROUTE,
  metadata: { name, namespace: 'oas', labels: { [LABEL]: label } },
  spec: { entryPoints: [entryPoint], routes, ...(entryPoint === 'websecure' ? { tls: {} } : {}) },
})

const middleware = (name: string, label: 'host' | 'trial', ranges: readonly string[]) => {
  const object = middlewareOf(name, { ranges, proxies: [] })
  return { ...object, metadata: { ...object.metadata, labels: { [LABEL]: label } } }
}

/** One rule of a route. Nothing is behind it: Traefik itself answers 418 where no middleware refuses. */
const rule = (match: string, middlewares: readonly string[] = []) => ({
  kind: 'Rule',
  match,
  priority: PRIORITY,
  services: [{ kind: 'TraefikService', name: 'noop@internal' }],
  ...(middlewares.length > 0 ? { middlewares: middlewares.map(name => ({ name })) } : {}),
})

const outside = (ranges: readonly string[]) => ranges.map(range => `!ClientIP(\`${range}\`)`).join(' && ')

/**
 * What restricts one host: a route above those of its Ingress that takes the requests from outside of the ranges, and
 * a middleware that refuses them. Requests from inside go to the Ingress, with all that its annotations say. Pure.
 */
export function hostObjects(host: string, ranges: readonly string[]): KubeObject[] {
  const name = `access-${host}`
  return [
    middleware(name, 'host', ranges),
    route(name, 'host', 'websecure', [rule(`Host(\`${host}\`) && ${outside(ranges)}`, [name])]),
  ]
}

/** A host that is restricted, or half of it: a run was killed between its objects. */
export interface RestrictedHost {
  host: string
  /** Who is let in now; empty where everybody is. */
  ranges: string[]
  /** Whether both of its objects exist, and say the same. */
  whole: boolean
}

/** The hosts that have objects of `hostObjects`. What counts is the route: without it a middleware does nothing. Pure. */
export function restrictedHosts(objects: readonly KubeObject[]): RestrictedHost[] {
  const names = objects.map(({ metadata }) => metadata.name).filter(name => name.startsWith('access-'))
  return [...new Set(names)].map(name => {
    const spec = (kind: string) =>
      objects.find(each => each.kind === kind && each.metadata.name === name)?.spec
    const match = String(spec(INGRESS_ROUTE.kind)?.routes?.[0]?.match ?? '')
    const allowed: unknown = spec(TRAEFIK_MIDDLEWARE.kind)?.ipAllowList?.sourceRange ?? []
    const ranges = [...match.matchAll(/!ClientIP\(`([^`)]{1,80})`\)/g)].map(([, range = '']) => range)
    return {
      host: name.slice('access-'.length),
      ranges,
      whole: ranges.length > 0 && isDeepStrictEqual(ranges, allowed),
    }
  })
}

/** The paths of a trial: open to all; with the ranges given; with those of the cluster, too; for nobody; and where an authority asks, on port 80. Pure. */
export function trialPaths(id: string) {
  const below = `/restrict-access-${id}`
  return {
    open: `${below}/open`,
    given: `${below}/given`,
    all: `${below}/all`,
    nobody: `${below}/nobody`,
    challenge: `/.well-known/acme-challenge/restrict-access-${id}`,
  }
}

/**
 * Routes by which Traefik itself says, before anything is restricted, whom ranges let in: as a middleware on
 * everything does, or as the route of one host. The open path is below the route of a restricted host, and above its
 * application: there that route alone answers who is refused. Pure.
 */
export function trialObjects(
  id: string,
  { given, all, hosts }: { given: readonly string[]; all: readonly string[]; hosts: readonly string[] },
): KubeObject[] {
  const paths = trialPaths(id)
  const name = `trial-${id}`
  const refuses = (path: string, suffix: string, allowed: readonly string[]) =>
    hosts.length > 0
      ? [
          rule(`PathPrefix(\`${path}\`) && ${outside(allowed)}`, [suffix]),
          { ...rule(`PathPrefix(\`${path}\`)`), priority: PRIORITY - 1 },
        ]
      : [rule(`PathPrefix(\`${path}\`)`, [suffix])]
  return [
    middleware(`${name}-given`, 'trial', given),
    middleware(`${name}-all`, 'trial', all),
    middleware(`${name}-nobody`, 'trial', [NOBODY]),
    route(name, 'trial', 'websecure', [
      { ...rule(`PathPrefix(\`${paths.open}\`)`), priority: PRIORITY - 1 },
      ...refuses(paths.given, `${name}-given`, given),
      ...refuses(paths.all, `${name}-all`, all),
      ...refuses(paths.nobody, `${name}-nobody`, [NOBODY]),
    ]),
    route(`${name}-challenge`, 'trial', 'web', [rule(`PathPrefix(\`${paths.challenge}\`)`)]),
  ]
}
