import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { codePage, loginPage, settingsPage } from './account.ts'
import { dashboard } from './dashboard.ts'
import { passwordHook, settingsHook } from './hooks.ts'
import { html } from './html.ts'
import { type Answer, PageError, send } from './http.ts'
import { page } from './layout.ts'
import type { Panel, Visit } from './panel.ts'
import { begin, flowPath, follow, submit } from './self-service.ts'
import { hydraConsent, hydraLogin, hydraLogout, logOut } from './signing-in.ts'
import { TEXTS } from './texts.ts'
import { UpstreamError } from './upstream.ts'
import { newUser, oneUser, userList } from './user-pages.ts'

const STYLE = readFileSync(join(import.meta.dirname, 'style.css'))

type Handler = (panel: Panel, visit: Visit) => Promise<Answer> | Answer

/** What an address takes. `GET` that does something, other than showing a page, is not asked with HEAD. */
interface Address {
  GET?: Handler
  POST?: Handler
  acts?: true
}

const ready: Address = {
  GET: () => ({ headers: { 'content-type': 'application/json' }, body: '{"status":"ok"}' }),
}
const challengeOf = ({ url }: Visit, kind: string) => url.searchParams.get(`${kind}_challenge`) ?? ''

const PAGES: Record<string, Address> = {
  '/': { GET: dashboard },
  '/login': { GET: loginPage },
  '/consent': {
    GET: (panel, visit) => hydraConsent(panel, visit, challengeOf(visit, 'consent')),
    acts: true,
  },
  '/logout': {
    GET: (panel, visit) => hydraLogout(panel, visit, challengeOf(visit, 'logout')),
    POST: logOut,
    acts: true,
  },
  '/settings': { GET: settingsPage },
  '/recovery': { GET: (panel, visit) => codePage(panel, visit, 'recovery') },
  '/verification': { GET: (panel, visit) => codePage(panel, visit, 'verification') },
  '/error': { GET: async (panel, { url }) => failure(400, await errorText(panel, url.searchParams)) },
  '/users': { GET: userList },
  '/users/new': { GET: newUser, POST: newUser },
  '/style.css': {
    GET: () => ({ headers: { 'content-type': 'text/css', 'cache-control': 'max-age=3600' }, body: STYLE }),
  },
  '/health/alive': ready,
  '/health/ready': ready,
}

/** What an address of the panel takes; undefined for one that does not exist. */
function addressFor({ url }: Visit): Address | undefined {
  const { pathname, searchParams } = url
  const challenge = searchParams.get('login_challenge')
  if (pathname === '/login' && challenge)
    return { GET: (panel, visit) => hydraLogin(panel, visit, challenge), acts: true }
  const flow = flowPath(pathname)
  if (flow?.begins) return { GET: (panel, visit) => begin(panel, visit, flow.kind), acts: true }
  if (flow)
    return {
      ...(flow.kind === 'verification' && { GET: follow }),
      POST: (panel, visit) => submit(panel, visit, flow.kind),
      acts: true,
    }
  const user = /^\/users\/([0-9a-f-]{36})$/.exec(pathname)?.[1]
  if (user) {
    const show: Handler = (panel, visit) => oneUser(panel, visit, user)
    return { GET: show, POST: show }
  }
  return Object.hasOwn(PAGES, pathname) ? PAGES[pathname] : undefined
}

/** What kratos asks, on a port of its own. */
const HOOKS: Record<string, Address> = {
  '/hooks/settings': { POST: settingsHook },
  '/hooks/password': { POST: passwordHook },
}

async function answerOf(panel: Panel, visit: Visit, address: Address | undefined): Promise<Answer> {
  if (!address) throw new PageError(404, TEXTS.error.notFound)
  const { GET, POST, acts } = address
  const isSafe = visit.method === 'GET' || (visit.method === 'HEAD' && !acts)
  const handler = isSafe ? GET : visit.method === 'POST' ? POST : undefined
  if (handler) return handler(panel, visit)
  const allow = [...(GET ? ['GET', ...(acts ? [] : ['HEAD'])] : []), ...(POST ? ['POST'] : [])].join(', ')
  throw new PageError(405, TEXTS.error.method, { allow })
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

function failure(status: number, text: string, headers: Record<string, string> = {}): Answer {
  const { title, home } = TEXTS.error
  return {
    status,
    headers,
    page: page(title, html`<p role="alert">${text}</p><p><a class="button" href="/">${home}</a></p>`),
  }
}

/** What is shown when a page cannot be: words, never a stack. */
function failureOf(panel: Panel, visit: Visit, error: unknown): Answer {
  if (error instanceof PageError) return failure(error.status, error.message, error.headers)
  panel.log({
    event: 'failed',
    path: visit.url.pathname,
    error: error instanceof Error ? error.message : String(error),
  })
  return failure(error instanceof UpstreamError ? 503 : 500, TEXTS.error.away)
}

/** Longer than any form takes, in milliseconds. */
const SLOWEST = 30_000

function serverOf(panel: Panel, addressFor: (visit: Visit) => Address | undefined): Server {
  return createServer({ requestTimeout: SLOWEST }, async (request, response) => {
    const url = new URL(request.url?.startsWith('/') ? `http://panel${request.url}` : 'http://panel/')
    const visit = { method: request.method ?? 'GET', url, cookie: request.headers.cookie ?? '', request }
    try {
      send(response, await answerOf(panel, visit, addressFor(visit)))
    } catch (error) {
      send(response, failureOf(panel, visit, error))
    }
  })
}

/** The panel's server, for browsers. */
export const serve = (panel: Panel): Server => serverOf(panel, addressFor)

/** The server of what kratos asks. It listens where the ingress leads nobody. */
export const serveHooks = (panel: Panel): Server => serverOf(panel, ({ url }) => HOOKS[url.pathname])
