/**
 * The real Traefik on a bed: a process with the arguments that the Deployment in the cluster has at the moment, as the
 * kubelet would start it. Its ports are free ones of this machine; clients are addresses of the loopback network.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import {
  createServer as createWebServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { request as secureRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../lib/script/wait.ts'
import { builtPrograms } from '../bed/build/build.ts'
import { TRAEFIK } from '../bed/build/programs.ts'
import { freePort } from '../bed/cluster/ports.ts'
import type { Bed } from './harness.ts'

const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'traefik', namespace: 'oas' }

/**
 * Plays a pod: reads all of a request, and answers after `?seconds=` with the number of bytes that it got, or for
 * `/headers` with the names of the headers. The application of a host `refuses.…` answers 403 to everybody.
 */
function playPod(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  request.on('end', () => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://pod')
    const answer = pathname === '/headers' ? Object.keys(request.headers).join(' ') : String(bytes)
    if (request.headers.host?.startsWith('refuses.')) response.statusCode = 403
    setTimeout(() => response.end(answer), 1000 * Number(searchParams.get('seconds') ?? 0))
  })
}

/** What a client gets. */
export interface Visited {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** A request to the ingress: from where, to which host, with which headers. */
export interface Visit {
  from?: string
  host: string
  path?: string
  secure?: boolean
  forwarded?: string
  headers?: Record<string, string>
}

/** Traefik, started again whenever its Deployment changes. */
export class Traefik {
  readonly http: number
  readonly https: number
  readonly #others: number[]
  readonly #bed: Bed
  readonly #program: string
  /** Plays every pod: it is the HTTP proxy by which Traefik reaches their addresses, and answers in their place. */
  readonly #pods: Server = createWebServer(playPod)
  readonly #folder = mkdtempSync(join(tmpdir(), 'oas-traefik-'))
  #args = ''
  #process: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  private constructor(bed: Bed, program: string, ports: number[]) {
    this.#bed = bed
    this.#program = program
    const [http = 0, https = 0, ...others] = ports
    this.http = http
    this.https = https
    this.#others = others
  }

  /** Starts it, and waits until it serves the routes of the cluster. */
  static async start(bed: Bed): Promise<Traefik> {
    const progress = (text: string) => console.log(text)
    const program = join(
      await builtPrograms({ progress, waiting: holder => progress(`waiting for ${holder}`) }, TRAEFIK),
      'traefik',
    )
    const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()])
    const traefik = new Traefik(bed, program, ports)
    try {
      await new Promise<void>(resolve => traefik.#pods.listen(0, '127.0.0.1', resolve))
      await traefik.#follow()
      await traefik.#serves()
    } catch (error) {
      await traefik.stop()
      throw error
    }
    return traefik
  }

  async #serves(): Promise<void> {
    await until(
      async () => {
        const answer = await this.visit({ host: 'wekan.oas.example.org', from: '127.0.0.1' }).catch(String)
        return typeof answer === 'number' && answer !== 404 ? { done: undefined } : { last: `${answer}` }
      },
      { deadline: 60_000, describe: last => `${last}; ${this.log().slice(-3000)}` },
    )
  }

  /** What it has said. */
  log(): string {
    return readFileSync(join(this.#folder, 'log'), 'utf8')
  }

  /** Starts it again when its arguments in the cluster are others than before. */
  async #follow(): Promise<void> {
    const deployment = await this.#bed.kubectl.get(DEPLOYMENT).catch(() => undefined)
    const args: string[] = deployment?.spec?.template.spec.containers[0].args ?? []
    if (args.length > 0 && args.join() !== this.#args && !this.#stopped) {
      this.#args = args.join()
      await this.#end()
      const log = openSync(join(this.#folder, 'log'), 'a')
      const others = [...this.#others]
      const here = args.map(arg => {
        const [, name] = /^--entryPoints\.(\w+)\.address=/i.exec(arg) ?? []
        if (name === undefined) return arg
        const port = name === 'web' ? this.http : name === 'websecure' ? this.https : others.pop()
        return `--entryPoints.${name}.address=:${port}`
      })
      this.#process = spawn(
        this.#program,
        [...here, '--log.level=DEBUG', '--entryPoints.websecure.http.tls=true'],
        {
          stdio: ['ignore', log, log],
          env: {
            ...process.env,
            KUBECONFIG: this.#bed.up.kubeconfig,
            HTTP_PROXY: `http://127.0.0.1:${(this.#pods.address() as AddressInfo).port}`,
            NO_PROXY: '',
          },
        },
      )
      closeSync(log)
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#follow(), 300)
  }

  /** The status that a client gets. Throws where there is no connection. */
  async visit(visit: Visit): Promise<number> {
    return (await this.exchange(visit)).status
  }

  /** What a client gets within so many seconds, who sends a byte of his body each second for a while. */
  exchange(
    { from, host, path = '/', secure = true, forwarded, headers }: Visit,
    { upload = 0, patience = 10 } = {},
  ): Promise<Visited> {
    return new Promise((resolve, reject) => {
      const sent = (secure ? secureRequest : request)(
        {
          host: from?.includes(':') ? '::1' : '127.0.0.1',
          port: secure ? this.https : this.http,
          localAddress: from,
          path,
          method: upload > 0 ? 'PUT' : 'GET',
          agent: false,
          rejectUnauthorized: false,
          servername: host,
          headers: { host, ...(forwarded ? { 'x-forwarded-for': forwarded } : {}), ...headers },
        },
        response => {
          let body = ''
          response.setEncoding('utf8').on('data', text => {
            body += text
          })
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
          )
        },
      )
      sent.setTimeout(patience * 1000, () => sent.destroy(new Error('no answer')))
      sent.on('error', reject)
      if (upload === 0) return sent.end()
      let left = upload
      const timer = setInterval(() => {
        if (--left < 0) sent.end()
        else sent.write('x')
      }, 1000)
      sent.on('close', () => clearInterval(timer))
    })
  }

  async #end(): Promise<void> {
    const ending = this.#process
    this.#process = undefined
    if (!ending || ending.exitCode !== null) return
    const ended = new Promise(resolve => ending.once('exit', resolve))
    ending.kill('SIGKILL')
    await ended
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#end()
    this.#pods.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
