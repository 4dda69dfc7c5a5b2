import { bodyText } from '../script/body.ts'
import { codeOf, ExpectedError, messageOf } from '../script/errors.ts'
import { sleep } from '../script/wait.ts'
import type { ProviderSpec } from './providers.ts'

/** An unsuccessful answer of the API. */
export class ProviderError extends ExpectedError {
  override name = 'ProviderError'
  readonly status: number

  constructor(status: number, message: string, fix: string) {
    super(message, fix)
    this.status = status
  }
}

/** No usable answer: the request may have been carried out or not. */
export class NoAnswer extends ExpectedError {
  override name = 'NoAnswer'
}

/** Settings of a client that only tests change. */
export interface ClientOptions {
  signal?: AbortSignal
  /** Milliseconds until a request is given up. */
  timeout?: number
  /** Milliseconds before a failed reading is tried again; doubled every time. */
  backoff?: number
}

const TRIES = 4
/** Longest wait in seconds for a rate limit; beyond that the user decides. */
const LONGEST_WAIT = 90
/** Pages of a list; of 200 objects each: more than any account has. */
const MOST_PAGES = 100

/**
 * A client for the JSON API of a provider. Reads and replacements are retried after a failure. Creations are not: after a
 * lost answer only a check can tell whether the object exists. A refusal by the rate limit changed nothing, so both
 * kinds wait for it. The token is sent to `url` alone: redirects and links to other hosts are not followed.
 */
export class ProviderClient {
  readonly spec: ProviderSpec
  readonly url: string
  readonly #token: string
  readonly #options: ClientOptions

  constructor(spec: ProviderSpec, url: string, token: string, options: ClientOptions = {}) {
    this.spec = spec
    this.url = url.replace(/(?<!\/)\/+$/, '')
    this.#token = token
    this.#options = options
  }

  /** The value under `key` of the answer; undefined when the API says 404. */
  async get<T>(path: string, key: string): Promise<T | undefined> {
    const body = await this.#read(path)
    return body === undefined ? undefined : this.#part<T>(body, key)
  }

  /** All objects of a list, page by page; undefined when the API has no such list (404). */
  async list<T>(path: string, key: string): Promise<T[] | undefined> {
    const items: T[] = []
    let query = 'per_page=200'
    for (let page = 1; page <= MOST_PAGES; page++) {
      const body = await this.#read(`${path}?${query}`)
      if (body === undefined) return page === 1 ? undefined : items
      const part = this.#part<T[]>(body, key)
      if (!Array.isArray(part) || !part.every(item => typeof item === 'object' && item !== null))
        throw this.#strange(`${key} is not a list of objects`)
      items.push(...part)
      const next = (body.links as { pages?: { next?: unknown } } | undefined)?.pages?.next
      if (typeof next !== 'string') return items
      // Only its query is taken: the page is asked of our own URL, whatever host the link names.
      query = URL.parse(next, this.url)?.search.slice(1) || query
    }
    throw this.#strange(`${path} has more than ${MOST_PAGES} pages`)
  }

  /** Creates an object and returns the value under `key`. Throws NoAnswer when it may have been created. */
  async post<T>(path: string, body: unknown, key: string): Promise<T> {
    try {
      return this.#part<T>((await this.#patiently('POST', path, body)) ?? {}, key)
    } catch (error) {
      // A server that fails may have created it before it failed.
      if (error instanceof ProviderError && error.status >= 500)
        throw new NoAnswer(error.message, error.fix, { cause: error })
      throw error
    }
  }

  /**
   * Replaces an object and returns the value under `key`. It is idempotent, so it is retried like a read.
   */
  async put<T>(path: string, body: unknown, key: string): Promise<T> {
    return this.#part<T>((await this.#again(() => this.#patiently('PUT', path, body))) ?? {}, key)
  }

