import { printable } from './printable.ts'
import { scrub } from './scrub.ts'

/** How a cell or a line is meant: a word stands beside every colour, so that nobody needs to see it. */
export type Mood = 'good' | 'bad' | 'warn' | 'none'

/** A cell of a table: a text, or one with a mood, or a bar of so many percent. */
export type HtmlCell = string | { text: string; mood?: Mood; percent?: number; code?: true }

/** A part of a section. */
export type HtmlBlock =
  | { text: string; mood?: Mood }
  | { head: readonly string[]; rows: readonly (readonly HtmlCell[])[]; empty?: string }
  | { findings: readonly HtmlFinding[] }

/** What is wrong, what was seen of it, and what to do. */
export interface HtmlFinding {
  title: string
  mood: Mood
  seen: readonly string[]
  fix: string
  command?: string
}

/** A page: numbers at its top, then sections. */
export interface HtmlPage {
  title: string
  /** One line below the title: when, of what. */
  about: string
  tiles: readonly { name: string; value: string; mood: Mood }[]
  sections: readonly { title: string; blocks: readonly HtmlBlock[] }[]
}

const ENTITIES: Record<string, string> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": '#39' }

/** A text within HTML: without secrets, its control characters shown, its markup escaped. Pure but for the known secrets. */
export function htmlText(text: string): string {
  return printable(scrub(text)).replaceAll(/[&<>"']/g, character => `&${ENTITIES[character]};`)
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--ground:#fff;--card:#f6f8fa;--line:#d0d7de;--good:#116329;--bad:#a40e26;--warn:#7a4b00;--bar:#0550ae}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9ea7b3;--ground:#0d1117;--card:#161b22;--line:#30363d;--good:#56d364;--bad:#ff8a80;--warn:#e3b341;--bar:#79c0ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:70rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:.5rem 0 0}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:0}
p{margin:.3rem 0}.about{color:var(--dim)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:1rem 0;padding:0;list-style:none}
.tiles li,.finding{background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem}
.tiles b{display:block;font-size:1.4rem}.finding{margin:.6rem 0;break-inside:avoid;border-left-width:.3rem}
.finding.bad{border-left-color:var(--bad)}.finding.warn{border-left-color:var(--warn)}
.good{color:var(--good)}.bad h3,b.bad,td .bad,p.bad{color:var(--bad)}.warn h3,b.warn,td .warn,p.warn{color:var(--warn)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);min-width:5rem}
th{color:var(--dim);font-weight:600}tr{break-inside:avoid}
code{font:.9em ui-monospace,monospace}.seen{color:var(--dim);margin:.3rem 0;padding-left:1.2rem}
.bar{display:block;width:8rem;max-width:100%;height:.5rem;margin-top:.3rem;background:var(--line);border-radius:.25rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.bar i{display:block;height:100%;background:var(--bar);border-radius:.25rem}
@media print{body{max-width:none;padding:0}.scroll{overflow:visible}}
`

/**
 * A page as one file: it opens from a disk, asks nobody for anything (its policy forbids it), has no script, and fits
 * phones, desktops, paper, light and dark. All texts are escaped. Pure but for the known secrets.
 */
export function htmlPage({ title, about, tiles, sections }: HtmlPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${htmlText(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${htmlText(title)}</h1>
<p class="about">${htmlText(about)}</p>
</header>
<main>
<ul class="tiles">
${tiles.map(({ name, value, mood }) => `<li>${htmlText(name)}<b class="${mood}">${htmlText(value)}</b></li>`).join('\n')}
</ul>
${sections.map(section).join('\n')}
</main>
</body>
</html>
`
}

function section({ title, blocks }: HtmlPage['sections'][number]): string {
  return `<section>\n<h2>${htmlText(title)}</h2>\n${blocks.map(block).join('\n')}\n</section>`
}

function block(each: HtmlBlock): string {
  if ('text' in each) return `<p class="${each.mood ?? 'none'}">${htmlText(each.text)}</p>`
  if ('findings' in each) return each.findings.map(finding).join('\n')
  if (each.rows.length === 0) return `<p>${htmlText(each.empty ?? 'None.')}</p>`
  // A table that is wider than a phone is scrolled, also with the keyboard.
  return `<div class="scroll" tabindex="0" role="group" aria-label="${htmlText(each.head.join(', '))}"><table>
<thead><tr>${each.head.map(name => `<th scope="col">${htmlText(name)}</th>`).join('')}</tr></thead>
<tbody>
${each.rows.map(row => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}
</tbody>
</table></div>`
}

function cell(each: HtmlCell): string {
  if (typeof each === 'string') return `<td>${htmlText(each)}</td>`
  const { text, mood = 'none', percent, code } = each
  const inner = code ? `<code>${htmlText(text)}</code>` : htmlText(text)
  const width = percent === undefined ? undefined : Math.max(0, Math.min(100, Math.round(percent)))
  const bar =
    width === undefined ? '' : `<span class="bar" aria-hidden="true"><i style="width:${width}%"></i></span>`
  return `<td><span class="${mood}">${inner}</span>${bar}</td>`
}

function finding({ title, mood, seen, fix, command }: HtmlFinding): string {
  const word = mood === 'bad' ? 'Broken: ' : mood === 'warn' ? 'Warning: ' : ''
  const lines = seen.map(line => `<li>${htmlText(line)}</li>`).join('')
  return `<article class="finding ${mood}">
<h3>${word}${htmlText(title)}</h3>
${lines ? `<ul class="seen">${lines}</ul>` : ''}
<p>${htmlText(fix)}</p>
${command ? `<p><code>${htmlText(command)}</code></p>` : ''}
</article>`
}
