/**
 * What servers of the bed find on the internet: releases under upstream's names, and images. HTTPS, with a
 * certificate that the servers trust.
 *
 * Usage: node --import tsx test/bed/server/releases-server.ts --address=ADDRESS --releases=FOLDER --images=FOLDER
 *   --state=FOLDER
 *
 * RELEASES and IMAGES are the folders of release-files.ts; STATE holds serving.crt, serving.key and, if a test injects
 * faults, faults.json, which is read at every request.
 */
import { createReadStream, readFileSync, statSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { join, normalize } from 'node:path'
import { Transform } from 'node:stream'
import { parseArgs } from 'node:util'
import { readIfExists } from '../../../lib/script/files.ts'
import { contentDigest, imageOf, type Layer } from './images.ts'
import { type Fault, REGISTRIES } from './releases.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    releases: { type: 'string' },
    images: { type: 'string' },
    state: { type: 'string' },
  },
})
const releases = values.releases!
const images = values.images!
const state = values.state!
const layers: Record<string, Layer> = JSON.parse(readFileSync(join(images, 'layers.json'), 'utf8'))
/** Blobs of images that have been asked for, by digest. Layers are files. */
const blobs = new Map<string, Buffer>()

/** What is to go wrong with `HOST/PATH`: the fault of the longest prefix. */
function faultOf(target: string): Fault | undefined {
  const faults: Record<string, Fault> = JSON.parse(readIfExists(join(state, 'faults.json')) ?? '{}')
  const prefix = Object.keys(faults)
    .filter(prefix => target.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0]
  return prefix === undefined ? undefined : faults[prefix]
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' })
  response.end(`${text}\n`)
}

/** Sends a file, or a part of it (`Range`), with its fault. */
function sendFile(request: IncomingMessage, response: ServerResponse, path: string, fault?: Fault): void {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile()) {
    refuse(response, 404, 'Not Found')
    return
  }
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const start = Math.min(Number(from ?? 0), stat.size)
  response.writeHead(from === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': stat.size - start,
    'accept-ranges': 'bytes',
    ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${stat.size - 1}/${stat.size}` }),
  })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const file = createReadStream(path, { start })
  file.on('error', () => response.destroy())
  if (!fault) file.pipe(response)
  else file.pipe(damaging(fault, response)).pipe(response)
}

/** Passes on what is sent, slowly, only its beginning, or with a changed last byte. */
function damaging({ bytesPerSecond, cutAfter, damaged }: Fault, response: ServerResponse): Transform {
  let sent = 0
  return new Transform({
    highWaterMark: 16 * 1024,
    transform(chunk: Buffer, _encoding, done) {
      const rest = cutAfter === undefined ? chunk.length : Math.max(0, cutAfter - sent)
      const part = Buffer.from(chunk.subarray(0, rest))
      if (damaged && sent === 0 && part.length > 0) part[part.length - 1]! ^= 1
      sent += part.length
      this.push(part)
      const wait = bytesPerSecond === undefined ? 0 : (1000 * part.length) / bytesPerSecond
      // Time for what was sent to leave before the connection is cut.
      if (rest < chunk.length) setTimeout(() => response.destroy(), 100)
      else if (wait > 0) setTimeout(done, wait)
      else done()
    },
  })
}

/** A registry (OCI distribution specification, reading only) that has every image. */
function serveImage(request: IncomingMessage, response: ServerResponse, host: string, path: string): void {
  const [, repository, kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? []
  const layer = kind === 'blobs' && Object.values(layers).find(({ digest }) => digest === reference)
  if (layer) {
    sendFile(request, response, join(images, 'layers', layer.file))
    return
  }
  const isTag = kind === 'manifests' && !reference.includes(':')
  if (isTag) {
    const image = imageOf(`${REGISTRIES[host]}/${repository}:${reference}`, layers)
    for (const blob of [image.config, image.manifest]) blobs.set(contentDigest(blob), blob)
    send(request, response, image.manifest, MANIFEST)
    return
  }
  const blob = path === '/v2/' ? Buffer.from('{}') : blobs.get(reference)
  if (blob) send(request, response, blob, kind === 'manifests' ? MANIFEST : 'application/json')
  else refuse(response, 404, 'Not Found')
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

function send(request: IncomingMessage, response: ServerResponse, content: Buffer, type: string): void {
  response.writeHead(200, {
    'content-type': type,
    'content-length': content.length,
    'docker-content-digest': contentDigest(content),
  })
  response.end(request.method === 'HEAD' ? undefined : content)
}

/** Sends to the newest release, as the channels of k3s do. */
function redirectToNewest(response: ServerResponse): void {
  const version = encodeURIComponent(readFileSync(join(releases, 'newest-k3s'), 'utf8'))
  response.writeHead(302, { location: `https://github.com/k3s-io/k3s/releases/tag/${version}` })
  response.end()
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  let host = (request.headers.host ?? '').replace(/:\d+$/, '')
  let path = decodeURIComponent(new URL(request.url ?? '/', 'https://localhost').pathname)
  // As a mirror, the host is the first part of the path.
  if (host === values.address && path !== '/healthz') {
    const [, first = '', rest = '/'] = /^\/([^/]+)(\/.*)?$/.exec(path) ?? []
    host = first
    path = rest
  }
  const fault = faultOf(`${host}${path}`)
  const told = fault ? ` ${JSON.stringify(fault)}` : ''
  console.log(`${new Date().toISOString()} ${request.method} ${host}${path}${told}`)
  const file = normalize(join('/', path === '/' ? 'index' : path))
  if (path === '/healthz') response.end('ok\n')
  else if (request.method !== 'GET' && request.method !== 'HEAD') refuse(response, 405, 'reading only')
  else if (fault?.status) refuse(response, fault.status, 'this is a fault that a test asked for')
  else if (Object.hasOwn(REGISTRIES, host)) serveImage(request, response, host, path)
  else if (host === 'update.k3s.io') redirectToNewest(response)
  else sendFile(request, response, join(releases, 'files', normalize(join('/', host)), file), fault)
}

createServer(
  { cert: readFileSync(join(state, 'serving.crt')), key: readFileSync(join(state, 'serving.key')) },
  answer,
).listen(443, values.address)

process.on('SIGTERM', () => process.exit(0))
