/**
 * What a backup has counted, compared: with what a restore or a drill brings back, and with what Velero says. It is
 * counted before and after the backup, since people go on working: what is restored lies between the two.
 */
import { countText } from '../script/count.ts'
import type { ClaimVerdict } from './claim.ts'
import { type ClaimContents, contentsText } from './contents.ts'

/** What a claim had before and after a backup: at least and at most. The sample has what stayed the same. */
export interface Counted extends Pick<ClaimContents, 'claim' | 'database' | 'sample' | 'unread'> {
  tables?: Record<string, [least: number, most: number]>
  files?: [least: number, most: number]
}

/** Before and after in one: only what both have can be compared later. Pure. */
export function countedAround(before: readonly ClaimContents[], after: readonly ClaimContents[]): Counted[] {
  return before.map(first => {
    const { claim, database } = first
    const second = after.find(each => each.claim === claim)
    const unread = first.unread ?? second?.unread ?? (second ? undefined : 'it was gone after the backup')
    if (!second || unread !== undefined) return { claim, unread }
    const both = (a: number, b: number): [number, number] => [Math.min(a, b), Math.max(a, b)]
    if (first.tables && second.tables) {
      const tables = Object.entries(first.tables).flatMap(([table, rows]) =>
        Object.hasOwn(second.tables!, table) ? [[table, both(rows, second.tables![table]!)] as const] : [],
      )
      return { claim, database, tables: Object.fromEntries(tables) }
    }
    const sample = Object.entries(first.sample ?? {}).filter(([path, sum]) => second.sample?.[path] === sum)
    return { claim, files: both(first.files ?? 0, second.files ?? 0), sample: Object.fromEntries(sample) }
  })
}

/**
 * What is lost, as one line each: tables, rows, files, and files with another content. An application that starts
 * may add some of its own, which is not a loss. Pure.
 */
export function losses(known: Counted, found: ClaimContents): string[] {
  const { claim } = known
  const tables = Object.entries(known.tables ?? {}).flatMap(([table, [least]]) => {
    const rows = found.tables?.[table]
    if (rows === undefined) return [`${claim}: table ${table} is missing`]
    return rows < least ? [`${claim}: table ${table} has ${countText(rows, 'row')}, and had ${least}`] : []
  })
  const files = found.files ?? 0
  const fewer =
    known.files && files < known.files[0]
      ? [`${claim}: has ${countText(files, 'file')}, and had ${known.files[0]}`]
      : []
  const sums = Object.entries(known.sample ?? {})
  const gone = sums.filter(([digest]) => found.sample?.[digest] === undefined).length
  const others = sums.flatMap(([digest, sum]) => {
    const now = found.sample?.[digest]
    return now === undefined || now === sum
      ? []
      : [`${claim}: file ${found.paths?.[digest] ?? 'of the sample'} has another content`]
  })
  if (gone > 0)
    others.push(`${claim}: ${countText(gone, 'file')} of the sample of ${sums.length} cannot be found`)
  return [...tables, ...fewer, ...others]
}

/** The claims of which a backup says that they are empty, although something was counted in them. Pure. */
export function notEmpty(claims: readonly ClaimVerdict[], known: readonly Counted[]): string[] {
  const filled = known.filter(
    ({ files, tables }) => (files?.[0] ?? 0) > 0 || Object.keys(tables ?? {}).length > 0,
  )
  return claims
    .filter(({ claim, empty }) => empty && filled.some(each => each.claim === claim))
    .map(({ claim }) => claim)
}

/** What was counted before and after, in words: the least of it. Pure. */
export function countedText({ tables, files, ...rest }: Counted): string {
  const least = Object.entries(tables ?? {}).map(([table, [rows]]) => [table, rows] as const)
  return contentsText({
    ...rest,
    ...(tables ? { tables: Object.fromEntries(least) } : { files: files?.[0] }),
  })
}

/** What a proof says was counted, as far as it has the form of it: a file of the bucket is not trusted. Pure. */
export function countedOf(value: unknown): Counted[] {
  const isRange = (range: unknown) =>
    Array.isArray(range) && range.length === 2 && range.every(each => Number.isSafeInteger(each))
  const isRecord = (record: unknown, holds: (each: unknown) => boolean) =>
    record === undefined ||
    (typeof record === 'object' && record !== null && Object.values(record).every(holds))
  const isText = (text: unknown) => typeof text === 'string'
  return (Array.isArray(value) ? value : []).filter(
    (each: Counted | null) =>
      isText(each?.claim) &&
      isRecord(each?.tables, isRange) &&
      isRecord(each?.sample, isText) &&
      [each?.unread, each?.database].every(text => text === undefined || isText(text)) &&
      (each?.files === undefined || isRange(each.files)),
  )
}
