/** Values of a chart: reading, merging and addressing them. Pure, except that YAML is loaded when it is needed. */
import { type HelmValue, type HelmValues, isMap } from '../../lib/flux/stored-release.ts'
import { UsageError } from '../../lib/script/errors.ts'

/** Where a value is: keys, and numbers for places in a list. */
export type Path = readonly (string | number)[]

/** Bytes of values that we read: a ConfigMap and the release that Helm stores hold 1 MiB, encoded. */
export const MOST_BYTES = 256 * 1024

/** How deep values may be, and how many there may be: beyond that they are not somebody's configuration. */
const DEEPEST = 64
const MOST_VALUES = 20_000

/** Names that mean something else to JavaScript: no chart has such a key. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype'])

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
  const { isScalar, parseDocument, visit } = await import('yaml')
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    logLevel: 'error',
    customTags: tags =>
      tags.filter(tag => !/timestamp|binary|omap|pairs|set/.test(typeof tag === 'string' ? tag : tag.tag)),
  })
  const problem = document.errors[0] ?? document.warnings[0]
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
        if (RESERVED.has(key))
          throw new UsageError(`${name} has the key ${key}`, 'remove it: no chart has such a key')
        visit(item, depth + 1)
      }
  }
  visit(value, 0)
}

/** Values as YAML that YAML 1.1 and 1.2 read alike: every text is quoted. */
export async function valuesText(values: HelmValues): Promise<string> {
  const { Document, isScalar, visit } = await import('yaml')
  const document = new Document(values, { version: '1.1', aliasDuplicateObjects: false })
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || !isScalar(node) || typeof node.value !== 'string') return
      node.type = node.value.includes('\n') ? 'BLOCK_LITERAL' : 'QUOTE_DOUBLE'
    },
  })
  return document.toString({ lineWidth: 0 })
}

/** Merges values as helm-controller merges its sources: maps by key, everything else is replaced. Changes neither. */
export function mergeValues(under: HelmValues, over: HelmValues): HelmValues {
  const result: HelmValues = { ...under }
  for (const [key, value] of Object.entries(over)) {
    const below = result[key]
    result[key] = isMap(below) && isMap(value) ? mergeValues(below, value) : value
  }
  return result
}

/**
 * Parses the path of a value as Helm writes it: `a.b[0].c`, with `\.` for a dot in a key, or a key in double quotes.
 * Throws a UsageError for what is not a path.
 */
export function parsePath(text: string): Path {
  const wrong = () =>
    new UsageError(`${JSON.stringify(text)} is not a path of a value`, 'write it like a.b[0].c')
  const path: (string | number)[] = []
  let at = 0
  while (at < text.length) {
    if (text[at] === '[') {
      const end = text.indexOf(']', at)
      const place = text.slice(at + 1, end)
      if (end < 0 || path.length === 0 || !/^\d{1,4}$/.test(place)) throw wrong()
      path.push(Number(place))
      at = end + 1
      if (text[at] === '.') at++
      continue
    }
    let key = ''
    if (text[at] === '"') {
      const end = text.indexOf('"', at + 1)
      if (end < 0) throw wrong()
      key = text.slice(at + 1, end)
      at = end + 1
    } else
      for (; at < text.length && text[at] !== '.' && text[at] !== '['; at++) {
        if (text[at] === '\\') at++
        key += text[at] ?? ''
      }
    if (!/^[\w./:@-]{1,253}$/.test(key) || RESERVED.has(key)) throw wrong()
    path.push(key)
    if (text[at] === '.' && ++at === text.length) throw wrong()
  }
  if (path.length === 0 || path.length > DEEPEST) throw wrong()
  return path
}

/** A path as `parsePath` reads it. */
export function pathText(path: Path): string {
  return path
    .map((part, i) =>
      typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${part.replaceAll('.', '\\.')}`,
    )
    .join('')
}

/** The value at a path, or undefined. */
export function valueAt(values: HelmValue | undefined, path: Path): HelmValue | undefined {
  let value = values
  for (const part of path) {
    if (typeof part === 'number' ? !Array.isArray(value) : !isMap(value)) return undefined
    value = Object.hasOwn(value as object, part) ? (value as HelmValues)[part] : undefined
  }
  return value
}

/**
 * The override that sets a value: a list is replaced as a whole, so that one in the path is copied from the values in
 * force. Throws a UsageError for a place that the list does not have.
 */
export function withValue(
  override: HelmValues,
  path: Path,
  value: HelmValue,
  inForce: HelmValues,
): HelmValues {
  const list = path.findIndex(part => typeof part === 'number')
  if (list < 0) return mergeValues(withoutValue(override, path), nested(path as string[], value))
  const at = path.slice(0, list)
  const place = path[list] as number
  const items = valueAt(mergeValues(inForce, override), at)
  if (!Array.isArray(items) || place > items.length)
    throw new UsageError(
      `${pathText(at)} has ${Array.isArray(items) ? items.length : 0} items: there is no place ${place}`,
      `set the whole list: --set '${pathText(at)}=[…]'`,
    )
  const rest = path.slice(list + 1)
  const item = items[place]
  const changed =
    rest.length === 0 ? value : withValue(isMap(item) ? item : {}, rest, value, isMap(item) ? item : {})
  return mergeValues(withoutValue(override, at), nested(at as string[], items.toSpliced(place, 1, changed)))
}

const nested = (path: readonly string[], value: HelmValue): HelmValues =>
  path.reduceRight<HelmValue>((inner, key) => ({ [key]: inner }), value) as HelmValues

/** The override without a value; maps that become empty by that go with it. */
export function withoutValue(override: HelmValues, path: Path): HelmValues {
  const [key, ...rest] = path
  if (typeof key !== 'string' || !Object.hasOwn(override, key)) return override
  const result = { ...override }
  const inner = result[key]
  if (rest.length === 0) delete result[key]
  else if (isMap(inner)) {
    const less = withoutValue(inner, rest)
    if (Object.keys(less).length === 0) delete result[key]
    else result[key] = less
  }
  return result
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
