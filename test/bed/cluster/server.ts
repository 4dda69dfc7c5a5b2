/**
 * The server of a sandbox, a process of its own: Git (smart HTTP, by `git http-backend`) and charts.
 *
 * Usage: node --import tsx test/bed/cluster/server.ts [--address=ADDRESS] --port=PORT --root=FOLDER
 *
 * FOLDER holds `openappstack.git`, a bare repository, and `charts`, a Helm repository. Both are read only:
 * `up` changes them in place, and this server reads them at every request.
 */
import { spawn } from 'node:child_process'
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LOOPBACK } from './spec.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: LOOPBACK },
    port: { type: 'string' },
    root: { type: 'string' },
  },
})
const root = values.root!

/** Answers with the output of `git http-backend`, which is a CGI program (RFC 3875). */
function serveGit(request: IncomingMessage, response: ServerResponse, url: URL): void {
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_NOSYSTEM: '1',
      // Run by another user than the owner of the folder (a container's root), git would refuse to serve.
      GIT_CONFIG_COUNT: '2',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_CONFIG_KEY_1: 'http.receivepack',
      GIT_CONFIG_VALUE_1: 'false',
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      ...(request.headers['content-length'] ? { CONTENT_LENGTH: request.headers['content-length'] } : {}),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let head: Buffer | undefined = Buffer.alloc(0)
  backend.stdout.on('data', (chunk: Buffer) => {
    if (head === undefined) {
      response.write(chunk)
      return
    }
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    let status = 200
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [name = '', value = ''] = line.split(/:\s*/, 2)
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10)
      else response.setHeader(name, value)
    }
    response.writeHead(status)
    response.write(head.subarray(end + 4))
    head = undefined
  })
  backend.on('error', error => refuse(response, 500, `git: ${error.message}`))
  backend.on('close', () =>
    head === undefined ? response.end() : refuse(response, 500, 'git gave no answer'),
  )
  backend.stdin.on('error', () => {}) // it ended before it had read everything
  response.on('close', () => backend.kill())
  request.pipe(backend.stdin)
}

function serveChart(response: ServerResponse, name: string): void {
  const path = join(root, 'charts', name)
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile()) {
    refuse(response, 404, `chart file ${name} does not exist`)
    return
  }
  response.setHeader('content-length', stat.size)
  createReadStream(path)
    .on('error', () => response.destroy())
    .pipe(response)
}

function refuse(response: ServerResponse, status: number, text: string): void {
  if (!response.headersSent) response.writeHead(status, { 'content-type': 'text/plain' })
  response.end(`${text}\n`)
}

createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  const chart = /^\/charts\/([\w][\w.+-]*)$/.exec(url.pathname)?.[1]
  const reading = request.method === 'GET' || request.method === 'HEAD'
  if (url.pathname === '/healthz') response.end('ok\n')
  else if (chart && reading) serveChart(response, chart)
  else if (/^\/openappstack\.git\/(info\/refs|git-upload-pack)$/.test(url.pathname))
    serveGit(request, response, url)
  else refuse(response, 404, 'nothing is served here')
}).listen(Number(values.port), values.address)

// Requests under way are cut: whoever asked asks again.
process.on('SIGTERM', () => process.exit(0))
