/** How users are shown to administrators. */
import type { Handover } from './accounts.ts'
import type { Application } from './dashboard.ts'
import { type Html, html } from './html.ts'
import type { Page } from './kratos.ts'
import { page, tokenField } from './layout.ts'
import type { Visitor } from './panel.ts'
import { TEXTS } from './texts.ts'
import {
  type AdminMetadata,
  hasSecondFactor,
  type Identity,
  type Role,
  type Traits,
  versionOf,
} from './users.ts'

/** What a form of a user holds. */
export interface UserForm {
  traits: Traits
  metadata: AdminMetadata
  /** The chosen role for each application. */
  roles: Record<string, Role | 'none'>
}

interface Shown extends Partial<UserForm> {
  problems: readonly string[]
  notice?: string
}

const texts = TEXTS.users

const stateOf = ({ state, metadata_admin }: Identity) =>
  texts.states[metadata_admin?.deleted ? 'deleted' : state]

export function userListPage({ viewer }: Visitor, { identities, next }: Page, query: string): Html {
  const rows = identities.map(
    identity => html`<tr><td><a href="/users/${identity.id}">${identity.traits.username}</a>
${identity.metadata_admin?.admin && html`<span class="label">${texts.adminLabel}</span>`}</td>
<td><bdi>${identity.traits.name}</bdi></td><td>${identity.metadata_admin?.deleted ? '' : identity.traits.email}</td><td>${stateOf(identity)}</td></tr>`,
  )
  return page(
    texts.title,
    html`<form method="get" action="/users" class="inline" role="search">
<label for="q">${texts.search}</label> <input id="q" name="q" value="${query}" autocapitalize="none" spellcheck="false">
<button>${texts.find}</button></form>
<p><a class="button" href="/users/new">${texts.add}</a></p>
${rows.length === 0 && html`<p>${texts.none}</p>`}
${
  rows.length > 0 &&
  html`<div class="scroll" tabindex="0" role="region" aria-label="${texts.title}"><table>
<thead><tr>${texts.columns.map(column => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>${rows}</tbody></table></div>`
}
${next && html`<p><a href="/users?page=${encodeURIComponent(next)}">${texts.more}</a></p>`}`,
    { viewer },
  )
}

const alerts = (problems: readonly string[]) =>
  problems.map(problem => html`<p class="message error" role="alert">${problem}</p>`)

function text(name: string, label: string, value = '', extra?: Html | false): Html {
  return html`<div class="field"><label for="${name}">${label}</label>
<input id="${name}" name="${name}" value="${value}" autocomplete="off" ${extra}></div>`
}

/** The choice of a role in each application, and the label "Admin". */
function access(apps: readonly Application[], { admin, apps: granted = {} }: AdminMetadata): Html {
  const roles = Object.entries(texts.roles)
  return html`<fieldset><legend>${texts.access}</legend>
${apps.map(
  ({ client_id, name }) => html`<div class="field"><label for="app-${client_id}">${name}</label>
<select id="app-${client_id}" name="app-${client_id}">${roles.map(
    ([role, label]) =>
      html`<option value="${role}"${(granted[client_id] ?? 'none') === role && html` selected`}>${label}</option>`,
  )}</select></div>`,
)}
<p><label><input type="checkbox" name="admin"${admin && html` checked`}> ${texts.isAdmin}</label></p></fieldset>`
}

export function newUserPage({ viewer }: Visitor, apps: readonly Application[], shown: Shown): Html {
  const { traits, metadata = {}, problems } = shown
  return page(
    texts.add,
    html`${alerts(problems)}<form method="post" action="/users/new">${tokenField(viewer.token)}
${text('username', texts.username, traits?.username, html`required maxlength="64" pattern="[a-z0-9][a-z0-9._\\-]*" autocapitalize="none" spellcheck="false" aria-describedby="username-hint"`)}
<p class="hint" id="username-hint">${texts.usernameHint}</p>
${text('name', texts.name, traits?.name, html`maxlength="256"`)}
${text('email', texts.email, traits?.email, html`required type="email" maxlength="320"`)}
${access(apps, metadata)}
<fieldset><legend>${texts.start}</legend>
<p><label><input type="radio" name="start" value="code" checked> ${texts.byCode}</label></p>
<p><label><input type="radio" name="start" value="password"> ${texts.byPassword}</label></p></fieldset>
<p><button>${texts.create}</button></p></form>`,
    { viewer },
  )
}

export function userPage(
  visitor: Visitor,
  identity: Identity,
  apps: readonly Application[],
  shown: Shown,
): Html {
  const { viewer } = visitor
  const { username, email, name } = identity.traits
  const action = (name: string, label: string, extra?: Html) =>
    html`<form method="post" action="/users/${identity.id}" class="inline">${tokenField(viewer.token)}
${extra}<button name="action" value="${name}">${label}</button></form>`
  const deleted = identity.metadata_admin?.deleted
  const version = html`<input type="hidden" name="version" value="${versionOf(identity)}">`
  const body = deleted
    ? html`<p>${texts.states.deleted}, ${deleted.slice(0, 10)}</p>
${action('restore', texts.restore, html`${version}${text('email', texts.email, '', html`required type="email" maxlength="320"`)}`)}
<p>${action('end', texts.endSessions)}</p>
<p class="hint">${texts.freeHint}</p>${action('free', texts.free)}`
    : html`<form method="post" action="/users/${identity.id}">${tokenField(viewer.token)}${version}
${text('name', texts.name, name, html`maxlength="256"`)}
${text('email', texts.email, email, html`required type="email" maxlength="320"`)}
${access(apps, identity.metadata_admin ?? {})}
<p><button name="action" value="save">${texts.save}</button></p></form>
<section aria-labelledby="login"><h2 id="login">${texts.password}</h2>
${action('code', texts.resetCode)}${action('password', texts.resetPassword)}${action('end', texts.endSessions)}${hasSecondFactor(identity) && action('factor', texts.removeFactor)}</section>
<section aria-labelledby="remove"><h2 id="remove">${texts.columns[3]}: ${stateOf(identity)}</h2>
${identity.state === 'active' ? action('disable', texts.disable) : action('enable', texts.enable)}
<p class="hint">${texts.removeHint}</p>
${action('delete', texts.remove, text('confirm', texts.removeType(username), '', html`autocapitalize="none" spellcheck="false"`))}</section>`
  return page(username, html`${alerts(shown.problems)}${body}<p><a href="/users">${texts.back}</a></p>`, {
    viewer,
    notice: shown.notice,
  })
}

/** What is handed over to the user, shown once. */
export function handoverPage({ viewer }: Visitor, identity: Identity, { code, password }: Handover): Html {
  return page(
    identity.traits.username,
    html`<p>${texts.shown}</p><dl>
${code && html`<dt>${texts.address}</dt><dd><code>${code.address}</code></dd><dt>${texts.code}</dt><dd><code>${code.code}</code></dd>`}
${password && html`<dt>${texts.generated}</dt><dd><code>${password}</code></dd>`}</dl>
<p><a href="/users/${identity.id}">${identity.traits.username}</a> · <a href="/users">${texts.back}</a></p>`,
    { viewer },
  )
}
