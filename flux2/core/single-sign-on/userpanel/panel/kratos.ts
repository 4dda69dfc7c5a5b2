import { type Ask, nextToken, UpstreamError } from './upstream.ts'
import type { Identity } from './users.ts'

/** A text of kratos, by whose id it can be translated. */
export interface KratosText {
  id: number
  text: string
  type: 'info' | 'error' | 'success'
}

/** A part of a form. https://github.com/ory/kratos/blob/master/ui/node/node.go */
export interface Node {
  type: 'input' | 'text' | 'img' | 'a' | 'script' | 'div'
  group: string
  attributes: {
    name?: string
    type?: string
    value?: string | number | boolean
    required?: boolean
    disabled?: boolean
    autocomplete?: string
    pattern?: string
    maxlength?: number
    id?: string
    src?: string
    width?: number
    height?: number
    text?: KratosText & { context?: { secrets?: KratosText[]; secret?: string } }
    href?: string
    title?: KratosText
  }
  messages: KratosText[]
  meta: { label?: KratosText }
}

/** A flow of kratos: a form with its state. */
export interface Flow {
  id: string
  ui: { action: string; method: string; nodes: Node[]; messages?: KratosText[] }
  state?: string
  return_to?: string
  refresh?: boolean
  requested_aal?: 'aal1' | 'aal2'
}

export type FlowKind = 'login' | 'settings' | 'recovery' | 'verification'

/** Who a browser belongs to. */
export interface Session {
  id: string
  authenticated_at: string
  identity: Identity
  authentication_methods?: { method: string }[]
  authenticator_assurance_level?: 'aal1' | 'aal2'
}

export interface Page {
  identities: Identity[]
  /** The token of the next page; undefined after the last one. */
  next?: string
}

/** The APIs of kratos. Every call throws an UpstreamError for what is not a success. */
export class Kratos {
  readonly #public: Ask
  readonly #admin: Ask

  constructor(admin: Ask, browser: Ask) {
    this.#admin = admin
    this.#public = browser
  }

  /** The session of a browser, also one that lacks the second factor; undefined without any. */
  async session(cookie: string): Promise<Session | undefined> {
    if (!cookie) return undefined
    try {
      return (await this.#public<Session>('/sessions/whoami', { headers: { cookie } })).data
    } catch (error) {
      if (error instanceof UpstreamError && error.status === 401) return undefined
      throw error
    }
  }

  async flow(kind: FlowKind, id: string, cookie: string): Promise<Flow> {
    const path = `/self-service/${kind}/flows?id=${encodeURIComponent(id)}`
    return (await this.#public<Flow>(path, { headers: { cookie } })).data
  }

  async identity(id: string): Promise<Identity> {
    return (await this.#admin<Identity>(`/admin/identities/${encodeURIComponent(id)}`)).data
  }

  /** The identity with this user name or e-mail address, exactly. */
  async find(identifier: string): Promise<Identity | undefined> {
    const query = new URLSearchParams({ credentials_identifier: identifier })
    return (await this.#admin<Identity[]>(`/admin/identities?${query}`)).data[0]
  }

  async list(token?: string, size = 100): Promise<Page> {
    const query = new URLSearchParams({ page_size: String(size), ...(token ? { page_token: token } : {}) })
    const { data, link } = await this.#admin<Identity[]>(`/admin/identities?${query}`)
    return { identities: data, next: nextToken(link) }
  }

  async create(body: object): Promise<Identity> {
    return (await this.#admin<Identity>('/admin/identities', { method: 'POST', body })).data
  }

  async replace(id: string, body: object): Promise<Identity> {
    const path = `/admin/identities/${encodeURIComponent(id)}`
    return (await this.#admin<Identity>(path, { method: 'PUT', body })).data
  }

  async remove(id: string): Promise<void> {
    await this.#admin(`/admin/identities/${encodeURIComponent(id)}`, { method: 'DELETE' })
  }

  /** Marks the address of an identity as confirmed. */
  async confirmAddress({ id, traits, verifiable_addresses }: Identity): Promise<void> {
    const index = (verifiable_addresses ?? []).findIndex(({ value }) => value === traits.email)
    if (index < 0 || verifiable_addresses![index]!.verified) return
    const path = `/verifiable_addresses/${index}`
    const body = [
      { op: 'replace', path: `${path}/verified`, value: true },
      { op: 'replace', path: `${path}/status`, value: 'completed' },
    ]
    await this.#admin(`/admin/identities/${encodeURIComponent(id)}`, { method: 'PATCH', body })
  }

  /** Takes a credential from an identity: `totp`, `lookup_secret` … */
  async removeCredential(id: string, kind: string): Promise<void> {
    const path = `/admin/identities/${encodeURIComponent(id)}/credentials/${encodeURIComponent(kind)}`
    await this.#admin(path, { method: 'DELETE' }).catch(ignoreMissing)
  }

  /** Ends all sessions of an identity. */
  async endSessions(id: string): Promise<void> {
    await this.#admin(`/admin/identities/${encodeURIComponent(id)}/sessions`, { method: 'DELETE' }).catch(
      ignoreMissing,
    )
  }

  /** Ends one session. */
  async endSession(id: string): Promise<void> {
    await this.#admin(`/admin/sessions/${encodeURIComponent(id)}`, { method: 'DELETE' }).catch(ignoreMissing)
  }

  /** A one-time code with which its owner sets a new password, and the address where it is entered. */
  async recoveryCode(identity_id: string): Promise<{ recovery_link: string; recovery_code: string }> {
    const body = { identity_id, expires_in: '24h' }
    return (
      await this.#admin<{ recovery_link: string; recovery_code: string }>('/admin/recovery/code', {
        method: 'POST',
        body,
      })
    ).data
  }

  /** An error that kratos has sent a browser here with. */
  async error(id: string): Promise<unknown> {
    return (await this.#public(`/self-service/errors?id=${encodeURIComponent(id)}`)).data
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof UpstreamError && error.status === 404)) throw error
}
