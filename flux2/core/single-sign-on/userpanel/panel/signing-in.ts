/**
 * The pages between an application and hydra: https://www.ory.sh/docs/hydra/concepts/login and …/consent. Sessions
 * are kratos' alone; hydra's own memory of who logged in only spares it a question, and is dropped when it disagrees.
 */
import { html } from './html.ts'
import { type Answer, formOf, PageError, redirect } from './http.ts'
import type { Client, LoginRequest } from './hydra.ts'
import { page, tokenField } from './layout.ts'
import { checkedForm, type Panel, toLogin, type Visit, type Visitor, visitorOf } from './panel.ts'
import { TEXTS } from './texts.ts'
import { UpstreamError } from './upstream.ts'
import { claimsFor, roleIn, subjectOf } from './users.ts'

/** Seconds that hydra remembers a login; kratos decides each time all the same. */
const REMEMBER = 24 * 3600
/** Milliseconds that a password counts as just entered, for an application that asks for it (`prompt=login`). */
const JUST_NOW = 5 * 60_000

const nameOf = (client: Client) => client.client_name || client.client_id

/** Answers hydra's question who is there. Throws a PageError for a challenge that is unknown, used or forged. */
export async function hydraLogin(panel: Panel, visit: Visit, challenge: string): Promise<Answer> {
  const request = await known(() => panel.hydra.login(challenge))
  const visitor = await visitorOf(panel, visit)
  if (visitor === 'second factor') return toLogin(panel, visit.url, { aal2: true })
  const subject = visitor && subjectOf(visitor.identity)
  if (request.skip && request.subject !== subject) {
    // hydra remembers somebody who is not logged in any more. It has to ask from the start.
    await panel.hydra.endSessions(request.subject)
    return redirect(request.request_url)
  }
  if (!visitor) return toLogin(panel, visit.url)
  const { session } = visitor
  if (asksAgain(request) && Date.now() - Date.parse(session.authenticated_at) > JUST_NOW)
    return toLogin(panel, visit.url, { refresh: true })
  const onward = await known(() =>
    panel.hydra.accept('login', challenge, {
      subject,
      remember: true,
      remember_for: REMEMBER,
      identity_provider_session_id: session.id,
      amr: (session.authentication_methods ?? []).map(({ method }) => method),
      acr: session.authenticator_assurance_level,
    }),
  )
  return goOn(TEXTS.going.title, TEXTS.going.text(nameOf(request.client)), onward)
}

/** Whether an application wants the password to be entered again. */
function asksAgain({ request_url }: LoginRequest): boolean {
  const prompt = URL.canParse(request_url) ? new URL(request_url).searchParams.get('prompt') : null
  return prompt?.split(' ').includes('login') ?? false
}

/** Answers hydra's question whether a user may open an application: the user's grants decide. */
export async function hydraConsent(panel: Panel, visit: Visit, challenge: string): Promise<Answer> {
  const request = await known(() => panel.hydra.consent(challenge))
  const { client, subject } = request
  const visitor = await visitorOf(panel, visit)
  if (visitor === undefined) return toLogin(panel, visit.url)
  if (visitor === 'second factor') return toLogin(panel, visit.url, { aal2: true })
  const { identity } = visitor
  // Somebody else's question, or the visitor has become somebody else since: hydra is told nothing.
  if (subjectOf(identity) !== subject) throw new PageError(410, TEXTS.error.expired)
  const role = roleIn(identity, client.client_id, panel.config.legacyAccess)
  if (!role) {
    panel.log({ event: 'refused', application: client.client_id, user: identity.traits.username })
    // hydra is told; the browser stays here, where a page says whom to ask.
    await known(() => panel.hydra.reject('consent', challenge, { error: 'access_denied', status_code: 403 }))
    return refusal(client)
  }
  panel.log({ event: 'granted', application: client.client_id, user: identity.traits.username, role })
  const claims = claimsFor(identity, role)
  return redirect(
    await known(() =>
      panel.hydra.accept('consent', challenge, {
        grant_scope: request.requested_scope,
        grant_access_token_audience: request.requested_access_token_audience,
        // Grants are asked again at every login: withdrawn ones shall end.
        remember: false,
        session: { id_token: claims, access_token: {} },
      }),
    ),
  )
}

function refusal(client: Client): Answer {
  const { refused } = TEXTS
  const name = nameOf(client)
  return {
    status: 403,
    page: page(
      refused.title(name),
      html`<p>${refused.text(name)}</p><p><a class="button" href="/">${refused.back}</a></p>`,
    ),
  }
}

/** Runs a request to hydra. Throws a PageError when hydra does not know the challenge, or knows that it was used. */
async function known<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UpstreamError && [400, 401, 404, 409, 410].includes(error.status))
      throw new PageError(410, TEXTS.error.expired)
    throw error
  }
}

/**
 * Answers hydra's question whether to log out. An application that names whom it logs out is not asked again; a bare
 * link may come from a stranger. A link can also name somebody else, even with his own ID token: that person's login
 * ends, and the visitor's stays.
 */
export async function hydraLogout(panel: Panel, visit: Visit, challenge: string): Promise<Answer> {
  const request = await known(() => panel.hydra.logout(challenge))
  const visitor = await visitorOf(panel, visit)
  if (typeof visitor === 'object') {
    if (!request.rp_initiated) return question(visitor, challenge)
    if (request.subject === subjectOf(visitor.identity)) await panel.kratos.endSession(visitor.session.id)
  }
  return redirect(await known(() => panel.hydra.accept('logout', challenge)))
}

function question({ viewer }: Visitor, challenge: string): Answer {
  const { logout } = TEXTS
  return {
    page: page(
      logout.title,
      html`<p>${logout.question}</p>
<form method="post" action="/logout?logout_challenge=${encodeURIComponent(challenge)}">${tokenField(viewer.token)}
<button>${logout.confirm}</button> <a href="/">${logout.cancel}</a></form>`,
    ),
  }
}

/** Logs out here, and through hydra wherever applications take part in it. */
export async function logOut(panel: Panel, visit: Visit): Promise<Answer> {
  const fields = await formOf(visit.request)
  const visitor = await visitorOf(panel, visit)
  if (typeof visitor !== 'object') return redirect('/login')
  checkedForm(panel, visitor, fields)
  await panel.kratos.endSession(visitor.session.id)
  const challenge = visit.url.searchParams.get('logout_challenge')
  const onward = challenge
    ? await known(() => panel.hydra.accept('logout', challenge))
    : `${panel.config.ssoUrl}/oauth2/sessions/logout`
  return goOn(TEXTS.logout.title, TEXTS.logout.remains, onward)
}

/** A page that goes on by itself: under our policy (form-action) a browser follows no form to another host. */
function goOn(title: string, text: string, onward: string): Answer {
  return {
    page: page(title, html`<p>${text}</p><p><a href="${onward}">${TEXTS.going.link}</a></p>`, { onward }),
  }
}
