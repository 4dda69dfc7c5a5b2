import { deflateRawSync } from 'node:zlib'
import { htmlText } from '../../../lib/script/html.ts'
import { type Account, BEGIN, keeping, type StandIn, wholePage } from './pages.ts'

interface Entry {
  id: number
  name: string
  dir: string
  isFolder: boolean
  content: Buffer
}
const kept = keeping(() => ({ files: [] as Entry[], events: [] as string[], passwords: [] as string[] }))
let last = 0

/** A Word document with one paragraph, as ONLYOFFICE hands it back: a ZIP file with one packed part. */
export function wordDocument(text: string): Buffer {
  const name = Buffer.from('word/document.xml')
  const xml = Buffer.from(
    `<w:document><w:body><w:p><w:r><w:t>${text}</w:t></w:r></w:p></w:body></w:document>`,
  )
  const data = deflateRawSync(xml)
  const sizes = Buffer.alloc(16)
  sizes.writeUInt32LE(data.length, 4)
  sizes.writeUInt32LE(xml.length, 8)
  sizes.writeUInt16LE(name.length, 12)
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50, 0)
  local.writeUInt16LE(8, 8)
  sizes.copy(local, 14)
  const central = Buffer.alloc(46)
  central.writeUInt32LE(0x02014b50, 0)
  central.writeUInt16LE(8, 10)
  sizes.copy(central, 16)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(1, 10)
  return Buffer.concat([local, name, data, central, name, end])
}

/** What every page has: the menu of the account. */
const shell = (account: Account, body: string, script: string) =>
  wholePage(
    'Nextcloud',
    `<header><button id="menu" aria-expanded="false">Settings menu</button>
<ul id="account" hidden>${account.isAdmin ? '<li><a href="#">Administration settings</a></li>' : ''}<li><a href="#">Log out</a></li></ul></header>
<dialog id="dialog"></dialog><dialog id="firstrunwizard">Welcome</dialog><div role="menu" id="choices" hidden></div><main>${body}</main>`,
    `const ask = (op, more) => fetch('/stand-in/do', { method: 'POST', body: JSON.stringify({ op, ...more }) })
document.getElementById('menu').onclick = () => account.hidden = !account.hidden
const [account, dialog, choices] = ['account', 'dialog', 'choices'].map(id => document.getElementById(id))
if (!localStorage.greeted) { localStorage.greeted = 'yes'; document.getElementById('firstrunwizard').showModal() }
const choose = entries => { choices.hidden = false; choices.replaceChildren(...entries.map(([text, act]) => {
  const button = document.createElement('button'); button.role = 'menuitem'; button.textContent = text
  button.onclick = () => { choices.hidden = true; act() }; return button })) }
const asked = (label, done) => { dialog.innerHTML = '<label>' + label + ' <input></label><button>Create</button>'
  dialog.showModal(); dialog.querySelector('button').onclick = () => { dialog.close(); done(dialog.querySelector('input').value) } }
${script}`,
  )

const FILES = `const dir = new URL(location).searchParams.get('dir') ?? ''
const table = document.querySelector('table')
const show = async () => {
  const files = await (await fetch('/stand-in/files?dir=' + encodeURIComponent(dir))).json()
  table.replaceChildren(...files.map(({ id, name, isFolder }) => {
    const row = table.insertRow()
    row.setAttribute('data-cy-files-list-row-name', name); row.setAttribute('data-cy-files-list-row-fileid', id)
    row.innerHTML = '<td><button></button></td><td><button aria-label="Actions">…</button></td>'
    const [open, actions] = row.querySelectorAll('button')
    open.textContent = name
    open.onclick = () => { if (isFolder) location.search = '?dir=' + encodeURIComponent(name) }
    actions.onclick = () => choose([
      ['Download', () => { location.href = '/stand-in/download?id=' + id }],
      ['Move or copy', () => { dialog.innerHTML = files.filter(f => f.isFolder).map(() => '<p></p>').join('')
        dialog.querySelectorAll('p').forEach((p, i) => { const folder = files.filter(f => f.isFolder)[i].name
          p.textContent = folder; p.onclick = () => { dialog.innerHTML = '<button></button>'
            const move = dialog.querySelector('button'); move.textContent = 'Move to ' + folder
            move.onclick = async () => { dialog.close(); await ask('move', { id, to: folder }); await show() } } })
        dialog.showModal() }],
      [isFolder ? 'Delete folder' : 'Delete file', async () => { await ask('delete', { id }); await show() }],
    ])
    return row
  }))
}
document.getElementById('new').onclick = () => choose([
  ['New folder', () => asked('Folder name', async name => { await ask('folder', { name, dir }); await show() })],
  ['New document', () => asked('Filename', async name => {
    await fetch('/ocs/v2.php/apps/files/api/v1/templates/create', { method: 'POST', body: JSON.stringify({ name, dir }) }); await show() })],
])
document.querySelector('input[type=file]').onchange = async event => { const [file] = event.target.files
  await ask('upload', { name: file.name, dir, text: await file.text() }); await show() }
show()`

