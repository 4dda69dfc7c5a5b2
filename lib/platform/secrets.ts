import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kubectl, type KubeObject, type Ref, refText } from '../kubectl/kubectl.ts'
import { ROOT } from '../script/files.ts'
import { registerSecret } from '../script/redact.ts'
import type { SecretCopies } from './secret-copies.ts'

/** One Secret of the catalogue of generated secrets, install/secrets.yaml. */
export interface CatalogueEntry {
  name: string
  namespace: string
  /** Its user: `core`, or an application. */
  app: string
  /** Keys with passwords of this many letters and digits. */
  keys?: Record<string, { length: number }>
  /** Keys `pass` and `auth` (a htpasswd line) for this user. */
  basicAuth?: { user: string }
}

/** The changes to one Secret: nothing is ever overwritten. */
export interface SecretPlan {
  entry: CatalogueEntry
  action: 'create' | 'merge' | 'keep'
  /** The keys that are absent or empty. */
  missing: string[]
}

const file = join(ROOT, 'install', 'secrets.yaml')

/** The catalogue of generated secrets. */
export async function loadCatalogue(): Promise<CatalogueEntry[]> {
  const { load } = await import('js-yaml')
  return (load(readFileSync(file, 'utf8')) as { secrets: CatalogueEntry[] }).secrets
}

/** The names of the keys of an entry. */
export function generatedKeysOf(entry: CatalogueEntry): string[] {
  return [...Object.keys(entry.keys ?? {}), ...(entry.basicAuth ? ['pass', 'auth'] : [])]
}

/** The Ref of an entry's Secret. */
export function secretRef(entry: { name: string; namespace: string }): Ref {
  return { apiVersion: 'v1', kind: 'Secret', name: entry.name, namespace: entry.namespace }
}

/** The values of a Secret, decoded, and registered so that they are never shown. Binary values stay base64. */
export function secretValues(secret: KubeObject | undefined): Record<string, string> {
  const values: Record<string, string> = {}
  for (const [key, encoded] of Object.entries((secret?.data ?? {}) as Record<string, string>)) {
    values[key] = Buffer.from(encoded, 'base64').toString('utf8')
    registerSecret(values[key])
    registerSecret(values[key].trim())
  }
  return values
}

/** The changes to one Secret of the cluster. Existing values win. Pure. */
export function planSecret(entry: CatalogueEntry, existing: KubeObject | undefined): SecretPlan {
  const data = (existing?.data ?? {}) as Record<string, string>
  const missing = generatedKeysOf(entry).filter(key => !data[key])
  return { entry, missing, action: !existing ? 'create' : missing.length > 0 ? 'merge' : 'keep' }
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** A random password of letters and digits, evenly distributed. */
export function generatePassword(length: number): string {
  return Array.from({ length }, () => LETTERS[randomInt(LETTERS.length)]).join('')
}

/** Values for the missing keys of an entry: those of `known`, else newly generated ones. */
async function valuesFor(plan: SecretPlan, known: Record<string, string>): Promise<Record<string, string>> {
  const values: Record<string, string> = {}
  for (const key of plan.missing) {
    const length = plan.entry.keys?.[key]?.length
    if (known[key]) values[key] = known[key]
    else if (length) values[key] = generatePassword(length)
  }
  const user = plan.entry.basicAuth?.user
  if (user && plan.missing.some(key => key === 'pass' || key === 'auth')) {
    // The line must fit the password: if one of them is missing, the other is kept or both are generated.
    const { hash } = await import('bcryptjs')
    const pass = known.pass || generatePassword(32)
    if (plan.missing.includes('pass')) values.pass = pass
    values.auth =
      plan.missing.includes('pass') && known.auth && known.pass
        ? known.auth
        : `${user}:${await hash(pass, 10)}`
  }
  for (const value of Object.values(values)) registerSecret(value)
  return values
}

/** Reads the Secrets of these entries and plans the changes to each; all their values are registered. */
export async function planSecrets(
  kubectl: Kubectl,
  entries: readonly CatalogueEntry[],
): Promise<SecretPlan[]> {
  return Promise.all(
    entries.map(async entry => {
      const existing = await kubectl.get(secretRef(entry))
      secretValues(existing)
      return planSecret(entry, existing)
    }),
  )
}

/** One line of a plan, for people. */
export function planText(plan: SecretPlan): string | undefined {
  const name = refText(secretRef(plan.entry))
  if (plan.action === 'create') return `create ${name} with ${plan.missing.join(', ')}`
  if (plan.action === 'merge') return `add to ${name} the missing ${plan.missing.join(', ')}`
  return undefined
}

/**
 * Creates missing Secrets and adds missing keys, then keeps a copy. Reads again right before it writes, and
 * sends the resourceVersion, so that a concurrent change is never overwritten.
 * Returns 'unchanged', or how many values were generated and how many came back from the copy.
 */
export async function ensureSecrets(
  kubectl: Kubectl,
  entries: readonly CatalogueEntry[],
  copies: SecretCopies,
): Promise<string> {
  let generated = 0
  let restored = 0
  for (const entry of entries) {
    const ref = secretRef(entry)
    let secret = await kubectl.get(ref)
    const plan = planSecret(entry, secret)
    if (plan.action !== 'keep') {
      const copy = await copies.read(entry)
      // An empty value does not count: it must not hide the one in the copy.
      const present = Object.entries(secretValues(secret)).filter(([, value]) => value !== '')
      const known = { ...copy, ...Object.fromEntries(present) }
      const values = await valuesFor(plan, known)
      for (const key of Object.keys(values)) copy[key] === values[key] ? restored++ : generated++
      const data = Object.fromEntries(
        Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
      )
      secret = secret
        ? await kubectl.patch(ref, { metadata: { resourceVersion: secret.metadata.resourceVersion }, data })
        : await kubectl.create({
            apiVersion: 'v1',
            kind: 'Secret',
            // Flux reconciles at once what reads a Secret with this label, instead of at the next interval.
            metadata: { ...ref, labels: { 'reconcile.fluxcd.io/watch': 'Enabled' } },
            type: 'Opaque',
            data,
          })
      secret ??= await kubectl.get(ref) // another writer was faster: its values are as good
    }
    if (secret) await copies.keep(entry, secret)
  }
  if (generated + restored === 0) return 'unchanged'
  return [
    generated > 0 ? `${generated} values generated` : '',
    restored > 0 ? `${restored} values restored from clusters/…/secrets` : '',
  ]
    .filter(Boolean)
    .join(', ')
}

/**
 * Whether anybody knows this value: Velero's password of all repositories, where nobody has made another (velero
 * v1.18, pkg/repository/keys/keys.go). Pure.
 */
export function isPublished(
  secret: { namespace?: string; name: string },
  key: string,
  value: string,
): boolean {
  const place = `${secret.namespace}/${secret.name} ${key}`
  return place === 'velero/velero-repo-credentials repository-password' && value === 'static-passw0rd'
}
