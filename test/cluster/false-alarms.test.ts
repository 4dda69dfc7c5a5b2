/**
 * No false alarm: a healthy platform beside healthy applications of somebody else is silent, and so it is while it is
 * installed, while everything restarts at once, as after a reboot, and while an application is upgraded.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { suite } from '../suite.ts'
import { healthy } from './fault-suite.ts'
import { Bed, type Outcome, runScript } from './harness.ts'

const test = suite('false alarms')
let bed: Bed

test.before(async () => {
  bed = await Bed.start({ certificates: true })
})
test.after(() => bed?.stop())

const NAMESPACE = 'stranger'
const labels = { app: 'shop' }
const resources = { requests: { cpu: '10m', memory: '16Mi' } }
const container = {
  name: 'main',
  image: 'docker.io/library/nginx:1.29',
  ports: [{ name: 'http', containerPort: 80 }],
  resources,
}
const template = { metadata: { labels }, spec: { containers: [container] } }
const named = (apiVersion: string, kind: string, name: string, more: object) => ({
  apiVersion,
  kind,
  metadata: { name, namespace: NAMESPACE },
  ...more,
})

/** What somebody else may run beside the platform: of every kind that the rules judge something that works. */
const APPLICATIONS = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
  named('apps/v1', 'Deployment', 'shop', {
    spec: { replicas: 2, selector: { matchLabels: labels }, template },
  }),
  named('v1', 'Service', 'shop', { spec: { selector: labels, ports: [{ port: 80, targetPort: 'http' }] } }),
  named('apps/v1', 'StatefulSet', 'bank', {
    spec: {
      serviceName: 'bank',
      selector: { matchLabels: { app: 'bank' } },
      template: { metadata: { labels: { app: 'bank' } }, spec: { containers: [container] } },
    },
  }),
  named('v1', 'Service', 'bank', {
    spec: { clusterIP: 'None', selector: { app: 'bank' }, ports: [{ port: 80 }] },
  }),
  named('apps/v1', 'DaemonSet', 'agent', {
    spec: {
      selector: { matchLabels: { app: 'agent' } },
      template: { metadata: { labels: { app: 'agent' } }, spec: { containers: [container] } },
    },
  }),
  named('batch/v1', 'CronJob', 'nightly', {
    spec: {
      schedule: '0 3 * * *',
      jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } } } },
    },
  }),
  named('policy/v1', 'PodDisruptionBudget', 'shop', {
    spec: { minAvailable: 1, selector: { matchLabels: labels } },
  }),
  named('networking.k8s.io/v1', 'NetworkPolicy', 'shop', {
    spec: {
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: {} }] }],
    },
  }),
  // A switched-off part: nobody waits for it.
  named('apps/v1', 'Deployment', 'spare', {
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'spare' } },
      template: { metadata: { labels: { app: 'spare' } }, spec: { containers: [container] } },
    },
  }),
]

/** What is told as broken now. */
async function alarms(): Promise<string[]> {
  const snapshot = await gather(bed.kubectl)
  return diagnose(snapshot, RULES)
    .causes.filter(({ verdict }) => verdict === 'broken')
    .map(({ rule, subject, cause }) => `${rule} ${refText(subject)}: ${cause}`)
}

/** All alarms that are told while a script runs, which has to succeed. */
async function alarmsDuring(run: Promise<Outcome>): Promise<string[]> {
  const heard = new Set<string>()
  let over = false
  const ended = run.finally(() => {
    over = true
  })
  while (!over) {
    for (const alarm of await alarms()) heard.add(alarm)
    await sleep(1000)
  }
  const { code, stderr } = await ended
  assert.is(code, 0, stderr)
  return [...heard]
}

/** All alarms that are told until everything is ready again, and for a while after that. */
async function alarmsUntilReady(): Promise<string[]> {
  const heard = new Set<string>()
  const end = performance.now() + 300_000
  for (let quiet = 0; quiet < 5; ) {
    assert.ok(performance.now() < end, 'the platform does not get ready again')
    for (const alarm of await alarms()) heard.add(alarm)
    quiet = (await unready()).length === 0 ? quiet + 1 : 0
    await sleep(1000)
  }
  return [...heard]
}

/** Pods that are not ready, or on their way out. */
async function unready(): Promise<KubeObject[]> {
  const pods = await bed.kubectl.list('v1', 'Pod')
  return pods.filter(({ metadata, status }) => {
    const ready = (status?.conditions ?? []).find(({ type }: { type: string }) => type === 'Ready')
    return metadata.deletionTimestamp || (status?.phase !== 'Succeeded' && ready?.status !== 'True')
  })
}

test('a platform that is being installed: silent', async () => {
  for (const [name, ...args] of [
    ['install-core', '--yes', '--set', 'git_branch=main'],
    ['install-app', '--yes', '--skip-backup', 'wekan', 'velero'],
  ] as const) {
    const heard = await alarmsDuring(runScript(name, args))
    // True until Flux is there.
    assert.equal(
      heard.filter(alarm => !alarm.startsWith('flux-not-installed ')),
      [],
      name,
    )
  }
  assert.equal(await alarmsUntilReady(), [])
  await healthy()
})

test('healthy applications of somebody else are silent from their first second on', async () => {
  for (const object of APPLICATIONS) await bed.kubectl.apply(object as KubeObject)
  assert.equal(await alarmsUntilReady(), [])
})

test('all pods at once, as after a reboot: silent', async () => {
  for (const pod of await bed.kubectl.list('v1', 'Pod')) await bed.kubectl.delete(refOf(pod))
  assert.equal(await alarmsUntilReady(), [])
})

test('a kubelet that restarts: silent once it is back', async () => {
  await bed.signal('kwok', 'SIGSTOP')
  await sleep(20_000)
  await bed.signal('kwok', 'SIGCONT')
  assert.equal(await alarmsUntilReady(), [])
})

test('an application that is upgraded: silent', async () => {
  const [heard] = await Promise.all([
    alarmsDuring(runScript('install-app', ['wekan', '--yes', '--skip-backup'])),
    bed.kubectl.patch(
      { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'oas-apps', name: 'wekan' },
      { spec: { template: { metadata: { annotations: { 'stranger.example/restarted': 'now' } } } } },
    ),
  ])
  assert.equal([...heard, ...(await alarmsUntilReady())], [])
})

test.run()
