/**
 * The part of LogQL that the stand-in for Loki understands: stream selectors, line filters, `| logfmt` with label
 * filters, and `count_over_time`. Whatever else is asked is refused, like a query that Loki itself refuses. The
 * grammar is that of pkg/logql/syntax/syntax.y in github.com/grafana/loki, the refusals those of parser.go beside it.
 */
import { Refusal, type StreamLabels } from './store.ts'

/** A condition on the value of a label. */
interface Matcher {
  label: string
  matches: (value: string) => boolean
}

/** A line on its way through a query: its text, and its stream's labels with those found in the line. */
interface Line {
  labels: StreamLabels
  text: string
}

/** A step of a query: returns the line, or undefined when it does not pass. */
type Stage = (line: Line) => Line | undefined

/** A query: which streams, and which of their lines. */
export interface Query {
  /** Whether a stream has the labels that are asked for. An absent label is empty. */
  selects: (labels: StreamLabels) => boolean
  stage: Stage
  /** The nanoseconds of `count_over_time(… [RANGE])`; undefined for a query for lines. */
  counted?: bigint
}

const SPACE = /\s*/y
const TOKENS = [
  { kind: 'string', pattern: /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y },
  { kind: 'range', pattern: /\[\s*(?:\d+(?:ns|us|µs|ms|[smhdwy]))+\s*\]/y },
  { kind: 'name', pattern: /[A-Za-z_][A-Za-z0-9_]*/y },
  { kind: 'sign', pattern: /=~|!=|!~|\|=|\|~|[={}(),|]/y },
] as const

interface Token {
  kind: (typeof TOKENS)[number]['kind'] | 'end'
  text: string
  at: number
}

/** Parses a query. Throws a Refusal, as Loki answers it, for what is not LogQL or not known to the stand-in. Pure. */
export function parseQuery(input: string): Query {
  const tokens = new Tokens(input)
  const counting = tokens.taken('count_over_time')
  if (counting) tokens.expect('(')
  const matchers = selector(tokens)
  const stages: Stage[] = []
  for (let stage = nextStage(tokens); stage; stage = nextStage(tokens)) stages.push(stage)
  const counted = counting ? range(tokens) : undefined
  if (counting) tokens.expect(')')
  tokens.expectEnd()
  // A matcher that an absent label meets would lead to every stream (pkg/util/matchers.go).
  if (matchers.every(({ matches }) => matches('')))
    throw new Refusal(
      'parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will',
    )
  return {
    selects: labels => matchers.every(({ label, matches }) => matches(labels[label] ?? '')),
    stage: line => stages.reduce<Line | undefined>((passed, stage) => passed && stage(passed), line),
    counted,
  }
}

/** The tokens of a query, taken from its beginning. */
class Tokens {
  readonly #input: string
  #next: Token

  constructor(input: string) {
    this.#input = input
    this.#next = this.#read(0)
  }

