/**
 * The name server of practice servers with a way out: passes their queries on to the name servers of this machine,
 * which may listen on addresses that only this machine reaches (127.0.0.53, a VPN). They are read at every query.
 *
 * Usage: node --import tsx test/bed/server/name-server.ts --address=ADDRESS --port=PORT --health=PORT [--upstream=ADDRESS]
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, isIPv6, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { failedAnswer, nameServersIn } from './names.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    port: { type: 'string' },
    health: { type: 'string' },
    upstream: { type: 'string' },
  },
})
const address = values.address!
const port = Number(values.port)

/** Milliseconds for one name server: a resolver waits five seconds for all of them. */
const PATIENCE = 2000
/** More queries at once are not answered: a server that loops must not take all sockets of this machine. */
const MOST_AT_ONCE = 200
let waiting = 0

const upstreams = () =>
  values.upstream ? [values.upstream] : nameServersIn(readFileSync('/etc/resolv.conf', 'utf8'))

/** The answer of one name server over UDP; undefined when it gives none. */
function ask(server: string, query: Buffer): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(isIPv6(server.split('%')[0] ?? '') ? 'udp6' : 'udp4')
    const end = (answer?: Buffer) => {
      clearTimeout(timer)
      socket.removeAllListeners('message')
      try {
        socket.close()
      } catch {
        // It has failed before it was open.
      }
      resolve(answer)
    }
    const timer = setTimeout(end, PATIENCE)
    socket.on('error', () => end())
    // Connected: the kernel drops what anybody else sends.
    socket.connect(53, server, () => socket.send(query))
    socket.on('message', answer => {
      if (answer.length >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0)) end(answer)
    })
  })
}

const udp = createSocket('udp4')
udp.on('message', async (query, from) => {
  if (query.length < 12 || waiting >= MOST_AT_ONCE) return
  waiting++
  try {
    for (const server of upstreams()) {
      const answer = await ask(server, query)
      if (answer) return void udp.send(answer, from.port, from.address)
    }
    const failed = failedAnswer(query)
    if (failed) udp.send(failed, from.port, from.address)
  } finally {
    waiting--
  }
})
udp.bind(port, address)

/** Long answers come over TCP: to the first name server that accepts the connection. */
function pass(client: Socket, [server, ...others]: readonly string[]): void {
  if (server === undefined) return void client.destroy()
  const upstream = connect({ host: server, port: 53 })
  const timer = setTimeout(() => upstream.destroy(new Error('no answer')), PATIENCE)
  upstream.once('error', () => {
    clearTimeout(timer)
    if (client.bytesWritten === 0 && !upstream.bytesRead) pass(client, others)
    else client.destroy()
  })
  upstream.once('connect', () => {
    clearTimeout(timer)
    upstream.setTimeout(10_000, () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
    upstream.pipe(client)
    client.pipe(upstream)
  })
}
createServer(client => {
  client.on('error', () => {})
  pass(client, upstreams())
}).listen(port, address)

createHttpServer((_request, response) => response.end('ok\n')).listen(Number(values.health), address)
