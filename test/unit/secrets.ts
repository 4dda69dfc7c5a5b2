import fc from 'fast-check'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { CatalogueEntry } from '../../lib/platform/secrets.ts'
import { plainSecret } from '../../lib/secret-backup/secret-backup.ts'

/** An entry of the catalogue with two passwords. */
export const entry: CatalogueEntry = {
  name: 'oas-wekan-variables',
  namespace: 'flux-system',
  app: 'wekan',
  keys: { one: { length: 32 }, two: { length: 32 } },
}

/** One with a login of HTTP. */
export const basic: CatalogueEntry = {
  name: 'basic',
  namespace: 'oas',
  app: 'core',
  basicAuth: { user: 'admin' },
}

/** A value as a Secret holds it. */
export const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64')

/** A Secret as a cluster gives it. */
export function secret(name: string, values: Record<string, string>, namespace = 'flux-system'): KubeObject {
  const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, base64(value)]))
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, type: 'Opaque', data }
}

const bytes = fc.uint8Array({ maxLength: 200 })

// What Kubernetes allows as a key, with those that YAML or JavaScript could take for something else.
const key = fc.oneof(
  fc.stringMatching(/^[-._a-zA-Z0-9]{1,40}$/),
  fc
    .constantFrom('0X1F', 'true', 'null', '~', 'y', '__proto__', 'constructor', '<<', '1e3', '-', '...')
    .filter(text => /^[-._a-zA-Z0-9]+$/.test(text)),
)

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/)

/** Secrets of all kinds, as a backup keeps them. */
export const anySecret = fc
  .record({
    namespace: name,
    name: fc.oneof(name, fc.constantFrom('0x1f', '1e3', 'true', 'null', 'a.b')),
    type: fc.constantFrom('Opaque', 'kubernetes.io/tls', 'true', '0x1f', 'with "quotes" and \\'),
    immutable: fc.boolean(),
    data: fc.uniqueArray(fc.tuple(key, bytes), { maxLength: 8, selector: ([first]) => first }),
  })
  .map(({ namespace, name, type, immutable, data }) =>
    plainSecret({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name },
      type,
      immutable,
      data: Object.fromEntries(data.map(([first, value]) => [first, base64(value)])),
    }),
  )
