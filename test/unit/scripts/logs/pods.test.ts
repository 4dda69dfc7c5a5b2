import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { logContainersOf } from '../../../../lib/logs/containers.ts'
import { type Line, lines, merge } from '../../../../lib/logs/lines.ts'
import { type LogReadOptions, readLogs } from '../../../../lib/logs/read.ts'
import { targetNamed } from '../../../../lib/logs/target.ts'
import { ExpectedError, UsageError } from '../../../../lib/script/errors.ts'
import { selects } from '../../../../scripts/logs/filter.ts'
import { partsOf, streamsOf } from '../../../../scripts/logs/pods.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

type Labels = Record<string, string>

function object(
  kind: string,
  name: string,
  labels: Labels = {},
  owner?: string,
  namespace = 'oas',
): KubeObject {
  const ownerReferences = owner
    ? [{ apiVersion: 'v1', kind: 'K', name: owner, uid: `uid-${owner}`, controller: true }]
    : undefined
  return {
    apiVersion: 'v1',
    kind,
    metadata: { name, namespace, uid: `uid-${name}`, labels, ownerReferences },
  }
}
const from = (name: string) => ({ 'kustomize.toolkit.fluxcd.io/name': name })
const kustomizations = [object('Kustomization', 'core'), object('Kustomization', 'nextcloud')]
const releases = [
  object('HelmRelease', 'nextcloud', from('nextcloud'), undefined, 'oas-apps'),
  object('HelmRelease', 'nextcloud-mariadb', from('nextcloud'), undefined, 'oas-apps'),
  object('HelmRelease', 'hydra', from('core')),
]

test('a name is a Kustomization first, then a HelmRelease', () => {
  const app = targetNamed('nextcloud', kustomizations, releases)
  assert.equal(
    app.releases.map(({ name }) => name),
    ['nextcloud', 'nextcloud-mariadb'],
  )
  assert.equal([app.kustomization, app.namespaces], ['nextcloud', ['oas-apps']])
  const release = targetNamed('hydra', kustomizations, releases)
  assert.equal([release.kustomization, release.releases.length, release.namespaces], [undefined, 1, ['oas']])
})

test('a Kustomization’s own workloads are looked for where they are', () => {
  const kustomization = object('Kustomization', 'x')
  kustomization.status = { inventory: { entries: [{ id: 'oas_job_batch_Job' }, { id: '_ns__Namespace' }] } }
  const target = targetNamed('x', [kustomization], [])
  assert.equal(target.namespaces, ['oas'])
})

test('an unknown name is a wrong usage with a suggestion; an application that is not installed is told so', async () => {
  const typo = await expectedFrom(() => targetNamed('nextclod', kustomizations, releases))
  assert.instance(typo, UsageError)
  assert.is(typo.fix, 'did you mean nextcloud?')
  const absent = await expectedFrom(() => targetNamed('wekan', kustomizations, releases))
  assert.instance(absent, ExpectedError)
  assert.equal([absent.message, absent.exitCode], ['wekan is not installed', 1])
  assert.match((await expectedFrom(() => targetNamed('x', [], []))).fix, 'NAMESPACE/POD')
})

test('a release is known by the name that Helm gives it', () => {
  const plain = object('HelmRelease', 'a')
  const moved = { ...object('HelmRelease', 'b'), spec: { targetNamespace: 'velero' } }
  const named = { ...object('HelmRelease', 'c'), spec: { targetNamespace: 'velero', releaseName: 'd' } }
  const instances = ['a', 'b', 'c'].map(name => {
    const target = targetNamed(name, [], [plain, moved, named])
    return target.releases.map(each => `${each.targetNamespace}/${each.instance}`)
  })
  assert.equal(instances, [['oas/a'], ['velero/velero-b'], ['velero/d']])
})

