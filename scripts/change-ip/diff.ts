import { diffLines } from '../../lib/script/diff.ts'

/** What is compared: the text of a file or an object before and after; undefined where there is none. */
export interface Comparison {
  /** The name that the diff gives it. */
  name: string
  before: string | undefined
  after: string | undefined
}

/** Keys whose values never show, as YAML, environment files and command lines write them. */
const SECRET =
  /^([\s"'-]*[\w.-]*(?:token|passw(?:or)?d|secret|key-data|access_key|datastore-endpoint|vpn-auth)[\w.+-]*["']?\s*[:=]\s*)\S.*$/i

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
  const lines = [
    `--- ${before === undefined ? '/dev/null' : name}`,
    `+++ ${after === undefined ? '/dev/null' : name}`,
  ]
  for (const { at, removed, to, added } of hunks(before ?? '', after ?? '')) {
    const range = (start: number, count: number) =>
      count === 1 ? `${start + 1}` : `${count === 0 ? start : start + 1},${count}`
    const key = removed > 0 ? parentKey(old, at) : parentKey(now, to)
    lines.push(`@@ -${range(at, removed)} +${range(to, added)} @@${key ? ` ${key}` : ''}`)
    for (const line of old.slice(at, at + removed)) lines.push(`-${maskLine(line)}`)
    for (const line of now.slice(to, to + added)) lines.push(`+${maskLine(line)}`)
  }
  return lines
}

function linesOf(text: string | undefined): string[] {
  return text ? text.replace(/\n$/, '').split('\n') : []
}

interface Hunk {
  at: number
  removed: number
  to: number
  added: number
}

/** Where two texts differ: line numbers and counts on both sides. */
function hunks(before: string, after: string): Hunk[] {
  const found: Hunk[] = []
  let [i, j] = [0, 0]
  let open: Hunk | undefined
  for (const line of diffLines(before, after)) {
    if (line.startsWith('  ')) {
      open = undefined
      i++
      j++
      continue
    }
    if (!open) {
      open = { at: i, removed: 0, to: j, added: 0 }
      found.push(open)
    }
    if (line.startsWith('- ')) {
      open.removed++
      i++
    } else {
      open.added++
      j++
    }
  }
  return found
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
