/**
 * A relying party of single sign-on that stands in for an application: it sends what the application's source sends
 * (stand-ins.ts), and keeps accounts by the same rule; nothing else of the application is here.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import * as oidc from 'openid-client'
import { checkLogoutToken } from './logout-token.ts'
import type { Application, Claims } from './stand-ins.ts'

/** What every application of the platform asks for. */
const SCOPE = 'openid email profile'

interface Login {
  claims: Claims
  idToken: string
  /** hydra's session, which a logout token names. */
  sid?: string
}
interface Begun {
  state: string
  nonce?: string
  verifier?: string
}

/** One application on the bed: its login page, its callback, what it knows of who is logged in, and its logout. */
export class RelyingParty {
  readonly #app: Application
  readonly #origin: string
  readonly #configuration: oidc.Configuration
  readonly #fetch: oidc.CustomFetch
  /** By the session cookie: a login that is unfinished, and one that is done. */
  readonly #begun = new Map<string, Begun>()
  readonly #logins = new Map<string, Login>()

  private constructor(
    app: Application,
    origin: string,
    configuration: oidc.Configuration,
    fetch: oidc.CustomFetch,
  ) {
    this.#app = app
    this.#origin = origin
    this.#configuration = configuration
    this.#fetch = fetch
  }

  /** A relying party that trusts `ca`, and finds every host of the bed on loopback; at its host unless told. */
  static async of(
    app: Application,
    domain: string,
    secret: string,
    ca: string,
    origin = `https://${app.host}.${domain}`,
  ): Promise<RelyingParty> {
    const authentication = app.auth === 'client_secret_post' ? oidc.ClientSecretPost : oidc.ClientSecretBasic
    const direct = loopbackFetch(ca)
    const configuration = await oidc.discovery(
      new URL(`https://sso.${domain}`),
      app.clientId,
      secret,
      authentication(secret),
      { [oidc.customFetch]: withRedirect(direct, origin + app.redirect) },
    )
    return new RelyingParty(app, origin, configuration, direct)
  }

  /** Who has sent a request: the name of the account and its rights; undefined without a login. */
  who({ headers }: IncomingMessage): { name: string; isAdmin: boolean } | undefined {
    const login = this.#logins.get(sessionOf(headers.cookie))
    const { account, role } = this.#app
    return login && { name: account(login.claims), isAdmin: role(login.claims) === 'administrator' }
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    this.#answer(request, response).catch(error => {
      response.writeHead(500, { 'content-type': 'text/html' })
      response.end(
        `<h1>Login failed</h1><p id="error">${String(error.cause?.error_description ?? error.error_description ?? error.message)}</p>`,
      )
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.#origin)
    const session = sessionOf(request.headers.cookie)
    const { redirect, backChannel } = this.#app
    if (url.pathname === '/login') return this.#begin(response)
    if (url.pathname === redirect.split('?')[0] && url.searchParams.has('state'))
      return this.#finish(url, session, response)
    if (url.pathname === '/logout') return this.#logOut(session, response)
    if (backChannel && url.pathname === backChannel && request.method === 'POST')
      return this.#endSession(request, response)
    this.#show(session, response)
  }