test('pods are found by their owners’ labels or their own, and no others', () => {
  const helm = (name: string) => ({
    'helm.toolkit.fluxcd.io/name': name,
    'helm.toolkit.fluxcd.io/namespace': 'oas',
  })
  const owners = [
    object('Deployment', 'hydra', helm('hydra')),
    object('ReplicaSet', 'hydra-1', {}, 'hydra'),
    object('Deployment', 'hydra-two', helm('hydra-two')),
    object('ReplicaSet', 'hydra-two-1', {}, 'hydra-two'),
    object('Job', 'admin-user', from('core')),
  ]
  const pods = [
    object('Pod', 'z-by-owner', {}, 'hydra-1'),
    object('Pod', 'by-instance', { 'app.kubernetes.io/instance': 'hydra' }),
    object('Pod', 'by-old-label', { release: 'hydra' }),
    object('Pod', 'of-another-release', {}, 'hydra-two-1'),
    object('Pod', 'of-another-namespace', { release: 'hydra' }, undefined, 'else'),
    object('Pod', 'of-the-job', {}, 'admin-user'),
    object('Pod', 'of-nobody', {}, 'gone'),
  ]
  const found = (name: string) => {
    const target = targetNamed(name, kustomizations, releases)
    return partsOf(target, pods, owners).pods.map(({ metadata }) => metadata.name)
  }
  assert.equal(found('hydra'), ['by-instance', 'by-old-label', 'z-by-owner'])
  assert.equal(found('core'), ['by-instance', 'by-old-label', 'of-the-job', 'z-by-owner'])
  assert.equal(found('nextcloud'), [])
})

test('the streams of a target are those of its pods, also of those that are gone', () => {
  const labels = { 'app.kubernetes.io/instance': 'hydra' }
  const owners = [
    object('Deployment', 'hydra', labels),
    object('ReplicaSet', 'hydra-5d4f', labels, 'hydra'),
    object('StatefulSet', 'hydra.db', labels),
    object('CronJob', 'hydra-janitor', labels),
    object('DaemonSet', 'another'),
  ]
  const pods = [object('Pod', 'hydra-5d4f-abcde', labels), object('Pod', 'by-an-operator', labels)]
  const target = targetNamed('hydra', kustomizations, releases)
  const streams = streamsOf(target, partsOf(target, pods, owners))!
  const has = (pod: string, namespace = 'oas') => selects(streams, { pod, namespace })
  for (const pod of ['hydra-5d4f-abcde', 'hydra-77c8-zzzzz', 'hydra.db-0', 'hydra-janitor-2931-abc4e'])
    assert.ok(has(pod), pod)
  assert.ok(has('by-an-operator'))
  for (const pod of ['hydra', 'hydra-two-5d4f-abcde', 'hydraxdb-0', 'another-abcde', 'x-hydra.db-0'])
    assert.not(has(pod), pod)
  assert.not(has('hydra.db-0', 'else'))
  assert.is(streamsOf(target, { pods: [], workloads: [] }), undefined)
  // Workloads tell it; what they have made adds nothing.
  const { workloads } = partsOf(target, pods, owners)
  assert.equal(
    workloads.map(({ metadata }) => metadata.name),
    ['hydra', 'hydra-janitor', 'hydra.db'],
  )
})

test('a long name is cut short in those of its pods, and they are found', () => {
  const name = `n${'x'.repeat(52)}`
  const target = targetNamed('hydra', kustomizations, releases)
  const workloads = [object('Deployment', name)]
  const streams = streamsOf(target, { pods: [], workloads })!
  assert.ok(selects(streams, { namespace: 'oas', pod: `${`${name}-5d4f8b9c7d-`.slice(0, 58)}abcde` }))
})

/** A pod with one container in this state. */
function podWith(containerStatus: object | undefined, status: object = {}): KubeObject {
  return {
    ...object('Pod', 'p'),
    spec: { containers: [{ name: 'app' }] },
    status: {
      phase: 'Pending',
      ...status,
      containerStatuses: containerStatus ? [{ name: 'app', restartCount: 3, ...containerStatus }] : undefined,
    },
  }
}
const ended = { terminated: { exitCode: 1 } }

for (const [what, pod, now, before] of [
  ['runs', podWith({ state: { running: {} } }), [true, undefined], false],
  ['runs again', podWith({ state: { running: {} }, lastState: ended }), [true, undefined], true],
  ['has ended', podWith({ state: ended }), [true, undefined], false],
  [
    'waits for its image',
    podWith({ state: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off\n  pulling' } } }),
    [false, 'waits: ImagePullBackOff: Back-off pulling'],
    false,
  ],
  [
    'crashes again and again',
    podWith({ state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: ended }),
    [true, 'waits: CrashLoopBackOff'],
    true,
  ],
  [
    'is of an evicted pod',
    podWith(undefined, { phase: 'Failed', reason: 'Evicted', message: 'The node was low' }),
    [false, 'the pod was ended: Evicted: The node was low'],
    false,
  ],
  [
    'has no node',
    podWith(undefined, {
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }],
    }),
    [false, 'the pod has no node: Unschedulable: 0/1 nodes'],
    false,
  ],
  ['is new', podWith(undefined), [false, 'not started yet; the pod is Pending'], false],
] as const)
  test(`a container that ${what}`, () => {
    const [current] = logContainersOf(pod, false)
    assert.equal([current!.readable, current!.why], now)
    const [previous] = logContainersOf(pod, true)
    assert.is(previous!.readable, before)
    assert.is(previous!.why === undefined, before)
  })

