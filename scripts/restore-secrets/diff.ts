import { createHmac, randomBytes } from 'node:crypto'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { countText } from '../../lib/script/count.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import { readSecrets } from '../../lib/secret-backup/cluster.ts'
import { diffBackup, type SecretDiff } from '../../lib/secret-backup/diff.ts'
import type { Choice } from '../../lib/secret-backup/restore.ts'
import { secretNameOf, secretPlaceOf, valuesOf } from '../../lib/secret-backup/secret-backup.ts'

/** A fingerprint function for this run: it shows that values differ, and gives no help to guess them. */
export function fingerprints(): (encoded: string | undefined) => string {
  const key = randomBytes(32)
  return encoded => {
    if (encoded === undefined) return 'none'
    const value = Buffer.from(encoded, 'base64')
    if (value.length === 0) return 'empty'
    const hash = createHmac('sha256', key).update(value).digest('hex').slice(0, 8)
    return `${countText(value.length, 'byte')} #${hash}`
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

/** Reads the restored Secrets again. Throws the names of those that the cluster does not hold byte by byte. */
export async function checkRestored(kubectl: Kubectl, chosen: readonly Choice[]): Promise<void> {
  const secrets = chosen.map(({ diff }) => diff.secret)
  const cluster = await readSecrets(
    kubectl,
    secrets.map(secret => secretNameOf(secret).namespace),
  )
  throwAll(
    diffBackup(secrets, cluster)
      .filter(({ state }) => state !== 'same')
      .map(
        ({ secret }) =>
          new ExpectedError(
            `Secret ${secretPlaceOf(secretNameOf(secret))} differs from the backup after its restore`,
            'find out what else writes it (Flux, a chart, a person): check its managedFields, then run this again',
          ),
      ),
  )
}
