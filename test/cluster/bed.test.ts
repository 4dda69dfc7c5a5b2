/** What the bed runs when it is asked to: the audit log, cert-manager with an ACME server, and Loki. */
import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import * as assert from 'uvu/assert'
import type { KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { runningProcesses } from '../bed/cluster/processes.ts'
import { down, up } from '../bed/cluster/sandbox.ts'
import { status } from '../bed/cluster/status.ts'
import { test } from '../suite.ts'
import { Bed } from './harness.ts'

let bed: Bed
const everything = { audit: true, certificates: true, loki: true, worktree: true }
const NAMESPACE = 'oas'

test.before(async () => {
  bed = await Bed.start(everything)
  for (const name of [NAMESPACE, 'cert-manager'])
    await bed.kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  await bed.kubectl.apply({
    apiVersion: 'cert-manager.io/v1',
    kind: 'ClusterIssuer',
    metadata: { name: 'acme' },
    spec: {
      acme: {
        server: bed.certificates.server,
        email: 'admin@example.org',
        privateKeySecretRef: { name: 'acme-account' },
        solvers: [{ http01: { ingress: { ingressClassName: 'nginx' } } }],
      },
    },
  })
})
test.after(async () => bed?.stop())

/** An ingress that asks for a certificate, as those of the platform do. */
async function site(host: string): Promise<Ref> {
  const name = host.split('.')[0]!
  await bed.kubectl.apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace: NAMESPACE, annotations: { 'cert-manager.io/cluster-issuer': 'acme' } },
    spec: {
      ingressClassName: 'nginx',
      tls: [{ hosts: [host], secretName: `${name}.tls` }],
      rules: [
        {
          host,
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name, port: { number: 80 } } } }],
          },
        },
      ],
    },
  })
  return { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', namespace: NAMESPACE, name: `${name}.tls` }
}

/** Waits until an object is as wanted, and returns it. */
async function when(ref: Ref, what: string, wanted: (object: KubeObject) => boolean): Promise<KubeObject> {
  return await until<KubeObject | undefined, KubeObject>(
    async () => {
      const object = await bed.kubectl.get(ref)
      return object && wanted(object) ? { done: object } : { last: object }
    },
    { deadline: 300_000, every: 500, describe: last => `${what}: ${JSON.stringify(last?.status)}` },
  )
}

const isReady = ({ status }: KubeObject) =>
  status?.conditions?.some(
    ({ type, status }: Record<string, string>) => type === 'Ready' && status === 'True',
  )

/** The certificate that port 443 shows for a host. */
function served(host: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: '127.0.0.1', port: bed.certificates.ports.webTls, servername: host, rejectUnauthorized: false },
      () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw))
        socket.end()
      },
    ).on('error', reject)
  })
}

async function stored(name: string): Promise<X509Certificate> {
  const secret = await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE, name })
  return new X509Certificate(Buffer.from(secret!.data!['tls.crt'], 'base64'))
}

test('the audit log tells who writes what', async () => {
  const before = bed.auditMark()
  await bed.kubectl.list('v1', 'Namespace')
  assert.equal(bed.writesSince(before), [])
  assert.ok(bed.requestsSince(before).some(({ verb, target }) => verb === 'list' && target === 'namespaces'))
  await bed.kubectl.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'x', namespace: NAMESPACE },
  })
  assert.equal(bed.writesSince(before), [`patch configmaps ${NAMESPACE}/x`])
  assert.ok(bed.requestsSince(0, 'kwok').length > 0, 'others have other user agents')
})

test('cert-manager gets a certificate for an ingress, and port 443 serves it', async () => {
  const host = 'good.oas.example.org'
  await when(await site(host), host, isReady)
  const [leaf, root] = [await stored('good.tls'), await bed.certificates.root()]
  assert.is(leaf.checkHost(host), host)
  assert.is((await served(host)).fingerprint256, leaf.fingerprint256)
  assert.is((await served('other.example.org')).subject, 'CN=TRAEFIK DEFAULT CERT')
  assert.ok(root.ca && root.checkIssued(root), 'it is the root of the ACME server')
  bed.certificates.tls(host, 'default')
  assert.is((await served(host)).subject, 'CN=TRAEFIK DEFAULT CERT')
  bed.certificates.tls(host, undefined)
})

