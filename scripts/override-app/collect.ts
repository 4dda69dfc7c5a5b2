/** The overrides of a whole cluster, and their export to files. */

import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { encryptTo, type Recipients } from '../../lib/age/age.ts'
import { recipientsIfAny, type recipientsOf } from '../../lib/age/keys.ts'
import { leaves, parseValues, textsIn } from '../../lib/flux/values.ts'
import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { EXPORTED, isOverrideName, overrideText } from '../../lib/platform/overrides.ts'
import { clusterChecks } from '../../lib/preflight/preflight.ts'
import { countText } from '../../lib/script/count.ts'
import { sha256 } from '../../lib/script/digest.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import type { Run } from '../../lib/script/run.ts'
import { listedOverrides, listTable } from './show.ts'

/** An override of the cluster, with its values as text. */
export interface FoundOverride {
  object: KubeObject
  text: string
  /** How many values it sets; undefined for one that is not valid YAML. */
  keys: number | undefined
}

/** Every ConfigMap and Secret of the cluster whose name says that it is an override, by namespace and name. */
async function allOverrides(kubectl: Kubectl): Promise<FoundOverride[]> {
  const found: FoundOverride[] = []
  for (const kind of ['ConfigMap', 'Secret'])
    for (const { metadata } of await kubectl.list('v1', kind, { metadataOnly: true })) {
      if (!isOverrideName(metadata.name)) continue
      const object = await kubectl.get({
        apiVersion: 'v1',
        kind,
        name: metadata.name,
        namespace: metadata.namespace,
      })
      if (!object) continue
      const text = overrideText(object) ?? ''
      const values = await parseValues(text, metadata.name).catch(() => undefined)
      if (kind === 'Secret')
        for (const each of [text, ...(values ? textsIn(values) : [])]) registerSecret(each)
      found.push({ object, text, keys: values && leaves(values).length })
    }
  const place = ({ object: { metadata, kind } }: FoundOverride) =>
    `${metadata.namespace}/${metadata.name} ${kind}`
  return found.sort((a, b) => place(a).localeCompare(place(b)))
}

/** An override as a manifest: what `kubectl apply` and Flux take. */
function manifestOf({ object, text }: FoundOverride): object {
  const { apiVersion, kind, name, namespace } = refOf(object)
  const labels = { 'reconcile.fluxcd.io/watch': 'Enabled' }
  const values = { 'values.yaml': text }
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, labels },
    ...(kind === 'Secret' ? { stringData: values } : { data: values }),
  }
}

/** The file of an override below the folder of an export. */
function exportName({ kind, metadata }: KubeObject): string {
  const ending = kind === 'Secret' ? 'secret.yaml.age' : 'yaml'
  return `${metadata.namespace}-${metadata.name}.${ending}`
}

/** Throws a UsageError when the export would encrypt to nobody, or the folder is a file. */
function checkExport(folder: string, overrides: readonly FoundOverride[], to: Recipients | undefined): void {
  if (existsSync(folder) && !statSync(folder).isDirectory())
    throw new UsageError(`${folder} is not a folder`, 'give a folder: --export DIR')
  const secret = overrides.find(({ object }) => object.kind === 'Secret')
  if (secret && !to)
    throw new UsageError(
      `Secret ${secret.object.metadata.namespace}/${secret.object.metadata.name} is exported encrypted only`,
      'give --recipient AGE1… (several times for several people), or --passphrase',
    )
}

/**
 * Writes overrides to a folder: ConfigMaps as manifests with a kustomization.yaml, as Flux and kubectl take them,
 * Secrets as manifests encrypted with age. Each override is marked with the checksum of what was written, so that the
 * diagnosis sees when it differs from its file. Returns the names of the files.
 */
async function exportOverrides(
  kubectl: Kubectl,
  folder: string,
  overrides: readonly FoundOverride[],
  to: Recipients | undefined,
): Promise<string[]> {
  const { dump } = await import('js-yaml')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const files: string[] = []
  for (const override of overrides) {
    const name = exportName(override.object)
    const text = dump(manifestOf(override), { lineWidth: -1, noRefs: true })
    if (override.object.kind === 'Secret') {
      const pieces: Uint8Array[] = []
      for await (const piece of encryptTo(to!, [Buffer.from(text)])) pieces.push(piece)
      writeFileAtomic(join(folder, name), Buffer.concat(pieces))
    } else writeFileAtomic(join(folder, name), text, 0o644)
    files.push(name)
  }
  const resources = files.filter(name => name.endsWith('.yaml'))
  const kustomization = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources }
  writeFileAtomic(join(folder, 'kustomization.yaml'), dump(kustomization), 0o644)
  for (const { object, text } of overrides)
    await kubectl.patch(refOf(object), { metadata: { annotations: { [EXPORTED]: sha256(text) } } })
  return [...files, 'kustomization.yaml']
}

/** The run of `--list` and `--export`. */
type CollectingRun = Pick<
  Run,
  'args' | 'log' | 'step' | 'agree' | 'next' | 'abort' | 'onEnd' | 'preflight'
> & {
  result: unknown
  flags: Parameters<typeof recipientsOf>[0] & { list: boolean; export?: string }
}

/** Lists the overrides of the cluster, or exports them: those of one release, where it is named. */
export async function listOrExport(
  run: CollectingRun,
  kubectl: Kubectl,
  releases: readonly KubeObject[],
): Promise<void> {
  const found = await allOverrides(kubectl)
  const list = listedOverrides(releases, found)
  if (run.flags.list) {
    run.result = list
    run.log.print(list.length > 0 ? listTable(list) : 'no overrides')
    return
  }
  const [name] = run.args
  const overrides = found.filter((_, i) => name === undefined || list[i]!.release === name)
  if (overrides.length === 0)
    throw new ExpectedError(
      'there is no override to export',
      'see them: npx tsx scripts/override-app.ts --list',
    )
  const folder = resolve(run.flags.export!)
  const to = await recipientsIfAny(run.flags)
  checkExport(folder, overrides, to)
  const rights = ['configmaps', 'secrets'].map(resource => ['patch', '', resource] as const)
  await run.preflight(await clusterChecks(kubectl, rights))
  const plan = overrides.map(({ object }) => `write ${join(folder, exportName(object))}`)
  plan.push('mark each override with the checksum of its file')
  if (!(await run.agree(plan, `Export ${countText(overrides.length, 'override')}?`))) return
  await lockCluster(kubectl, run)
  await run.step('Export', `kubectl get configmap NAME -n NAMESPACE -o yaml > ${folder}/FILE`, async () => {
    const files = await exportOverrides(kubectl, folder, overrides, to)
    run.result = { folder, files }
    return `${files.length} files`
  })
  run.next([`kubectl apply -k ${folder}   # or commit it to a repository that Flux follows`])
}
