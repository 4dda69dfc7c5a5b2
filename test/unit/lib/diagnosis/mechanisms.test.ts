/** What the mechanisms of the diagnosis tell, and on what they keep quiet. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import type { RootCause } from '../../../../lib/diagnosis/finding.ts'
import { complaintsIn } from '../../../../lib/diagnosis/last-lines.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { meaningOf } from '../../../../lib/diagnosis/rules/last-words.ts'
import { probeMistake } from '../../../../lib/diagnosis/rules/probes.ts'
import { namedIn, tellingLine, tellingTail } from '../../../../lib/diagnosis/rules/telling-lines.ts'
import type { Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { fits } from '../../../../lib/kubectl/selector.ts'
import { NOW, objectOf, snapshotOf } from './snapshots.ts'

const LONG_AGO = '2026-01-01T00:00:00Z'
const HOURS_AGO = '2026-03-01T09:00:00Z'
const old = (kind: string, name: string, fields: Record<string, unknown> = {}, namespace = 'shop') =>
  objectOf(kind, namespace, name, {
    ...fields,
    metadata: { creationTimestamp: LONG_AGO, ...(fields.metadata as object | undefined) },
  })
const node = objectOf('Node', undefined, 'server', {
  status: {
    conditions: [{ type: 'Ready', status: 'True' }],
    allocatable: { cpu: '2', memory: '4Gi', pods: '110' },
  },
})
const healthy = [
  node,
  objectOf('Namespace', undefined, 'shop', { metadata: { labels: { team: 'red' } } }),
  objectOf('IngressClass', undefined, 'traefik'),
]
const groups = ['kustomize.toolkit.fluxcd.io/v1']
const flux = ['source-controller', 'kustomize-controller', 'helm-controller'].map(name =>
  old(
    'Deployment',
    name,
    { spec: { replicas: 1 }, status: { readyReplicas: 1, availableReplicas: 1 } },
    'flux-system',
  ),
)
function causes(objects: readonly KubeObject[], more: Partial<Snapshot> = {}): RootCause[] {
  return diagnose(snapshotOf([...healthy, ...flux, ...objects], { groups, ...more }), RULES).causes
}
const told = (objects: readonly KubeObject[], more: Partial<Snapshot> = {}) =>
  causes(objects, more).map(({ rule, subject }) => `${rule} ${subject.kind} ${subject.name}`)

const running = (name: string, labels: Record<string, string>, ports: number[] = []) =>
  old('Pod', name, {
    metadata: { labels },
    spec: {
      nodeName: 'server',
      containers: [{ name: 'main', image: 'x', ports: ports.map(containerPort => ({ containerPort })) }],
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: LONG_AGO }],
      containerStatuses: [
        { name: 'main', ready: true, restartCount: 0, state: { running: { startedAt: LONG_AGO } } },
      ],
    },
  })
const service = (name: string, targetPort: number | string, app = 'web') =>
  old('Service', name, { spec: { selector: { app }, ports: [{ port: 80, targetPort }] } })
const slice = (name: string) =>
  old('EndpointSlice', name, {
    metadata: { labels: { 'kubernetes.io/service-name': name } },
    endpoints: [{ conditions: { ready: true } }],
  })
const web = running('web-1', { app: 'web' }, [8080])

test('a healthy application of a stranger is silent', () => {
  assert.equal(
    told([
      web,
      service('web', 8080),
      slice('web'),
      old('NetworkPolicy', 'web', {
        spec: {
          podSelector: { matchLabels: { app: 'web' } },
          ingress: [{ from: [{ namespaceSelector: {} }] }],
        },
      }),
      running('client', { app: 'client' }),
      old('CronJob', 'nightly', {
        spec: { schedule: '0 3 * * *' },
        status: { lastScheduleTime: '2026-03-01T03:00:00Z', lastSuccessfulTime: '2026-03-01T03:01:00Z' },
      }),
      old('HorizontalPodAutoscaler', 'web', {
        spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' }, maxReplicas: 3 },
        status: {
          currentReplicas: 1,
          conditions: [{ type: 'ScalingActive', status: 'True', lastTransitionTime: LONG_AGO }],
        },
      }),
      old('Deployment', 'web', {
        spec: { replicas: 1, template: { metadata: { labels: { app: 'web' } } } },
        status: { availableReplicas: 1, readyReplicas: 1 },
      }),
      old('Ingress', 'web', {
        spec: {
          ingressClassName: 'traefik',
          rules: [
            {
              host: 'web.example.org',
              http: { paths: [{ path: '/', backend: { service: { name: 'web', port: { number: 80 } } } }] },
            },
          ],
        },
      }),
    ]),
    [],
  )
})

test('what has only just been made is given time', () => {
  const fresh = { creationTimestamp: NOW }
  assert.equal(
    told([
      old('Pod', 'starting', {
        metadata: fresh,
        spec: { nodeName: 'server', containers: [{ name: 'main', image: 'x' }] },
        status: {
          phase: 'Pending',
          startTime: NOW,
          containerStatuses: [{ name: 'main', state: { waiting: { reason: 'ContainerCreating' } } }],
        },
      }),
      old('Job', 'waits', { metadata: fresh, spec: { suspend: true } }),
      old('NetworkPolicy', 'none', { metadata: fresh, spec: { podSelector: { matchLabels: { app: 'x' } } } }),
    ]),
    [],
  )
})

const failed = (reason: string, owner?: KubeObject) =>
  objectOf(
    'Pod',
    'shop',
    'lost',
    {
      metadata: { creationTimestamp: LONG_AGO },
      spec: { nodeName: 'server', containers: [] },
      status: { phase: 'Failed', reason, message: 'words of its own' },
    },
    owner,
  )

test('a pod that has failed is told in its own words, unless its workload has replaced it', () => {
  const [cause] = causes([failed('SomethingNew')])
  assert.match(cause!.cause, 'SomethingNew): words of its own')
  const replaced = old('StatefulSet', 'web', {
    spec: { replicas: 1 },
    status: { availableReplicas: 1, readyReplicas: 1 },
  })
  assert.equal(told([replaced, failed('NodeShutdown', replaced)]), [])
  const done = old('Job', 'import', { status: { completionTime: NOW, succeeded: 1 } })
  assert.equal(told([done, failed('Error', done)]), [])
})

test('any object whose condition has been bad for minutes is told in its own words', () => {
  const client = old('OAuth2Client', 'web', {
    spec: {},
    status: {
      conditions: [
        {
          type: 'Ready',
          status: 'False',
          reason: 'Odd',
          message: 'a new thing',
          lastTransitionTime: LONG_AGO,
        },
      ],
    },
  })
  const [cause] = causes([client])
  assert.is(cause!.rule, 'oauth2client-not-working')
  assert.match(cause!.cause, 'a new thing')
})

test('five equal causes are one with a count; fewer are told one by one', () => {
  const pods = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const pod = failed('SomethingNew')
      return { ...pod, metadata: { ...pod.metadata, name: `lost-${i}`, uid: `${i}` } }
    })
  assert.is(causes(pods(4)).length, 4)
  const [first, ...others] = causes(pods(33))
  assert.equal(others, [])
  assert.match(first!.cause, '(and 32 more of the same)')
  assert.is(first!.explains.length, 32)
})

test('references are checked for existence where the kind was read', () => {
  const binding = old('RoleBinding', 'bot', {
    roleRef: { kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'bot' }],
  })
  assert.equal(told([binding]), ['reference-missing RoleBinding bot'])
  assert.equal(told([binding, old('Role', 'reader')]), [])
  assert.equal(told([binding], { gaps: [{ what: 'Role', why: 'forbidden' }] }), [])
  // Accounts were read: this one is not among them.
  const account = old('ServiceAccount', 'default')
  assert.match(
    causes([binding, old('Role', 'reader'), account])[0]!.cause,
    'ServiceAccount shop/bot, which does not exist',
  )
})

test('a workload with all of its pods does not miss what it names', () => {
  const workload = (available: number) =>
    old('Deployment', 'web', {
      spec: { replicas: 1, template: { spec: { imagePullSecrets: [{ name: 'gone' }] } } },
      status: { availableReplicas: available },
    })
  assert.equal(told([workload(1)]), [])
  assert.ok(told([workload(0)]).includes('reference-missing Deployment web'))
})

test('a name is looked for where what is called by it may be', () => {
  const route = (name: string) =>
    old('IngressRoute', 'web', {
      apiVersion: 'traefik.io/v1alpha1',
      spec: { routes: [{ middlewares: [{ name }] }] },
    })
  const middleware = old('Middleware', 'auth', { apiVersion: 'traefik.io/v1alpha1' })
  const ofRoute = (name: string) => told([route(name), middleware])
  assert.equal(ofRoute('headers@file'), [])
  assert.equal(ofRoute('shop-auth@kubernetescrd'), [])
  for (const name of ['headers', 'shop-headers@kubernetescrd'])
    assert.equal(ofRoute(name), ['reference-missing IngressRoute web'])
  // Charts fill in the name of the StatefulSet itself where nobody calls its pods by name.
  const set = (serviceName: string, availableReplicas = 1) =>
    old('StatefulSet', 'db', {
      apiVersion: 'apps/v1',
      spec: { replicas: 1, serviceName },
      status: { availableReplicas },
    })
  assert.equal(told([set('db')]), [])
  assert.equal(told([set('db-headless')]), ['reference-missing StatefulSet db'])
  assert.ok(told([set('db', 0)]).includes('reference-missing StatefulSet db'))
})

test('a target port has to be one of the containers’, as far as they list theirs', () => {
  const at = (targetPort: number | string, ...ports: number[]) =>
    told([running('web-1', { app: 'web' }, ports), service('web', targetPort), slice('web')])
  assert.equal(at(9090, 8080), ['service-port-mismatch Service web'])
  assert.equal(at('http', 8080), ['service-port-mismatch Service web'])
  assert.equal(at(9090), []) // ports need not be listed
  assert.equal(at(9090, 8080, 8443), []) // nor all of them
})

test('what is near to a role without a pod, and to a workload that others stop, is told', () => {
  const replica = old('Service', 'replica', { spec: { selector: { app: 'db', role: 'replica' } } })
  const database = (template: object) => {
    const set = old('StatefulSet', 'db', {
      spec: { replicas: 1, template: { metadata: { labels: { app: 'db', ...template } } } },
      status: { availableReplicas: 1 },
    })
    const pod = running('db-0', { app: 'db', role: 'primary' })
    const ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 'db', controller: true },
    ]
    return [set, { ...pod, metadata: { ...pod.metadata, ownerReferences } }, replica, slice('other')]
  }
  const backend = { service: { name: 'replica', port: { number: 80 } } }
  const ingress = old('Ingress', 'db', { spec: { ingressClassName: 'traefik', defaultBackend: backend } })
  assert.equal(told(database({})), [])
  assert.equal(told(database({ role: 'primary' })), ['service-selects-nothing Service replica'])
  assert.ok(told([...database({}), ingress]).includes('service-selects-nothing Service replica'))

  const stopped = old('Deployment', 'web', {
    spec: { replicas: 0, template: { metadata: { labels: { app: 'web' } } } },
    status: { observedGeneration: 1 },
  })
  const byOthers = (kind: string, field: string) =>
    told([
      stopped,
      service('web', 8080),
      slice('other'),
      { ...old(kind, 'web', { spec: { [field]: { name: 'web' } } }), apiVersion: 'example.org/v1' },
    ])
  assert.equal(byOthers('ScaledObject', 'scaleTargetRef'), [])
  assert.equal(byOthers('Rollout', 'workloadRef'), [])
  assert.equal(byOthers('Canary', 'targetRef'), [])
  assert.equal(byOthers('VerticalPodAutoscaler', 'targetRef'), ['workload-scaled-to-zero Deployment web'])
})

test('Ingresses that share a host by entry points of their own, or with a canary, are silent', () => {
  const route = (name: string, annotations: object) =>
    old('Ingress', name, {
      metadata: { annotations },
      spec: { ingressClassName: 'traefik', rules: [{ host: 'a.example.org', http: { paths: [{}] } }] },
    })
  const entry = 'traefik.ingress.kubernetes.io/router.entrypoints'
  const shared = (first: object, second: object) => told([route('a', first), route('b', second)])
  assert.equal(shared({ [entry]: 'web' }, { [entry]: 'websecure' }), [])
  assert.equal(shared({}, { 'nginx.ingress.kubernetes.io/canary': 'true' }), [])
  assert.equal(shared({ [entry]: 'web, websecure' }, { [entry]: 'websecure,web' }), [
    'host-claimed-twice Ingress a',
  ])
})

test('what is near to policies of another API, to metrics and to a database that sends nothing is told', () => {
  const guard = (spec: object) =>
    old('NetworkPolicy', 'guard', { spec: { podSelector: { matchLabels: { app: 'web' } }, ...spec } })
  const other = (namespace?: string) => ({
    ...old('CiliumNetworkPolicy', 'allow', {}, namespace),
    apiVersion: 'cilium.io/v2',
  })
  const served = [web, service('web', 8080), slice('web')]
  const closed = guard({ policyTypes: ['Ingress'] })
  assert.equal(told([...served, closed, other('shop')]), [])
  assert.equal(told([...served, closed, other('elsewhere')]), ['policy-admits-nobody NetworkPolicy guard'])

  const open = (port: number) => [
    running('web-1', { app: 'web' }, [8080, 9102]),
    service('web', 8080),
    slice('web'),
    service('web-metrics', 9102),
    slice('web-metrics'),
    guard({ policyTypes: ['Ingress'], ingress: [{ ports: [{ port }] }] }),
  ]
  assert.equal(told(open(8080)), [])
  assert.equal(told(open(9102)), ['policy-blocks-port NetworkPolicy guard'])

  const words = { namespace: 'shop', pod: 'web-1', container: 'main' }
  const line = 'error: getaddrinfo: Temporary failure in name resolution: db.example.org'
  const silent = guard({ policyTypes: ['Egress'] })
  assert.equal(told([web, silent]), [])
  assert.equal(told([web, silent, other('shop')], { complaints: [{ ...words, text: line }] }), [
    'policy-without-names NetworkPolicy guard',
  ])
  assert.equal(told([web, old('NetworkPolicy', 'all', { spec: { policyTypes: ['Egress'] } })]), [
    'policy-without-names NetworkPolicy all',
  ])
})

test('policies add up, and one that admits the world cuts off nobody', () => {
  const policy = (name: string, from: object[]) =>
    old('NetworkPolicy', name, {
      spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'], ingress: [{ from }] },
    })
  const objects = [web, service('web', 8080), slice('web'), running('client', { app: 'client' })]
  const blue = policy('blue', [{ namespaceSelector: { matchLabels: { team: 'blue' } } }])
  assert.equal(told([...objects, blue]), ['policy-admits-nobody NetworkPolicy blue'])
  assert.equal(
    told([...objects, blue, policy('client', [{ podSelector: { matchLabels: { app: 'client' } } }])]),
    [],
  )
  assert.equal(told([...objects, policy('world', [{ ipBlock: { cidr: '0.0.0.0/0' } }])]), [])
  // Whom it admits is scaled to 0: that is told of him alone.
  const batch = { matchLabels: { app: 'batch' } }
  const stopped = old('Deployment', 'batch', {
    spec: { replicas: 0, selector: batch, template: { metadata: { labels: batch.matchLabels } } },
  })
  assert.not(
    told([...objects, stopped, policy('batch', [{ podSelector: batch }])]).some(each => /^policy/.test(each)),
  )
  const closed = old('NetworkPolicy', 'closed', { spec: { podSelector: {}, policyTypes: ['Ingress'] } })
  assert.match(causes([...objects, closed])[0]!.cause, 'it admits nobody, and no other policy does')
  const among = old('NetworkPolicy', 'among', {
    spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: {} }] }] },
  })
  assert.equal(told([...objects, closed, among]), [])
  const locked = old('NetworkPolicy', 'out', {
    spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ port: 443 }] }] },
  })
  assert.equal(told([...objects, locked]), ['policy-without-names NetworkPolicy out'])
  const inside = old('NetworkPolicy', 'inside', {
    spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }] }] },
  })
  assert.equal(told([...objects, inside]), ['policy-without-names NetworkPolicy inside'])
})

test('the ingress controller has to reach the pods behind an Ingress', () => {
  const controller = {
    ...running('traefik-1', { 'app.kubernetes.io/name': 'traefik' }),
  }
  controller.metadata = { ...controller.metadata, namespace: 'oas', uid: 'traefik' }
  const ingress = old('Ingress', 'web', {
    spec: {
      ingressClassName: 'traefik',
      rules: [
        { host: 'a.example.org', http: { paths: [{ path: '/', backend: { service: { name: 'web' } } }] } },
      ],
    },
  })
  const policy = (from: object[]) =>
    old('NetworkPolicy', 'guard', {
      spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'], ingress: [{ from }] },
    })
  const objects = [
    ...[web, service('web', 8080), slice('web'), running('client', { app: 'client' }), controller, ingress],
    objectOf('Namespace', undefined, 'oas'),
  ]
  const own = { podSelector: { matchLabels: { app: 'client' } } }
  assert.equal(told(objects), [])
  assert.equal(told([...objects, policy([own])]), ['policy-blocks-ingress NetworkPolicy guard'])
  const oas = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'oas' } } }
  assert.equal(told([...objects, policy([own, oas])]), [])
})

test('a selector is judged with its expressions', () => {
  const expressions = (operator: string, values?: string[]) => ({
    matchExpressions: [{ key: 'a', operator, values }],
  })
  assert.ok(fits(undefined, {}))
  assert.ok(fits(expressions('In', ['1']), { a: '1' }))
  assert.not(fits(expressions('In', ['1']), {}))
  assert.ok(fits(expressions('NotIn', ['1']), {}))
  assert.not(fits(expressions('DoesNotExist'), { a: '1' }))
  assert.ok(fits(expressions('Exists'), { a: '1' }))
})

test('a right that an event says is missing is told of its account', () => {
  const event = (lastTimestamp: string) =>
    old('Event', 'e', {
      type: 'Warning',
      reason: 'FailedSync',
      lastTimestamp,
      involvedObject: { kind: 'Certificate', name: 'web', namespace: 'shop' },
      message:
        'secrets is forbidden: User "system:serviceaccount:shop:bot" cannot list resource "secrets" in API group',
    })
  const account = (labels = {}) => old('ServiceAccount', 'bot', { metadata: { labels } })
  const [cause] = causes([event(NOW), account()])
  assert.equal([cause!.rule, cause!.subject.name], ['rights-missing', 'bot'])
  assert.match(cause!.cause, 'may not list secrets')
  assert.equal(told([event('2026-02-01T00:00:00Z'), account()]), [])
  // An account that is gone; one by which override-app has a chart rendered, and nothing installed.
  assert.equal(told([event(NOW)]), [])
  assert.equal(told([event(NOW), account({ 'openappstack.net/override-check': 'true' })]), [])
})

test('two default classes are a warning', () => {
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' }
  const storage = (name: string, more = {}) =>
    objectOf('StorageClass', undefined, name, { metadata: { annotations: more } })
  assert.equal(told([storage('a', annotations), storage('b', annotations)]), [
    'two-default-classes StorageClass b',
  ])
  assert.equal(told([storage('a', annotations), storage('b')]), [])
})

test('two default places for backups are a warning, one in each namespace are not', () => {
  const place = (namespace: string, name: string) =>
    objectOf('BackupStorageLocation', namespace, name, {
      spec: { default: true },
      status: { phase: 'Available' },
    })
  assert.equal(told([place('velero', 'a'), place('velero', 'b')]), [
    'two-default-classes BackupStorageLocation b',
  ])
  assert.equal(told([place('velero', 'a'), place('shop', 'b')]), [])
})

test('requests for certificates that nobody has approved are told once', () => {
  const request = (name: string, conditions?: object[], creationTimestamp = LONG_AGO) =>
    objectOf('CertificateSigningRequest', undefined, name, {
      metadata: { creationTimestamp },
      spec: { signerName: 'kubernetes.io/kubelet-serving', username: 'system:node:server' },
      status: conditions ? { conditions } : {},
    })
  const [cause, ...more] = causes([request('csr-a'), request('csr-b')])
  assert.equal(
    [cause!.rule, cause!.subject.name, more.length],
    ['certificate-request-not-approved', 'csr-a', 0],
  )
  assert.match(cause!.cause, /\(and 1 more\): system:node:server gets no certificate/)
  assert.equal(told([request('csr-a', [{ type: 'Approved', status: 'True' }])]), [])
  assert.equal(told([request('csr-a', undefined, NOW)]), [])
})

test('of a kind that no rule knows, no replica being ready is told', () => {
  const database = (status: object) =>
    old('Database', 'orders', { apiVersion: 'databases.example/v1', status })
  assert.equal(told([database({ replicas: 3, readyReplicas: 0 })]), ['database-not-working Database orders'])
  assert.equal(told([database({ instances: 1, readyInstances: 0 })]), [
    'database-not-working Database orders',
  ])
  assert.equal(told([database({ replicas: 3, readyReplicas: 3 })]), [])
  assert.equal(told([database({ replicas: 0, readyReplicas: 0 })]), [])
})

test('a volume that was not backed up is told by its newest backup', () => {
  const backup = (name: string, phase: string, creationTimestamp: string) =>
    objectOf('PodVolumeBackup', 'velero', name, {
      metadata: { creationTimestamp },
      spec: { pod: { namespace: 'shop', name: 'web-1' }, volume: 'data' },
      status: { phase, message: 'exit status 3' },
    })
  assert.equal(told([backup('a', 'Failed', LONG_AGO)]), ['volume-backup-failed PodVolumeBackup a'])
  assert.equal(told([backup('a', 'Failed', LONG_AGO), backup('b', 'Completed', '2026-02-01T00:00:00Z')]), [])
})

test('a repository that Velero cannot open any more is told by its last maintenance', () => {
  const run = (result: string, startTimestamp: string, message?: string) => ({
    result,
    startTimestamp,
    message,
  })
  const wrong = 'error opening backup repo: invalid repository password'
  const repository = (...recentMaintenance: object[]) =>
    objectOf('BackupRepository', 'velero', 'oas-apps', { status: { phase: 'Ready', recentMaintenance } })
  const good = run('Succeeded', '2026-02-01T00:00:00Z')
  const bad = run('Failed', '2026-02-01T01:00:00Z', wrong)
  const [cause] = causes([repository(good, bad)])
  assert.is(cause!.rule, 'backup-repository-maintenance-failed')
  assert.match(cause!.remedy.text, 'restore Secret velero-repo-credentials')
  assert.equal(told([repository(bad, run('Succeeded', '2026-02-01T02:00:00Z'))]), [])
  assert.equal(told([repository()]), [])
})

test('ready pods without endpoints are told, unless their Service is young', () => {
  const slice = (name: string) =>
    old('EndpointSlice', `${name}-1`, {
      metadata: { labels: { 'kubernetes.io/service-name': name } },
      endpoints: name === 'web' ? [] : [{ conditions: { ready: true } }],
    })
  const service = (port: object) =>
    old('Service', 'web', { spec: { clusterIP: '10.43.0.9', selector: { app: 'web' }, ports: [port] } })
  const web = running('web-1', { app: 'web' }, [80])
  assert.equal(told([service({ port: 80 }), web, slice('web'), slice('other')]), [
    'service-endpoints-stale Service web',
  ])
  const young = service({ port: 80 })
  young.metadata.creationTimestamp = NOW
  assert.equal(told([young, web, slice('web'), slice('other')]), [])
})

test('a hook that goes on is told until the kubelet warns of something else', () => {
  const pod = old('Pod', 'held', {
    spec: { nodeName: 'server', containers: [{ name: 'main' }] },
    status: {
      phase: 'Pending',
      containerStatuses: [{ name: 'main', state: { waiting: { reason: 'ContainerCreating' } } }],
    },
  })
  const event = (reason: string, type: string, lastTimestamp: string) =>
    old('Event', `held.${reason}`, {
      involvedObject: {
        kind: 'Pod',
        namespace: 'shop',
        name: 'held',
        ...(reason === 'Started' ? { fieldPath: 'spec.containers{main}' } : {}),
      },
      reason,
      type,
      message: reason,
      lastTimestamp,
    })
  const started = event('Started', 'Normal', '2026-01-01T00:01:00Z')
  assert.match(causes([pod, started])[0]!.cause, 'its postStart hook has not completed')
  const warned = event('FailedCreatePodSandBox', 'Warning', '2026-01-01T00:02:00Z')
  assert.not.match(causes([pod, started, warned])[0]?.cause ?? '', 'postStart')
  // The kubelet pulls the image of the next container when the hook has ended.
  const pulling = event('Pulling', 'Normal', '2026-01-01T00:02:00Z')
  assert.not.match(causes([pod, started, pulling])[0]?.cause ?? '', 'postStart')
})

test('a failed pod whose container has said why is told with that', () => {
  const pod = failed('')
  pod.status = {
    phase: 'Failed',
    containerStatuses: [
      {
        name: 'main',
        state: { terminated: { exitCode: 1, reason: 'Error', message: 'APP_STAGE is not set' } },
      },
    ],
  }
  assert.equal(told([pod]), ['container-setting-missing Pod lost'])
  const configMapKeyRef = { name: 'settings', key: 'STAGE', optional: true }
  pod.spec.containers = [{ name: 'main', env: [{ name: 'APP_STAGE', valueFrom: { configMapKeyRef } }] }]
  const [cause] = causes([pod, old('ConfigMap', 'settings', { keys: ['stage'] })])
  assert.match(cause!.cause, 'ConfigMap settings has no key STAGE, which APP_STAGE is read from')
})

for (const [text, rule] of [
  ['exec /usr/local/bin/hello: exec format error', 'image-wrong-architecture'],
  ['fatal: APP_STAGE is not set', 'container-setting-missing'],
  ['FATAL: password authentication failed for user "app"', 'container-login-refused'],
  ['curl: (6) Could not resolve host: no-such-host.example', 'container-names-unresolved'],
  ['dial tcp: lookup db.oas on 10.43.0.10:53: connect: connection refused', 'container-names-unresolved'],
  ['dial tcp 10.43.7.7:5432: connect: connection refused', 'container-service-unreachable'],
  ['purge: permission denied: /data', 'container-permission-denied'],
  ['panic: failed to create fsnotify watcher: too many open files', 'node-inotify-limit'],
  ['java.lang.OutOfMemoryError: Java heap space', 'container-out-of-memory'],
  ['listen tcp :80: bind: address already in use', 'container-port-taken'],
  ['pods is forbidden: User "system:serviceaccount:a:b" cannot list resource', 'container-rights-missing'],
] as const)
  test(`the last words of a container mean something: ${text.slice(0, 30)}`, () => {
    assert.is(meaningOf('starting', `line\n${text}`)?.rule, rule)
    assert.is(meaningOf('ready to serve'), undefined)
  })

for (const [text, said] of [
  [
    ">>> 'sentinel monitor first   2'\nUnrecognized sentinel configuration statement.",
    'sentinel monitor first',
  ],
  [
    'smtp.connection_uri: <nil>\n      ^-- one or more required properties are missing',
    'smtp.connection_uri',
  ],
  ["Syntax error on line 12 of own.conf:\nInvalid command 'Header', perhaps misspelled", "command 'Header'"],
] as const)
  test(`the line of a setting and what is wrong with it are told together: ${said}`, () => {
    assert.ok(meaningOf(`starts\n${text}\nends`)?.cause.includes(said))
  })

for (const end of [
  '    at Module._compile (node:internal/modules/cjs/loader:1364:14)\n    at main:28:49\n\nNode.js v20.18.1',
  'goroutine 1 [running]:\nmain.main()\n\t/src/main.go:42 +0x1d',
  '#0 /var/www/html/index.php(12): start()\n#1 {main}',
  'npm error A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log',
])
  test(`a log is not told by how it ends: ${end.trim().slice(0, 20)}`, () => {
    const reason = 'error: key LICENSE_KEY is missing'
    assert.is(tellingLine(`INFO starts\n${reason}\n${end}`), reason)
  })

test('a line of a file is no address', () => {
  assert.is(namedIn('config.alloy:12: unexpected token'), undefined)
  assert.match(namedIn('dial db.example.org:5432')!, /whether db\.example\.org:5432 answers/)
})

test('kubelet’s words about a probe are read beside the manifest', () => {
  const container = (probe: object, ports: object[] = [{ containerPort: 8080 }]) => ({
    name: 'main',
    init: false,
    status: {},
    spec: { ports, readinessProbe: probe },
  })
  const cause = (probe: object, message: string) => probeMistake(container(probe), message)?.cause
  const http = { httpGet: { port: 8080 } }
  assert.match(cause(http, 'Readiness probe failed: HTTP probe failed with statuscode: 404')!, 'answers 404')
  assert.is(cause(http, 'Readiness probe failed: HTTP probe failed with statuscode: 503'), undefined)
  const both = container({ httpGet: { port: 8080, path: '/helth' } })
  const spec = { ...both.spec, livenessProbe: { httpGet: { port: 8080, path: '/healthz' } } }
  const { fix } = probeMistake(
    { ...both, spec },
    'Readiness probe failed: HTTP probe failed with statuscode: 404',
  )!
  assert.match(fix, 'its liveness probe asks for /healthz')
  const refused =
    'Readiness probe failed: Get "http://10.1.2.3:9090/": dial tcp 10.1.2.3:9090: connect: connection refused'
  assert.match(cause({ httpGet: { port: 9090 } }, refused)!, 'asks port 9090, and the container has 8080')
  assert.is(cause(http, refused), undefined)
  assert.match(cause({ exec: {} }, 'Readiness probe failed: ')!, 'without a word')
})

/** A program whose container ends again and again, with what it says last. */
function crashing(text: string, fields: { exitCode?: number; restarts?: number; ready?: boolean } = {}) {
  const { exitCode = 1, restarts = 9, ready = false } = fields
  const end = { exitCode, reason: 'Error', finishedAt: new Date(Date.parse(NOW) - 120_000).toISOString() }
  const state = ready
    ? { running: { startedAt: new Date(Date.parse(NOW) - 110_000).toISOString() } }
    : { waiting: { reason: 'CrashLoopBackOff' } }
  const pod = running('web', { app: 'web' })
  pod.status = {
    ...pod.status,
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: LONG_AGO }],
    containerStatuses: [
      { name: 'main', ready, restartCount: restarts, state, lastState: { terminated: end } },
    ],
  }
  const lastLines = [{ namespace: 'shop', pod: 'web', container: 'main', text }]
  return { pod, lastLines }
}

