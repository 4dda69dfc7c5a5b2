import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ProviderClient } from '../../../../lib/provider/provider-client.ts'
import { PROVIDERS } from '../../../../lib/provider/providers.ts'
import { clusterNamed } from '../../../../lib/script/cluster.ts'
import {
  type ChangeState,
  readChangeState,
  recordsLeft,
  writeChangeState,
} from '../../../../scripts/change-ip/state.ts'
import { type ChangeContext, planRollback, rollBackChange } from '../../../../scripts/change-ip/steps.ts'
import { test } from '../../../suite.ts'
import { certificate } from '../../certificates.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { standIn, TOKEN } from '../../provider-server.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

// Of the loopback, and nobody listens at the second.
const [OLD, NEW] = ['127.0.0.1', '127.0.0.2']

/** A cluster folder whose address was changed with one variable and one record, and what its steps are run with. */
function changed(change: Partial<ChangeState> = {}, onStep: (title: string) => void = () => undefined) {
  process.env.OAS_CLUSTERS_DIR = temporaryFolder()
  const cluster = clusterNamed('oas')
  mkdirSync(cluster.folder, { recursive: true })
  const state: ChangeState = {
    version: 1,
    old: OLD,
    new: NEW,
    startedAt: '2026-11-22T10:00:00.000Z',
    phase: 'changed',
    restart: false,
    before: { hasOld: true, hasNew: true, api: true, ready: ['vps'] },
    nodes: ['vps'],
    files: [],
    variables: [],
    records: [],
    ...change,
  }
  const warnings: string[] = []
  const quiet = () => undefined
  const run = {
    cluster,
    signal: new AbortController().signal,
    log: { detail: quiet, progress: quiet, warn: (text: string) => warnings.push(text) },
    step: async (title: string, _byHand: unknown, work: () => Promise<unknown>) => {
      onStep(title)
      await work()
    },
  }
  const lock = { take: async () => undefined, give: async () => undefined }
  const ssh = { exec: async () => ({ code: 0, stdout: '', stderr: '' }) } as unknown as ChangeContext['ssh']
  const rollBack = async (provider?: ProviderClient) => {
    const context = {
      run,
      ssh,
      state,
      provider,
      unhealthy: [],
      ready: ['vps'],
      domains: [],
      deadline: 5000,
    }
    const edits = await planRollback({ cluster, ssh, state })
    await rollBackChange({ ...context, api: undefined, lock } as unknown as ChangeContext, edits)
  }
  const saved = (): ChangeState =>
    JSON.parse(readFileSync(join(cluster.folder, 'change-ip', 'state.json'), 'utf8'))
  return { cluster, state, warnings, rollBack, saved }
}

test('a record that was taken back without its provider is left for a rollback with it', async () => {
  const provider = await standIn()
  try {
    provider.records.set('example.org', [{ id: 2, type: 'A', name: 'oas', data: NEW }])
    const record = { zone: 'example.org', id: 2, type: 'A', name: 'oas', before: OLD, after: NEW }
    const { cluster, rollBack, saved, warnings } = changed({ records: [record] })
    await rollBack()
    assert.equal(warnings, [`DNS example.org: set A oas to ${OLD}, or give --provider again`])
    assert.equal([saved().phase, saved().records], ['undone', [record]])
    // The same change once more would not find it by the old address.
    assert.equal(recordsLeft(readChangeState(cluster), OLD, NEW), [record])
    assert.equal(recordsLeft(readChangeState(cluster), OLD, '127.0.0.3'), [])
    const { digitalocean } = PROVIDERS
    await rollBack(new ProviderClient(digitalocean!, provider.url, TOKEN, { backoff: 1, timeout: 2000 }))
    assert.is(provider.records.get('example.org')![0]!.data, OLD)
    assert.equal([saved().phase, saved().records], ['undone', []])
  } finally {
    provider.close()
  }
})

const variables = [{ key: 'ip_address', before: OLD, after: NEW }]

test('what an older version has taken back and still lists is not taken back once more', () => {
  const records = [{ zone: 'example.org', id: 2, type: 'A', name: 'oas', before: OLD, after: NEW }]
  const { cluster, state } = changed({ variables, records })
  const lists = (phase: ChangeState['phase']) => {
    writeChangeState(cluster, { ...state, phase })
    const read = readChangeState(cluster)!
    return [read.variables, read.records]
  }
  assert.equal(lists('undone'), [[], []])
  for (const phase of ['changing', 'changed', 'undoing'] as const)
    assert.equal(lists(phase), [variables, records], phase)
})

