/**
 * Plays the internet in a network namespace: names over UDP and TCP, and web servers that say who asks.
 *
 * Usage: node --import tsx test/server/internet.ts --address=ADDRESS --web=ADDRESS --folder=FOLDER
 *
 * FOLDER holds serving.crt and serving.key; every host that was asked over HTTPS is appended to FOLDER/asked.
 */
import { createSocket } from 'node:dgram'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createWebServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { address: { type: 'string' }, web: { type: 'string' }, folder: { type: 'string' } },
})
const { address = '', web = '', folder = '' } = values

/** How many addresses a name has: more than a hundred do not fit into a packet. */
const addressesOf = (name: string) => (name.endsWith('.invalid') ? 0 : name === 'many.example.org' ? 200 : 1)

/** The answer to a query for an address (RFC 1035, 4). */
function answer(query: Buffer, most: number): Buffer {
  const labels: string[] = []
  let at = 12
  while (query[at]) {
    labels.push(query.subarray(at + 1, at + 1 + query[at]!).toString())
    at += 1 + query[at]!
  }
  const question = query.subarray(12, at + 5)
  const isForAddress = query.readUInt16BE(at + 1) === 1
  const count = isForAddress ? addressesOf(labels.join('.').toLowerCase()) : 0
  const head = Buffer.from(query.subarray(0, 12))
  const cut = 12 + question.length + count * 16 > most
  head[2] = 0x81 | (cut ? 0x02 : 0)
  head[3] = count === 0 && isForAddress ? 0x83 : 0x80
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(cut ? 0 : count, 6)
  head.writeUInt32BE(0, 8)
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...web.split('.').map(Number)])
  return Buffer.concat([head, question, ...(cut ? [] : Array(count).fill(record))])
}

const udp = createSocket('udp4')
udp.on('message', (query, { port, address }) => udp.send(answer(query, 512), port, address))
udp.bind(53, address)
createServer(client => {
  client.on('error', () => {})
  client.on('data', data => {
    const reply = answer(data.subarray(2), 65_535)
    const length = Buffer.alloc(2)
    length.writeUInt16BE(reply.length)
    client.write(Buffer.concat([length, reply]))
  })
}).listen(53, address)

createWebServer(({ headers, socket }, response) => {
  response.end(JSON.stringify({ host: headers.host, from: socket.remoteAddress }))
}).listen(80, web)
const asked = join(folder, 'asked')
createSecureServer(
  {
    cert: readFileSync(join(folder, 'serving.crt')),
    key: readFileSync(join(folder, 'serving.key')),
    SNICallback: (name, done) => {
      appendFileSync(asked, `${name}\n`)
      done(null)
    },
  },
  (_request, response) => response.end('the internet'),
).listen(443, web, () => writeFileSync(join(folder, 'ready'), ''))