test('of a log the lines are kept that say why, not the stack or the help below them', () => {
  const stack = Array.from({ length: 40 }, (_, i) => `\tat com.example.Main.run(Main.java:${i})`)
  assert.equal(tellingTail(['INFO starting', 'OutOfMemoryError: Java heap space', ...stack].join('\n'), 6), [
    'INFO starting',
    'OutOfMemoryError: Java heap space',
  ])
  const help = ['Usage:', '  agent [flags]', '', 'Flags:', '  -v, --level int   how much is said', '']
  const lines = ['Error: dial tcp 10.43.0.1:443: i/o timeout', ...help, 'error creating manager']
  assert.equal(tellingTail(lines.join('\n'), 6), [lines[0], lines.at(-1)])
  // What is said often is one line, and what comes first may have brought about the rest.
  const often = Array.from({ length: 50 }, (_, i) => `12:00:${i} ERROR health check failed`)
  assert.equal(tellingTail(['ERROR no route to db', ...often].join('\n'), 6), [
    'ERROR no route to db',
    '12:00:49 ERROR health check failed',
  ])
  assert.equal(tellingTail('all is well\nstill is', 6), ['all is well', 'still is'])
})

test('of the log of a container that is ready, failures are kept that it repeats', () => {
  const often = (line: string, times: number) => Array.from({ length: times }, (_, i) => `12:00:${i} ${line}`)
  const calm = often('GET /health 200', 40)
  const known = 'dial tcp 10.43.0.9:5432: connect: connection refused'
  const unknown = 'ERROR division by zero'
  // Twice is got over; known words matter among many others, unknown ones where much of the log consists of them.
  assert.is(complaintsIn([...calm, ...often(known, 2)].join('\n')), '')
  assert.is(complaintsIn([...calm, ...often(known, 3)].join('\n')), `12:00:2 ${known}`)
  assert.is(complaintsIn([...calm, ...often(unknown, 9)].join('\n')), '')
  assert.is(complaintsIn([...calm, ...often(unknown, 10)].join('\n')), `12:00:9 ${unknown}`)
  assert.is(complaintsIn([...calm, ...often(`WARN ${known}`, 20)].join('\n')), '')
})

