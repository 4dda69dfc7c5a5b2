/** The Services of single sign-on on a bed with nothing installed: as the charts make them (test/bed/charts/kratos, hydra). */
import * as assert from 'uvu/assert'
import { until } from '../../lib/script/wait.ts'
import { type Bed, runScript } from './harness.ts'

/** Creates the namespace `oas`, and waits until pods can be created in it. */
export async function prepareNamespace(bed: Bed): Promise<void> {
  await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'oas' } })
  await until(
    async () => {
      const account = { apiVersion: 'v1', kind: 'ServiceAccount', namespace: 'oas', name: 'default' }
      return (await bed.kubectl.get(account)) ? { done: true } : { last: undefined }
    },
    { deadline: 90_000, every: 200, describe: () => 'no account for pods' },
  )
}

/** A Service, and the pod behind it. */
export async function serve(bed: Bed, service: string, port: number, container: number): Promise<void> {
  const labels = { 'app.kubernetes.io/name': service }
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'oas', name: service },
    spec: { selector: labels, ports: [{ name: 'http', port, targetPort: container }] },
  })
  await bed.kubectl.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'oas', name: `${service}-0`, labels },
    spec: {
      nodeName: 'sandbox',
      containers: [{ name: 'main', image: 'app', ports: [{ containerPort: container }] }],
    },
  })
}

/** Serves what the script `users` needs besides kratos-public, and waits until it has an answer. */
export async function serveAccounts(bed: Bed): Promise<void> {
  await serve(bed, 'kratos-admin', 80, 4434)
  await serve(bed, 'hydra-admin', 4445, 4445)
  await until(
    async () => {
      const outcome = await runScript('users', ['list'])
      return outcome.code === 0 ? { done: true } : { last: outcome.stderr }
    },
    { deadline: 90_000, every: 500, describe: String },
  )
}

/** Logs in as a browser's user would: the token of the session, or undefined when kratos refuses. */
export async function logInAt(bed: Bed, identifier: string, password: string): Promise<string | undefined> {
  const at = `${bed.login.kratosPublic}/self-service/login`
  const flow = await fetch(`${at}/api`)
  assert.ok(flow.ok, `${flow.status} ${await flow.clone().text()}`)
  const { id } = (await flow.json()) as { id: string }
  const response = await fetch(`${at}?flow=${id}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ method: 'password', identifier, password }),
  })
  return response.ok ? ((await response.json()) as { session_token: string }).session_token : undefined
}