  async #read(path: string): Promise<Record<string, unknown> | undefined> {
    try {
      return await this.#again(() => this.#patiently('GET', path))
    } catch (error) {
      if (error instanceof ProviderError && error.status === 404) return undefined
      throw error
    }
  }

  /** Retries a request after a temporary failure. */
  async #again<T>(send: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await send()
      } catch (error) {
        const passing = error instanceof NoAnswer || (error instanceof ProviderError && error.status >= 500)
        if (!passing || attempt === TRIES) throw error
        await sleep((this.#options.backoff ?? 500) * 2 ** (attempt - 1), this.#options.signal)
      }
    }
  }

  /** One request, repeated after a rate limit's delay. */
  async #patiently(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Record<string, unknown> | undefined> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.#send(method, path, body)
      if (response.status !== 429) return this.#answer(response, `${method} ${path.split('?')[0]}`)
      const seconds = retryAfter(response.headers.get('retry-after'))
      if (attempt === TRIES || seconds > LONGEST_WAIT)
        throw new ProviderError(
          429,
          `${this.spec.title} refuses further requests: the rate limit is reached`,
          `run the same command again in ${Math.max(1, Math.ceil(seconds / 60))} min`,
        )
      await sleep(seconds * 1000, this.#options.signal)
    }
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
  ): Promise<{ status: number; headers: Headers; text: string }> {
    const signals = [AbortSignal.timeout(this.#options.timeout ?? 20_000)]
    if (this.#options.signal) signals.push(this.#options.signal)
    try {
      const response = await fetch(this.url + path, {
        method,
        redirect: 'manual',
        signal: AbortSignal.any(signals),
        headers: {
          authorization: `Bearer ${this.#token}`,
          accept: 'application/json',
          'user-agent': 'openappstack-runbooks',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      })
      return { status: response.status, headers: response.headers, text: await bodyText(response) }
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      const late = error instanceof Error && error.name === 'TimeoutError'
      throw new NoAnswer(
        `${this.spec.title} at ${this.url} ${late ? 'does not answer in time' : `cannot be reached (${codeOf(error) ?? messageOf(error)})`}`,
        'check the network and the address (--provider-url), then run the same command again: it checks first',
        { cause: error },
      )
    }
  }

  /** The body of a success; throws a refusal as an error. */
  #answer(
    response: { status: number; headers: Headers; text: string },
    call: string,
  ): Record<string, unknown> {
    const { status, text, headers } = response
    let body: Record<string, unknown> | undefined
    try {
      const parsed: unknown = JSON.parse(text)
      if (typeof parsed === 'object' && parsed !== null) body = parsed as Record<string, unknown>
    } catch {
      // A proxy or a login page in between.
    }
    if (status >= 200 && status < 300) {
      if (body) return body
      throw this.#strange(text)
    }
    if (status >= 300 && status < 400) throw this.#strange(`a redirect to ${headers.get('location')}`)
    const id = body?.request_id ?? headers.get('x-request-id')
    const said = oneLine(typeof body?.message === 'string' ? body.message : text) || 'no reason given'
    throw new ProviderError(
      status,
      `${this.spec.title} answers ${status} to ${call}: ${said}${id ? ` (request ${oneLine(String(id))})` : ''}`,
      this.#fix(status),
    )
  }

  #fix(status: number): string {
    const { tokenVariable, title } = this.spec
    if (status === 401)
      return `create a new token (this one is wrong or has expired), and set ${tokenVariable} to it`
    if (status === 403) return `give the token in ${tokenVariable} the right to do this (at Cosmos: Customer)`
    if (status >= 500)
      return `wait until ${title} works again, then run the same command again: it checks first`
    return 'correct what the API refuses, then run the same command again'
  }

  #part<T>(body: Record<string, unknown>, key: string): T {
    const part = Object.hasOwn(body, key) ? body[key] : undefined
    if (typeof part === 'object' && part !== null) return part as T
    throw this.#strange(`its answer has no ${key}`)
  }

  #strange(what: string): NoAnswer {
    return new NoAnswer(
      `${this.url} does not answer like the API of ${this.spec.title}: ${oneLine(what) || 'nothing'}`,
      'check the address (--provider-url), and that no proxy or login page intercepts the request',
    )
  }
}

/** Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3); 5 without one. */
function retryAfter(value: string | null): number {
  if (value === null) return 5
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000
  return Number.isNaN(seconds) ? 5 : Math.max(0, seconds)
}

/** A text from a server, fit for a terminal: its first line, without control characters. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what has to go
  return (text.trim().split('\n')[0] ?? '').replace(/[\x00-\x1f\x7f-\x9f]/g, ' ').slice(0, 160)
}