test('what others do to a container that is ready is no failure of it', () => {
  const of = (line: string) =>
    complaintsIn(Array.from({ length: 5 }, (_, i) => `12:00:${i} ${line}`).join('\n'))
  const nginx = (why: string) => `[error] 29#29: *12 ${why}, client: 198.51.100.7, server: localhost`
  for (const line of [
    nginx('open() "/srv/wp-login.php" failed (2: No such file or directory)'),
    'http: TLS handshake error from [2001:db8::1]:4100: EOF',
    'LOG:  could not receive data from client: Connection reset by peer',
  ])
    assert.is(of(line), '', line)
  for (const line of [
    nginx('open() "/srv/index.html" failed (2: No such file or directory)'),
    nginx('open() "/tmp/body/1" failed (13: Permission denied)'),
    nginx('connect() failed (111: Connection refused) while connecting to upstream'),
    'level=error msg="Request failed" error="database is locked" remote_addr=198.51.100.7',
    'http: TLS handshake error from 10.42.0.1:4100: remote error: tls: bad certificate',
  ])
    assert.is.not(of(line), '', line)
})

test('what a container that is ready repeats is a warning, once of a workload', () => {
  const { pod } = crashing('', { ready: true, restarts: 0 })
  const said = (text: string) => [{ namespace: 'shop', pod: 'web', container: 'main', text }]
  const one = causes([pod], { complaints: said('ERROR division by zero') })
  assert.equal(
    one.map(({ rule, verdict, remedy }) => [rule, verdict, remedy.command]),
    [['container-complains', 'warning', 'npx tsx scripts/logs.ts shop/web --container main']],
  )
  const twice = [...said('ERROR division by zero'), ...said('ERROR division by zero')]
  assert.is(causes([pod], { complaints: twice }).length, 1)
})

