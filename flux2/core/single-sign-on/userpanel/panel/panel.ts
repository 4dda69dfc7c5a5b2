import type { IncomingMessage } from 'node:http'
import type { Config } from './config.ts'
import { type Answer, formOf, formToken, isOwnForm, PageError, redirect } from './http.ts'
import { Hydra } from './hydra.ts'
import { Kratos, type Session } from './kratos.ts'
import type { Viewer } from './layout.ts'
import { TEXTS } from './texts.ts'
import { Throttle } from './throttle.ts'
import { Turns } from './turns.ts'
import { askAt, UpstreamError } from './upstream.ts'
import { hasSecondFactor, type Identity, isAdmin } from './users.ts'

/** Everything that pages share: the services behind the panel, and who has failed to log in. */
export interface Panel {
  config: Config
  kratos: Kratos
  hydra: Hydra
  throttle: Throttle
  /** In which administrators change users: what was checked stays true until it is done. */
  turns: Turns
  log: (event: Record<string, unknown>) => void
}

export function panelOf(config: Config, log: Panel['log']): Panel {
  const { kratosAdminUrl, kratosPublicUrl, hydraAdminUrl } = config
  return {
    config,
    kratos: new Kratos(askAt('kratos', kratosAdminUrl), askAt('kratos', kratosPublicUrl)),
    hydra: new Hydra(askAt('hydra', hydraAdminUrl)),
    throttle: new Throttle(),
    turns: new Turns(),
    log,
  }
}

/** A request as pages see it. */
export interface Visit {
  method: string
  url: URL
  cookie: string
  request: IncomingMessage
}

/** Somebody who is logged in, with what only administrators may read about them. */
export interface Visitor {
  session: Session
  identity: Identity
  viewer: Viewer
}

/**
 * Who visits; undefined when nobody is logged in, `'second factor'` when the account has one and it was not entered.
 * kratos would hide whose account that is (whoami's required_aal), and nobody could count who guesses.
 */
export async function visitorOf(
  { config, kratos }: Panel,
  { cookie }: Visit,
): Promise<Visitor | 'second factor' | undefined> {
  const session = await kratos.session(cookie)
  if (session === undefined) return undefined
  const identity = await kratos.identity(session.identity.id)
  if (identity.state !== 'active') return undefined
  if (hasSecondFactor(identity) && session.authenticator_assurance_level !== 'aal2') return 'second factor'
  const { name, username } = identity.traits
  const viewer = {
    name: name || username,
    admin: isAdmin(identity),
    token: formToken(config.secret, session.id),
  }
  return { session, identity, viewer }
}

/** Where somebody who has to log in first is sent; afterwards they come back to `url`. */
export function toLogin(
  { config }: Panel,
  url: URL,
  options: { aal2?: boolean; refresh?: boolean } = {},
): Answer {
  const query = new URLSearchParams({
    return_to: `${config.panelUrl}${url.pathname}${url.search}`,
    ...(options.aal2 ? { aal: 'aal2' } : {}),
    ...(options.refresh ? { refresh: 'true' } : {}),
  })
  return redirect(`/self-service/login/browser?${query}`)
}

/** A page for people who are logged in: everybody else is sent to log in first. */
export async function forUsers(
  panel: Panel,
  visit: Visit,
  page: (visitor: Visitor) => Promise<Answer> | Answer,
): Promise<Answer> {
  const visitor = await visitorOf(panel, visit)
  if (visitor === undefined) return toLogin(panel, visit.url)
  if (visitor === 'second factor') return toLogin(panel, visit.url, { aal2: true })
  return page(visitor)
}

/**
 * A page for administrators, and the form that was sent to it. Whoever sends one has to be an administrator still when
 * it is his turn. Throws a PageError (403) for others.
 */
export async function forAdmins(
  panel: Panel,
  visit: Visit,
  page: (visitor: Visitor, fields: URLSearchParams | undefined) => Promise<Answer>,
): Promise<Answer> {
  const sent = visit.method === 'POST' ? await formOf(visit.request) : undefined
  const show = () =>
    forUsers(panel, visit, visitor => {
      if (!visitor.viewer.admin) throw new PageError(403, TEXTS.error.forbidden)
      return page(visitor, sent && checkedForm(panel, visitor, sent))
    })
  return sent ? panel.turns.take(show) : show()
}

/** The fields of a form of ours. Throws a PageError when it was not sent from one of this session's pages. */
export function checkedForm(
  { config }: Panel,
  { session }: Visitor,
  fields: URLSearchParams,
): URLSearchParams {
  if (!isOwnForm(config.secret, session.id, fields.get('token'))) throw new PageError(400, TEXTS.error.form)
  return fields
}

/** Whether a service said that something does not exist, or exists no longer. */
export function isGone(error: unknown): boolean {
  return error instanceof UpstreamError && [404, 410].includes(error.status)
}
