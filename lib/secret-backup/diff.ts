import { createHmac, randomBytes } from 'node:crypto'
import type { KubeObject } from '../kubectl/kubectl.ts'
import { pick } from './cluster.ts'
import { secretNameOf, secretPlaceOf, valuesOf } from './secret-backup.ts'

/** One key of a Secret that differs between backup and cluster; values in base64. */
export interface KeyDiff {
  key: string
  /** `lost`: missing or empty in the cluster. `extra`: only in the cluster. */
  state: 'lost' | 'different' | 'extra'
  backup?: string
  cluster?: string
}

/** One Secret of a backup, compared with the cluster. */
export interface SecretDiff {
  secret: KubeObject
  existing?: KubeObject
  /** `incomplete`: a restore only adds values; `different`: it replaces some. */
  state: 'same' | 'missing' | 'incomplete' | 'different'
  keys: KeyDiff[]
}

/** Compares the Secrets of a backup with those of the cluster. Pure except for registering the values. */
export function diffBackup(secrets: readonly KubeObject[], cluster: readonly KubeObject[]): SecretDiff[] {
  return secrets.map(secret => diffSecret(secret, pick(cluster, [secretNameOf(secret)])[0]))
}

/** Compares one Secret of a backup with the cluster's. An empty value counts as missing. Pure. */
export function diffSecret(secret: KubeObject, existing: KubeObject | undefined): SecretDiff {
  const backup = valuesOf(secret)
  const cluster = existing ? valuesOf(existing) : new Map<string, string>()
  const keys = [...new Set([...backup.keys(), ...cluster.keys()])].flatMap((key): KeyDiff[] => {
    const [ours, theirs] = [backup.get(key), cluster.get(key)]
    if (ours === theirs) return []
    const state = ours === undefined ? 'extra' : theirs ? 'different' : 'lost'
    return [{ key, state, backup: ours, cluster: theirs }]
  })
  if (!existing) return { secret, state: 'missing', keys }
  const states = new Set(keys.map(({ state }) => state))
  const otherType = (existing.type || 'Opaque') !== secret.type
  const state =
    otherType || states.has('different') ? 'different' : states.has('lost') ? 'incomplete' : 'same'
  return { secret, existing, state, keys }
}

/** A fingerprint function for this run: it shows that values differ, and gives no help to guess them. */
export function fingerprints(): (encoded: string | undefined) => string {
  const key = randomBytes(32)
  return encoded => {
    if (encoded === undefined) return 'none'
    const value = Buffer.from(encoded, 'base64')
    if (value.length === 0) return 'empty'
    const hash = createHmac('sha256', key).update(value).digest('hex').slice(0, 8)
    return `${value.length} byte${value.length === 1 ? '' : 's'} #${hash}`
  }
}

/** When a Secret was last written, by its managedFields. Pure. */
export function changedAt(existing: KubeObject): string | undefined {
  const fields = (existing.metadata.managedFields ?? []) as { time?: string }[]
  return [existing.metadata.creationTimestamp, ...fields.map(({ time }) => time)]
    .filter(time => time !== undefined)
    .sort()
    .at(-1)
}

/**
 * The field manager that last wrote one of these keys, and when, by the Secret's managedFields. Pure.
 */
export function writerOf(existing: KubeObject, keys: readonly string[]): string | undefined {
  type Fields = { manager?: string; time?: string; fieldsV1?: { 'f:data'?: Record<string, unknown> } }
  const last = ((existing.metadata.managedFields ?? []) as Fields[])
    .filter(({ fieldsV1 }) => keys.some(key => `f:${key}` in (fieldsV1?.['f:data'] ?? {})))
    .sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1))
    .at(-1)
  return last && `${last.manager} at ${last.time}`
}

/** A comparison for people, without any value: `+` restored, `~` replaced, `=` kept. Pure. */
export function diffText(diff: SecretDiff, print: (encoded: string | undefined) => string): string[] {
  const place = secretPlaceOf(secretNameOf(diff.secret))
  const others = diff.keys.filter(({ state }) => state === 'extra').length
  const same = valuesOf(diff.secret).size - (diff.keys.length - others)
  if (diff.state === 'same') return [`= ${place}: the same${others ? ', and more keys in the cluster' : ''}`]
  if (diff.state === 'missing') return [`+ ${place}: not in the cluster (${diff.keys.length} keys)`]
  const existing = diff.existing!
  return [
    diff.state === 'incomplete'
      ? `+ ${place}: the cluster lacks some keys`
      : `~ ${place}: the cluster has other values, last written ${changedAt(existing) ?? 'at an unknown time'}`,
    ...((existing.type || 'Opaque') === diff.secret.type
      ? []
      : [`    ~ type: ${existing.type} in the cluster, ${diff.secret.type} in the backup`]),
    ...diff.keys.map(({ key, state, backup, cluster }) => {
      if (state === 'extra') return `    = ${key}: only in the cluster, kept (${print(cluster)})`
      const sign = state === 'lost' ? '+' : '~'
      return `    ${sign} ${key}: ${print(cluster)} in the cluster, ${print(backup)} in the backup`
    }),
    ...(same > 0 ? [`    = ${same} more: the same`] : []),
  ]
}
