import type { KubeObject } from '../kubectl/kubectl.ts'
import { pick } from './cluster.ts'
import { secretNameOf, valuesOf } from './secret-backup.ts'

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
