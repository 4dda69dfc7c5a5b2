import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { ExpectedError } from '../../../lib/script/errors.ts'
import type { Layout } from './layout.ts'
import type { ProcessSpec } from './spec.ts'

/** An answer of a process of the sandbox. */
interface Answer {
  status: number
  body: string
}

/**
 * Asks a process of the sandbox, as its administrator. It is not lib/kubectl/kubectl.ts, since it also asks etcd and
 * health checks, and `up` has no time to load a Kubernetes client for a handful of requests.
 */
export class Api {
  readonly #agent: Agent

  constructor(layout: Pick<Layout, 'pki'>) {
    const read = (file: string) => readFileSync(join(layout.pki, file))
    this.#agent = new Agent({
      keepAlive: true,
      ca: read('ca.crt'),
      cert: read('admin.crt'),
      key: read('admin.key'),
    })
  }

  /** Sends one request. Rejects when there is no answer within two seconds (or `timeout`). */
  request(
    url: string,
    options: { method?: string; body?: string; contentType?: string; timeout?: number } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const secure = url.startsWith('https:')
      const send = secure ? httpsRequest : httpRequest
      const sent = send(
        url,
        {
          method: options.method ?? 'GET',
          agent: secure ? this.#agent : undefined,
          timeout: options.timeout ?? 2000,
          headers: options.body ? { 'content-type': options.contentType ?? 'application/json' } : {},
        },
        answer => {
          const chunks: Buffer[] = []
          answer.on('data', chunk => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
          )
        },
      )
      sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
      sent.on('error', reject)
      sent.end(options.body)
    })
  }

  /** Whether a process answers as it does when it works. */
  async healthy({
    health,
    healthStatus = 200,
  }: Pick<ProcessSpec, 'health' | 'healthStatus'>): Promise<boolean> {
    try {
      return (await this.request(health)).status === healthStatus
    } catch {
      return false
    }
  }

  /** Server-side apply of one object, given as JSON, at its path. */
  async apply(server: string, path: string, object: unknown): Promise<void> {
    const url = `${server}${path}?fieldManager=openappstack-sandbox&force=true`
    const answer = await this.request(url, {
      method: 'PATCH',
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify(object),
      timeout: 10_000,
    })
    if (answer.status >= 300)
      throw new ExpectedError(
        `the API server refused ${path}: ${reasonOf(answer.body)}`,
        'this is a defect of the sandbox: report it',
      )
  }

  /** Removes what is at a path, if there is anything. */
  async remove(server: string, path: string): Promise<void> {
    const { status, body } = await this.request(`${server}${path}`, { method: 'DELETE', timeout: 10_000 })
    if (status >= 300 && status !== 404)
      throw new ExpectedError(
        `the API server refused to remove ${path}: ${reasonOf(body)}`,
        'this is a defect of the sandbox: report it',
      )
  }

  /** Closes the connections, so that the process can end. */
  close(): void {
    this.#agent.destroy()
  }
}

function reasonOf(body: string): string {
  try {
    return JSON.parse(body).message ?? body
  } catch {
    return body.slice(0, 300)
  }
}