const EDITOR = (id: string) => `const frame = document.querySelector('iframe')
frame.srcdoc = '<div tabindex="0"><canvas id="id_viewer_overlay" width="600" height="400"></canvas></div>'
frame.onload = () => { let text = ''; const paper = frame.contentDocument.querySelector('div')
  frame.contentDocument.querySelector('canvas').onclick = () => paper.focus()
  paper.onkeydown = event => { if (event.ctrlKey && event.key === 's') { event.preventDefault(); return ask('type', { id: ${id}, text }) }
    if (event.key.length === 1) text += event.key } }`

/** Nextcloud with its files, the calendar, the passwords and OnlyOffice. */
export const nextcloudStandIn: StandIn = {
  client: 'nextcloud',
  host: 'files',
  redirect: '/apps/user_oidc/code',
  login: `<a class="button" role="link" href="${BEGIN}">Login with OpenAppStack</a>`,
  page(here, account) {
    const { events, passwords } = kept(account)
    const list = (texts: readonly string[]) => texts.map(text => `<p>${htmlText(text)}</p>`).join('')
    const [, editor] = /^\/apps\/onlyoffice\/(\d+)$/.exec(here.pathname) ?? []
    if (editor) return shell(account, '<iframe name="frameEditor"></iframe>', EDITOR(editor))
    if (here.pathname === '/apps/calendar')
      return shell(
        account,
        `<button aria-label="Create new event">Event</button>${list(events)}`,
        `document.querySelector('main button').onclick = () => { dialog.ariaLabel = 'Simple event editor'
  dialog.innerHTML = '<input placeholder="Title" aria-label="Title"><button>Save</button>'; dialog.show()
  dialog.querySelector('button').onclick = async () => { await ask('event', { title: dialog.querySelector('input').value }); dialog.remove() } }`,
      )
    if (here.pathname === '/apps/passwords')
      return shell(
        account,
        `<button aria-label="Actions">+</button>${list(passwords)}`,
        `document.querySelector('main button').onclick = () => choose([['New Password', () => {
  dialog.innerHTML = '<label>Password <input type="password"></label><i title="Generate password">↻</i><label>Name <input></label><button>Save</button>'
  dialog.show(); const [password, name] = dialog.querySelectorAll('input')
  dialog.querySelector('i').onclick = () => { password.value = crypto.randomUUID() }
  dialog.querySelector('button').onclick = async () => { if (!password.value) return; await ask('password', { name: name.value }); dialog.remove() } }]])`,
      )
    return shell(
      account,
      '<button id="new" aria-label="New">+</button><input type="file" data-cy-upload-picker-input><table></table>',
      FILES,
    )
  },
  answer(here, account, body) {
    const mine = kept(account)
    const json = (value: unknown) => ({ type: 'application/json', body: JSON.stringify(value) })
    const file = mine.files.find(({ id }) => String(id) === here.searchParams.get('id'))
    if (here.pathname === '/stand-in/files') {
      const dir = here.searchParams.get('dir') ?? ''
      return json(
        mine.files.filter(each => each.dir === dir).map(({ id, name, isFolder }) => ({ id, name, isFolder })),
      )
    }
    if (here.pathname === '/stand-in/download' && file)
      return { type: 'application/octet-stream', body: file.content, file: file.name }
    const isTemplate = here.pathname.endsWith('/templates/create')
    if (here.pathname !== '/stand-in/do' && !isTemplate) return undefined
    const { op, ...given } = JSON.parse(body.toString()) as Record<string, string>
    const { name = '', dir = '', text = '', id, to = '', title = '' } = given
    const at = mine.files.findIndex(each => each.id === Number(id))
    const add = (content: Buffer, isFolder = false) =>
      mine.files.push({ id: ++last, name, dir, isFolder, content })
    if (isTemplate) add(wordDocument(''))
    else if (op === 'folder') add(Buffer.alloc(0), true)
    else if (op === 'upload') add(Buffer.from(text))
    else if (op === 'move') mine.files[at]!.dir = to
    else if (op === 'type') mine.files[at]!.content = wordDocument(text)
    else if (op === 'delete') mine.files.splice(at, 1)
    else if (op === 'event') mine.events.push(title)
    else if (op === 'password') mine.passwords.push(name)
    return json({})
  },
}
