import { type Ask, nextToken } from './upstream.ts'

/** Pages of 250 applications: nobody has more, and a list without an end ends here. */
const MOST_PAGES = 40

export interface Client {
  client_id: string
  client_name?: string
  client_uri?: string
  logo_uri?: string
  redirect_uris?: string[]
  skip_logout_consent?: boolean
}

export interface LoginRequest {
  challenge: string
  client: Client
  request_url: string
  skip: boolean
  subject: string
}

export interface ConsentRequest {
  challenge: string
  client: Client
  subject: string
  requested_scope: string[]
  requested_access_token_audience: string[]
}

export interface LogoutRequest {
  challenge: string
  subject?: string
  rp_initiated?: boolean
  client?: Client
}

interface Redirect {
  redirect_to: string
}

type Kind = 'login' | 'consent' | 'logout'

/** The admin API of hydra. Every call throws an UpstreamError for what is not a success. */
export class Hydra {
  readonly #admin: Ask

  constructor(admin: Ask) {
    this.#admin = admin
  }

  readonly login = (challenge: string) => this.#request<LoginRequest>('login', challenge)
  readonly consent = (challenge: string) => this.#request<ConsentRequest>('consent', challenge)
  readonly logout = (challenge: string) => this.#request<LogoutRequest>('logout', challenge)

  /** Accepts a request; returns where the browser goes on. */
  async accept(kind: Kind, challenge: string, body: object = {}): Promise<string> {
    return this.#answer(kind, challenge, 'accept', body)
  }

  /** Rejects a request; returns where the browser goes on. */
  async reject(kind: Kind, challenge: string, body: object = {}): Promise<string> {
    return this.#answer(kind, challenge, 'reject', body)
  }

  /** The registered applications, of all pages. */
  async clients(): Promise<Client[]> {
    const clients: Client[] = []
    let token: string | undefined
    for (let page = 0; page < MOST_PAGES; page++) {
      const query = new URLSearchParams({ page_size: '250', ...(token ? { page_token: token } : {}) })
      const { data, link } = await this.#admin<Client[]>(`/admin/clients?${query}`)
      clients.push(...data)
      token = nextToken(link)
      // hydra names a next page after a full one, which may be empty.
      if (token === undefined || data.length === 0) break
    }
    return clients
  }

  /** Forgets who has logged in as a subject: the next request asks again. */
  async endSessions(subject: string): Promise<void> {
    const query = new URLSearchParams({ subject })
    await this.#admin(`/admin/oauth2/auth/sessions/login?${query}`, { method: 'DELETE' })
  }

  /** Takes back every token that was issued for a subject. */
  async revokeTokens(subject: string): Promise<void> {
    const query = new URLSearchParams({ subject, all: 'true' })
    await this.#admin(`/admin/oauth2/auth/sessions/consent?${query}`, { method: 'DELETE' })
  }

  async #request<T>(kind: Kind, challenge: string): Promise<T> {
    const query = new URLSearchParams({ [`${kind}_challenge`]: challenge })
    return (await this.#admin<T>(`/admin/oauth2/auth/requests/${kind}?${query}`)).data
  }

  async #answer(kind: Kind, challenge: string, answer: 'accept' | 'reject', body: object): Promise<string> {
    const query = new URLSearchParams({ [`${kind}_challenge`]: challenge })
    const path = `/admin/oauth2/auth/requests/${kind}/${answer}?${query}`
    return (await this.#admin<Redirect>(path, { method: 'PUT', body })).data.redirect_to
  }
}