  async #begin(response: ServerResponse): Promise<void> {
    const { nonce, pkce, redirect } = this.#app
    const id = randomBytes(16).toString('base64url')
    const begun: Begun = {
      state: oidc.randomState(),
      ...(nonce ? { nonce: oidc.randomNonce() } : {}),
      ...(pkce ? { verifier: oidc.randomPKCECodeVerifier() } : {}),
    }
    this.#begun.set(id, begun)
    const target = oidc.buildAuthorizationUrl(this.#configuration, {
      redirect_uri: this.#origin + redirect,
      scope: SCOPE,
      state: begun.state,
      ...(begun.nonce ? { nonce: begun.nonce } : {}),
      ...(begun.verifier
        ? {
            code_challenge: await oidc.calculatePKCECodeChallenge(begun.verifier),
            code_challenge_method: 'S256',
          }
        : {}),
    })
    response.writeHead(302, {
      location: target.href,
      'set-cookie': `rp=${id}; Secure; HttpOnly; Path=/; SameSite=Lax`,
    })
    response.end()
  }

  async #finish(url: URL, session: string, response: ServerResponse): Promise<void> {
    const { state = '', nonce, verifier } = this.#begun.get(session) ?? {}
    const tokens = await oidc.authorizationCodeGrant(
      this.#configuration,
      url,
      { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      this.#app.more?.({ state, scope: SCOPE }),
    )
    const idToken: Claims = { ...tokens.claims() }
    const claims = this.#app.claims === 'token' ? idToken : await this.#userinfo(tokens.access_token)
    this.#app.role(claims)
    this.#app.account(claims)
    const sid = typeof idToken.sid === 'string' ? idToken.sid : undefined
    this.#logins.set(session, { claims, idToken: tokens.id_token!, sid })
    response.writeHead(302, { location: '/' }).end()
  }

  async #userinfo(token: string): Promise<Claims> {
    const url = new URL(this.#configuration.serverMetadata().userinfo_endpoint!)
    const method = this.#app.claims
    const answer = await oidc.fetchProtectedResource(this.#configuration, token, url, method)
    return (await answer.json()) as Claims
  }

  #logOut(session: string, response: ServerResponse): void {
    const { logout } = this.#app
    const login = this.#logins.get(session)
    this.#logins.delete(session)
    const target =
      logout && login
        ? oidc.buildEndSessionUrl(this.#configuration, {
            id_token_hint: login.idToken,
            post_logout_redirect_uri: this.#origin + logout,
          }).href
        : '/'
    response.writeHead(302, { location: target }).end()
  }

  /** Ends the sessions that a logout token names, as user_oidc does: one for which it has none is an error there. */
  async #endSession(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const token = new URLSearchParams(Buffer.concat(pieces).toString()).get('logout_token') ?? ''
    const { issuer, jwks_uri } = this.#configuration.serverMetadata()
    const { keys } = (await (await this.#fetch(jwks_uri!, { ...PLAIN })).json()) as { keys: object[] }
    const { sid } = checkLogoutToken(token, { keys, issuer, clientId: this.#app.clientId })
    const ended = [...this.#logins].filter(([, login]) => login.sid === sid)
    for (const [id] of ended) this.#logins.delete(id)
    response.writeHead(ended.length > 0 ? 200 : 400, { 'content-type': 'application/json' }).end('{}')
  }

  #show(session: string, response: ServerResponse): void {
    const { account, button, clientId, role } = this.#app
    const login = this.#logins.get(session)
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    response.end(
      login
        ? `<h1>${clientId} (stand-in)</h1><p id="account">${account(login.claims)}</p>
<p id="role">${role(login.claims)}</p>
<p id="verified">${login.claims.email_verified}</p><a href="/logout">Log out</a>`
        : `<h1>${clientId} (stand-in)</h1><a href="/login">${button}</a>`,
    )
  }
}

const sessionOf = (cookie = '') => /(?:^|; )rp=([\w-]+)/.exec(cookie)?.[1] ?? ''

const PLAIN = { method: 'GET', headers: {}, body: undefined, redirect: 'manual' } as const

/** openid-client leaves out the query of a redirect URI in the token request; applications send it as it is. */
function withRedirect(fetch: oidc.CustomFetch, redirect: string): oidc.CustomFetch {
  return (url, options) => {
    if (options.body instanceof URLSearchParams && options.body.has('redirect_uri'))
      options.body.set('redirect_uri', redirect)
    return fetch(url, options)
  }
}

/** A fetch for openid-client that trusts a CA of the test, and finds *.localhost without a name server. */
export function loopbackFetch(ca: string): oidc.CustomFetch {
  return (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const { hostname, port, pathname, search } = new URL(url)
      const request = httpsRequest(
        {
          ca,
          method,
          port,
          host: '127.0.0.1',
          servername: hostname,
          path: pathname + search,
          headers: {
            ...Object.fromEntries(new Headers(headers as Record<string, string>)),
            host: `${hostname}:${port}`,
          },
          signal: signal ?? undefined,
        },
        async answer => {
          const pieces: Buffer[] = []
          for await (const piece of answer) pieces.push(piece)
          resolve(
            new Response(Buffer.concat(pieces), {
              status: answer.statusCode,
              headers: answer.headers as Record<string, string>,
            }),
          )
        },
      )
      request.on('error', reject)
      request.end(body === undefined || body === null ? undefined : String(body))
    })
}
