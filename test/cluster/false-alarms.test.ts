/**
 * No false alarm: a healthy platform beside healthy applications of somebody else is silent, and so it is while it is
 * installed, while everything restarts at once, as after a reboot, and while an application is upgraded.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { suite } from '../suite.ts'
import { alarmsDuring, alarmsUntilReady } from './alarms-heard.ts'
import { healthy } from './fault-suite.ts'
import { Bed, runScript } from './harness.ts'

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

test('a platform that is being installed: silent', async () => {
  for (const [name, ...args] of [
    ['install-core', '--yes', '--set', 'git_branch=main'],
    ['install-app', '--yes', '--skip-backup', 'wekan', 'velero'],
  ] as const) {
    const heard = await alarmsDuring(bed, runScript(name, args))
    // True until Flux is there.
    assert.equal(
      heard.filter(alarm => !alarm.startsWith('flux-not-installed ')),
      [],
      name,
    )
  }
  assert.equal(await alarmsUntilReady(bed), [])
  await healthy()
})

test('healthy applications of somebody else are silent from their first second on', async () => {
  for (const object of APPLICATIONS) await bed.kubectl.apply(object as KubeObject)
  assert.equal(await alarmsUntilReady(bed), [])
})

test('all pods at once, as after a reboot: silent', async () => {
  for (const pod of await bed.kubectl.list('v1', 'Pod')) await bed.kubectl.delete(refOf(pod))
  assert.equal(await alarmsUntilReady(bed), [])
})

test('a kubelet that restarts: silent once it is back', async () => {
  await bed.signal('kwok', 'SIGSTOP')
  await sleep(20_000)
  await bed.signal('kwok', 'SIGCONT')
  assert.equal(await alarmsUntilReady(bed), [])
})

test('an application that is upgraded: silent', async () => {
  const [heard] = await Promise.all([
    alarmsDuring(bed, runScript('install-app', ['wekan', '--yes', '--skip-backup'])),
    bed.kubectl.patch(
      { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'oas-apps', name: 'wekan' },
      { spec: { template: { metadata: { annotations: { 'stranger.example/restarted': 'now' } } } } },
    ),
  ])
  assert.equal([...heard, ...(await alarmsUntilReady(bed))], [])
})

test.run()
