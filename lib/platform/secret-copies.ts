import { join } from 'node:path'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../script/files.ts'
import { type CatalogueEntry, secretRef, secretValues } from './secrets.ts'

/**
 * The copies of the generated secrets on the administrator's machine, `clusters/NAME/secrets/`, as plain
 * Secrets in YAML (0600 in 0700). A database keeps its first password: when a Secret was
 * deleted from the cluster, a new password would lock the application out of its own data, so the copy's
 * value is restored instead.
 */
export class SecretCopies {
  readonly #folder: string

  constructor(clusterFolder: string) {
    this.#folder = join(clusterFolder, 'secrets')
  }

  #path(entry: CatalogueEntry): string {
    return join(this.#folder, `${entry.name}.yaml`)
  }

  /** The values of the copy; empty when there is none. */
  async read(entry: CatalogueEntry): Promise<Record<string, string>> {
    return secretValues(await this.#load(entry))
  }

  async #load(entry: CatalogueEntry): Promise<KubeObject | undefined> {
    const text = readIfExists(this.#path(entry))
    if (!text) return undefined
    const { load } = await import('js-yaml')
    try {
      return load(text) as KubeObject
    } catch {
      // The parser's message quotes the file, and with it a password.
      throw new ExpectedError(
        `${this.#path(entry)} is not a Secret in YAML`,
        'restore it from a backup, or move it elsewhere',
      )
    }
  }

  /**
   * Keeps a copy of the cluster's Secret. Keys that only the copy has are kept: one Secret may
   * serve several applications, and may have been restored for one of them only. An equal copy is not
   * written again.
   */
  async keep(entry: CatalogueEntry, secret: KubeObject): Promise<void> {
    const { dump } = await import('js-yaml')
    const text = dump(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: entry.name, namespace: entry.namespace },
        type: secret.type ?? 'Opaque',
        data: { ...(await this.#load(entry))?.data, ...secret.data },
      },
      { lineWidth: -1, noRefs: true, sortKeys: true },
    )
    if (readIfExists(this.#path(entry)) === text) return
    privateFolder(this.#folder)
    writeFileAtomic(this.#path(entry), text)
  }
}

/**
 * Keeps copies of these Secrets of the cluster, and writes nothing to the cluster: a password may have been
 * changed there, or from a second checkout.
 */
export async function keepCopies(
  kubectl: Kubectl,
  entries: readonly CatalogueEntry[],
  copies: SecretCopies,
): Promise<void> {
  for (const entry of entries) {
    const secret = await kubectl.get(secretRef(entry))
    if (secret) await copies.keep(entry, secret)
  }
}
