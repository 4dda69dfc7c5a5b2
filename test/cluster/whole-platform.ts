/** A platform on the bed that test-cluster finds healthy: its hosts, its backups, and a Prometheus. */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { sleep } from '../../lib/script/wait.ts'
import type { Alerts, Targets } from '../../scripts/test-cluster/prometheus.ts'
import { issued } from './faults/certificates.ts'
import { prepare } from './faults/workloads.ts'
import { Bed } from './harness.ts'

/** What a Prometheus says of its targets and alerts; a number is the status of an answer without either. */
export type PrometheusAnswers = { targets: Targets; alerts: Alerts } | number

/** What a Prometheus says when all is well. */
export const QUIET: { targets: Targets; alerts: Alerts } = {
  targets: {
    activeTargets: [
      { labels: { job: 'node-exporter', instance: '10.0.0.1:9100' }, health: 'up', lastError: '' },
    ],
  },
  alerts: { alerts: [{ labels: { alertname: 'Watchdog' }, annotations: {}, state: 'firing' }] },
}

/** A pod in the place of the one that the operator makes of the Prometheus: kwok plays its kubelet. */
export const PROMETHEUS_POD: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'prometheus-stand-in',
    namespace: 'oas',
    labels: {
      'app.kubernetes.io/name': 'prometheus',
      'app.kubernetes.io/instance': 'kube-prometheus-stack-prometheus',
    },
  },
  spec: {
    containers: [
      { name: 'prometheus', image: 'prometheus', ports: [{ name: 'http-web', containerPort: 9090 }] },
    ],
  },
}

/** A healthy platform. */
export interface WholePlatform {
  bed: Bed
  /** The environment in which a script trusts the bed's authority, as a browser would. */
  trust: Record<string, string>
  stop(): Promise<void>
}

/** Starts it, with a stand-in for Prometheus' API (web/api/v1 of github.com/prometheus/prometheus) that answers so. */
export async function wholePlatform(answers: () => PrometheusAnswers): Promise<WholePlatform> {
  const bed = await Bed.startInstalled({ loki: true })
  const prometheus = createServer((request, response) => {
    const said = answers()
    if (typeof said === 'number') return void response.writeHead(said).end('away')
    const data = request.url!.startsWith('/api/v1/targets') ? said.targets : said.alerts
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ status: 'success', data }))
  })
  await new Promise<void>(resolve => prometheus.listen(0, '127.0.0.1', resolve))
  bed.leadPods(9090, (prometheus.address() as AddressInfo).port)
  await bed.kubectl.apply(PROMETHEUS_POD)
  await prepare(bed)
  // The authority is another one since the state was prepared: what it has signed then, no browser trusts.
  const certificates = await bed.kubectl.list('cert-manager.io/v1', 'Certificate')
  for (const { metadata, spec } of certificates)
    await bed.kubectl.delete({
      apiVersion: 'v1',
      kind: 'Secret',
      namespace: metadata.namespace,
      name: spec.secretName,
    })
  await sleep(1000)
  await Promise.all(certificates.map(certificate => issued(bed, certificate)))
  const file = join(bed.folder, 'authority.pem')
  writeFileSync(file, (await bed.certificates.root()).toString())
  const stop = async () => {
    prometheus.close()
    await bed.stop()
  }
  return { bed, trust: { NODE_EXTRA_CA_CERTS: file }, stop }
}
