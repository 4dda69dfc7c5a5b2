/**
 * Applications that cannot be had on this bed, as relying parties of single sign-on. They are stand-ins: each sends
 * what its application's source sends, and keeps accounts by the same rule; nothing else of the application is here.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import * as oidc from 'openid-client'

/** What one application sends, and how it takes people for its accounts. */
export interface Application {
  /** Its host below the domain. */
  host: string
  clientId: string
  /** The path of its redirect URI. */
  redirect: string
  /** How its token request authenticates. */
  auth: 'client_secret_post' | 'client_secret_basic'
  /** The button of its login page. */
  button: string
  /** The name of the account that it opens for somebody. */
  account: (claims: Record<string, unknown>) => string
  isAdmin: (claims: Record<string, unknown>) => boolean
  /** Whether its logout goes to hydra, with the ID token as a hint. */
  logout: 'hint' | 'none'
}

const inGroup = (claims: Record<string, unknown>) =>
  Array.isArray(claims.groups) && claims.groups.includes('admin')

/** Each with the file of its source that it was read from. */
export const APPLICATIONS: readonly Application[] = [
  {
    // nextcloud/user_oidc, lib/Controller/LoginController.php; values.yaml maps preferred_username to the account.
    host: 'files',
    clientId: 'nextcloud',
    redirect: '/apps/user_oidc/code',
    auth: 'client_secret_post',
    button: 'Login with OpenAppStack',
    account: ({ preferred_username }) => String(preferred_username),
    isAdmin: inGroup,
    logout: 'hint',
  },
  {
    // RocketChat/Rocket.Chat, apps/meteor/app/custom-oauth/server/custom_oauth_server.js: token_sent_via payload.
    host: 'chat',
    clientId: 'rocketchat',
    redirect: '/_oauth/openappstack',
    auth: 'client_secret_post',
    button: 'Login with OpenAppStack',
    account: ({ preferred_username }) => String(preferred_username),
    isAdmin: ({ preferred_username }) => preferred_username === 'admin',
    logout: 'none',
  },
  {
    // wekan/wekan, packages/wekan-oidc/oidc_server.js: the id is `sub` (OAUTH2_ID_MAP).
    host: 'wekan',
    clientId: 'wekan',
    redirect: '/_oauth/oidc',
    auth: 'client_secret_post',
    button: 'Sign in with OpenAppStack',
    account: ({ sub }) => String(sub),
    isAdmin: inGroup,
    logout: 'none',
  },
]

interface Login {
  claims: Record<string, unknown>
  idToken: string
}

/** One application on the bed: its login page, its callback, what it knows of who is logged in, and its logout. */
export class RelyingParty {
  readonly #app: Application
  readonly #origin: string
  readonly #configuration: oidc.Configuration
  /** By the session cookie: a login that is unfinished, and one that is done. */
  readonly #begun = new Map<string, { state: string; nonce: string }>()
  readonly #logins = new Map<string, Login>()

  private constructor(app: Application, origin: string, configuration: oidc.Configuration) {
    this.#app = app
    this.#origin = origin
    this.#configuration = configuration
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
    const configuration = await oidc.discovery(
      new URL(`https://sso.${domain}`),
      app.clientId,
      secret,
      authentication(secret),
      { [oidc.customFetch]: loopbackFetch(ca) },
    )
    return new RelyingParty(app, origin, configuration)
  }

  /** Who has sent a request: the name of the account and its rights; undefined without a login. */
  who({ headers }: IncomingMessage): { name: string; isAdmin: boolean } | undefined {
    const login = this.#logins.get(sessionOf(headers.cookie))
    return login && { name: this.#app.account(login.claims), isAdmin: this.#app.isAdmin(login.claims) }
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
    const redirect_uri = `${this.#origin}${this.#app.redirect}`
    if (url.pathname === '/login') {
      const id = randomBytes(16).toString('base64url')
      const [state, nonce] = [oidc.randomState(), oidc.randomNonce()]
      this.#begun.set(id, { state, nonce })
      const target = oidc.buildAuthorizationUrl(this.#configuration, {
        redirect_uri,
        scope: 'openid email profile',
        state,
        nonce,
      })
      response.writeHead(302, {
        location: target.href,
        'set-cookie': `rp=${id}; Secure; HttpOnly; Path=/; SameSite=Lax`,
      })
      response.end()
    } else if (url.pathname === this.#app.redirect) {
      const { state, nonce } = this.#begun.get(session) ?? {}
      const tokens = await oidc.authorizationCodeGrant(this.#configuration, url, {
        expectedState: state,
        expectedNonce: nonce,
      })
      const subject = tokens.claims()!.sub
      const info = await oidc.fetchUserInfo(this.#configuration, tokens.access_token, subject)
      this.#logins.set(session, { claims: { ...info }, idToken: tokens.id_token! })
      response.writeHead(302, { location: '/' }).end()
    } else if (url.pathname === '/logout') {
      const login = this.#logins.get(session)
      this.#logins.delete(session)
      const target =
        this.#app.logout === 'hint' && login
          ? oidc.buildEndSessionUrl(this.#configuration, {
              id_token_hint: login.idToken,
              post_logout_redirect_uri: `${this.#origin}/`,
            }).href
          : '/'
      response.writeHead(302, { location: target }).end()
    } else {
      const login = this.#logins.get(session)
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      response.end(
        login
          ? `<h1>${this.#app.clientId} (stand-in)</h1><p id="account">${this.#app.account(login.claims)}</p>
<p id="role">${this.#app.isAdmin(login.claims) ? 'administrator' : 'user'}</p>
<p id="verified">${login.claims.email_verified}</p><a href="/logout">Log out</a>`
          : `<h1>${this.#app.clientId} (stand-in)</h1><a href="/login">${this.#app.button}</a>`,
      )
    }
  }
}

const sessionOf = (cookie = '') => /(?:^|; )rp=([\w-]+)/.exec(cookie)?.[1] ?? ''

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
