import { gatherFacts } from '../diagnosis/facts.ts'
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
import { notInOrder, reconcileAll, waitForKustomizations } from './rollout.ts'

/** The core, or some applications: what they have in common when they are installed. */
export class PlatformPart {
  readonly #run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>
  readonly #kubectl: Kubectl
  readonly #kustomizations: readonly string[]
  readonly #secrets: readonly CatalogueEntry[]
  readonly #copies: SecretCopies

  private constructor(
    run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>,
    kubectl: Kubectl,
    kustomizations: readonly string[],
    secrets: readonly CatalogueEntry[],
  ) {
    this.#run = run
    this.#kubectl = kubectl
    this.#kustomizations = kustomizations
    this.#secrets = secrets
    this.#copies = new SecretCopies(run.cluster.folder)
  }

  /** These Kustomizations, with the generated secrets of these entries of the catalogue. */
  static async of(
    run: Pick<Run, 'cluster' | 'log' | 'signal' | 'step'>,
    kubectl: Kubectl,
    { kustomizations, apps }: { kustomizations: readonly string[]; apps: readonly string[] },
  ): Promise<PlatformPart> {
    const secrets = (await loadCatalogue()).filter(entry => apps.includes(entry.app))
    return new PlatformPart(run, kubectl, kustomizations, secrets)
  }

  /** What is to be done about the generated secrets, in words. */
  async planSecrets(): Promise<string[]> {
    return (await planSecrets(this.#kubectl, this.#secrets)).flatMap(secret => planText(secret) ?? [])
  }

  /** Which of the Kustomizations have to be brought in order, and why. */
  async planOrder(): Promise<string[]> {
    const facts = await gatherFacts(this.#kubectl)
    return this.#kustomizations.flatMap(name => {
      const why = notInOrder(name, facts)
      return why ? [`bring Kustomization ${name} in order: it ${why}`] : []
    })
  }

  /** Keeps copies of the secrets where nothing else is to be done. */
  async keepCopies(): Promise<void> {
    await keepCopies(this.#kubectl, this.#secrets, this.#copies)
  }

  /** The step that makes the secrets. */
  async makeSecrets(): Promise<void> {
    await this.#run.step(
      'Generated secrets',
      `kubectl create -f ${this.#run.cluster.folder}/secrets   # from the copies, where one is absent`,
      () => ensureSecrets(this.#kubectl, this.#secrets, this.#copies),
    )
  }

  /** The step that has Flux look at what is not in order, and waits until all of it is ready. */
  async bringInOrder(title: string, equivalent: string, deadline: number): Promise<void> {
    const { log, signal } = this.#run
    await this.#run.step(title, equivalent, async () => {
      await reconcileAll(this.#kubectl, this.#kustomizations, signal)
      await waitForKustomizations(this.#kubectl, this.#kustomizations, { deadline, log, signal })
      return undefined
    })
  }
}
