/**
 * kratos' flows as forms, generically: whatever nodes a flow has become fields, messages and buttons. Nodes that
 * need a script (passkeys) are left out. The shape of a node: https://github.com/ory/kratos/blob/master/ui/node
 */
import { type Html, html } from './html.ts'
import type { Flow, KratosText, Node } from './kratos.ts'
import { KRATOS, TEXTS } from './texts.ts'

/** A text of kratos, in words of ours where there are some. */
const wordsOf = ({ id, text }: KratosText) => KRATOS[id] ?? text

/** The messages of a form or a field. */
export function messages(list: readonly KratosText[] = [], id?: string): Html[] {
  return list.map(
    message =>
      html`<p class="message ${message.type}" ${id ? html`id="${id}"` : ''} ${message.type === 'error' ? html`role="alert"` : ''}>${wordsOf(message)}</p>`,
  )
}

export interface FormOptions {
  /** The groups whose nodes belong to this form, besides the hidden ones of all. */
  groups: readonly string[]
  /** Changes a node, or leaves it out (undefined), before it is shown. */
  adapt?: (node: Node) => Node | undefined
  /** A text under a field, by the field's name. */
  hints?: Record<string, string>
}

/** The form of some groups of a flow; undefined when it would have no button. */
export function form(
  flow: Flow,
  { groups, adapt = node => node, hints = {} }: FormOptions,
): Html | undefined {
  const nodes = flow.ui.nodes
    .filter(({ group }) => group === 'default' || groups.includes(group))
    .flatMap(node => adapt(node) ?? [])
  if (!nodes.some(node => node.attributes.type === 'submit' && groups.includes(node.group))) return undefined
  // The first button is the one that Enter presses.
  const key = groups[0]!
  return html`<form method="${flow.ui.method}" action="${flow.ui.action}">
${nodes.map(node => field(node, `${key}-${node.attributes.name ?? node.attributes.id}`, hints[node.attributes.name ?? '']))}
</form>`
}

function field(node: Node, id: string, hint?: string): Html | undefined {
  const { attributes, meta, messages: said } = node
  const title = meta.label ?? attributes.title
  const label = title ? wordsOf(title) : ''
  switch (node.type) {
    case 'img':
      return html`<p><img src="${attributes.src}" width="${attributes.width}" height="${attributes.height}" alt="${label}"></p>`
    case 'text':
      return text(node, label)
    case 'a':
      return html`<p><a href="${attributes.href}">${label}</a></p>`
    case 'input':
      break
    default:
      return undefined
  }
  const { name = '', type = 'text', value } = attributes
  if (type === 'hidden') return html`<input type="hidden" name="${name}" value="${String(value ?? '')}">`
  if (type === 'button') return undefined // does nothing without a script
  if (type === 'submit')
    return html`<p><button name="${name}" value="${String(value ?? '')}"${attributes.disabled && html` disabled`}${name !== 'method' && html` formnovalidate`}>${label}</button></p>`
  const wrong = said.some(({ type }) => type === 'error')
  const described = [...(hint ? [`${id}-hint`] : []), ...(said.length > 0 ? [`${id}-message`] : [])].join(' ')
  return html`<div class="field">
<label for="${id}">${label}</label>
<input id="${id}" name="${name}" type="${type}" value="${type === 'password' ? '' : String(value ?? '')}"
 ${attributes.required && html`required`} ${attributes.disabled && html`disabled`}
 ${attributes.autocomplete && html`autocomplete="${attributes.autocomplete}"`}
 ${type === 'text' && html`autocapitalize="none" spellcheck="false"`}
 ${wrong && html`aria-invalid="true"`} ${described && html`aria-describedby="${described}"`}>
${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
${messages(said, `${id}-message`)}
</div>`
}

/** A text that kratos shows: a secret for an authenticator app, or the list of recovery codes. */
function text({ attributes }: Node, label: string): Html {
  const { text } = attributes
  const secrets = text?.context?.secrets
  if (secrets)
    return html`<p>${label}</p><ul class="codes">${secrets.map(({ text }) => html`<li><code>${text}</code></li>`)}</ul>`
  return html`<p>${label} <code>${text?.context?.secret ?? text?.text ?? ''}</code></p>`
}

/** The forms of the settings, a section a group. */
export function settingsForms(flow: Flow, hints: Record<string, string>): Html {
  const { groups, username, usernameFixed } = TEXTS.settings
  // The name goes along, as kratos wants all traits; it cannot be changed (hooks.ts refuses it, too).
  const adapt = (node: Node): Node | undefined =>
    node.attributes.name === 'traits.username'
      ? { ...node, attributes: { ...node.attributes, type: 'hidden' } }
      : node
  const name = flow.ui.nodes.find(({ attributes }) => attributes.name === 'traits.username')?.attributes.value
  return html`${Object.entries(groups).map(([group, title]) => {
    const content = form(flow, { groups: [group], adapt, hints })
    return (
      content &&
      html`<section aria-labelledby="${group}"><h2 id="${group}">${title}</h2>
${group === 'profile' && html`<p>${username}: <strong>${String(name ?? '')}</strong></p><p class="hint">${usernameFixed}</p>`}
${content}</section>`
    )
  })}`
}
