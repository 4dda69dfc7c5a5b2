/** An API server that means no good: what it answers is not what a Kubernetes API answers, or too much of it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { serve } from '../unit/transport.ts'

/** Answers a request; anything. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void

const CLIPBOARD = '\x1b]52;c;cm0gLXJmIC8=\x07'
/** A text with every kind of character that a terminal obeys, and lines that could pass for those of a script. */
export const HOSTILE = `${CLIPBOARD}\x1b[2J\x1b[31m\x9b2J\x85\u202eevil\u2066\r\n✓ everything is healthy\n\x00\x7f`

const answerIn = (type: string, code: number, body: string): Answer => {
  return (_request, response) => response.writeHead(code, { 'content-type': type }).end(body)
}

/** Servers that are no API server at all. */
export const STRANGERS: Readonly<Record<string, Answer>> = {
  'a body without end': (_request, response) => {
    const piece = Buffer.alloc(1 << 20, ' ')
    response.on('error', () => {})
    const more = () => {
      while (!response.destroyed && response.write(piece));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  },
  'a slow body': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(timer)).on('error', () => {})
  },
  'an HTML page': answerIn('text/html', 200, `<html>${HOSTILE}</html>`),
  'a redirect': (_request, response) => response.writeHead(302, { location: `https://login.example/` }).end(),
  '404 for everything': answerIn('text/plain', 404, '404 page not found\n'),
  '404 as a Status': answerIn(
    'application/json',
    404,
    JSON.stringify({ kind: 'Status', reason: 'NotFound', message: 'the server could not find the resource' }),
  ),
  null: answerIn('application/json', 200, 'null'),
  'a number': answerIn('application/json', 200, '42'),
  'an empty object': answerIn('application/json', 200, '{}'),
  'an error in escapes': answerIn(
    'application/json',
    400,
    JSON.stringify({ kind: 'Status', message: HOSTILE }),
  ),
}

type Item = Record<string, unknown>
/** The objects of a kind by number; undefined beyond the last one. */
export type Objects = (kind: string, i: number) => Item | undefined

const GROUPS: Readonly<Record<string, readonly [name: string, kind: string, namespaced?: false][]>> = {
  v1: [
    ['nodes', 'Node', false],
    ['namespaces', 'Namespace', false],
    ['pods', 'Pod'],
    ['services', 'Service'],
    ['secrets', 'Secret'],
    ['configmaps', 'ConfigMap'],
    ['events', 'Event'],
    ['resourcequotas', 'ResourceQuota'],
    ['persistentvolumeclaims', 'PersistentVolumeClaim'],
    ['persistentvolumes', 'PersistentVolume', false],
    ['serviceaccounts', 'ServiceAccount'],
  ],
  'apps/v1': [
    ['deployments', 'Deployment'],
    ['statefulsets', 'StatefulSet'],
    ['daemonsets', 'DaemonSet'],
    ['replicasets', 'ReplicaSet'],
  ],
  'batch/v1': [
    ['jobs', 'Job'],
    ['cronjobs', 'CronJob'],
  ],
  'discovery.k8s.io/v1': [['endpointslices', 'EndpointSlice']],
  'networking.k8s.io/v1': [
    ['ingresses', 'Ingress'],
    ['ingressclasses', 'IngressClass', false],
    ['networkpolicies', 'NetworkPolicy'],
  ],
  'storage.k8s.io/v1': [['storageclasses', 'StorageClass', false]],
  'coordination.k8s.io/v1': [['leases', 'Lease']],
  'source.toolkit.fluxcd.io/v1': [
    ['gitrepositories', 'GitRepository'],
    ['helmrepositories', 'HelmRepository'],
    ['helmcharts', 'HelmChart'],
  ],
  'kustomize.toolkit.fluxcd.io/v1': [['kustomizations', 'Kustomization']],
  'helm.toolkit.fluxcd.io/v2': [['helmreleases', 'HelmRelease']],
  'cert-manager.io/v1': [['certificates', 'Certificate']],
}

/** A server that answers as an API server does, with these objects, in pages of 500. */
export function apiServer(objects: Objects): Answer {
  return (request, response) => {
    const url = new URL(request.url ?? '/', 'http://x')
    const send = (value: unknown, code = 200) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    if (url.pathname === '/version') return send({ gitVersion: 'v1.36.4' })
    if (url.pathname === '/apis')
      return send({
        groups: Object.keys(GROUPS)
          .filter(group => group !== 'v1')
          .map(groupVersion => ({ versions: [{ groupVersion }], preferredVersion: { groupVersion } })),
      })
    const [, group = '', rest = ''] =
      /^\/(?:api|apis)\/(v1|[^/]+\/v\d\w*)(?:\/(.*))?$/.exec(url.pathname) ?? []
    const served = GROUPS[group]
    if (served && rest === '')
      return send({
        resources: served.map(([name, kind, namespaced = true]) => ({
          name,
          kind,
          namespaced,
          verbs: ['get', 'list'],
        })),
      })
    const [, , resource = ''] = /^(namespaces\/[^/]+\/)?([^/]+)$/.exec(rest) ?? []
    const kind = served?.find(([name]) => name === resource)?.[1]
    if (!kind || request.method !== 'GET')
      return send({ kind: 'Status', reason: 'NotFound', message: `${resource} not found` }, 404)
    const first = Number(url.searchParams.get('continue') ?? 0)
    const items: Item[] = []
    for (let i = first; i < first + 500; i++) {
      const item = objects(kind, i)
      if (!item) return send({ items, metadata: {} })
      items.push(item)
    }
    return send({ items, metadata: { continue: String(first + 500) } })
  }
}