test('what resembles a missing object is named beside the remedy', () => {
  const waiting = (name: string) => {
    const pod = running('web', { app: 'web' })
    pod.spec = { ...pod.spec, volumes: [{ name: 'd', configMap: { name } }] }
    pod.status = { phase: 'Pending', startTime: LONG_AGO }
    return pod
  }
  const maps = [old('ConfigMap', 'settings-7d9hk2c4bf'), old('ConfigMap', 'login', {}, 'other')]
  const remedy = (name: string) => causes([waiting(name), ...maps])[0]!.remedy.text
  assert.match(remedy('settings-5h2m9t7gk8'), /; there is ConfigMap shop\/settings-7d9hk2c4bf$/)
  assert.match(remedy('setings-7d9hk2c4bf'), /; there is ConfigMap shop\/settings-7d9hk2c4bf$/)
  assert.match(remedy('login'), /; there is ConfigMap other\/login$/)
  assert.not.match(remedy('certificates'), /there is/)
})

const database = (endpoints: number) => [
  old('Service', 'db', {
    spec: { type: 'ClusterIP', clusterIP: '10.43.0.7', selector: { app: 'db' }, ports: [{ port: 5432 }] },
  }),
  old('EndpointSlice', 'db-1', {
    metadata: { labels: { 'kubernetes.io/service-name': 'db' } },
    endpoints: Array.from({ length: endpoints }, () => ({ conditions: { ready: true } })),
  }),
  old('Deployment', 'db', {
    spec: { replicas: endpoints, template: { metadata: { labels: { app: 'db' } } } },
    status: { replicas: endpoints, readyReplicas: endpoints, availableReplicas: endpoints },
  }),
  ...(endpoints > 0 ? [running('db', { app: 'db' })] : []),
]

