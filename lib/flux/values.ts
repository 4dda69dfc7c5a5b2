/** Reading the values of a chart, as an administrator has written them. Pure, except that YAML is loaded when it is needed. */
import { UsageError } from '../script/errors.ts'
import { type HelmValue, type HelmValues, isMap } from './stored-release.ts'

/** Where a value is: keys, and numbers for places in a list. */
export type Path = readonly (string | number)[]

/** Bytes of values that we read: a ConfigMap and the release that Helm stores hold 1 MiB, encoded. */
export const MOST_BYTES = 256 * 1024

/** How deep values may be, and how many there may be: beyond that they are not somebody's configuration. */
const DEEPEST = 64
const MOST_VALUES = 20_000

/** Names that mean something else to JavaScript: no chart has such a key. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype'])

/** Whether a key means something else to JavaScript. */
export function isReserved(key: string): boolean {
  return RESERVED.has(key)
}

/**
 * Parses values as Helm reads them: YAML 1.1, where `yes` is true, without tags of its own. Anchors and mergeValues keys
 * are expanded. `name` is what errors call the text. Throws a UsageError for what is not valid YAML, not a map, has a
 * key twice, or grows too large.
 */
export async function parseValues(text: string, name: string): Promise<HelmValues> {
  const value = await parseYaml(text, name)
  if (value === null || value === undefined) return {}
  if (!isMap(value))
    throw new UsageError(
      `${name} is not a map of values`,
      'write KEY: VALUE lines, as in the values.yaml of the chart',
    )
  return value
}

/** Any YAML value, as `parseValues` reads it. */
export async function parseYaml(text: string, name: string): Promise<HelmValue | undefined> {
  if (Buffer.byteLength(text) > MOST_BYTES)
    throw new UsageError(
      `${name} is larger than ${MOST_BYTES / 1024} KiB`,
      'give only the values that differ from those in force',
    )
  if (/[^\P{Cc}\t\n\r]|\ufffd/u.test(text))
    throw new UsageError(`${name} is not a text in UTF-8`, 'give a YAML file')
  const { isScalar, Lexer, parseDocument, Parser, visit } = await import('yaml')
  // What is nested too deeply would end Node itself: the library composes and visits it by recursion.
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    Array.from(parser.next(lexeme))
    if (parser.stack.length > 2 * DEEPEST)
      throw new UsageError(`${name} is deeper than ${DEEPEST} levels`, 'correct its brackets and dashes')
  }
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    logLevel: 'error',
    customTags: tags =>
      tags.filter(tag => !/timestamp|binary|omap|pairs|set/.test(typeof tag === 'string' ? tag : tag.tag)),
  })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem?.code === 'MULTIPLE_DOCS')
    throw new UsageError(`${name} has several documents`, 'keep one of them, without a line ---')
  if (problem) {
    const line = problem.linePos?.[0].line
    // The rest of the message quotes the file, which may hold a password.
    const what = problem.message.split(/ at line |[:\n]/)[0] ?? ''
    throw new UsageError(`${name} is not valid YAML: line ${line ?? '?'}: ${what}`, 'correct that line')
  }
  visit(document, {
    Pair(_, { key }) {
      // YAML 1.1 takes `y`, `no` and `on` for true and false, and nobody means that by a key.
      if (isScalar(key) && (typeof key.value === 'boolean' || key.value === null))
        throw new UsageError(
          `${name} has the key ${key.source ?? 'null'}, which YAML reads as ${key.value}`,
          'write the key in quotes',
        )
    },
  })
  try {
    const value = document.toJS({ maxAliasCount: 100 }) as HelmValue
    checkSize(value, name)
    return value
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${name} has too many aliases`, 'write the values out')
  }
}

/** Throws a UsageError for values that are too deep or too many, or have a reserved key. */
function checkSize(value: HelmValue, name: string): void {
  let count = 0
  const visit = (value: HelmValue, depth: number) => {
    if (++count > MOST_VALUES || depth > DEEPEST)
      throw new UsageError(
        `${name} has more than ${MOST_VALUES} values, or is deeper than ${DEEPEST} levels`,
        'give only the values that differ from those in force',
      )
    if (typeof value === 'number' && !Number.isFinite(value))
      throw new UsageError(
        `${name} has a number that JSON cannot hold`,
        'write it in quotes, or as a finite number',
      )
    if (Array.isArray(value)) for (const item of value) visit(item, depth + 1)
    else if (isMap(value))
      for (const [key, item] of Object.entries(value)) {
        if (isReserved(key))
          throw new UsageError(`${name} has the key ${key}`, 'remove it: no chart has such a key')
        visit(item, depth + 1)
      }
  }
  visit(value, 0)
}

/** A path as `parsePath` reads it. */
export function pathText(path: Path): string {
  return path
    .map((part, i) =>
      typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${part.replaceAll('.', '\\.')}`,
    )
    .join('')
}

/** Every value that is not a map with keys, with its path. A list is one value. */
export function leaves(
  values: HelmValues,
  path: readonly string[] = [],
): [path: readonly string[], value: HelmValue][] {
  return Object.entries(values).flatMap(([key, value]): [readonly string[], HelmValue][] =>
    isMap(value) && Object.keys(value).length > 0 ? leaves(value, [...path, key]) : [[[...path, key], value]],
  )
}

/** Every text in a value, for the registration of secrets. */
export function textsIn(value: HelmValue): string[] {
  if (Array.isArray(value)) return value.flatMap(textsIn)
  if (isMap(value)) return Object.values(value).flatMap(textsIn)
  return typeof value === 'string' ? [value] : typeof value === 'number' ? [String(value)] : []
}
