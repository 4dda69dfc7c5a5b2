import type { KubeObject } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'

/** A Secret's namespace and name. */
export interface SecretName {
  namespace: string
  name: string
}

/** `NAMESPACE/NAME`, as messages name a Secret. */
export function secretPlaceOf({ namespace, name }: SecretName): string {
  return `${namespace}/${name}`
}

/** The name of a Secret object. */
export function secretNameOf({ metadata }: KubeObject): SecretName {
  return { namespace: metadata.namespace ?? '', name: metadata.name }
}

const app = (title: string) =>
  `fine if ${title} was never installed; otherwise its passwords are lost, and its database accepts no others`

/** The ten Secrets that the docs of 0.7.0 back up ("Upgrading to 0.7.0"), and the consequence if one is absent. */
export const TEN: readonly (SecretName & { absence: string })[] = [
  {
    namespace: 'flux-system',
    name: 'oas-cluster-variables',
    absence: 'install-core writes it again from .flux.env; without that file the settings are lost',
  },
  { namespace: 'flux-system', name: 'oas-wordpress-variables', absence: app('WordPress') },
  {
    namespace: 'flux-system',
    name: 'oas-wekan-variables',
    absence:
      'fine on 0.7, and if Wekan was never installed: then an upgrade to 0.7 has to add wekan_oauth_client_secret to oas-oauth-variables',
  },
  { namespace: 'flux-system', name: 'oas-single-sign-on-variables', absence: app('the single sign-on') },
  { namespace: 'flux-system', name: 'oas-rocketchat-variables', absence: app('Rocket.Chat') },
  {
    namespace: 'flux-system',
    name: 'oas-kube-prometheus-stack-variables',
    absence: 'the password of the user admin of Grafana is lost, if there was one',
  },
  {
    namespace: 'oas',
    name: 'oas-prometheus-basic-auth',
    absence: 'nobody can log in at https://prometheus.DOMAIN; install-core creates a new password',
  },
  {
    namespace: 'oas',
    name: 'oas-alertmanager-basic-auth',
    absence: 'nobody can log in at https://alertmanager.DOMAIN; install-core creates a new password',
  },
  {
    namespace: 'flux-system',
    name: 'oas-oauth-variables',
    absence: 'no application can use the single sign-on: all of their client secrets must be created again',
  },
  { namespace: 'flux-system', name: 'oas-nextcloud-variables', absence: app('Nextcloud') },
]

/** The keys that oas-oauth-variables needs in 0.7 (docs 0.7.0, "SSO helm upgrade failed"). */
export const OAUTH_KEYS: readonly string[] = [
  'grafana',
  'nextcloud',
  'rocketchat',
  'userpanel',
  'wekan',
  'wordpress',
].map(client => `${client}_oauth_client_secret`)

/** The client secrets that 0.7 needs and that oas-oauth-variables lacks or has empty. Pure. */
export function missingOauthKeys(secrets: readonly KubeObject[]): string[] {
  const oauth = secrets.find(({ metadata }) => metadata.name === 'oas-oauth-variables')
  if (!oauth) return []
  const values = valuesOf(oauth)
  return OAUTH_KEYS.filter(key => !values.get(key))
}

/** What a backup lacks, and the consequence. Pure. */
export function absenceText(
  absent: readonly SecretName[],
  secrets: readonly KubeObject[],
): [what: string, why: string][] {
  const missing = missingOauthKeys(secrets)
  return [
    ...absent.map((name): [string, string] => [
      `Secret ${secretPlaceOf(name)} is not in the cluster`,
      TEN.find(one => secretPlaceOf(one) === secretPlaceOf(name))?.absence ??
        'fine if its application was never installed',
    ]),
    ...(missing.length === 0
      ? []
      : ([
          [
            `oas-oauth-variables has no ${missing.join(', ')}`,
            'an upgrade to 0.7 has to add what is missing (a random value, no newline); what install-core installed needs no more than it has',
          ],
        ] as [string, string][])),
  ]
}

/** Whether a Secret belongs to this platform by its name, although the catalogue does not list it. */
export function looksGenerated({ name }: SecretName): boolean {
  return /^oas-[a-z0-9.-]+-(variables|basic-auth)$/.test(name)
}

