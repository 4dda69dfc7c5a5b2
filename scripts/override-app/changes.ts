/** What other values would change: objects that Helm renders, compared, and tried on the API server. */

import { isDeepStrictEqual } from 'node:util'
import { createTwoFilesPatch } from 'diff'
import { dump, loadAll } from 'js-yaml'
import { isMap } from '../../lib/flux/stored-release.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError, messageOf } from '../../lib/script/errors.ts'

/** One object that differs between two manifests; `old` or `now` is absent when only the other has it. */
export interface ObjectChange {
  old?: KubeObject
  now?: KubeObject
}

/** The objects of a manifest of Helm, without what is only about which HelmRelease rendered it. */
function objectsOf(manifest: string, namespace: string): Map<string, KubeObject> {
  const objects = new Map<string, KubeObject>()
  for (const document of loadAll(manifest) as unknown[]) {
    if (!isMap(document) || !isMap(document.metadata)) continue
    const object = document as unknown as KubeObject
    for (const label of ['helm.toolkit.fluxcd.io/name', 'helm.toolkit.fluxcd.io/namespace'])
      delete object.metadata.labels?.[label]
    object.metadata.namespace ??= namespace
    objects.set(refText(refOf(object)), object)
  }
  return objects
}

/** The objects that differ between what Helm has installed and what it would install. Pure. */
export function changesBetween(old: string, now: string, namespace: string): ObjectChange[] {
  const [before, after] = [objectsOf(old, namespace), objectsOf(now, namespace)]
  const names = [...new Set([...before.keys(), ...after.keys()])].sort()
  return names
    .map(name => ({ old: before.get(name), now: after.get(name) }))
    .filter(({ old, now }) => !isDeepStrictEqual(old, now))
}

/** The name of the object of a change. */
function changedRef({ old, now }: ObjectChange): string {
  return refText(refOf((now ?? old)!))
}

/** A change as lines of a diff; values of Secrets are left out. Pure. */
export function changeDiff(change: ObjectChange): string[] {
  const text = (object: KubeObject | undefined) =>
    object ? dump(withoutSecrets(object), { lineWidth: -1, noRefs: true, sortKeys: true }) : ''
  const name = changedRef(change)
  const patch = createTwoFilesPatch(name, name, text(change.old), text(change.now), '', '', { context: 2 })
  const lines = patch.split('\n').slice(4)
  return [name, ...lines.filter(line => line !== '').map(line => `  ${line}`)]
}

function withoutSecrets(object: KubeObject): KubeObject {
  if (object.kind !== 'Secret') return object
  const hidden = (map: unknown) =>
    isMap(map) ? Object.fromEntries(Object.keys(map).map(key => [key, '***'])) : map
  return { ...object, data: hidden(object.data), stringData: hidden(object.stringData) }
}

/** The changes in one line each, with what an administrator has to know of them. Pure. */
export function changeLines(changes: readonly ObjectChange[]): string[] {
  return changes.map(change => {
    const verb = !change.old ? 'create' : !change.now ? 'delete' : 'change'
    const note = change.old && change.now ? interruption(change.old, change.now) : ''
    return `${verb} ${changedRef(change)}${note}`
  })
}

/** Whether pods are replaced, and whether there is none meanwhile. */
function interruption(old: KubeObject, now: KubeObject): string {
  if (isDeepStrictEqual(old.spec?.template, now.spec?.template)) return ''
  if (now.kind === 'Deployment')
    return now.spec?.strategy?.type === 'Recreate'
      ? ': its pod restarts, and no pod answers meanwhile'
      : ': its pods are replaced one after the other'
  if (now.kind === 'StatefulSet')
    return (now.spec?.replicas ?? 1) > 1
      ? ': its pods restart in turn'
      : ': its pod restarts, and no pod answers meanwhile'
  return now.kind === 'DaemonSet' ? ': its pods restart in turn' : ''
}

/** A JSON mergeValues patch that makes `now` of `old`. Pure. */
export function mergePatch(old: unknown, now: unknown): unknown {
  if (!isMap(old) || !isMap(now)) return now
  const patch: Record<string, unknown> = {}
  for (const key of Object.keys(old)) if (!Object.hasOwn(now, key)) patch[key] = null
  for (const [key, value] of Object.entries(now))
    if (!isDeepStrictEqual(old[key], value)) patch[key] = mergePatch(old[key], value)
  return patch
}

/**
 * Tries every change on the API server by a dry run. Returns what it refuses, and what would be lost: a claim that
 * Helm would delete. Nothing is changed.
 */
export async function dryRunProblems(
  kubectl: Kubectl,
  changes: readonly ObjectChange[],
): Promise<ExpectedError[]> {
  const problems = await Promise.all(
    changes.map(async ({ old, now }): Promise<ExpectedError[]> => {
      if (!now)
        return old!.kind === 'PersistentVolumeClaim' && !keeps(old!)
          ? [
              new ExpectedError(
                `${refText(refOf(old!))} would be deleted with its data`,
                'choose values that keep it, or move the data first: npx tsx scripts/migrate-data.ts',
                { exitCode: 4 },
              ),
            ]
          : []
      const ref = refOf(now)
      try {
        const exists = (await kubectl.get(ref)) !== undefined
        if (exists) await kubectl.patch(ref, mergePatch(old ?? {}, now), { dryRun: true })
        else await kubectl.create(now, { dryRun: true })
        return []
      } catch (error) {
        if (!(error instanceof ExpectedError)) throw error
        const said = messageOf(error).replace(/^(patching|creating) \S+ \S+: /, '')
        return [
          new ExpectedError(
            `the API server refuses ${refText(ref)}: ${said.slice(0, 500)}`,
            'correct the value; nothing was changed',
            { cause: error },
          ),
        ]
      }
    }),
  )
  return problems.flat()
}

const keeps = ({ metadata }: KubeObject) => metadata.annotations?.['helm.sh/resource-policy'] === 'keep'
