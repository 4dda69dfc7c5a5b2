import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'

/** What a route is found in. */
export interface Routes {
  ingresses: readonly KubeObject[]
  services: readonly KubeObject[]
  pods: readonly KubeObject[]
}

/** An answer to a request on port 80. */
export interface WebAnswer {
  status: number
  body: string
  location?: string
}

/** The class of the platform's ingresses; ingresses of another are not served. */
const CLASS = 'nginx'

/**
 * What the ingress controller answers to `http://HOST/PATH`, and cert-manager's solver pod behind it. Pure. A solver
 * is reached like on a server: by its Ingress, its Service and a ready pod; what it serves stands in its arguments.
 */
export function answerTo(routes: Routes, host: string, path: string): WebAnswer {
  const ours = routes.ingresses.filter(isOurs).filter(ingress => rulesFor(ingress, host).length > 0)
  for (const ingress of ours)
    for (const { paths } of rulesFor(ingress, host))
      for (const { path: prefix, pathType, backend } of paths)
        if (prefix === path && pathType !== 'Prefix')
          return solver(routes, ingress.metadata.namespace!, backend.service, path)
  // As with ingress-nginx, an ingress with TLS redirects: flux2/infrastructure/ingress.
  if (ours.some(ingress => tlsFor(ingress, host).length > 0))
    return { status: 308, body: '', location: `https://${host}${path}` }
  return ours.length > 0
    ? { status: 200, body: 'the sandbox\n' }
    : { status: 404, body: '404 page not found\n' }
}

function solver(
  { services, pods }: Routes,
  namespace: string,
  { name }: { name: string },
  path: string,
): WebAnswer {
  const there = ({ metadata }: KubeObject) => metadata.namespace === namespace
  const service = services.find(each => there(each) && each.metadata.name === name)
  const selector = Object.entries(service?.spec.selector ?? {})
  const pod = pods.find(
    each =>
      there(each) &&
      selector.length > 0 &&
      selector.every(([key, value]) => each.metadata.labels?.[key] === value) &&
      each.status?.conditions?.some(
        ({ type, status }: Record<string, string>) => type === 'Ready' && status === 'True',
      ),
  )
  if (!pod) return { status: 503, body: 'no available server\n' }
  const args: string[] = pod.spec.containers[0].args ?? []
  const value = (flag: string) => args.find(arg => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3)
  const token = path.split('/').at(-1)
  return value('token') === token && value('key') !== undefined
    ? { status: 200, body: value('key')! }
    : { status: 404, body: '' }
}

/** The Secret in which the certificate for a host is. Pure. */
export function secretFor(
  ingresses: readonly KubeObject[],
  host: string,
): { namespace: string; name: string } | undefined {
  for (const ingress of ingresses.filter(isOurs))
    for (const { secretName } of tlsFor(ingress, host))
      if (secretName) return { namespace: ingress.metadata.namespace!, name: secretName }
  return undefined
}

function isOurs({ metadata, spec }: KubeObject): boolean {
  return (spec.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']) === CLASS
}

interface Path {
  path?: string
  pathType: string
  backend: { service: { name: string } }
}

function rulesFor(ingress: KubeObject, host: string): { paths: Path[] }[] {
  const rules: { host?: string; http?: { paths: Path[] } }[] = ingress.spec.rules ?? []
  return rules.flatMap(rule => (covers(rule.host, host) ? [{ paths: rule.http?.paths ?? [] }] : []))
}

function tlsFor(ingress: KubeObject, host: string): { secretName?: string }[] {
  const tls: { hosts?: string[]; secretName?: string }[] = ingress.spec.tls ?? []
  return tls.filter(({ hosts }) => hosts?.some(each => covers(each, host)))
}

/** Whether a host of an Ingress is this one; `*.DOMAIN` stands for one label. */
function covers(pattern: string | undefined, host: string): boolean {
  return (
    pattern === host ||
    (pattern?.startsWith('*.') === true && pattern.slice(1) === host.replace(/^[^.]+/, ''))
  )
}
