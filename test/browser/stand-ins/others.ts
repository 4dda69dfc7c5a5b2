import { htmlText } from '../../../lib/script/html.ts'
import { BEGIN, keeping, type StandIn, wholePage } from './pages.ts'

const texts = keeping(() => [] as string[])
const boards = keeping(() => [] as { title: string; lists: number; cards: string[] }[])
const list = (items: readonly string[]) => items.map(item => `<p>${htmlText(item)}</p>`).join('')
/** A script that sends the text of a field when a button is pressed, and shows the page again. */
const sends = (field: string, button: string) =>
  `document.querySelector('${button}').onclick = async () => { await fetch('/stand-in/do', { method: 'POST', body: document.querySelector('${field}').value }); location.reload() }`

/** Rocket.Chat: a conversation with oneself. */
export const rocketchatStandIn: StandIn = {
  client: 'rocketchat',
  host: 'chat',
  redirect: '/_oauth/openappstack',
  login: `<button onclick="location.href='${BEGIN}'">Login with OpenAppStack</button>`,
  page: (_, account) =>
    wholePage(
      'Rocket.Chat',
      `<div role="group" aria-label="Workspace and user preferences"><button>User menu</button></div>
<div role="list" aria-label="Message list">${list(texts(account))}</div>
<div role="group" aria-label="Message composer"><textarea name="msg"></textarea><button id="send">Send</button></div>`,
      sends('textarea', '#send'),
    ),
  answer(here, account, body) {
    if (here.pathname !== '/stand-in/do') return undefined
    texts(account).push(body.toString())
    return { type: 'text/plain', body: 'ok' }
  },
}

/** Wekan: boards with lists and cards. */
export const wekanStandIn: StandIn = {
  client: 'wekan',
  host: 'wekan',
  redirect: '/_oauth/oidc',
  login: `<button id="at-oidc" onclick="location.href='${BEGIN}'">Sign in with Oidc</button>`,
  page(here, account) {
    const mine = boards(account)
    const board = mine[Number(/^\/b\/(\d+)$/.exec(here.pathname)?.[1] ?? -1)]
    const menu = `<a title="Member Settings" onclick="account.hidden = !account.hidden">${htmlText(account.name)}</a>
<ul id="account" hidden>${account.isAdmin ? '<li>Admin Panel</li>' : ''}<li>Log Out</li></ul>`
    const ask = `const account = document.getElementById('account')
const ask = async (op, text) => { location.href = await (await fetch('/stand-in/do', { method: 'POST', body: JSON.stringify({ op, text, board: location.pathname.slice(3) }) })).text() }
`
    if (!board)
      return wholePage(
        'Wekan',
        `${menu}<a class="menu-item">Remaining</a><ul id="boards" hidden>${mine.map(({ title }, i) => `<li class="js-board"><a href="/b/${i}">${htmlText(title)}</a></li>`).join('')}
<li class="js-add-board"><a title="Add Board">Add Board</a></li></ul>
<form hidden><label>Title <input></label><input type="submit" value="Create"></form>`,
        `${ask}document.querySelector('.menu-item').onclick = () => { document.getElementById('boards').hidden = false }
const form = document.querySelector('form'); document.querySelector('[title="Add Board"]').onclick = () => { form.hidden = false }
form.onsubmit = event => { event.preventDefault(); ask('board', form.querySelector('input').value) }`,
      )
    return wholePage(
      'Wekan',
      `${menu}${board.lists === 0 ? '<a title="Add List">+</a>' : `${board.cards.map(card => `<div class="js-minicard">${htmlText(card)}</div>`).join('')}<a title="Add Card to Bottom of List">Add Card</a>`}
<form hidden class="js-inlined-form"></form>`,
      `${ask}const form = document.querySelector('form')
const open = (html, op) => { form.hidden = false; form.innerHTML = html; form.onsubmit = event => { event.preventDefault(); ask(op, form.querySelector('input,textarea').value) } }
const [list, card] = ['Add List', 'Add Card to Bottom of List'].map(title => document.querySelector('[title="' + title + '"]'))
if (list) list.onclick = () => open('<input placeholder="Add List"><button>Save</button>', 'list')
if (card) card.onclick = () => open('<textarea></textarea><button>Add</button>', 'card')`,
    )
  },
  answer(here, account, body) {
    if (here.pathname !== '/stand-in/do') return undefined
    const mine = boards(account)
    const { op, text, board } = JSON.parse(body.toString()) as { op: string; text: string; board: string }
    if (op === 'board') mine.push({ title: text, lists: 0, cards: [] })
    if (op === 'list') mine[Number(board)]!.lists++
    if (op === 'card') mine[Number(board)]!.cards.push(text)
    return { type: 'text/plain', body: `/b/${op === 'board' ? mine.length - 1 : board}` }
  },
}

/** WordPress: one post that takes comments. */
export const wordpressStandIn: StandIn = {
  client: 'wordpress',
  host: 'www',
  redirect: '/wp-admin/admin-ajax.php',
  login: `<a class="button button-large" href="${BEGIN}">Login with OpenID Connect</a>`,
  page: (_, account) =>
    wholePage(
      'WordPress',
      `<div role="navigation" aria-label="Toolbar">Howdy, ${htmlText(account.name)}</div>${list(texts(account))}
<p><label for="comment">Comment <span>*</span></label><textarea id="comment"></textarea></p><input type="button" value="Post Comment">`,
      sends('textarea', 'input'),
    ),
  answer(here, account, body) {
    if (here.searchParams.has('rest_route'))
      return {
        type: 'application/json',
        body: JSON.stringify([
          { link: `${here.origin}/?p=2`, comment_status: 'closed' },
          { link: `${here.origin}/?p=1`, comment_status: 'open' },
        ]),
      }
    if (here.pathname !== '/stand-in/do') return undefined
    texts(account).push(body.toString())
    return { type: 'text/plain', body: 'ok' }
  },
}

/** Grafana: the profile, which names the role. */
export const grafanaStandIn: StandIn = {
  client: 'grafana',
  host: 'grafana',
  redirect: '/login/generic_oauth',
  login: `<a href="${BEGIN}">Sign in with OpenAppStack</a>`,
  page: (_, account) =>
    wholePage(
      'Grafana',
      `<button aria-label="Profile">…</button><h3>Organizations</h3>
<table><thead><tr><th>Name</th><th>Role</th></tr></thead><tbody><tr><td>Main Org.</td><td>${account.isAdmin ? 'Admin' : 'Viewer'}</td></tr></tbody></table>`,
    ),
}