test('last words lead to the Service that they name', () => {
  const of = (text: string, endpoints: number) => {
    const { pod, lastLines } = crashing(text)
    return causes([pod, ...database(endpoints)], { lastLines })[0]!
  }
  for (const host of ['db', 'db.shop.svc.cluster.local', '10.43.0.7']) {
    const text = `dial tcp ${host}:5432: connect: connection refused`
    assert.is(of(text, 0).rule, 'workload-scaled-to-zero', host)
    assert.is(of(text, 1).rule, 'container-service-unreachable', host)
    assert.not.match(of(text, 1).cause, /there is no Service|has port/)
  }
  assert.match(of('connect ECONNREFUSED db:3306', 1).cause, /Service shop\/db has port 5432, not 3306/)
  assert.match(of('getaddrinfo ENOTFOUND database', 1).cause, /resolve a name/)
  assert.match(of('connect ECONNREFUSED database:5432', 1).cause, /there is no Service database in shop/)
  assert.is(of('lookup db on 10.43.0.10:53: no such host', 1).rule, 'cluster-dns-wrong')
  // Neither a name outside of the cluster nor a silent name server says that a Service is missing.
  for (const text of [
    'lookup database on 10.43.0.10:53: read udp: i/o timeout',
    'dial tcp smtp.example.org:587: connect: connection refused',
    'dial tcp 127.0.0.1:6379: connect: connection refused',
  ])
    assert.not.match(of(text, 1).cause, /there is no Service/, text)
})