/** The values of a Secret by key, in base64. A Map, since `__proto__` is a key that Kubernetes allows. */
export function valuesOf(secret: KubeObject): Map<string, string> {
  return new Map(Object.entries((secret.data ?? {}) as Record<string, string>))
}

/**
 * A Secret without the fields of its cluster: annotations, labels, creationTimestamp,
 * resourceVersion, uid, ownerReferences, managedFields. The values are not changed. Pure.
 */
export function plainSecret(secret: KubeObject): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { ...secretNameOf(secret) },
    type: secret.type || 'Opaque',
    ...(secret.immutable === true ? { immutable: true } : {}),
    data: Object.fromEntries([...valuesOf(secret)].sort(([a], [b]) => (a < b ? -1 : 1))),
  }
}

/**
 * A plain Secret as YAML that kubectl applies. Everything is in quotes: kubectl's parser reads an unquoted `0X1F`,
 * which is valid base64, as a number, and YAML writers do not quote it. Pure.
 */
export function secretText(secret: KubeObject): string {
  const { namespace, name } = secretNameOf(secret)
  const values = [...valuesOf(secret)].map(([key, value]) => `  ${JSON.stringify(key)}: "${value}"\n`)
  return [
    'apiVersion: v1\nkind: Secret\nmetadata:\n',
    `  name: ${JSON.stringify(name)}\n  namespace: ${JSON.stringify(namespace)}\n`,
    `type: ${JSON.stringify(secret.type)}\n`,
    secret.immutable ? 'immutable: true\n' : '',
    values.length > 0 ? `data:\n${values.join('')}` : 'data: {}\n',
  ].join('')
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Names of Kubernetes: no slashes, so that a file named after one stays in its folder. */
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/

/** Whether these are the names of a Secret and its namespace. */
export function isSecretName(value: unknown): value is SecretName {
  if (!isRecord(value)) return false
  return [value.namespace, value.name].every(
    part => typeof part === 'string' && part.length <= 240 && NAME.test(part),
  )
}

/**
 * Reads the output of `secretText`. Throws an ExpectedError that names `where` for anything else, and quotes
 * nothing of it: the parser's own message would quote a password.
 */
export async function parseSecret(text: string, where: string): Promise<KubeObject> {
  const broken = (what: string) =>
    new ExpectedError(`${where} ${what}`, 'use another copy of this backup: this one was not used')
  const { load } = await import('js-yaml')
  let secret: unknown
  try {
    secret = load(text)
  } catch {
    throw broken('is not valid YAML')
  }
  if (!isRecord(secret) || secret.apiVersion !== 'v1' || secret.kind !== 'Secret')
    throw broken('is not a Secret')
  const { apiVersion: _a, kind: _k, metadata, type, immutable, data, ...others } = secret
  const surplus = [...Object.keys(others), ...Object.keys(isRecord(metadata) ? metadata : {})].filter(
    field => field !== 'name' && field !== 'namespace',
  )
  if (surplus.length > 0) throw broken(`has fields that a backup does not have: ${surplus.join(', ')}`)
  if (!isSecretName(metadata)) throw broken('has no valid name and namespace')
  if (typeof type !== 'string' || (immutable !== undefined && immutable !== true))
    throw broken('has an invalid type')
  if (!isRecord(data)) throw broken('has no data')
  for (const [key, value] of Object.entries(data))
    if (typeof value !== 'string' || Buffer.from(value, 'base64').toString('base64') !== value)
      throw broken(`has a value that is not base64: ${key}`)
  return secret as unknown as KubeObject
}

/** The differences of two Secrets of the same name, by key: `type` and keys, never values. Empty when equal. Pure. */
export function differences(one: KubeObject, other: KubeObject): string[] {
  const [a, b] = [valuesOf(one), valuesOf(other)]
  const keys = [...new Set([...a.keys(), ...b.keys()])].filter(key => a.get(key) !== b.get(key))
  return (one.type || 'Opaque') === (other.type || 'Opaque') ? keys : ['type', ...keys]
}
