/** The pages of a user's own account: kratos' flows, rendered. */
import { form, messages, settingsForms } from './forms.ts'
import { type Html, html } from './html.ts'
import { type Answer, redirect } from './http.ts'
import type { Flow, FlowKind } from './kratos.ts'
import { page } from './layout.ts'
import { forUsers, isGone, type Panel, type Visit } from './panel.ts'
import { TEXTS } from './texts.ts'
import { UpstreamError } from './upstream.ts'
import { SHORTEST_PASSWORD } from './users.ts'

/** The flow that a page was opened with; a redirect to a fresh one where there is none, or where it has expired. */
async function flowOf({ kratos }: Panel, visit: Visit, kind: FlowKind): Promise<Flow | Answer> {
  const id = visit.url.searchParams.get('flow')
  const fresh = redirect(`/self-service/${kind}/browser`)
  if (!id) return fresh
  try {
    return await kratos.flow(kind, id, visit.cookie)
  } catch (error) {
    // 403: of another browser; 401: of another user, or of nobody any more.
    if (isGone(error) || (error instanceof UpstreamError && [400, 401, 403].includes(error.status)))
      return fresh
    throw error
  }
}

const isFlow = (found: Flow | Answer): found is Flow => 'ui' in found

/** The application that a login goes on to, by the address to which it returns. */
async function applicationOf({ hydra }: Panel, flow: Flow): Promise<string | undefined> {
  const to = flow.return_to && URL.canParse(flow.return_to) ? new URL(flow.return_to) : undefined
  const challenge = to?.searchParams.get('login_challenge')
  if (!challenge) return undefined
  const { client } = await hydra.login(challenge).catch(() => ({ client: undefined }))
  return client && (client.client_name || client.client_id)
}

/** What a flow says; when it was sent too often, that alone. */
function messagesOf(flow: Flow, { url }: Visit): Html | Html[] {
  const wait = Number(url.searchParams.get('wait'))
  if (!Number.isInteger(wait) || wait <= 0) return messages(flow.ui.messages)
  return html`<p class="message error" role="alert">${TEXTS.login.throttled(wait)}</p>`
}

export async function loginPage(panel: Panel, visit: Visit): Promise<Answer> {
  const flow = await flowOf(panel, visit, 'login')
  if (!isFlow(flow)) return flow
  const { login } = TEXTS
  const application = await applicationOf(panel, flow)
  const second = flow.requested_aal === 'aal2'
  const groups = second ? [['totp'], ['lookup_secret']] : [['password']]
  const body = html`
${application && html`<p>${login.to(application)}</p>`}
${flow.refresh && html`<p>${login.again}</p>`}
${messagesOf(flow, visit)}
${groups.map(groups => form(flow, { groups }))}
${!second && (panel.config.mail ? html`<p><a href="/recovery">${login.forgot}</a></p>` : html`<p class="hint">${login.forgotWithoutMail}</p>`)}`
  return { page: page(second ? login.secondFactor : login.title, body) }
}

export function settingsPage(panel: Panel, visit: Visit): Promise<Answer> {
  return forUsers(panel, visit, async ({ viewer }) => {
    const flow = await flowOf(panel, visit, 'settings')
    if (!isFlow(flow)) return flow
    const { settings } = TEXTS
    const hints = { password: settings.passwordHint(SHORTEST_PASSWORD) }
    const notice = flow.state === 'success' ? settings.saved : undefined
    const body = html`${messages(flow.ui.messages?.filter(({ type }) => type !== 'success'))}${settingsForms(flow, hints)}`
    return { page: page(settings.title, body, { viewer, notice }) }
  })
}

/** Recovery and verification: one-time codes. */
export async function codePage(
  panel: Panel,
  visit: Visit,
  kind: 'recovery' | 'verification',
): Promise<Answer> {
  const { title } = TEXTS[kind]
  // Without mail a code comes from an administrator, with the address of its flow.
  if (!panel.config.mail && !visit.url.searchParams.has('flow'))
    return { page: page(title, html`<p>${TEXTS.recovery.withoutMail}</p>`) }
  const flow = await flowOf(panel, visit, kind)
  if (!isFlow(flow)) return panel.config.mail ? flow : redirect(`/${kind}`)
  const content: Html | undefined = form(flow, { groups: ['code'] })
  return {
    page: page(
      title,
      html`${messagesOf(flow, visit)}${content ?? html`<p><a class="button" href="/">${TEXTS.error.home}</a></p>`}`,
    ),
  }
}
