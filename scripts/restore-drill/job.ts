/**
 * The drill as a job in the cluster: bundled into one file, which a ConfigMap holds (see schedule.ts). It tries the
 * newest proved backup with every installed application, and reports what is wrong to Alertmanager.
 */
import { readFileSync } from 'node:fs'
import { countingWith } from '../../lib/backup/contents.ts'
import { readBackupObjects } from '../../lib/backup/proof.ts'
import { repositoryPassword } from '../../lib/backup/repository.ts'
import { veleroRef } from '../../lib/backup/velero.ts'
import { connectTo } from '../../lib/kubectl/kube-client.ts'
import type { Access } from '../../lib/kubectl/kubeconfig.ts'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import type { Config } from '../../lib/platform/config.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { chooseProved, drillAll, drillText, markDrill, subjects, verdictOf } from './drill.ts'

/** Where a pod finds the account that it runs as (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod). */
const ACCOUNT = process.env.DRILL_ACCOUNT ?? '/var/run/secrets/kubernetes.io/serviceaccount'
/** How long the restore of one application may take. */
const DEADLINE = 5 * 3_600_000
/** How long Alertmanager keeps an alert that nobody repeats. */
const KEPT = 7 * 86_400_000

/** The access of the pod itself. */
function ownAccess(): Access {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  const ca = readFileSync(`${ACCOUNT}/ca.crt`)
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    proxied: false,
    elsewhere: [],
    // The token is renewed while the pod runs.
    options: async () => ({
      ca,
      headers: { Authorization: `Bearer ${readFileSync(`${ACCOUNT}/token`, 'utf8').trim()}` },
    }),
  }
}

/** The bucket: its address as Velero has it, the keys from the environment. */
async function bucketConfig(kubectl: Kubectl): Promise<Config> {
  const { config = {}, objectStorage = {} } =
    (await kubectl.get(veleroRef('BackupStorageLocation', 'default')))?.spec ?? {}
  return {
    backup_s3_url: config.s3Url,
    backup_s3_region: config.region,
    backup_s3_bucket: objectStorage.bucket,
    backup_s3_prefix: objectStorage.prefix ?? '',
    backup_s3_aws_access_key_id: process.env.AWS_ACCESS_KEY_ID ?? '',
    backup_s3_aws_secret_access_key: process.env.AWS_SECRET_ACCESS_KEY ?? '',
  }
}

/** Tells Alertmanager (https://prometheus.io/docs/alerting/latest/alerts_api). Throws when it does not take it. */
async function alert(summary: string): Promise<void> {
  const answer = await fetch(`${process.env.ALERTMANAGER}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(30_000),
    body: JSON.stringify([
      {
        labels: { alertname: 'RestoreDrillFailed', namespace: 'velero', severity: 'critical' },
        annotations: { summary, runbook_url: 'runbooks/restore-drill.md' },
        endsAt: new Date(Date.now() + KEPT).toISOString(),
      },
    ]),
  })
  if (!answer.ok) throw new Error(`Alertmanager answers ${answer.status}`)
}

async function drillNewest(signal: AbortSignal): Promise<string[]> {
  const access = ownAccess()
  const kubectl = new Kubectl(await connectTo(access, 'the account of this job'), signal)
  const { backup, proof } = await chooseProved(kubectl, await bucketConfig(kubectl), {}, signal)
  const counting = countingWith(access, await repositoryPassword(kubectl), signal)
  const objects = await readBackupObjects(kubectl)
  const { results, problems } = await drillAll(
    kubectl,
    await subjects(kubectl, backup, proof, objects, undefined),
    { backup, proof },
    counting,
    {
      deadline: DEADLINE,
      log: { progress: text => console.log(text) },
      signal,
      step: async (app, work) => console.log(`${app}: ${await work()}`),
    },
  )
  const verdict = verdictOf(process.env.CLUSTER ?? '', { backup, proof, results, now: Date.now() })
  console.log(drillText(verdict))
  await markDrill(kubectl, verdict)
  return problems.map(({ message }) => message)
}

const ending = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => ending.abort(new Error(`it was ended by ${signal}`)))
const wrong = await drillNewest(ending.signal).catch((error: unknown) => [messageOf(error)])
for (const line of wrong) console.error(line)
if (wrong.length > 0) {
  process.exitCode = 1
  await alert(`The restore drill has failed: ${wrong.join('; ').slice(0, 2000)}`).catch(error =>
    console.error(messageOf(error)),
  )
}
process.exit()