test('a change is not taken back while nobody could write the variables of the cluster', async () => {
  const { rollBack, saved } = changed({ variables })
  const error = await expectedFrom(rollBack)
  assert.match(
    error.message,
    `variables of the cluster may still have ${NEW}: its API server does not answer`,
  )
  assert.equal([saved().phase, saved().variables], ['undoing', variables])
})

/** An API server at the old address with the variables of a changed cluster, which refuses everything until it is up. */
async function standInApi() {
  let isUp = false
  const encode = (text: string) => Buffer.from(text).toString('base64')
  const data = { ip_address: encode(NEW), other: encode('x') }
  const resource = (name: string, kind: string) => ({ name, kind, namespaced: true, verbs: ['get', 'list'] })
  const node = {
    metadata: { name: 'vps' },
    status: {
      addresses: [{ type: 'InternalIP', address: OLD }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  }
  const metadata = { namespace: 'flux-system', name: 'oas-cluster-variables', resourceVersion: '7' }
  const patched: unknown[] = []
  const answers: Record<string, () => object> = {
    '/version': () => ({ gitVersion: 'v1.36.4+k3s1' }),
    '/api/v1': () => ({
      resources: [
        { ...resource('nodes', 'Node'), namespaced: false },
        resource('secrets', 'Secret'),
        resource('services', 'Service'),
        resource('pods', 'Pod'),
      ],
    }),
    '/apis/coordination.k8s.io/v1': () => ({ resources: [resource('leases', 'Lease')] }),
    '/api/v1/nodes': () => ({ items: [node] }),
    '/api/v1/namespaces/flux-system/secrets/oas-cluster-variables': () => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata,
      data,
    }),
    '/api/v1/services': () => ({ items: [] }),
    '/api/v1/pods': () => ({ items: [] }),
    '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases': () => ({ items: [] }),
  }
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const known = answers[new URL(request.url!, 'https://x').pathname]
    let body = ''
    request.on('data', text => {
      body += text
    })
    request.on('end', () => {
      if (request.method === 'PATCH') {
        patched.push(JSON.parse(body))
        Object.assign(data, JSON.parse(body).data)
      }
      const code = !isUp ? 403 : known ? 200 : 404
      response.writeHead(code, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(code === 200 ? known!() : { kind: 'Status', code, message: 'no' }))
    })
  }
  const tls = await certificate(-1, 1, [OLD, 'kubernetes'])
  const api = await serve(answer, tls)
  const server = { server: api.url, 'certificate-authority-data': encode(tls.cert) }
  return {
    kubeconfig: readFileSync(kubeconfigFile(server)),
    patched,
    close: () => api.close(),
    start: () => {
      isUp = true
    },
  }
}

const written = [
  {
    metadata: { resourceVersion: '7' },
    data: { ip_address: Buffer.from(OLD).toString('base64') },
  },
]

type StandIn = Awaited<ReturnType<typeof standInApi>>

/** Takes a change back while a stand-in of the API server starts as `onStep` says; returns what it was sent, and the state. */
async function rolledBackBeside(
  state: Partial<ChangeState>,
  onStep: (title: string, api: StandIn) => void,
): Promise<{ patched: unknown; saved: ChangeState }> {
  const api = await standInApi()
  try {
    const { cluster, rollBack, saved } = changed(state, title => onStep(title, api))
    writeFileSync(cluster.kubeconfig, api.kubeconfig)
    await rollBack()
    return { patched: api.patched, saved: saved() }
  } finally {
    api.close()
  }
}

test('variables are written once the API server is up again, where it was down before', async () => {
  const { patched, saved } = await rolledBackBeside({ variables }, (title, api) => {
    if (title.startsWith('API server')) api.start()
  })
  assert.equal(patched, written)
  assert.equal([saved.phase, saved.variables], ['undone', []])
})

test('the same on a server that was moved, where k3s starts again only with the settings of before', async () => {
  const before = { hasOld: false, hasNew: true, api: true, ready: ['vps'] }
  const { patched, saved } = await rolledBackBeside({ variables, before, restart: true }, (title, api) => {
    // Not at once: its API server has some seconds to answer.
    if (title === 'Restart k3s') setTimeout(api.start, 300)
  })
  assert.equal(patched, written)
  assert.equal([saved.phase, saved.variables], ['undone', []])
})

test.run()
