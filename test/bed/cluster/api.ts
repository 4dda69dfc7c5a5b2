import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { ExpectedError, messageOf } from '../../../lib/script/errors.ts'
import { sleep } from '../../../lib/script/wait.ts'
import type { Layout } from './layout.ts'
import type { ProcessSpec } from './spec.ts'

/** Milliseconds after which a wait of the bed gives up. On a busy machine a single answer may take very long. */
export const DEADLINE = 300_000

/** An answer of a process of the sandbox. */
interface Answer {
  status: number
  body: string
}

/** One request. Its timeout is in milliseconds. */
interface Request {
  method?: string
  body?: string
  contentType?: string
  timeout?: number
}

/**
 * Asks a process of the sandbox, as its administrator. It is not lib/kubectl/kubectl.ts, since it also asks etcd and
 * health checks, and `up` has no time to load a Kubernetes client for a handful of requests.
 */
export class Api {
  readonly #agent: Agent
  readonly #signal?: AbortSignal

  constructor(layout: Pick<Layout, 'pki'>, signal?: AbortSignal) {
    this.#signal = signal
    const read = (file: string) => readFileSync(join(layout.pki, file))
    this.#agent = new Agent({
      keepAlive: true,
      ca: read('ca.crt'),
      cert: read('admin.crt'),
      key: read('admin.key'),
    })
  }

  /**
   * Sends a request and repeats it until it is answered: on a busy machine a missing answer, or one that says "too busy",
   * proves nothing. A POST is sent once, because it is not idempotent. Throws an ExpectedError at the deadline.
   */
  async request(url: string, options: Request = {}): Promise<Answer> {
    const end = performance.now() + DEADLINE
    for (;;) {
      this.#signal?.throwIfAborted()
      let seen: string
      try {
        const answer = await this.once(url, options)
        if (options.method === 'POST' || (answer.status < 500 && answer.status !== 429)) return answer
        seen = `${answer.status} ${reasonOf(answer.body)}`
      } catch (error) {
        if (options.method === 'POST') throw error
        seen = messageOf(error)
      }
      if (performance.now() > end)
        throw new ExpectedError(
          `${new URL(url).host} gave no good answer within ${DEADLINE / 60_000} minutes: ${seen}`,
          'run `npx tsx scripts/sandbox.ts status` to see which process does not answer, then run `up` again',
        )
      await sleep(500, this.#signal)
    }
  }

  /** Sends a request once. Rejects when it is not answered in time. */
  once(url: string, options: Request = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const secure = url.startsWith('https:')
      const send = secure ? httpsRequest : httpRequest
      const sent = send(
        url,
        {
          method: options.method ?? 'GET',
          agent: secure ? this.#agent : undefined,
          timeout: options.timeout ?? 30_000,
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

  /** Whether a process answers within five seconds as it does when it works. */
  async healthy({
    health,
    healthStatus = 200,
  }: Pick<ProcessSpec, 'health' | 'healthStatus'>): Promise<boolean> {
    try {
      return (await this.once(health, { timeout: 5000 })).status === healthStatus
    } catch {
      return false
    }
  }

  /** Server-side apply of one object, given as JSON, at its path. Throws when the API server refuses it. */
  async apply(server: string, path: string, object: unknown): Promise<void> {
    const query = '?fieldManager=openappstack-sandbox&force=true'
    await this.#patch(server, path, 'apply-patch+yaml', object, query)
  }

  /** Merges a change into the object at a path (RFC 7386). Throws when the API server refuses it. */
  async merge(server: string, path: string, change: unknown): Promise<void> {
    await this.#patch(server, path, 'merge-patch+json', change)
  }

  async #patch(server: string, path: string, type: string, content: unknown, query = ''): Promise<void> {
    const body = JSON.stringify(content)
    const contentType = `application/${type}`
    const answer = await this.request(`${server}${path}${query}`, { method: 'PATCH', contentType, body })
    if (answer.status >= 300) throw refusal(`refused ${path}`, answer)
  }

  /** Removes the object at a path, if it exists. */
  async remove(server: string, path: string): Promise<void> {
    const answer = await this.request(`${server}${path}`, { method: 'DELETE' })
    if (answer.status >= 300 && answer.status !== 404) throw refusal(`refused to remove ${path}`, answer)
  }

  /** Closes the connections, so that the process can end. */
  close(): void {
    this.#agent.destroy()
  }
}

function refusal(what: string, { body }: Answer): ExpectedError {
  return new ExpectedError(
    `the API server ${what}: ${reasonOf(body)}`,
    'report it: this is a defect of the sandbox',
  )
}

function reasonOf(body: string): string {
  try {
    return JSON.parse(body).message ?? body
  } catch {
    return body.slice(0, 300)
  }
}
