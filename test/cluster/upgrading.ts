/** What the tests of upgrade-0.7 share: a bed with the small platform of test/fixtures/upgrade, and how to look at it. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { CURRENT_KINDS } from '../../lib/flux/flux-versions.ts'
import type { Kubectl, KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { TEN } from '../../lib/secret-backup/secret-backup.ts'
import { loadFluxManifest } from '../../scripts/install-core/flux-manifest.ts'
import { gatherUpgradeFacts } from '../../scripts/upgrade-0.7/facts.ts'
import type { UpgradeState } from '../../scripts/upgrade-0.7/state.ts'
import type { UpOptions } from '../bed/cluster/sandbox.ts'
import { APPS, commitPlatform, platformObjects, platformReady } from '../fixtures/upgrade/platform.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'

/** The data of Secrets by their names, in base64. */
export type Values = Record<string, Record<string, string>>

/** Something as it stands in a Secret. */
export const base64 = (data: string | Buffer): string => Buffer.from(data).toString('base64')

/** One of the ten Secrets. */
export const secretRef = (name: string): Ref & { name: string } => ({
  apiVersion: 'v1',
  kind: 'Secret',
  namespace: TEN.find(each => each.name === name)!.namespace,
  name,
})

/** The data of the ten Secrets, of those that are there. */
export async function secretsOf(kubectl: Kubectl): Promise<Values> {
  const found = await Promise.all(
    TEN.map(async ({ name }): Promise<[string, Record<string, string>][]> => {
      const secret = await kubectl.get(secretRef(name))
      return secret ? [[name, (secret.data ?? {}) as Record<string, string>]] : []
    }),
  )
  return Object.fromEntries(found.flat())
}

/** Each key of `before` has the same value in `now`, byte by byte; returns what `now` has more. */
export function same(now: Values, before: Values): string[] {
  for (const [name, data] of Object.entries(before))
    for (const [key, value] of Object.entries(data))
      assert.is(now[name]?.[key], value, `${name}/${key} is not what it was`)
  return Object.entries(now).flatMap(([name, data]) =>
    Object.keys(data)
      .filter(key => before[name]?.[key] === undefined)
      .map(key => `${name}/${key}`),
  )
}

/** The small platform on a bed of its own, at its branch v0.6. */
export class Platform {
  readonly bed: Bed
  /** Every value that the secrets ever had, for the search for leaks. */
  readonly values = new Set<string>()

  private constructor(bed: Bed) {
    this.bed = bed
  }

  /** Starts it with all applications. `edit` changes the files of the branches. */
  static async start(edit?: Parameters<typeof commitPlatform>[1], options?: UpOptions): Promise<Platform> {
    const bed = await Bed.start(options)
    try {
      const { kubectl } = bed
      // Flux's own Deployments too, as install-core brings them: what waits asks whether they run.
      for (const object of await loadFluxManifest(bed.up.fluxManifest))
        if (object.kind !== 'CustomResourceDefinition') await kubectl.apply(object)
      commitPlatform(join(bed.cluster, '.state', 'served', 'openappstack.git'), edit)
      for (const object of platformObjects(CURRENT_KINDS, bed.up.gitUrl, APPS)) await kubectl.create(object)
      const platform = new Platform(bed)
      await platform.ready(7)
      return platform
    } catch (error) {
      await bed.stop()
      throw error
    }
  }

  /** Waits until at least so many Kustomizations, and all that there are, are in order. */
  ready(least: number): Promise<void> {
    return platformReady(this.bed.kubectl, CURRENT_KINDS, least)
  }

  /** What the script sees of the cluster. */
  facts(): ReturnType<typeof gatherUpgradeFacts> {
    return gatherUpgradeFacts(this.bed.kubectl, CURRENT_KINDS)
  }

  /** Runs the script. */
  upgrade(args: readonly string[] = [], options?: ScriptOptions): Promise<Outcome> {
    return runScript('upgrade-0.7', ['--cluster', 'sandbox', '--yes', ...args], options)
  }

  /** As `secretsOf`, and remembers the values. */
  async secrets(): Promise<Values> {
    const found = await secretsOf(this.bed.kubectl)
    for (const data of Object.values(found))
      for (const [key, value] of Object.entries(data))
        if (key !== 'domain' && value.length > 8) {
          this.values.add(value)
          this.values.add(Buffer.from(value, 'base64').toString())
        }
    return found
  }

  /** The branch that the cluster follows. */
  async branch(): Promise<string | undefined> {
    return (await this.facts()).git?.spec?.ref?.branch
  }

  /** What the upgrade has written down. */
  state(): UpgradeState | undefined {
    const file = join(this.bed.cluster, 'upgrade-0.7', 'state.json')
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as UpgradeState) : undefined
  }

  /** The data in the backup that the upgrade has written down. */
  backedUp(): Values {
    const folder = join(this.bed.cluster, this.state()!.backup)
    const files = readdirSync(folder).filter(file => file.endsWith('.yaml'))
    return Object.fromEntries(
      files.map(file => {
        const { metadata, data } = load(readFileSync(join(folder, file), 'utf8')) as KubeObject
        return [metadata.name, data]
      }),
    )
  }

  /** No value of `before` is lost: each is in the cluster, or in the backup of the upgrade. */
  async nothingLost(before: Values): Promise<void> {
    const now = await this.secrets()
    const backup = this.state() ? this.backedUp() : {}
    for (const [name, data] of Object.entries(before))
      for (const [key, value] of Object.entries(data))
        assert.ok(now[name]?.[key] === value || backup[name]?.[key] === value, `${name}/${key} is lost`)
  }

  /** Checks that a run has ended at 0.7 with every value as before; returns what there is more. */
  async upgraded(outcome: Outcome, before: Values): Promise<string[]> {
    assert.is(outcome.code, 0, outcome.stderr)
    assert.is((await this.facts()).owner, undefined)
    assert.is(await this.branch(), 'v0.7')
    await this.ready(3)
    return same(await this.secrets(), before)
  }

  /** Goes back to 0.6, and checks that every value is as before and that Helm owns the Secrets again. */
  async rolledBack(before: Values): Promise<Outcome> {
    const outcome = await this.upgrade(['--rollback'])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.is(await this.branch(), 'v0.6')
    assert.is((await this.facts()).owner?.status?.conditions?.[0]?.status, 'True')
    same(await this.secrets(), before)
    await this.ready(3)
    for (const name of Object.keys(before)) {
      const { metadata } = (await this.bed.kubectl.get(secretRef(name)))!
      assert.is(metadata.labels?.['app.kubernetes.io/managed-by'], 'Helm', name)
      assert.is(metadata.annotations?.['meta.helm.sh/release-name'], 'oas-secrets', name)
    }
    assert.is(this.state(), undefined)
    return outcome
  }
}
