/** A service behind the panel answered with an error, or not at all (status 0). */
export class UpstreamError extends Error {
  readonly status: number
  readonly body: unknown
  constructor(service: string, status: number, body: unknown) {
    super(`${service} answered ${status || 'nothing'}`)
    this.status = status
    this.body = body
  }
}

const DEADLINE = 10_000
/** More than any answer that is read here: a page of 250 identities has about 300 kB. */
const LARGEST = 4 * 1024 * 1024

/** A request to a service. */
export interface Question {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  body?: unknown
  headers?: Record<string, string>
}

/**
 * Asks a service for JSON, at a path that begins with a slash. Throws an UpstreamError for everything but 2xx;
 * `data` is undefined for an empty answer. The script `users` brings its own, through the API server.
 */
export type Ask = <T>(path: string, question?: Question) => Promise<{ data: T; link: string }>

/** Asks a service at a URL. */
export function askAt(service: string, base: string): Ask {
  return (path, question) => ask(service, base + path, question)
}

async function ask<T>(
  service: string,
  url: string,
  { method = 'GET', body, headers = {} }: Question = {},
): Promise<{ data: T; link: string }> {
  const response = await fetch(url, {
    method,
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    redirect: 'manual',
    signal: AbortSignal.timeout(DEADLINE),
  }).catch(error => {
    throw new UpstreamError(service, 0, String(error))
  })
  const text = await bounded(service, response)
  const data = parsed(text)
  if (!response.ok) throw new UpstreamError(service, response.status, data)
  return { data: data as T, link: response.headers.get('link') ?? '' }
}

async function bounded(service: string, response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  try {
    for await (const piece of response.body ?? []) {
      size += piece.length
      if (size > LARGEST) throw new Error('too large')
      pieces.push(piece)
    }
  } catch (error) {
    throw new UpstreamError(service, 0, String(error))
  }
  return Buffer.concat(pieces).toString('utf8')
}

function parsed(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The token of the next page in a Link header: `<…?page_token=TOKEN>; rel="next"`. */
export function nextToken(link: string): string | undefined {
  const next = link.split(',').find(part => part.includes('rel="next"'))
  const query = next?.slice(next.indexOf('?') + 1, next.indexOf('>'))
  return (query && new URLSearchParams(query).get('page_token')) || undefined
}
