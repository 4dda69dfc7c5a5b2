import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { generatePassword } from '../../lib/platform/secrets.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import { type Deviation, hideValues, pick, readSecrets } from '../../lib/secret-backup/cluster.ts'
import { diffBackup, type SecretDiff } from '../../lib/secret-backup/diff.ts'
import type { Backup } from '../../lib/secret-backup/files.ts'
import { keepReplaced, missingNamespaces, restoreSecret } from '../../lib/secret-backup/restore.ts'
import {
  missingOauthKeys,
  OAUTH_KEYS,
  secretNameOf,
  secretPlaceOf,
  valuesOf,
} from '../../lib/secret-backup/secret-backup.ts'
import { helmMetadata, type Ownership } from './state.ts'

const OAUTH = { namespace: 'flux-system', name: 'oas-oauth-variables' }

/** The Secrets of a backup beside those that the cluster has now. */
export async function diffsOf(kubectl: Kubectl, backup: Pick<Backup, 'secrets'>): Promise<SecretDiff[]> {
  const namespaces = backup.secrets.map(secret => secretNameOf(secret).namespace)
  return diffBackup(backup.secrets, await readSecrets(kubectl, namespaces))
}

/** Whether the cluster lacks something of a Secret. Pure. */
export function lacks({ state, keys }: SecretDiff): boolean {
  return state === 'missing' || keys.some(key => key.state === 'lost')
}

/**
 * What of a backup the cluster does not have byte by byte: by Secret, with the names of the keys. A client secret
 * that the backup has only empty may have got a value: 0.7 needs one. Keys that only the cluster has do no harm.
 * Who wrote the others is told: it helps to see whose value is right. Pure.
 */
export function lostOf(diffs: readonly SecretDiff[]): Deviation[] {
  return diffs.flatMap(({ secret, existing, state, keys }) => {
    const place = secretPlaceOf(secretNameOf(secret))
    if (state === 'missing') return [{ secret: place, problem: 'is not in the cluster' }]
    const generated = (key: string, backup: string | undefined) =>
      place === secretPlaceOf(OAUTH) && backup === '' && OAUTH_KEYS.includes(key)
    const wrong = keys
      .filter(each => each.state !== 'extra' && !generated(each.key, each.backup))
      .map(({ key }) => key)
    if ((existing?.type || 'Opaque') !== secret.type) wrong.unshift('type')
    const writer = existing && writerOf(existing, wrong)
    const by = writer ? ` (written by ${writer})` : ''
    return wrong.length === 0
      ? []
      : [{ secret: place, problem: `differs from the backup in ${wrong.join(', ')}${by}` }]
  })
}

/**
 * Puts back what the cluster lacks of a backup. Values that differ stay, unless `replace` names a folder for them:
 * then they are backed up there first. Returns how many Secrets were written.
 */
export async function putBack(
  kubectl: Kubectl,
  backup: Pick<Backup, 'secrets'>,
  replace?: Pick<Cluster, 'name' | 'folder'>,
): Promise<number> {
  const diffs = await diffsOf(kubectl, backup)
  const replaced = replace ? diffs.filter(diff => diff.state === 'different') : []
  const wanted = diffs.filter(diff => lacks(diff) || replaced.includes(diff))
  if (replace && replaced.length > 0) await keepReplaced(kubectl, replace, replaced)
  const choices = wanted.map(diff => ({ diff, overwrite: replaced.includes(diff) }))
  for (const name of await missingNamespaces(kubectl, choices))
    await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  for (const { diff, overwrite } of choices) await restoreSecret(kubectl, diff, overwrite)
  return wanted.length
}

/**
 * Gives oas-oauth-variables the client secrets that 0.7 needs and that are absent or empty: random letters and
 * digits, without the newline that `echo … | base64` of the docs would put behind them. Others are not touched.
 * Returns the keys.
 */
export async function fillOauthKeys(kubectl: Kubectl): Promise<string[]> {
  const base: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: OAUTH, type: 'Opaque', data: {} }
  const existing = await kubectl.get(refOf(base))
  if (existing) hideValues([existing])
  const missing = missingOauthKeys([existing ?? base])
  if (missing.length === 0) return []
  const data = Object.fromEntries(
    missing.map(key => {
      const value = generatePassword(32)
      const encoded = Buffer.from(value).toString('base64')
      for (const form of [value, encoded]) registerSecret(form)
      return [key, encoded]
    }),
  )
  if (existing)
    await kubectl.patch(refOf(base), {
      metadata: { resourceVersion: existing.metadata.resourceVersion },
      data,
    })
  else {
    const labels = { 'reconcile.fluxcd.io/watch': 'Enabled' }
    // Undefined when somebody was faster: then theirs is looked at.
    if (!(await kubectl.create({ ...base, metadata: { ...OAUTH, labels }, data })))
      return fillOauthKeys(kubectl)
  }
  return missing
}

/**
 * The Secrets among those that a backup is about which have more in the cluster than in the backup: a client secret
 * that the upgrade has made, or what was installed since. Pure but for hiding the values.
 */
export function grownSince({ secrets, manifest }: Backup, cluster: readonly KubeObject[]): KubeObject[] {
  const before = new Map(secrets.map(secret => [secretPlaceOf(secretNameOf(secret)), valuesOf(secret)]))
  return pick(cluster, [...secrets.map(secretNameOf), ...manifest.absent]).filter(existing => {
    const known = before.get(secretPlaceOf(secretNameOf(existing)))
    return [...valuesOf(existing).keys()].some(key => !known?.has(key))
  })
}

/** The Secrets of a backup, with what `added` has beyond them: further Secrets, and further keys. Pure. */
export function withAdded(secrets: readonly KubeObject[], added: readonly KubeObject[]): KubeObject[] {
  const byPlace = new Map(secrets.map(secret => [secretPlaceOf(secretNameOf(secret)), secret]))
  for (const more of added) {
    const place = secretPlaceOf(secretNameOf(more))
    const secret = byPlace.get(place)
    byPlace.set(place, secret ? { ...secret, data: { ...more.data, ...secret.data } } : more)
  }
  return [...byPlace.values()]
}

/** Gives Secrets back to Helm, so that the chart takes them over as they are. Returns how many were changed. */
export async function giveToHelm(kubectl: Kubectl, owned: readonly Ownership[]): Promise<number> {
  let changed = 0
  for (const ownership of owned) {
    const { namespace, name } = ownership
    const ref = { apiVersion: 'v1', kind: 'Secret', namespace, name }
    const found = await kubectl.get(ref)
    if (!found) continue
    const metadata = helmMetadata(ownership)
    const has = (field: 'labels' | 'annotations') =>
      Object.entries(metadata[field]).every(([key, value]) => found.metadata[field]?.[key] === value)
    if (has('labels') && has('annotations')) continue
    await kubectl.patch(ref, { metadata })
    changed++
  }
  return changed
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