test('a container that ends by itself is told when it does so all the time', () => {
  const age = (hours: number, pod: KubeObject) => {
    const time = new Date(Date.parse(NOW) - hours * 3_600_000).toISOString()
    return { ...pod, metadata: { ...pod.metadata, creationTimestamp: time } }
  }
  const { pod } = crashing('', { exitCode: 0, restarts: 9, ready: true })
  assert.equal(told([age(2, pod)]), ['pod-crash-looping Pod web'])
  assert.equal(told([age(24, pod)]), [], 'as to read its settings again')
})

test('kinds of others are told by any of their words', () => {
  const of = (status: object) => told([old('Cluster', 'main', { apiVersion: 'db.example.org/v1', status })])
  assert.equal(of({ conditions: [{ type: 'NotReady', status: 'True' }] }), [
    'cluster-not-working Cluster main',
  ])
  assert.equal(of({ phase: 'Unable to create its objects' }), ['cluster-not-working Cluster main'])
  assert.equal(of({ error: { message: 'no snapshot class' } }), ['cluster-not-working Cluster main'])
  assert.equal(of({ conditions: [{ type: 'ComparisonError', message: 'x' }] }).length, 1)
  assert.equal(of({ phase: 'Cluster in healthy state' }), [])
  assert.equal(of({ phase: 'Waiting for the instances to become active' }), [])
  assert.equal(of({ conditions: [{ type: 'NotReady', status: 'False' }] }), [])
})

test('what an object of others says of an ability, a setting or a rest hides nothing that has failed', () => {
  const of = (status: object) => told([old('Cluster', 'main', { apiVersion: 'db.example.org/v1', status })])
  const said = (type: string, status: string, more: object = {}) => ({
    type,
    status,
    lastTransitionTime: LONG_AGO,
    ...more,
  })
  const ready = said('Ready', 'True')
  const cannot = said('Upgradeable', 'False', { message: 'cannot be upgraded' })
  const isTold = ['cluster-not-working Cluster main']
  assert.equal(of({ conditions: [ready, cannot] }), [])
  assert.equal(of({ conditions: [cannot] }), isTold)
  assert.equal(
    of({ conditions: [ready, said('Schedulable', 'False', { message: 'cannot use the disk' })] }),
    isTold,
  )
  assert.equal(
    of({ conditions: [said('MissingPeerConfigs', 'False', { reason: 'MissingPeerConfigs' })] }),
    [],
  )
  assert.equal(of({ conditions: [said('NoErrors', 'False', { reason: 'ErrorsFound' })] }), isTold)
  const unset = { message: 'the backup target is not configured' }
  assert.equal(of({ conditions: [said('Unavailable', 'True', unset)] }), [])
  assert.equal(of({ conditions: [said('Ready', 'False', unset)] }), isTold)
  const later = { ...unset, lastTransitionTime: '2026-02-01T00:00:00Z' }
  assert.equal(of({ conditions: [said('Unavailable', 'True', later)] }), isTold)
  const notReady = said('Ready', 'False', { message: 'it does not exist' })
  assert.equal(of({ state: 'Stopped', conditions: [notReady] }), [])
  assert.equal(of({ state: 'Stopped', conditions: [notReady, said('Failure', 'True')] }), isTold)
})