test('containers come in the order in which they start, and a restart makes another run', () => {
  const pod = podWith({ state: { running: {} } })
  pod.spec.initContainers = [{ name: 'init' }]
  pod.spec.ephemeralContainers = [{ name: 'debug' }]
  pod.status.initContainerStatuses = [{ name: 'init', state: ended }]
  const names = logContainersOf(pod, false).map(({ container, running }) => `${container} ${running}`)
  assert.equal(names, ['init false', 'app true', 'debug false'])
  const run = (restartCount: number) =>
    logContainersOf(podWith({ state: { running: {} }, restartCount }), false)[0]!.run
  assert.is(run(1), run(1))
  assert.is.not(run(1), run(2))
})

const container = { namespace: 'oas', pod: 'p', container: 'app' }
async function* pieces(...texts: string[]) {
  yield* texts
}
async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const each of all) found.push(each)
  return found
}

test('lines are put together from pieces, with their time', async () => {
  const found = await collect(
    lines(
      pieces(
        '2026-06-01T12:00:00.123456789Z one\n2026-06-01T14:00:01+02:00 tw',
        'o\r\n2026-06-01T12:00:02Z \n',
        'unable to retrieve\n2026-06-01T12:00:03Z  kept space',
      ),
      container,
    ),
  )
  assert.equal(
    found.map(({ time, text }) => [time, text]),
    [
      ['2026-06-01T12:00:00.123456789Z', 'one'],
      ['2026-06-01T14:00:01+02:00', 'two'],
      ['2026-06-01T12:00:02Z', ''],
      ['', 'unable to retrieve'],
      ['2026-06-01T12:00:03Z', ' kept space'],
    ],
  )
})

test('fuzz: however a log is cut into pieces, its lines are the same', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary' }).map(text => text.replaceAll(/[\n\r]/g, ' '))),
      fc.array(fc.nat(200)),
      async (texts, cuts) => {
        const all = texts.map(text => `2026-06-01T12:00:00Z ${text}\n`).join('')
        const at = [0, ...cuts.map(cut => Math.min(cut, all.length)).sort((a, b) => a - b), all.length]
        const cut = at.slice(1).map((end, i) => all.slice(at[i], end))
        const found = await collect(lines(pieces(...cut), container))
        assert.equal(
          found.map(({ text }) => text),
          texts,
        )
      },
    ),
  ))

async function* log(name: string, ...times: string[]): AsyncGenerator<Line, void> {
  for (const [i, time] of times.entries()) yield { ...container, container: name, time, text: `${name}${i}` }
}
const texts = async (merged: AsyncIterable<Line>) => (await collect(merged)).map(({ text }) => text).join(' ')

test('logs are merged by time: across time zones, to the nanosecond, and what has none stays where it is', async () => {
  const a = () =>
    log('a', '2026-06-01T12:00:00.000000002Z', '2026-06-01T12:00:05Z', '', '2026-06-01T12:00:09Z')
  const b = () => log('b', '2026-06-01T12:00:00.000000001Z', '2026-06-01T14:00:06+02:00')
  assert.is(await texts(merge([a(), b()])), 'b0 a0 a1 a2 b1 a3')
  assert.is(await texts(merge([b(), a()])), 'b0 a0 a1 a2 b1 a3')
  assert.is(await texts(merge([])), '')
})

test('a merge that is left early, or fails, leaves no log open', async () => {
  const closed: string[] = []
  async function* endless(name: string): AsyncGenerator<Line, void> {
    try {
      for (let i = 0; ; i++) yield { ...container, time: '2026-06-01T12:00:00Z', text: `${name}${i}` }
    } finally {
      closed.push(name)
    }
  }
  for await (const _ of merge([endless('a'), endless('b')])) break
  assert.equal(closed.sort(), ['a', 'b'])
  async function* broken(): AsyncGenerator<Line, void> {
    yield* []
    throw new Error('broken')
  }
  const failure = await collect(merge([endless('c'), broken()])).catch(error => error)
  assert.equal([failure.message, closed.at(-1)], ['broken', 'c'])
})

