/** Ingresses that lead nowhere. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { backendsOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { isSolver } from './ingresses.ts'
import { since, whereToChange } from './workload-facts.ts'

/** Words in the names of ingress controllers that do not tell one from the other. */
const GENERIC = /^(k8s|io|org|com|net|sigs|ingress|controller|kubernetes)$/

/** Whether some program of the cluster may be the controller that a class names: `k8s.io/ingress-nginx`. */
function isServed({ spec }: KubeObject, index: Index): boolean {
  const words = String(spec?.controller ?? '')
    .split(/[./-]/)
    .filter(word => word && !GENERIC.test(word))
  return ['Deployment', 'DaemonSet', 'StatefulSet']
    .flatMap(kind => index.all(kind))
    .some(({ metadata, spec: of }) => {
      const images = ((of?.template?.spec?.containers ?? []) as { image?: string }[]).map(each => each.image)
      const named = [metadata.name, ...images].join(' ')
      return words.length === 0 || words.some(word => named.includes(word))
    })
}

/** Ingresses that lead nowhere: their Service or its port does not exist, or no controller is meant. */
const ingresses = each('Ingress', (ingress, index) => {
  const { namespace, name, annotations } = ingress.metadata
  const finding = (rule: string, cause: string, text: string, command: string): Finding =>
    tell(ingress, { rule, cause, text, command })
  const where = whereToChange(ingress, index)
  const found: Finding[] = []
  const wanted = ingress.spec?.ingressClassName ?? annotations?.['kubernetes.io/ingress.class']
  const classes = index.all('IngressClass')
  const known = classes.find(({ metadata }) => metadata.name === wanted)
  const addresses = ingress.status?.loadBalancer?.ingress ?? []
  // A controller may serve a class by annotation that has no IngressClass, and gives its address then.
  const isServedByName = !ingress.spec?.ingressClassName && addresses.length > 0
  if (wanted && !known && !isServedByName && !index.blind('IngressClass')) {
    const others = classes.map(({ metadata }) => metadata.name).join(', ')
    found.push(
      finding(
        'ingress-class-missing',
        `its IngressClass ${wanted} does not exist: nobody serves it`,
        others
          ? `correct the class ${isSolver(ingress) ? 'in the solver of the issuer (spec.acme.solvers, http01.ingress.ingressClassName), which gives it to this Ingress' : where}: there is ${others}`
          : 'the release `ingress` in oas brings the class: see whether it is ready',
        'kubectl get ingressclass',
      ),
    )
  }
  const isNew = since(index, ingress.metadata.creationTimestamp) < 600
  // Where the controllers of other classes are known, a class without one is told.
  const served = classes.filter(each => isServed(each, index))
  const isUnserved = known && served.length > 0 && !served.includes(known)
  if (isUnserved && addresses.length === 0 && !isNew && !index.blind('Deployment'))
    found.push(
      finding(
        'ingress-class-unserved',
        `its class ${wanted} is for the controller ${known.spec?.controller}, which does not run here: nobody serves it`,
        `install that controller, or name another class ${where}: ${served.map(({ metadata }) => metadata.name).join(', ')}`,
        'kubectl get ingressclass',
      ),
    )
  for (const { name: target = '', port } of index.blind('Service') ? [] : backendsOf(ingress)) {
    const service = index.get('Service', namespace, target)
    const ports = (service?.spec?.ports ?? []) as { name?: string; port?: number }[]
    // For the name of a host outside, Traefik takes the port from the Service; other controllers do with the Ingress.
    const isNameAlone = service?.spec?.type === 'ExternalName' && ports.length === 0
    const isDispensable = isNameAlone && known && !/^traefik\.io\//.test(String(known.spec?.controller))
    if (!service && isSolver(ingress)) continue // cert-manager removes the Service first: the Challenge tells
    if (!service)
      found.push(
        finding(
          'ingress-service-missing',
          `it leads to the Service ${target}, which does not exist`,
          `correct the name of the Service ${where}, or find out why the Service was not created`,
          `kubectl -n ${namespace} describe ingress ${name}`,
        ),
      )
    else if (
      port &&
      !isDispensable &&
      !ports.some(each => (port.name ? each.name === port.name : each.port === port.number))
    )
      found.push(
        finding(
          'ingress-port-missing',
          `it leads to port ${port.name ?? port.number} of the Service ${target}, which has no such port`,
          `correct the port ${where}: the Service has ${ports.map(each => each.port).join(', ') || 'none'}`,
          `kubectl -n ${namespace} describe ingress ${name}`,
        ),
      )
  }
  // Several hosts of one Ingress mostly lead to the same Service.
  return found.filter((each, i) => found.findIndex(other => other.cause === each.cause) === i)
})

/** How many groups a path captures, as a regular expression. */
const groupsOf = (path: string) =>
  [...path.matchAll(/\\.|\((?!\?[:=!])/g)].filter(([found]) => found === '(').length

/**
 * Ingresses that rewrite requests by a group which their path does not have: whatever stands there is lost.
 * Source: https://kubernetes.github.io/ingress-nginx/examples/rewrite/
 */
const rewriting = each('Ingress', (ingress, index) => {
  const target = ingress.metadata.annotations?.['nginx.ingress.kubernetes.io/rewrite-target'] ?? ''
  const named = Math.max(0, ...[...target.matchAll(/\$(\d)/g)].map(([, group]) => Number(group)))
  const rules = (ingress.spec?.rules ?? []) as {
    http?: { paths?: { path?: string; pathType?: string }[] }
  }[]
  // A path that fits exactly has nothing to be kept.
  const paths = rules
    .flatMap(({ http }) => http?.paths ?? [])
    .flatMap(({ path = '/', pathType }) => (pathType === 'Exact' ? [] : path))
  const lacking = paths.filter(path => groupsOf(path) < named)
  const [path = ''] = lacking
  if (lacking.length === 0) return undefined
  const count = groupsOf(path)
  return {
    rule: 'ingress-rewrite-group-missing',
    verdict: lacking.length === paths.length ? 'broken' : 'warning',
    cause: `rewrite-target names the group $${named}, and its path ${path} has ${count === 0 ? 'none' : `only ${count}`}: what follows in a request is lost`,
    text: `${count > 0 ? `name $${count} in nginx.ingress.kubernetes.io/rewrite-target` : 'give the path its groups'} ${whereToChange(ingress, index)}, or write the path with ${named} ${named > 1 ? 'groups' : 'group'}, as /PATH(/|$)(.*) with $2`,
    command: `kubectl -n ${ingress.metadata.namespace} describe ingress ${ingress.metadata.name}`,
  }
})

/** The rules for what ingresses lead to. */
export const rules: readonly Rule[] = [ingresses, rewriting]