test('a state without a time lasts no longer than what has changed beside it', () => {
  const database = old('Database', 'orders', {
    apiVersion: 'databases.example/v1',
    status: { replicas: 2, readyReplicas: 0 },
  })
  const pod = (at: string) => {
    const { metadata, status, ...rest } = running('orders-1', {})
    const ownerReferences = [{ ...database, name: 'orders', uid: database.metadata.uid!, controller: true }]
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: at }]
    return { ...rest, metadata: { ...metadata, ownerReferences }, status: { ...status, conditions } }
  }
  const started = (lastTimestamp: string) =>
    objectOf('Event', 'default', 'start', {
      involvedObject: { kind: 'Node', name: 'server' },
      reason: 'Starting',
      lastTimestamp,
    })
  const isTold = ['database-not-working Database orders']
  assert.equal(told([database, pod('2026-03-01T11:58:00Z')]), [])
  assert.equal(told([database, pod('2026-03-01T11:40:00Z')]), isTold)
  assert.equal(told([database, started('2026-03-01T11:58:00Z')]), [])
  assert.equal(told([database, started('2026-03-01T11:40:00Z')]), isTold)
})

test('a failed run is history once a later one of the same has succeeded', () => {
  const backup = (name: string, at: string, state: string, labels: Record<string, string> = {}) =>
    objectOf('VolumeBackup', 'shop', name, {
      apiVersion: 'backup.example.org/v1',
      metadata: { creationTimestamp: at, labels },
      status: { state },
    })
  const [monday, tuesday] = ['2026-02-23T01:00:00Z', '2026-02-24T01:00:00Z']
  const failed = backup('data-20260223', monday, 'Error', { 'backup-volume': 'a' })
  const isTold = ['volumebackup-not-working VolumeBackup data-20260223']
  const later = (name: string, state: string, labels?: Record<string, string>) =>
    told([failed, backup(name, tuesday, state, labels)])
  assert.equal(later('data-20260224', 'Completed', { 'backup-volume': 'a' }), [])
  assert.equal(later('other-20260224', 'Completed'), isTold)
  assert.equal(later('data-20260224', 'Completed', { 'backup-volume': 'b' }), isTold)
  assert.equal(later('data-20260224', 'Running'), isTold)
  assert.equal(told([failed, backup('data-20260222', '2026-02-22T01:00:00Z', 'Completed')]), isTold)
})

test('a Job of another CronJob, or with another number in its name, is not a later run', () => {
  const job = (name: string, at: string, type: string, cron?: string) =>
    objectOf('Job', 'shop', name, {
      apiVersion: 'batch/v1',
      metadata: {
        creationTimestamp: at,
        ...(cron ? { ownerReferences: [{ kind: 'CronJob', name: cron, uid: cron, controller: true }] } : {}),
      },
      status: { conditions: [{ type, status: 'True', lastTransitionTime: at }] },
    })
  const [failed, later] = ['2026-03-01T02:00:00Z', '2026-03-01T03:00:00Z']
  assert.equal(told([job('import-db1', failed, 'Failed'), job('import-db2', later, 'Complete')]), [
    'job-failed Job import-db1',
  ])
  assert.equal(
    told([
      job('backup-s3-29400000', failed, 'Failed', 'backup-s3'),
      job('backup-b2-29400060', later, 'Complete', 'backup-b2'),
    ]),
    ['job-failed Job backup-s3-29400000'],
  )
  assert.equal(told([job('hook-1', failed, 'Failed'), job('hook-2', later, 'Complete')]), [])
})

test('what rests, toggles or is good when False hides no failure', () => {
  const widget = (status: Record<string, unknown>) => told([old('Widget', 'w', { status })])
  const isTold = ['widget-not-working Widget w']
  const condition = (type: string, status: string | undefined, message: string, at = LONG_AGO) => ({
    type,
    status,
    reason: 'Odd',
    message,
    lastTransitionTime: at,
  })
  const missing = condition('Ready', 'False', 'the machine does not exist')
  assert.equal(widget({ state: 'Stopped', conditions: [missing] }), [])
  const crashed = condition('Ready', 'False', 'server failed: out of disk')
  assert.equal(widget({ state: 'Stopped', conditions: [crashed] }), isTold)
  const unread = condition('ComparisonError', undefined, 'repository not found')
  assert.equal(widget({ state: 'Suspended', conditions: [unread] }), isTold)
  const trying = condition('Reconciling', 'True', 'working', '2026-03-01T11:57:00Z')
  assert.equal(widget({ phase: 'Failed', message: 'access denied', conditions: [trying] }), isTold)
  assert.equal(widget({ conditions: [condition('NotDegraded', 'False', 'replica lost: error')] }), isTold)
  const unset = condition('Configured', 'False', 'spec.endpoint is not set: backups fail')
  assert.equal(widget({ conditions: [unset] }), isTold)
  const problem = (type: string, status: string) =>
    told([
      {
        ...node,
        status: { ...node.status, conditions: [...node.status.conditions, condition(type, status, 'gpu')] },
      },
    ])
  assert.equal(problem('GpuNotReady', 'False'), [])
  assert.equal(problem('GpuNotReady', 'True'), ['node-problem Node server'])
  assert.equal(problem('GpuReady', 'True'), [])
})

test('a limit that a pod has otherwise than its workload came at its creation', () => {
  const of = (memory: string) => {
    const { pod } = crashing('')
    const container = { name: 'main', resources: { limits: { memory: '16Mi' } } }
    pod.spec = { ...pod.spec, containers: [container] }
    pod.status!.containerStatuses[0].lastState.terminated.reason = 'OOMKilled'
    pod.metadata.ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'w', controller: true },
    ]
    const template = { spec: { containers: [{ name: 'main', resources: { limits: { memory } } }] } }
    const owner = old('StatefulSet', 'web', { spec: { replicas: 1, template }, status: {} })
    return causes([pod, owner]).find(({ rule }) => rule === 'pod-out-of-memory')!.remedy.text
  }
  assert.match(of('16Mi'), /^raise its memory limit/)
  assert.match(of('256Mi'), /LimitRange or a mutating webhook/)
})

test('5,000 pods are judged in seconds', () => {
  const many = Array.from({ length: 5000 }, (_, i): KubeObject => {
    const pod = i % 2 === 0 ? web : failed('SomethingNew')
    return {
      ...pod,
      metadata: { ...pod.metadata, name: `pod-${i}`, uid: `${i}`, namespace: `team-${i % 40}` },
    }
  })
  const before = process.cpuUsage()
  assert.ok(causes(many).length > 0)
  const { user, system } = process.cpuUsage(before)
  assert.ok((user + system) / 1e6 < 3, `${(user + system) / 1e6} s of processor time`)
})