/** One object of each kind, hostile in every text. */
export const hostileObjects: Objects = (kind, i) => {
  if (i > 0) return undefined
  const conditions = [
    {
      type: 'Ready',
      status: 'False',
      reason: HOSTILE,
      message: HOSTILE,
      lastTransitionTime: '2020-01-01T00:00:00Z',
    },
    { type: 'Available', status: 'False', reason: HOSTILE, message: HOSTILE },
  ]
  const metadata = {
    name: kind === 'Kustomization' ? 'nextcloud' : `x${HOSTILE}`,
    namespace: kind === 'Kustomization' ? 'flux-system' : 'oas-apps',
    uid: HOSTILE,
    creationTimestamp: '2020-01-01T00:00:00Z',
    labels: { app: HOSTILE, [HOSTILE]: HOSTILE },
    annotations: { [HOSTILE]: HOSTILE },
    finalizers: [HOSTILE],
  }
  return {
    metadata,
    spec: {
      path: HOSTILE,
      url: HOSTILE,
      replicas: 1,
      containers: [{ name: 'a', image: HOSTILE }],
      rules: [
        {
          host: HOSTILE,
          http: { paths: [{ backend: { service: { name: HOSTILE, port: { name: HOSTILE } } } }] },
        },
      ],
      sourceRef: { kind: 'GitRepository', name: HOSTILE },
      dnsNames: [HOSTILE],
    },
    status: {
      conditions,
      phase: kind === 'Pod' ? 'Failed' : 'Pending',
      reason: kind === 'Pod' ? 'Evicted' : HOSTILE,
      message: HOSTILE,
      nodeInfo: { kubeletVersion: HOSTILE },
      containerStatuses: [
        {
          name: 'a',
          image: HOSTILE,
          restartCount: 9,
          state: { waiting: { reason: 'CrashLoopBackOff', message: HOSTILE } },
        },
      ],
    },
    data: { [`${HOSTILE}`]: 'eA==' },
    involvedObject: { kind: 'Pod', namespace: 'oas-apps', name: `x${HOSTILE}` },
    reason: HOSTILE,
    message: HOSTILE,
    type: 'Warning',
    lastTimestamp: new Date().toISOString(),
  }
}

/** A hundred thousand pods and as many events, as a cluster has them whose Job has run wild. */
export const manyObjects: Objects = (kind, i) => {
  if (!['Pod', 'Event'].includes(kind) || i >= 50_000) {
    if (i > 0 || kind !== 'Node') return undefined
    return {
      metadata: { name: 'oas' },
      status: { conditions: [{ type: 'Ready', status: 'True' }], allocatable: { cpu: '4', pods: '110' } },
    }
  }
  const metadata = {
    name: `run-${i}`,
    namespace: 'oas-apps',
    uid: `00000000-0000-0000-0000-${String(i).padStart(12, '0')}`,
    creationTimestamp: '2026-11-01T00:00:00Z',
    labels: { app: 'run' },
    annotations: { note: 'x'.repeat(400) },
    managedFields: [{ manager: 'kubelet', fieldsV1: { x: 'y'.repeat(800) } }],
  }
  if (kind === 'Event')
    return {
      metadata,
      type: 'Warning',
      reason: 'Evicted',
      message: 'The node was low on resource: ephemeral-storage. '.repeat(3),
      involvedObject: { kind: 'Pod', namespace: 'oas-apps', name: `run-${i}` },
      lastTimestamp: '2026-11-01T00:00:00Z',
    }
  return {
    metadata,
    spec: {
      nodeName: 'oas',
      containers: [{ name: 'run', image: 'busybox:1', env: [{ name: 'A', value: 'b'.repeat(200) }] }],
    },
    status: {
      phase: 'Succeeded',
      conditions: [{ type: 'Ready', status: 'False', reason: 'PodCompleted' }],
      containerStatuses: [
        {
          name: 'run',
          image: 'busybox:1',
          restartCount: 0,
          state: { terminated: { exitCode: 0, reason: 'Completed' } },
        },
      ],
    },
  }
}

/** As many, of which no two have a part in common, and each says as much of itself as an object may. */
export const largeObjects: Objects = (kind, i) => {
  const object = manyObjects(kind, i)
  const text = `${kind} ${i} `.repeat(80)
  return object && { ...object, message: text, status: { ...(object.status as object), message: text } }
}

/** Starts a server that answers so. */
export const hostileServer = (answer: Answer) => serve(answer)
