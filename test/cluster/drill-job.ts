/** The drill as its job runs it, but as a process of this machine: kwok's pods run nothing. Account and script are the cluster's. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { runInContainer } from '../../lib/kubectl/run-in-container.ts'
import { s3Access } from '../host/servers.ts'
import type { Bed } from './harness.ts'

/** What Alertmanager is told. */
interface Alert {
  labels: Record<string, string>
  annotations: Record<string, string>
}

/** Takes account, script and command of the CronJob from the cluster. */
export async function drillJob(bed: Bed) {
  const name = 'oas-restore-drill-job'
  const here = { namespace: 'velero', name }
  const cronJob = (await bed.kubectl.get({ apiVersion: 'batch/v1', kind: 'CronJob', ...here }))!
  const pod = cronJob.spec.jobTemplate.spec.template.spec
  const script = await bed.kubectl.get({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: 'velero',
    name: pod.volumes[0].configMap.name,
  })
  const { status } = await bed.kubectl.client.request<{ status: { token: string } }>({
    method: 'POST',
    path: `/api/v1/namespaces/velero/serviceaccounts/${pod.serviceAccountName}/token`,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  })
  const config = load(readFileSync(bed.up.kubeconfig, 'utf8')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[]
  }
  const { server, 'certificate-authority-data': ca } = config.clusters[0]!.cluster
  const folder = mkdtempSync(join(tmpdir(), 'oas-drill-job-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'account'))
  writeFileSync(join(folder, 'account/ca.crt'), Buffer.from(ca, 'base64'))
  writeFileSync(join(folder, 'account/token'), status.token)
  writeFileSync(join(folder, 'drill.mjs'), script!.data['drill.mjs'])
  const kubeconfig = join(folder, 'config')
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
      clusters: [{ name: 'k', cluster: { server, 'certificate-authority-data': ca } }],
      users: [{ name: 'u', user: { token: status.token } }],
    }),
    { mode: 0o600 },
  )
  const alerts: Alert[] = []
  const alertmanager = createServer(async (asked, answer) => {
    const parts: Buffer[] = []
    for await (const part of asked) parts.push(part)
    alerts.push(...JSON.parse(Buffer.concat(parts).toString()))
    answer.writeHead(200).end()
  })
  await new Promise<void>(resolve => alertmanager.listen(0, '127.0.0.1', resolve))
  alertmanager.unref()
  const { hostname, port } = new URL(server)
  return {
    alerts,
    token: status.token,
    kubectl: await Kubectl.connect(kubeconfig),
    exec: (namespace: string, name: string) =>
      runInContainer(kubeconfig, { namespace, pod: name, container: 'app' }, ['true']),
    run: () =>
      new Promise<{ code: number; text: string }>(resolve => {
        const env = {
          PATH: process.env.PATH,
          CLUSTER: 'sandbox',
          KUBERNETES_SERVICE_HOST: hostname,
          KUBERNETES_SERVICE_PORT: port,
          DRILL_ACCOUNT: join(folder, 'account'),
          ALERTMANAGER: `http://127.0.0.1:${(alertmanager.address() as AddressInfo).port}`,
          AWS_ACCESS_KEY_ID: s3Access.id,
          AWS_SECRET_ACCESS_KEY: s3Access.secret,
        }
        execFile(process.execPath, [join(folder, 'drill.mjs')], { env }, (error, stdout, stderr) =>
          resolve({ code: error ? Number(error.code) || 1 : 0, text: stdout + stderr }),
        )
      }),
  }
}
