/** What a container says before it ends, and what it means: from its termination message, and its log in a live run. */
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { WORDS } from './known-words.ts'
import { around, FRAME, saidBy, wholeMessages, withNext } from './telling-lines.ts'

/** The meaning of a container's last words. */
export interface Meaning {
  rule: string
  cause: string
  /** As that of `Words`. */
  fix: (where: string, secret?: string) => string
  command?: string
  /** The line that says so. */
  line?: string
  /** What it suffers from. */
  by?: readonly Ref[]
}

/** The last lines of a container's log, where they were read. */
export function lastLinesOf(pod: KubeObject, container: string, index: Index): string {
  const { namespace, name } = pod.metadata
  return (
    index.snapshot.lastLines?.find(
      each => each.namespace === namespace && each.pod === name && each.container === container,
    )?.text ?? ''
  )
}

/** What the numbers of errors mean that programs say in place of words (errno(3)). */
const ERRORS: Readonly<Record<string, string>> = {
  5: 'input/output error',
  11: 'resource temporarily unavailable',
  12: 'cannot allocate memory',
  13: 'permission denied',
  24: 'too many open files',
  28: 'no space left on device',
  30: 'read-only file system',
  98: 'address already in use',
  110: 'connection timed out',
  111: 'connection refused',
}

const NUMBERED = /\b(errno|errcode|os error|error number)[:=]? ?(\d{1,3})\b(?! ["'(])/gi

/** The break between a line of a configuration and what a program says of it: `>>> 'LINE'` of Valkey, `^--` of Ory. */
const POINTER = /(?<=^>>> .{1,200})\n|\n[ \t]*(?=\^--)/gm

/** What the last words of a container mean; undefined where they are not known. Pure. */
export function meaningOf(...said: readonly string[]): Meaning | undefined {
  const texts = said.map(text =>
    wholeMessages(text)
      .replaceAll(POINTER, ' ')
      .replaceAll(NUMBERED, (found, _word, number: string) =>
        ERRORS[number] ? `${found} (${ERRORS[number]})` : found,
      ),
  )
  for (const { pattern, what, bare, beside, unless, ...meaning } of WORDS)
    for (const text of texts) {
      const lines = text
        .split('\n')
        .filter(each => pattern.test(each) && (beside?.test(each) ?? true) && !unless?.test(each))
      const line = lines.findLast(each => !FRAME.test(each)) ?? lines.at(-1)
      if (line !== undefined)
        return {
          ...meaning,
          line,
          cause: bare ? what : `${what}: ${aboutIt(withNext(line, text.split('\n')), pattern)}`,
        }
    }
  return undefined
}

/** What a line says of the matter of a pattern: of a structured one its error, if that is what the pattern knows. */
function aboutIt(line: string, pattern: RegExp): string {
  const said = saidBy(line)
  // Of a structured line only what counts is left.
  return said !== line && pattern.test(said) ? around(said, pattern, 300) : around(line, pattern)
}

/** What a message of others means as far as the system below them is at fault: the kernel, or a disk. Pure. */
export function systemMeaning(text: string): Meaning | undefined {
  const known = meaningOf(text)
  return known && /^(node-|container-disk-failing)/.test(known.rule) ? known : undefined
}
