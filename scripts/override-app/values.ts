/** Values of a chart: reading, merging and addressing them. Pure, except that YAML is loaded when it is needed. */

import { type HelmValue, type HelmValues, isMap } from '../../lib/flux/stored-release.ts'
import { isReserved, type Path, pathText } from '../../lib/flux/values.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { inQuotes } from '../../lib/script/printable.ts'

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
  const wrong = () => new UsageError(`${inQuotes(text)} is not a path of a value`, 'write it like a.b[0].c')
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
    if (!/^[\w./:@-]{1,253}$/.test(key) || isReserved(key)) throw wrong()
    path.push(key)
    if (text[at] === '.' && ++at === text.length) throw wrong()
  }
  if (path.length === 0 || path.length > 64) throw wrong()
  return path
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
