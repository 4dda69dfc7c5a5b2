/**
 * A stand-in for Loki, a process of its own: it answers the part of Loki's HTTP API that this toolkit uses, and keeps
 * its lines in one file. Loki itself is not run here, since its licence is the AGPL. The API is described in
 * docs/sources/reference/loki-http-api.md of github.com/grafana/loki; what the stand-in leaves out is in README.md.
 *
 * Usage: node --import tsx test/bed/loki/server.ts --port=PORT --file=FILE
 */
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'
import { readIfExists } from '../../../lib/script/files.ts'
import { LOOPBACK } from '../cluster/spec.ts'
import { queryRange, streamsIn } from './query.ts'
import { type Pushed, Refusal, Store } from './store.ts'

const { values } = parseArgs({ options: { port: { type: 'string' }, file: { type: 'string' } } })
const file = values.file!
/** The longest body of a request, in bytes. */
const LONGEST_BODY = 64 << 20

const store = new Store()
for (const line of (readIfExists(file) ?? '').split('\n')) {
  try {
    store.restore(JSON.parse(line) as Pushed[])
  } catch {
    // Empty, or cut off when the process was killed: nobody was told that it was taken.
  }
}

const now = () => BigInt(Date.now()) * 1_000_000n

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > LONGEST_BODY) throw new Refusal(`request body too large, limit: ${LONGEST_BODY} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function push(body: string): void {
  let parsed: { streams?: unknown } | null
  try {
    parsed = JSON.parse(body)
  } catch {
    throw new Refusal('the body of a push is JSON here; protocol buffers are not known to the stand-in')
  }
  const refused = new Set<string>()
  const taken = store.push(parsed?.streams, now(), why => refused.add(why))
  appendFileSync(file, `${JSON.stringify(taken)}\n`, { mode: 0o600 })
  if (refused.size > 0) throw new Refusal([...refused].slice(0, 10).join('\n'))
}

/** The `data` of an answer, or undefined for a path that does not exist. */
function answerTo(path: string, parameters: URLSearchParams): unknown {
  const streams = (queries: readonly string[]) => streamsIn(parameters, store.streams(), now(), queries)
  const labels = (queries: readonly string[]) => streams(queries).map(stream => stream.labels)
  const selecting = parameters.getAll('query')
  if (path === 'query_range') return queryRange(parameters, store.streams(), now())
  if (path === 'labels') return [...new Set(labels(selecting).flatMap(each => Object.keys(each)))].sort()
  const name = /^label\/([A-Za-z_][A-Za-z0-9_]*)\/values$/.exec(path)?.[1]
  if (name !== undefined) return [...new Set(labels(selecting).flatMap(each => each[name] ?? []))].sort()
  if (path !== 'series') return undefined
  const matching = [...parameters.getAll('match[]'), ...parameters.getAll('match')]
  if (matching.length === 0) throw new Refusal('0 matcher groups supplied')
  return labels(matching)
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost')
  response.setHeader('server', 'openappstack-stand-in-for-loki')
  if (url.pathname === '/ready') return void response.end('ready\n')
  if (url.pathname === '/')
    return void response.end('A stand-in for Loki, for tests: see test/bed/loki/README.md.\n')
  const body = request.method === 'POST' ? await bodyOf(request) : ''
  const path = url.pathname.replace(/^\/loki\/api\/v1\//, '')
  if (path === 'push' && request.method === 'POST') {
    push(body)
    return void response.writeHead(204).end()
  }
  const data = answerTo(path, new URLSearchParams(body || url.search))
  if (data === undefined) return void response.writeHead(404).end('404 page not found\n')
  response.setHeader('content-type', 'application/json; charset=UTF-8')
  response.end(JSON.stringify({ status: 'success', data }))
}

createServer((request, response) => {
  answer(request, response).catch(error => {
    if (!(error instanceof Refusal)) console.error(String(error))
    response.setHeader('content-type', 'text/plain; charset=utf-8')
    response.writeHead(error instanceof Refusal ? 400 : 500).end(`${error.message}\n`)
  })
}).listen(Number(values.port), LOOPBACK)

process.on('SIGTERM', () => process.exit(0))
