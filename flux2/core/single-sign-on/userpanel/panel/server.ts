import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { codePage, loginPage, settingsPage } from './account.ts'
import { dashboard } from './dashboard.ts'
import { settingsHook } from './hooks.ts'
import { html } from './html.ts'
import { type Answer, bodyOf, PageError, send } from './http.ts'
import { page } from './layout.ts'
import { proxyLogin } from './login-proxy.ts'
import type { Panel, Visit } from './panel.ts'
import { hydraConsent, hydraLogin, hydraLogout, logOut } from './signing-in.ts'
import { TEXTS } from './texts.ts'
import { UpstreamError } from './upstream.ts'
import { newUser, oneUser, userList } from './user-pages.ts'

const STYLE = readFileSync(join(import.meta.dirname, 'style.css'))

async function route(panel: Panel, visit: Visit): Promise<Answer> {
  const { method, url } = visit
  const { pathname, searchParams } = url
  const user = /^\/users\/([0-9a-f-]{36})$/.exec(pathname)?.[1]
  if (user) return oneUser(panel, visit, user)
  switch (`${method} ${pathname}`) {
    case 'GET /':
      return dashboard(panel, visit)
    case 'GET /login': {
      const challenge = searchParams.get('login_challenge')
      return challenge ? hydraLogin(panel, visit, challenge) : loginPage(panel, visit)
    }
    case 'GET /consent':
      return hydraConsent(panel, searchParams.get('consent_challenge') ?? '')
    case 'GET /logout':
      return hydraLogout(panel, visit, searchParams.get('logout_challenge') ?? '')
    case 'POST /logout':
      return logOut(panel, visit, await bodyOf(visit.request))
    case 'GET /settings':
      return settingsPage(panel, visit)
    case 'GET /recovery':
      return codePage(panel, visit, 'recovery')
    case 'GET /verification':
      return codePage(panel, visit, 'verification')
    case 'GET /error':
      return failure(400, await errorText(panel, searchParams))
    case 'GET /users':
      return userList(panel, visit)
    case 'GET /users/new':
    case 'POST /users/new':
      return newUser(panel, visit)
    case 'POST /hooks/settings':
      return settingsHook(panel, await bodyOf(visit.request))
    case 'GET /style.css':
      return { headers: { 'content-type': 'text/css', 'cache-control': 'max-age=3600' }, body: STYLE }
    case 'GET /health/alive':
    case 'GET /health/ready':
      return { headers: { 'content-type': 'application/json' }, body: '{"status":"ok"}' }
    default:
      throw new PageError(404, TEXTS.error.notFound)
  }
}

/** The words for an error of hydra or kratos. Their own are for developers; those go to the log. */
async function errorText({ kratos, log }: Panel, query: URLSearchParams): Promise<string> {
  const id = query.get('id')
  const error = id ? await kratos.error(id).catch(() => undefined) : Object.fromEntries(query)
  log({ event: 'error shown', error: JSON.stringify(error ?? null).slice(0, 1000) })
  const told = JSON.stringify(error ?? '')
  // kratos tells this only to whoever knows the password.
  if (told.includes('identity is disabled')) return TEXTS.error.disabled
  return /expired|already been used|csrf/i.test(told) ? TEXTS.error.expired : TEXTS.error.request
}

function failure(status: number, text: string): Answer {
  const { title, home } = TEXTS.error
  return {
    status,
    page: page(title, html`<p role="alert">${text}</p><p><a class="button" href="/">${home}</a></p>`),
  }
}

/** What is shown when a page cannot be: words, never a stack. */
function failureOf(panel: Panel, visit: Visit, error: unknown): Answer {
  if (error instanceof PageError) return failure(error.status, error.message)
  panel.log({
    event: 'failed',
    path: visit.url.pathname,
    error: error instanceof Error ? error.message : String(error),
  })
  return failure(error instanceof UpstreamError ? 503 : 500, TEXTS.error.away)
}

/** The panel's server. */
export function serve(panel: Panel) {
  return createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url?.startsWith('/') ? `http://panel${request.url}` : 'http://panel/')
    const visit = { method: request.method ?? 'GET', url, cookie: request.headers.cookie ?? '', request }
    try {
      if (/^\/self-service\/login(\/|$)/.test(url.pathname)) await proxyLogin(panel, visit, response)
      else send(response, await route(panel, visit))
    } catch (error) {
      if (response.headersSent) response.destroy()
      else send(response, failureOf(panel, visit, error))
    }
  })
}