test('transport: a log comes in pieces as they are sent, and characters are not cut', async () => {
  let go = () => {}
  const { url, close } = await serve((_request, response) => {
    const euro = Buffer.from('€\n')
    response.write(Buffer.concat([Buffer.from('one\n'), euro.subarray(0, 2)]))
    go = () => response.end(euro.subarray(2))
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const found: string[] = []
  for await (const piece of kubectl.logs({ namespace: 'oas', name: 'p' }, 'app', { follow: true })) {
    found.push(piece)
    go() // only when the first piece is here
  }
  assert.equal(found, ['one\n', '€\n'])
  kubectl.client.close()
  close()
})

test('transport: what is searched for is searched for in the whole log, and its last lines are shown', async () => {
  const asked: string[] = []
  const { url, close } = await serve((request, response) => {
    asked.push(new URL(request.url!, url).search)
    const line = (i: number) => `2026-06-01T12:00:0${i}Z ${i % 2 ? 'odd' : 'even'} ${i}\n`
    response.end(Array.from({ length: 9 }, (_, i) => line(i)).join(''))
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const [running] = logContainersOf(podWith({ state: { running: {} } }), false)
  const read = async (wanted: Partial<LogReadOptions>) => {
    const log = readLogs(kubectl, [running!], { previous: false, ...wanted }, () => assert.unreachable())
    return (await collect(log)).map(({ text }) => text)
  }
  const keep = (text: string) => text.startsWith('odd')
  assert.equal(await read({ keep, tailLines: 2 }), ['odd 5', 'odd 7'])
  const until = Date.parse('2026-06-01T12:00:05Z')
  assert.equal(await read({ keep, until, since: until - 60_000 }), ['odd 1', 'odd 3'])
  assert.equal((await read({ tailLines: 3 })).length, 9)
  assert.equal(asked, [
    '?container=app&timestamps=true',
    '?container=app&sinceTime=2026-06-01T11%3A59%3A05.000Z&timestamps=true',
    '?container=app&tailLines=3&timestamps=true',
  ])
  kubectl.client.close()
  close()
})

test('transport: a kubelet that hangs is given up', async () => {
  const { url, close } = await serve((_request, response) => response.write('2026-06-01T12:00:00Z one\n'))
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const [running] = logContainersOf(podWith({ state: { running: {} } }), false)
  const patience = new AbortController()
  const late = new ExpectedError('late', 'wait')
  setTimeout(() => patience.abort(late), 100)
  const wanted = { previous: false, signal: patience.signal }
  const log = readLogs(kubectl, [running!], wanted, () => assert.unreachable())
  assert.is(await expectedFrom(() => collect(log)), late)
  kubectl.client.close()
  close()
})

test('transport: the options of a log, and its refusal', async () => {
  const asked: string[] = []
  const { url, close } = await serve((request, response) => {
    asked.push(request.url!)
    response.writeHead(400).end('{"message":"container is waiting to start: ContainerCreating"}')
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const options = { tailLines: 5, previous: true, timestamps: true, sinceSeconds: undefined }
  const error = await expectedFrom(() =>
    collect(kubectl.logs({ namespace: 'a/b', name: 'p' }, 'c&d', options)),
  )
  assert.is(error.message, 'reading the log of a/b/p c&d: container is waiting to start: ContainerCreating')
  assert.equal(asked, [
    '/api/v1/namespaces/a%2Fb/pods/p/log?container=c%26d&tailLines=5&previous=true&timestamps=true',
  ])
  kubectl.client.close()
  close()
})

test('transport: an abort ends a log that is followed, with its own reason', async () => {
  const { url, close } = await serve((_request, response) => response.write('one\n'))
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const abort = new AbortController()
  const reason = new Error('enough')
  const failure = await (async () => {
    const pod = { namespace: 'oas', name: 'p' }
    for await (const _ of kubectl.logs(pod, 'app', { follow: true, signal: abort.signal }))
      abort.abort(reason)
  })().catch(error => error)
  assert.is(failure, reason)
  kubectl.client.close()
  close()
})

test('a line without an end is told in parts, so that it does not fill the memory', async () => {
  async function* endless(): AsyncGenerator<string, void> {
    for (;;) yield 'x'.repeat(100_000)
  }
  let parts = 0
  for await (const { text } of lines(endless(), { namespace: 'n', pod: 'p', container: 'c' })) {
    assert.ok(text.length < 1_200_000)
    if (++parts === 3) break
  }
  assert.is(parts, 3)
})

test.run()
