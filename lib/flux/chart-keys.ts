/** Which keys of an override a chart does not know. */

import { nearest } from '../script/flags.ts'
import { type HelmRevision, type HelmValues, isMap } from './stored-release.ts'

/** A key that a chart does not know, and the one that was probably meant. */
export interface UnknownKey {
  path: readonly string[]
  meant?: string
}

/**
 * The keys of an override that the chart does not know: neither its defaults nor the platform's values have them,
 * and no template mentions them. What a chart leaves open is not judged: a map that is empty by default (labels,
 * annotations), one that a template passes on as a whole (resources, a program's configuration), and the values of
 * charts that it depends on. Pure.
 */
export function unknownKeys(
  override: HelmValues,
  { chart }: HelmRevision,
  platform: HelmValues,
): UnknownKey[] {
  const defaults = chart?.values
  if (!isMap(defaults) || Object.keys(defaults).length === 0) return []
  const parts = new Set(
    (chart?.metadata?.dependencies ?? []).flatMap(({ name, alias }) => [name, alias]).concat('global'),
  )
  const templates = (chart?.templates ?? []).map(({ data }) =>
    Buffer.from(data ?? '', 'base64').toString('utf8'),
  )
  const visit = (values: HelmValues, known: readonly HelmValues[], path: readonly string[]): UnknownKey[] =>
    Object.entries(values).flatMap(([key, value]): UnknownKey[] => {
      if (path.length === 0 && parts.has(key)) return []
      const below = known.flatMap(map => (Object.hasOwn(map, key) ? [map[key]] : []))
      if (below.length === 0) {
        if (templates.some(text => mentions(text, key))) return []
        const names = known.flatMap(map => Object.keys(map))
        return [{ path: [...path, key], meant: nearest(key, names) }]
      }
      const maps = below.filter(isMap).filter(map => Object.keys(map).length > 0)
      const own = valueBelow(defaults, [...path, key])
      const open = !isMap(own) || Object.keys(own).length === 0 || templates.some(text => passesOn(text, key))
      return isMap(value) && maps.length > 0 && !open ? visit(value, maps, [...path, key]) : []
    })
  return visit(override, [defaults, platform], [])
}

const valueBelow = (values: HelmValues, path: readonly string[]): unknown =>
  path.reduce<unknown>((map, key) => (isMap(map) && Object.hasOwn(map, key) ? map[key] : undefined), values)

/** Whether a template uses a key: `.KEY` or `"KEY"`. */
function mentions(text: string, key: string): boolean {
  return text.includes(`"${key}"`) || usesOf(text, key).length > 0
}

/** Functions of templates that write a map out, go through it, or hand it on. */
const PASSING = ['toYaml', 'toJson', 'tpl ', 'range ', 'with ', 'merge', 'omit ', 'pick ', 'include ']

/** Whether a template writes a map out as a whole, or goes through it: what may be in it, the chart does not say. */
function passesOn(text: string, key: string): boolean {
  return usesOf(text, key).some(at => {
    const begin = text.lastIndexOf('{{', at)
    const end = text.indexOf('}}', at)
    const action = begin < 0 || end < 0 ? '' : text.slice(Math.max(begin, at - 200), Math.min(end, at + 200))
    return PASSING.some(word => action.includes(word))
  })
}

/** Where a template says `.KEY`. Linear, with no pattern made of a name from outside. */
function usesOf(text: string, key: string): number[] {
  const places: number[] = []
  for (let at = text.indexOf(`.${key}`); at >= 0; at = text.indexOf(`.${key}`, at + 1))
    if (!/[\w-]/.test(text[at + key.length + 1] ?? '')) places.push(at)
  return places
}
