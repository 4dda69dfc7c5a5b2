import { X509Certificate } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clusterNamed } from '../../../../lib/script/cluster.ts'
import { parseFacts } from '../../../../lib/server/reader.ts'
import {
  IDENTITY,
  identityProblem,
  identityText,
  type KnownIdentity,
  knownIdentity,
  type Mark,
  type ServerIdentity,
} from '../../../../lib/server/server-identity.ts'
import { certificate } from '../../certificates.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { said } from './said.ts'

const mark: Mark = {
  cluster: 'oas',
  domain: 'oas.example.org',
  machineId: 'm1',
  markedAt: '2026-11-22T10:00:00.000Z',
}
const server: ServerIdentity = {
  hostname: 'vps',
  machineId: 'm1',
  addresses: ['10.77.0.2'],
  marked: mark,
  serverCa: 'AA:BB:CC:DD:EE:FF:00:11:22:33',
}
const known: KnownIdentity = { cluster: 'oas', domain: 'oas.example.org', serverCa: server.serverCa }

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('the server of the cluster is recognised by its mark, its authority, or both', () => {
  assert.is(identityProblem(server, known), undefined)
  assert.is(identityProblem({ ...server, serverCa: undefined }, known), undefined)
  assert.is(identityProblem(server, { ...known, serverCa: undefined }), undefined)
  assert.is(identityProblem({ ...server, marked: undefined }, known), undefined)
  assert.is(identityProblem(server, { ...known, domain: undefined }), undefined)
})

test('whatever differs is named, whatever else is equal', () => {
  const other = 'FF:FF:FF:FF:FF:FF:FF:FF'
  const problem = (changed: Partial<ServerIdentity>, of: Partial<KnownIdentity> = {}) =>
    identityProblem({ ...server, ...changed }, { ...known, ...of }) ?? ''
  assert.match(problem({}, { cluster: 'other' }), /cluster oas, not of other/)
  assert.match(problem({}, { domain: 'other.org' }), /domain oas\.example\.org, not of other\.org/)
  assert.match(problem({ machineId: 'm2' }), /machine-id m1, here m2.*copy of its disk/)
  assert.match(problem({ serverCa: other }), /another certificate authority.*FF:FF:FF.*AA:BB:CC/)
  assert.match(problem({ serverCa: other, marked: undefined }), /another certificate authority/)
})

test('nothing in common proves nothing', () => {
  const bare = { ...server, marked: undefined, serverCa: undefined }
  assert.match(identityProblem(bare, known)!, /neither a mark .* nor a k3s/)
  assert.match(
    identityProblem({ ...server, marked: undefined }, { ...known, serverCa: undefined })!,
    /no mark .* no kubeconfig/,
  )
})

test('while it is purged, the authority that its mark remembers counts for the one that is gone', () => {
  const purging = { since: '2026-11-22T11:00:00.000Z', serverCa: server.serverCa }
  const half = { ...server, serverCa: undefined, marked: { ...mark, purging } }
  assert.is(identityProblem(half, known), undefined)
  assert.match(identityProblem(half, { ...known, serverCa: 'FF:FF' })!, /another certificate authority/)
  assert.is(identityProblem(half, { ...known, serverCa: undefined }), undefined)
})

test('what the server says is parsed; an authority that is cut short is none', async () => {
  const { cert } = await certificate(-1, 1)
  const { cert: root } = await certificate(-1, 1)
  const identity = (serverCa: string) =>
    parseFacts(
      IDENTITY,
      said(IDENTITY, {
        hostname: 'vps\n',
        machineId: 'm1\n',
        addresses: '10.77.0.2\nfd00::2\n',
        marked: JSON.stringify(mark),
        serverCa,
      }),
    )
  assert.equal(identity(`${cert}\n${root}`), {
    ...server,
    addresses: ['10.77.0.2', 'fd00::2'],
    serverCa: new X509Certificate(cert).fingerprint256,
  })
  assert.is(identity(cert.slice(0, 200)).serverCa, undefined)
  assert.equal(parseFacts(IDENTITY, said(IDENTITY, { hostname: 'vps\n', machineId: 'm1\n' })), {
    hostname: 'vps',
    machineId: 'm1',
    addresses: [],
    marked: undefined,
    serverCa: undefined,
  })
})

test('a damaged mark is refused, not ignored', async () => {
  for (const text of ['', '{', '[]', '{"cluster":"oas"}', JSON.stringify({ ...mark, purging: true })]) {
    const error = await expectedFrom(() => parseFacts(IDENTITY, said(IDENTITY, { marked: text })))
    assert.is(error.exitCode, 4)
    assert.match(error.message, /cluster\.json on the server is damaged/)
  }
})

test('the folder knows its domain and the authority of the current context', async () => {
  process.env.OAS_CLUSTERS_DIR = temporaryFolder()
  const cluster = clusterNamed('oas')
  mkdirSync(cluster.folder)
  assert.equal(await knownIdentity(cluster), { cluster: 'oas', domain: undefined, serverCa: undefined })

  const [{ cert }, { cert: other }] = await Promise.all([certificate(-1, 1), certificate(-1, 1)])
  const entry = (name: string, pem: string) => ({
    name,
    cluster: { server: 'https://10.77.0.2:6443', 'certificate-authority-data': base64(pem) },
  })
  writeFileSync(cluster.env, 'domain=oas.example.org\n')
  const config = {
    contexts: [
      { name: 'a', context: { cluster: 'other' } },
      { name: 'default', context: { cluster: 'default' } },
    ],
    'current-context': 'default',
    clusters: [entry('other', other), entry('default', cert)],
  }
  writeFileSync(cluster.kubeconfig, JSON.stringify(config))
  const { fingerprint256 } = new X509Certificate(cert)
  assert.equal(await knownIdentity(cluster), {
    cluster: 'oas',
    domain: 'oas.example.org',
    serverCa: fingerprint256,
  })

  writeFileSync(cluster.kubeconfig, 'no: [kubeconfig')
  assert.match((await expectedFrom(() => knownIdentity(cluster))).message, /is not a kubeconfig/)
})

test('the identity is told in one line', () => {
  assert.is(identityText(server), 'vps, 10.77.0.2, machine-id m1, marked as oas (oas.example.org)')
  assert.match(identityText({ ...server, marked: undefined, addresses: [] }), /no address, .*, not marked$/)
})

test.run()
