import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { holdsSettings } from '../../lib/platform/accounts.ts'
import { SecretCopies } from '../../lib/platform/secret-copies.ts'
import { loadCatalogue, secretValues } from '../../lib/platform/secrets.ts'
import { variablesOf } from '../../lib/platform/variables.ts'
import { registerSecret } from '../../lib/script/redact.ts'

/** Keys of Secrets with public values: certificates, and names of users. */
const OPEN = /\.crt$|^(user(name)?|host(name)?|port|namespace|name)$/i

/**
 * Registers the values of all Secrets of the cluster, so that no text of a bundle shows one: those
 * of the catalogue, those of their copies in the cluster folder, and those of all other Secrets.
 * Throws an ExpectedError when they cannot be read.
 */
export async function registerEverySecret(kubectl: Kubectl, clusterFolder: string): Promise<void> {
  const catalogue = await loadCatalogue()
  const copies = new SecretCopies(clusterFolder)
  for (const entry of catalogue) await copies.read(entry)
  const known = new Set(catalogue.map(({ namespace, name }) => `${namespace}/${name}`))
  // Helm keeps its releases in Secrets: large, and packed so that no value can be read in them.
  const pages = kubectl.pages('v1', 'Secret', { fieldSelector: 'type!=helm.sh/release.v1' })
  for await (const page of pages)
    for (const secret of page) {
      const name = `${secret.metadata.namespace}/${secret.metadata.name}`
      if (known.has(name)) secretValues(secret)
      else if (holdsSettings(secret.metadata)) variablesOf(secret)
      else registerOther(secret)
    }
}

/** Registers the values of a Secret that the catalogue does not know, of several lines each line. */
function registerOther({ data }: KubeObject): void {
  for (const [key, encoded] of Object.entries((data ?? {}) as Record<string, string>)) {
    if (OPEN.test(key)) continue
    const value = Buffer.from(encoded, 'base64').toString('utf8')
    // Shorter values are mostly words, which would be hidden everywhere.
    if (value.trim().length >= 8) registerSecret(value.trim())
    if (value.includes('-----BEGIN'))
      for (const line of value.split('\n')) if (line.length >= 32) registerSecret(line.trim())
  }
}
