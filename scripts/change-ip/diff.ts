import { structuredPatch } from 'diff'

/** What is compared: the text of a file or an object before and after; undefined where there is none. */
export interface Comparison {
  /** The name that the diff gives it. */
  name: string
  before: string | undefined
  after: string | undefined
}

/** Keys whose values never show, as YAML, environment files and command lines write them. */
const SECRET =
  /^([\s"'-]*(?!-)(?=[\w.+-]*?(?:token|passw(?:or)?d|secret|key-data|access_key|datastore-endpoint|vpn-auth))[\w.+-]+["']?\s*[:=]\s*)\S.*$/i

/** A line as it may be shown: without values of secrets, and without passwords in URLs. Pure. */
export function maskLine(line: string): string {
  return line.replace(SECRET, '$1(hidden)').replaceAll(/(:\/\/[^\s/:@"']*):[^\s/@"']*@/g, '$1:(hidden)@')
}

/**
 * A unified diff without context (as `diff -U0`), so that nothing of a file shows but what changes; the key that
 * a line of YAML belongs to stands behind the `@@`. Nothing for texts that are equal. Pure.
 */
export function unifiedDiff({ name, before, after }: Comparison): string[] {
  if (before === after) return []
  const [old, now] = [linesOf(before), linesOf(after)]
  const text = (lines: readonly string[]) => lines.map(line => `${line}\n`).join('')
  const { hunks } = structuredPatch(name, name, text(old), text(now), undefined, undefined, { context: 0 })
  // Before a line that is added stands the number of the line above it.
  const range = (start: number, count: number) =>
    count === 1 ? `${start}` : `${count === 0 ? start - 1 : start},${count}`
  return [
    `--- ${before === undefined ? '/dev/null' : name}`,
    `+++ ${after === undefined ? '/dev/null' : name}`,
    ...hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => {
      const key = oldLines > 0 ? parentKey(old, oldStart - 1) : parentKey(now, newStart - 1)
      return [
        `@@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@${key ? ` ${key}` : ''}`,
        ...lines.map(line => `${line[0]}${maskLine(line.slice(1))}`),
      ]
    }),
  ]
}

function linesOf(text: string | undefined): string[] {
  return text ? text.replace(/\n$/, '').split('\n') : []
}

/** The line of YAML above that this one is below of, like `tls-san:`. */
function parentKey(lines: readonly string[], at: number): string | undefined {
  const indent = (line: string) => line.search(/\S/)
  const line = lines[at] ?? ''
  const isItem = /^\s*- /.test(line)
  for (let i = at - 1; i >= 0; i--) {
    const above = lines[i]!
    if (/^\s*(#|$)/.test(above) || /^\s*- /.test(above)) continue
    const higher = isItem ? indent(above) <= indent(line) : indent(above) < indent(line)
    if (higher) return /^\s*(["']?[\w.+-]+["']?:)\s*$/.exec(above)?.[1]
  }
  return undefined
}
