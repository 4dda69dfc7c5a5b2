import { html } from './html.ts'
import type { Answer } from './http.ts'
import type { Client } from './hydra.ts'
import { page } from './layout.ts'
import { forUsers, type Panel, type Visit } from './panel.ts'
import { TEXTS } from './texts.ts'
import { roleIn } from './users.ts'

/** The applications that the visitor may open, with links. */
export function dashboard(panel: Panel, visit: Visit): Promise<Answer> {
  return forUsers(panel, visit, async ({ identity, viewer }) => {
    const texts = TEXTS.dashboard
    const mine = applications(await panel.hydra.clients()).flatMap(client => {
      const role = roleIn(identity, client.client_id, panel.config.legacyAccess)
      return role ? [{ ...client, role }] : []
    })
    const list = mine.map(
      ({ name, uri, logo, role }) => html`<li><a class="app" href="${uri}">
${logo && html`<img src="${logo}" alt="" width="48" height="48">`}<span>${name}</span></a>
${role === 'admin' && !viewer.admin && html`<p class="hint">${texts.admin}</p>`}</li>`,
    )
    const body = mine.length > 0 ? html`<ul class="apps">${list}</ul>` : html`<p>${texts.none}</p>`
    return { page: page(texts.title, body, { viewer }) }
  })
}

export interface Application {
  client_id: string
  name: string
  /** Where it is opened. */
  uri: string
  logo?: string
}

/** The clients that people open, by name: those that tell their address, or can be reached at their redirect's. */
export function applications(clients: readonly Client[]): Application[] {
  const web = (text: string | undefined) =>
    text && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined
  return clients
    .flatMap(({ client_id, client_name, client_uri, logo_uri, redirect_uris }) => {
      const redirected = web(redirect_uris?.[0])
      const uri = web(client_uri) ?? (redirected && `${new URL(redirected).origin}/`)
      return uri ? [{ client_id, name: client_name || client_id, uri, logo: web(logo_uri) }] : []
    })
    .sort((a, b) => a.name.localeCompare(b.name))
}
