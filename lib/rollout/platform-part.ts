import type { Kubectl } from '../kubectl/kubectl.ts'
import { keepCopies, SecretCopies } from '../platform/secret-copies.ts'
import {
  type CatalogueEntry,
  ensureSecrets,
  loadCatalogue,
  planSecrets,
  planText,
} from '../platform/secrets.ts'
import type { Run } from '../script/run.ts'
import { clientsText, outdatedClients, sendClients } from './clients.ts'
import { reconcileAll, waitForKustomizations, watched } from './rollout.ts'
import { unreadyReason } from './standing.ts'

/** The core, or some applications: what they have in common when they are installed. */
export class PlatformPart {
  readonly #run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>
  readonly #kubectl: Kubectl
  readonly #kustomizations: readonly string[]
  readonly #apps: readonly string[]
  readonly #secrets: readonly CatalogueEntry[]
  readonly #copies: SecretCopies

  private constructor(
    run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>,
    kubectl: Kubectl,
    { kustomizations, apps }: { kustomizations: readonly string[]; apps: readonly string[] },
    secrets: readonly CatalogueEntry[],
  ) {
    this.#run = run
    this.#kubectl = kubectl
    this.#kustomizations = kustomizations
    this.#apps = apps
    this.#secrets = secrets
    this.#copies = new SecretCopies(run.cluster.folder)
  }

  /** These Kustomizations, with the generated secrets of these entries of the catalogue. */
  static async of(
    run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>,
    kubectl: Kubectl,
    part: { kustomizations: readonly string[]; apps: readonly string[] },
  ): Promise<PlatformPart> {
    const secrets = (await loadCatalogue()).filter(entry => part.apps.includes(entry.app))
    return new PlatformPart(run, kubectl, part, secrets)
  }

  /** The changes of the generated secrets, in words. */
  async planSecrets(): Promise<string[]> {
    return (await planSecrets(this.#kubectl, this.#secrets)).flatMap(secret => planText(secret) ?? [])
  }

  /** Which of the Kustomizations have to be reconciled, and which clients hydra has to get again, and why. */
  async planReconciliation(): Promise<string[]> {
    const [index, clients] = await Promise.all([
      watched(this.#kubectl),
      outdatedClients(this.#kubectl, this.#apps),
    ])
    const unready = this.#kustomizations.flatMap(name => {
      const why = unreadyReason(name, index)
      return why ? [`reconcile Kustomization ${name}: it ${why}`] : []
    })
    return [...unready, ...clientsText(clients)]
  }

  /** Keeps copies of the secrets where nothing else changes. */
  async keepCopies(): Promise<void> {
    await keepCopies(this.#kubectl, this.#secrets, this.#copies)
  }

  /** The step that creates the secrets. */
  async createSecrets(): Promise<void> {
    await this.#run.step(
      'Generated secrets',
      `kubectl create -f ${this.#run.cluster.folder}/secrets   # from the copies, where one is absent`,
      () => ensureSecrets(this.#kubectl, this.#secrets, this.#copies),
    )
  }

  /** The step that has Flux reconcile what is not ready, and waits until everything is, at hydra, too. */
  async reconcile(title: string, equivalent: string, deadline: number): Promise<void> {
    const { log, signal } = this.#run
    await this.#run.step(title, equivalent, async () => {
      await reconcileAll(this.#kubectl, this.#kustomizations, signal)
      await waitForKustomizations(this.#kubectl, this.#kustomizations, { deadline, log, signal })
      await sendClients(this.#kubectl, this.#apps, signal)
      return undefined
    })
  }
}
