import { type Html, html } from './html.ts'
import { TEXTS } from './texts.ts'

/** Who looks at a page, for its menu. */
export interface Viewer {
  name: string
  admin: boolean
  /** The token of this session's forms. */
  token: string
}

export interface PageOptions {
  viewer?: Viewer
  /** A line above everything that says what has just happened. */
  notice?: string
  /** Where the browser goes on by itself, at once. */
  onward?: string
}

/** A whole page. */
export function page(title: string, body: Html, { viewer, notice, onward }: PageOptions = {}): Html {
  return html`<!doctype html>
<html lang="${TEXTS.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
${onward && html`<meta http-equiv="refresh" content="0;url=${onward}">`}
<title>${title} · ${TEXTS.product}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<a class="skip" href="#content">${TEXTS.skip}</a>
<header>
<a class="brand" href="/">${TEXTS.product}</a>
${viewer && menu(viewer)}
</header>
<main id="content" tabindex="-1">
<h1>${title}</h1>
${notice && html`<p class="notice" role="status">${notice}</p>`}
${body}
</main>
</body>
</html>
`
}

function menu({ admin, token }: Viewer): Html {
  const { nav } = TEXTS
  return html`<nav aria-label="${nav.label}"><ul>
<li><a href="/">${nav.apps}</a></li>
<li><a href="/settings">${nav.settings}</a></li>
${admin && html`<li><a href="/users">${nav.users}</a></li>`}
<li><form method="post" action="/logout">${tokenField(token)}<button class="link">${nav.logout}</button></form></li>
</ul></nav>`
}

/** The hidden field that every form of ours carries. */
export function tokenField(token: string): Html {
  return html`<input type="hidden" name="token" value="${token}">`
}
