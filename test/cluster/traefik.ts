/**
 * The real Traefik on a bed: a process with the arguments that the Deployment in the cluster has at the moment, as the
 * kubelet would start it. Its ports are free ones of this machine; clients are addresses of the loopback network.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { builtPrograms } from '../bed/build/build.ts'
import { TRAEFIK } from '../bed/build/programs.ts'
import type { Bed } from './harness.ts'

const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'traefik', namespace: 'oas' }

/** A port that nothing uses. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** A request to the ingress: from where, to which host, with which headers. */
export interface Visit {
  from?: string
  host: string
  path?: string
  secure?: boolean
  forwarded?: string
}

/** Traefik, started again whenever its Deployment changes. */
export class Traefik {
  readonly http: number
  readonly https: number
  readonly #others: number[]
  readonly #bed: Bed
  readonly #program: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'oas-traefik-'))
  readonly #access: string[]
  #args = ''
  #process: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor(bed: Bed, program: string, ports: number[], access: { token: string; ca: string }) {
    this.#bed = bed
    this.#program = program
    const [http = 0, https = 0, ...others] = ports
    this.http = http
    this.https = https
    this.#others = others
    const ca = join(this.#folder, 'ca.crt')
    writeFileSync(ca, access.ca)
    this.#access = ['kubernetescrd', 'kubernetesingressnginx'].flatMap(provider => [
      `--providers.${provider}.endpoint=${bed.kubectl.client.server}`,
      `--providers.${provider}.token=${access.token}`,
      `--providers.${provider}.certauthfilepath=${ca}`,
    ])
  }

  /** Starts it, and waits until it serves the routes of the cluster. */
  static async start(bed: Bed): Promise<Traefik> {
    const progress = (text: string) => console.log(text)
    const program = join(
      await builtPrograms({ progress, waiting: holder => progress(`waiting for ${holder}`) }, TRAEFIK),
      'traefik',
    )
    const account = { kind: 'ServiceAccount', name: 'traefik', namespace: 'oas' }
    await bed.kubectl.apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'test-traefik' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [account],
    } as KubeObject)
    const { status } = await bed.kubectl.call<KubeObject>({
      method: 'POST',
      path: '/api/v1/namespaces/oas/serviceaccounts/traefik/token',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 3600 },
      },
    })
    const kubeconfig = readFileSync(bed.up.kubeconfig, 'utf8')
    const [, ca = ''] = /certificate-authority-data: "?([\w+/=]+)/.exec(kubeconfig) ?? []
    const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()])
    const traefik = new Traefik(bed, program, ports, {
      token: status.token,
      ca: Buffer.from(ca, 'base64').toString(),
    })
    await traefik.#follow()
    await until(
      async () => {
        const answer = await traefik.visit({ host: 'wekan.oas.example.org', from: '127.0.0.1' }).catch(String)
        return typeof answer === 'number' && answer !== 404 ? { done: undefined } : { last: `${answer}` }
      },
      { deadline: 60_000, describe: last => `${last}; ${traefik.log().slice(-2000)}` },
    )
    return traefik
  }

  /** What it has said. */
  log(): string {
    return readFileSync(join(this.#folder, 'log'), 'utf8')
  }

  /** Starts it again when its arguments in the cluster are others than before. */
  async #follow(): Promise<void> {
    const deployment = await this.#bed.kubectl.get(DEPLOYMENT).catch(() => undefined)
    const args: string[] = deployment?.spec?.template.spec.containers[0].args ?? []
    if (args.length > 0 && args.join() !== this.#args) {
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
        [...here, ...this.#access, '--log.level=INFO', '--entryPoints.websecure.http.tls=true'],
        {
          stdio: ['ignore', log, log],
        },
      )
      closeSync(log)
    }
    this.#timer = setTimeout(() => void this.#follow(), 300)
  }

  /** The status that a client gets. Throws where there is no connection. */
  visit({ from, host, path = '/', secure = true, forwarded }: Visit): Promise<number> {
    return new Promise((resolve, reject) => {
      const sent = (secure ? secureRequest : request)(
        {
          host: from?.includes(':') ? '::1' : '127.0.0.1',
          port: secure ? this.https : this.http,
          localAddress: from,
          path,
          agent: false,
          rejectUnauthorized: false,
          servername: host,
          headers: { host, ...(forwarded ? { 'x-forwarded-for': forwarded } : {}) },
        },
        response => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      sent.setTimeout(10_000, () => sent.destroy(new Error('no answer')))
      sent.on('error', reject)
      sent.end()
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
    clearTimeout(this.#timer)
    await this.#end()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
