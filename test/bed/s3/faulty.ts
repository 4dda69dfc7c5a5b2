/**
 * An S3 service that fails on demand: a proxy before the real one (the Versity S3 Gateway). What it answers in a fault
 * is what services were seen to answer: Ceph and AWS `SlowDown`, `InternalError`, `QuotaExceeded`; AWS
 * `SignatureDoesNotMatch`. Everything else passes unchanged, signatures included.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What goes wrong with a request. `slow` is answered after `milliseconds`; `cut` ends in the middle of the answer. */
export type Failing =
  | { kind: 'unavailable' | 'internal' | 'full' | 'signature' | 'skewed' | 'cut' | 'reset' }
  | { kind: 'slow'; milliseconds: number }

/** Requests that a fault concerns: all, unless something is given. */
export interface StorageFault {
  failing: Failing
  /** As `PUT`. */
  method?: RegExp
  /** Path with the bucket, as `/backups/backups/NAME/NAME.tar.gz`. */
  path?: RegExp
  /** Who asks: Velero and kopia name themselves; our scripts are `node`. */
  agent?: RegExp
  /** So many of these requests go well first. */
  after?: number
}

/** An answer of S3 that refuses. */
const REFUSALS = {
  unavailable: [503, 'SlowDown', 'Please reduce your request rate.'],
  internal: [500, 'InternalError', 'We encountered an internal error. Please try again.'],
  full: [507, 'QuotaExceeded', 'The quota of this bucket is exceeded.'],
  signature: [403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.'],
  skewed: [
    403,
    'RequestTimeTooSkewed',
    'The difference between the request time and the current time is too large.',
  ],
} as const

/** The proxy. */
export class FaultyStorage {
  readonly url: string
  /** What goes wrong from now on; the first that fits counts. */
  faults: StorageFault[] = []
  /** The requests that a fault has met, as `METHOD PATH`. */
  readonly met: string[] = []
  readonly #server: ReturnType<typeof createServer>

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Starts it before the service at this address. */
  static async start(service: string): Promise<FaultyStorage> {
    let storage: FaultyStorage | undefined
    const server = createServer((asked, answer) => void storage?.answer(new URL(service), asked, answer))
    server.keepAliveTimeout = 1000
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    storage = new FaultyStorage(server)
    return storage
  }

  /** Ends it, and every connection to it. */
  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** Answers one request. */
  async answer(service: URL, asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = asked
    const fault = this.faults.find(
      ({ method: methods, path, agent }) =>
        (methods?.test(method) ?? true) &&
        (path?.test(decodeURIComponent(url.split('?')[0]!)) ?? true) &&
        (agent?.test(headers['user-agent'] ?? '') ?? true),
    )
    const failing = fault && (fault.after ?? 0) <= 0 ? fault.failing : undefined
    if (fault?.after) fault.after--
    if (failing) this.met.push(`${method} ${url}`)
    if (failing?.kind === 'reset') return void asked.socket.destroy()
    if (failing?.kind === 'slow') {
      // Nothing is read before: a slow service is slow with what it is given, too.
      await new Promise(resolve => setTimeout(resolve, failing.milliseconds))
      if (asked.destroyed) return
    } else if (failing && failing.kind !== 'cut') {
      const [status, code, message] = REFUSALS[failing.kind]
      asked.resume()
      answer.writeHead(status, { 'content-type': 'application/xml' })
      return void answer.end(
        method === 'HEAD'
          ? undefined
          : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
      )
    }
    const passed = request(
      { host: service.hostname, port: service.port, method, path: url, headers },
      answered => {
        answer.writeHead(answered.statusCode ?? 502, answered.headers)
        if (failing?.kind !== 'cut') return void answered.pipe(answer)
        const half = Math.floor(Number(answered.headers['content-length'] ?? 2) / 2)
        let sent = 0
        answered.on('data', (piece: Buffer) => {
          const rest = piece.subarray(0, Math.max(0, half - sent))
          sent += rest.length
          answer.write(rest, () => {
            if (sent >= half) asked.socket.destroy()
          })
        })
        answered.on('end', () => asked.socket.destroy())
      },
    )
    passed.on('error', () => asked.socket.destroy())
    asked.pipe(passed)
  }
}