test('a challenge that port 80 answers with 503 waits, and goes on when that has ended', async () => {
  const host = 'sick.oas.example.org'
  bed.certificates.fault(host, 503)
  const certificate = await site(host)
  const reason = await until<string, string>(
    async () => {
      const challenges = await bed.kubectl.list('acme.cert-manager.io/v1', 'Challenge')
      const text = challenges.find(({ spec }) => spec.dnsName === host)?.status?.reason ?? ''
      return text.startsWith('Waiting') ? { done: text } : { last: text }
    },
    { deadline: 180_000, every: 200, describe: last => `the challenge does not wait: ${last}` },
  )
  assert.is(reason, "Waiting for HTTP-01 challenge propagation: wrong status code '503', expected '200'")
  bed.certificates.fault(host, undefined)
  await when(certificate, host, isReady)
})

test('what the ACME server alone runs into makes the order fail', async () => {
  const host = 'far.oas.example.org'
  await bed.certificates.dns(host, { servfail: true })
  await site(host)
  const challenge = await until<string, string>(
    async () => {
      const challenges = await bed.kubectl.list('acme.cert-manager.io/v1', 'Challenge')
      const { state, reason } = challenges.find(({ spec }) => spec.dnsName === host)?.status ?? {}
      return state === 'invalid' ? { done: reason } : { last: `${state} ${reason}` }
    },
    { deadline: 180_000, every: 500, describe: last => `the challenge is not refused: ${last}` },
  )
  assert.match(challenge, /SERVFAIL|server misbehaving|DNS|connection/i)
  await bed.certificates.heal()
})

test('the API server leads to Loki by its Service', async () => {
  const labels = { 'app.kubernetes.io/name': 'loki' }
  const ports = [{ name: 'http-metrics', containerPort: 3100 }]
  await bed.kubectl.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'loki', namespace: NAMESPACE },
    spec: { selector: labels, ports: [{ name: 'http-metrics', port: 3100 }] },
  })
  await bed.kubectl.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'loki-0', namespace: NAMESPACE, labels },
    spec: { containers: [{ name: 'loki', image: 'grafana/loki:stand-in', ports }] },
  })
  await bed.pushLogs({ namespace: NAMESPACE, app: 'x' }, ['first', 'second'])
  const query = encodeURIComponent('{namespace="oas", app="x"}')
  const path = `/api/v1/namespaces/${NAMESPACE}/services/http:loki:3100/proxy/loki/api/v1/query_range?query=${query}&direction=forward`
  const values = await until<string, string[][]>(
    async () => {
      try {
        const { data } = await bed.kubectl.call<{ data: { result: { values: string[][] }[] } }>({ path })
        return data.result[0] ? { done: data.result[0].values } : { last: 'nothing found' }
      } catch (error) {
        return { last: String(error) } // the pod is not ready yet
      }
    },
    { deadline: 180_000, every: 500, describe: last => `Loki does not answer: ${last}` },
  )
  assert.equal(
    values.map(([, line]) => line),
    ['first', 'second'],
  )
})

test('what is killed is started by the next up, and what was asked for stays', async () => {
  for (const name of ['pebble', 'web', 'cert-manager', 'pod-network']) await bed.signal(name, 'SIGKILL')
  await until<number, true>(
    async () => {
      const left = runningProcesses(layoutOf('sandbox')).length
      return left === 11 ? { done: true } : { last: left }
    },
    { deadline: 120_000, every: 100, describe: last => `${last} processes run` },
  )
  const { started } = await up({ worktree: true })
  assert.equal([...started].sort(), ['cert-manager', 'pebble', 'pod-network', 'web'])
  const host = 'again.oas.example.org'
  // The new ACME server knows no account of before: cert-manager has registered again.
  await when(await site(host), host, isReady)
})

test('down ends everything', async () => {
  assert.is((await status())?.length, 15)
  const stopped = await down()
  assert.is(stopped.length, 15)
  assert.equal(runningProcesses(layoutOf('sandbox')), [])
})

test.run()