test('what is near to a fault, and none, is silent', () => {
  const conditions = (...types: string[]) => ({
    status: { conditions: types.map(type => ({ type, status: 'True', lastTransitionTime: LONG_AGO })) },
  })
  const leaves = { deletionTimestamp: NOW, finalizers: ['finalizers.fluxcd.io'] }
  const budget = (name: string, app: string) =>
    old('PodDisruptionBudget', name, {
      spec: { minAvailable: 1, selector: { matchLabels: { app } } },
      status: { desiredHealthy: 1, expectedPods: 1, disruptionsAllowed: 0 },
    })
  const restore = (name: string, phase: string, startTimestamp: string) =>
    old('Restore', name, { spec: { backupName: 'daily' }, status: { phase, startTimestamp } }, 'velero')
  assert.equal(
    told([
      web,
      old('Gateway', 'edge', conditions('Accepted', 'Programmed')),
      old('Widget', 'done', { status: { phase: 'Succeeded' } }),
      old('Widget', 'leaving', { metadata: leaves, status: { phase: 'Failed' } }),
      budget('web', 'web'),
      restore('first', 'Failed', LONG_AGO),
      restore('second', 'Completed', NOW),
    ]),
    [],
  )
  assert.equal(told([web, budget('all', 'web'), budget('web', 'web')]), [
    'budget-with-rival PodDisruptionBudget web',
  ])
  assert.equal(told([old('Widget', 'bad', { status: { phase: 'Failed' } })]), [
    'widget-not-working Widget bad',
  ])
})

test('what is near to policies, warnings, Jobs and taints that are told, and none, is silent', () => {
  const event = (count: number, firstTimestamp: string, reason = 'Odd') => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${reason}-${count}`, namespace: 'shop', creationTimestamp: firstTimestamp },
    involvedObject: { kind: 'Pod', name: 'web-1', namespace: 'shop' },
    type: 'Warning',
    reason,
    message: 'something odd',
    count,
    firstTimestamp,
    lastTimestamp: NOW,
  })
  const dns = [{ port: 53, protocol: 'UDP' }]
  const names = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } }
  const set = (currentRevision: string) =>
    old('StatefulSet', 'db', {
      spec: { replicas: 1, updateStrategy: { type: 'OnDelete' } },
      status: { replicas: 1, availableReplicas: 1, currentRevision, updateRevision: 'db-2' },
    })
  const tainted = {
    ...node,
    metadata: { name: 'spare', creationTimestamp: LONG_AGO },
    spec: { taints: [{ key: 'gpu', effect: 'NoSchedule' }] },
  }
  const tolerant = {
    ...web,
    metadata: { ...web.metadata, name: 'web-2' },
    spec: { ...web.spec, tolerations: [{ key: 'gpu' }] },
  }
  const condition = (type: string, status: string, reason: string) => ({
    status: { conditions: [{ type, status, reason, message: '', lastTransitionTime: LONG_AGO }] },
  })
  assert.equal(
    told([
      web,
      tolerant,
      tainted,
      event(9, LONG_AGO),
      event(10, LONG_AGO, 'Rare'),
      event(50, NOW, 'Young'),
      event(50, LONG_AGO, 'Unhealthy'),
      old('NetworkPolicy', 'names', {
        spec: {
          podSelector: {},
          policyTypes: ['Egress'],
          egress: [{ to: [names], ports: dns }, { to: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
        },
      }),
      set('db-2'),
      old('Job', 'long', { status: { active: 1, startTime: NOW } }),
      old('Widget', 'calm', condition('Fallback', 'False', 'NoFallback')),
      old('Widget', 'whole', condition('Degraded', 'False', 'AsExpected')),
      {
        ...old('Schedule', 'other', { spec: { schedule: '0 3 * * *' } }),
        apiVersion: 'plans.example.org/v1',
      },
    ]),
    [],
  )
  assert.equal(told([web, event(10, HOURS_AGO)]), ['warned-repeatedly Pod web-1'])
  assert.equal(told([web, tainted]), ['node-unused Node spare'])
  assert.equal(told([set('db-1')]), ['workload-on-delete StatefulSet db'])
  assert.equal(told([old('Widget', 'worn', condition('Degraded', 'True', 'Worn'))]), [
    'widget-not-working Widget worn',
  ])
})

test('whatever state a pod is in that does not work, something is told', () => {
  const state = { running: { startedAt: LONG_AGO } }
  const ended = { terminated: { exitCode: 1, finishedAt: LONG_AGO } }
  const waiting = (reason: string) => ({ waiting: { reason } })
  const states = [
    waiting('ContainerCreating'),
    waiting('PodInitializing'),
    waiting('Odd'),
    state,
    ended,
    {},
    undefined,
  ]
  const container = (name: string, of: object) => ({ name, ready: false, restartCount: 0, state: of })
  for (const kind of ['Pod', 'ReplicaSet', 'StatefulSet', 'DaemonSet', 'Job'])
    for (const phase of ['Pending', 'Running', 'Failed', 'Unknown'])
      for (const main of states)
        for (const init of [undefined, state, ended, waiting('Odd')]) {
          const owner = { apiVersion: 'apps/v1', kind, name: 'owner', uid: 'owner', controller: true }
          const pod = old('Pod', 'web-9', {
            metadata: kind === 'Pod' ? {} : { ownerReferences: [owner] },
            spec: { nodeName: 'server', containers: [{ name: 'main' }], initContainers: [{ name: 'init' }] },
            status: {
              phase,
              startTime: LONG_AGO,
              conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: LONG_AGO }],
              ...(main ? { containerStatuses: [container('main', main)] } : {}),
              ...(init ? { initContainerStatuses: [container('init', init)] } : {}),
            },
          })
          const made = old(kind, 'owner', {
            metadata: { uid: 'owner' },
            spec: { replicas: 1 },
            status: { active: phase === 'Failed' ? 0 : 1, desiredNumberScheduled: 1 },
          })
          const found = causes(kind === 'Pod' ? [pod] : [pod, made])
          assert.ok(found.length > 0, `${kind} ${phase} ${JSON.stringify([main, init])}`)
        }
})

test('nodes may be three minor versions behind the API server, and never ahead', () => {
  const at = (kubeletVersion: string) =>
    told([{ ...node, status: { ...node.status, nodeInfo: { kubeletVersion } } }], { kubernetes: 'v1.36.4' })
  for (const version of ['v1.36.4+k3s1', 'v1.33.0', 'kwok-0.8.0']) assert.equal(at(version), [])
  for (const version of ['v1.32.9', 'v1.37.0']) assert.equal(at(version), ['node-version-skew Node server'])
})

test.run()