  #read(from: number): Token {
    SPACE.lastIndex = from
    const at = from + (SPACE.exec(this.#input)?.[0].length ?? 0)
    if (at >= this.#input.length) return { kind: 'end', text: '$end', at }
    for (const { kind, pattern } of TOKENS) {
      pattern.lastIndex = at
      const text = pattern.exec(this.#input)?.[0]
      if (text !== undefined) return { kind, text, at }
    }
    throw this.refusal('"`'.includes(this.#input[at]!) ? 'literal not terminated' : 'syntax error', at)
  }

  /** The refusal of what stands at a place; where the next token begins, when it is omitted. */
  refusal(what: string, at = this.#next.at): Refusal {
    const lines = this.#input.slice(0, at).split('\n')
    return new Refusal(`parse error at line ${lines.length}, col ${lines.at(-1)!.length + 1}: ${what}`)
  }

  take(): Token {
    const token = this.#next
    this.#next = this.#read(token.at + (token.kind === 'end' ? 0 : token.text.length))
    return token
  }

  /** Takes the next token if it is this one. */
  taken(text: string): boolean {
    return this.#next.text === text && this.#next.kind !== 'string' && this.take() !== undefined
  }

  unexpected(): Refusal {
    return this.refusal(`syntax error: unexpected ${this.#next.text}`)
  }

  expect(text: string): void {
    if (!this.taken(text)) throw this.unexpected()
  }

  expectEnd(): void {
    if (this.#next.kind !== 'end') throw this.unexpected()
  }

  takeKind(kind: Token['kind']): string {
    if (this.#next.kind !== kind) throw this.unexpected()
    return this.take().text
  }

  /** Takes one of these signs, or returns undefined. */
  takeSign<T extends string>(signs: readonly T[]): T | undefined {
    return signs.find(sign => this.taken(sign))
  }

  /** Takes a string: its value. */
  takeString(): string {
    const { at } = this.#next
    const value = unquoted(this.takeKind('string'))
    if (value === undefined) throw this.refusal('invalid syntax', at)
    return value
  }
}

const ESCAPES: Record<string, string> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
  ...{ '\\': '\\', '"': '"' },
}

/** The value of a string of Go (https://go.dev/ref/spec#String_literals), or undefined when it is not one. Pure. */
function unquoted(literal: string): string | undefined {
  const inner = literal.slice(1, -1)
  if (literal.startsWith('`')) return inner
  let valid = true
  const value = inner.replaceAll(
    /\\(?:u([\da-fA-F]{4})|U([\da-fA-F]{8})|x([0-7][\da-fA-F])|(.))/g,
    (...found) => {
      const [, short, long, byte, letter] = found as (string | undefined)[]
      const code = Number.parseInt(short ?? long ?? byte ?? '', 16)
      const character = letter ? ESCAPES[letter] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined
      if (!character?.isWellFormed()) valid = false
      return character ?? ''
    },
  )
  return valid ? value : undefined
}

/** A regular expression of RE2's syntax, as far as JavaScript has the same. Throws a Refusal for any other. */
function regexp(text: string, whole: boolean): RegExp {
  const refused = (why: string) => new Refusal(`parse error : error parsing regexp: ${why}: \`${text}\``)
  // RE2 has no look-around and no references back, which JavaScript has.
  if (/\(\?<?[=!]|\\[1-9]|\\k</.test(text)) throw refused('invalid or unsupported Perl syntax')
  const [, flags = '', pattern = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text) ?? []
  try {
    // Label matchers are anchored, and their dot matches line breaks, too.
    return new RegExp(whole ? `^(?:${pattern})$` : pattern, [...new Set(flags + (whole ? 's' : ''))].join(''))
  } catch (error) {
    throw refused(String((error as Error).message))
  }
}

const COMPARISONS = ['=~', '!=', '!~', '='] as const

function comparison(sign: (typeof COMPARISONS)[number], text: string): (value: string) => boolean {
  if (!sign.endsWith('~')) return value => (value === text) === (sign === '=')
  const pattern = regexp(text, true)
  return value => pattern.test(value) === (sign === '=~')
}

function matcher(tokens: Tokens): Matcher {
  const label = tokens.takeKind('name')
  const sign = tokens.takeSign(COMPARISONS)
  if (!sign) throw tokens.unexpected()
  return { label, matches: comparison(sign, tokens.takeString()) }
}

function selector(tokens: Tokens): Matcher[] {
  tokens.expect('{')
  const matchers: Matcher[] = []
  while (!tokens.taken('}')) {
    if (matchers.length > 0) tokens.expect(',')
    matchers.push(matcher(tokens))
  }
  return matchers
}

function nextStage(tokens: Tokens): Stage | undefined {
  const sign = tokens.takeSign(['|=', '!=', '|~', '!~'])
  if (sign) {
    const text = tokens.takeString()
    const pattern = sign.endsWith('~') ? regexp(text, false) : undefined
    const has = (line: string) => (pattern ? pattern.test(line) : line.includes(text))
    return line => (has(line.text) === sign.startsWith('|') ? line : undefined)
  }
  if (!tokens.taken('|')) return undefined
  if (tokens.taken('logfmt')) return logfmt
  const { label, matches } = matcher(tokens)
  return line => (matches(line.labels[label] ?? '') ? line : undefined)
}

/** Adds what a line says as `name=value`. A name that the stream has as a label gets a suffix. */
function logfmt({ labels, text }: Line): Line {
  const found: Record<string, string> = {}
  for (const [, key = '', quoted, plain] of text.matchAll(/([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))/g)) {
    const name = key.replaceAll(/[^A-Za-z0-9_]/g, '_')
    found[name in labels ? `${name}_extracted` : name] = plain ?? unquoted(`"${quoted}"`) ?? ''
  }
  return { labels: { ...found, ...labels }, text }
}

const UNITS: Record<string, bigint> = {
  ...{ ns: 1n, us: 1_000n, µs: 1_000n, ms: 1_000_000n, s: 1_000_000_000n, m: 60_000_000_000n },
  ...{ h: 3_600_000_000_000n, d: 86_400_000_000_000n, w: 604_800_000_000_000n, y: 31_536_000_000_000_000n },
}

function range(tokens: Tokens): bigint {
  const parts = tokens.takeKind('range').matchAll(/(\d+)([a-zµ]+)/g)
  return [...parts].reduce((sum, [, number, unit]) => sum + BigInt(number!) * UNITS[unit!]!, 0n)
}
