/** What the command line says that an override shall be. */

import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { type HelmValue, type HelmValues, isMap } from '../../lib/flux/stored-release.ts'
import { leaves, MOST_BYTES, parseValues, parseYaml, pathText, textsIn } from '../../lib/flux/values.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { inQuotes } from '../../lib/script/printable.ts'
import { askSecret } from '../../lib/script/prompt.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import type { Draft } from './editor.ts'
import { merged, type OverrideKind, origins, type ValuesLayer } from './layers.ts'
import { mergeValues, parsePath, valueAt, withoutValue, withValue } from './values.ts'

/** Whether flags say that anything shall change. */
export function wishes(flags: Wish): boolean {
  return flags.set.length + flags.unset.length > 0 || flags.file !== undefined || flags.reset || flags.edit
}

/** The flags that say it. */
export interface Wish {
  set: readonly string[]
  unset: readonly string[]
  file: string | undefined
  secret: boolean
  reset: boolean
  edit: boolean
}

/** The values of the override of each kind. */
export type Overrides = Record<OverrideKind, HelmValues>

/** The values of the overrides as they are. */
export function overridesOf(layers: readonly ValuesLayer[]): Overrides {
  const of = (kind: OverrideKind) =>
    layers.find(({ override, source }) => override && source?.kind === kind)?.values ?? {}
  return { ConfigMap: of('ConfigMap'), Secret: of('Secret') }
}

/**
 * The overrides as the flags say: the existing ones, without `--unset`, under `--file`, under `--set`. Throws a UsageError
 * for flags that contradict each other or the values, and for values that would be shown though they are secret.
 */
export async function wanted(
  wish: Wish,
  layers: readonly ValuesLayer[],
  { release, draft }: { release: string; draft: Draft },
): Promise<Overrides> {
  const broken = layers.find(({ problem }) => problem)
  if (broken && !wish.reset && !wish.edit)
    throw new UsageError(broken.problem!, 'replace it: give --reset, alone or together with --file or --set')
  const now: Overrides = wish.reset ? { ConfigMap: {}, Secret: {} } : overridesOf(layers)
  const kind: OverrideKind = wish.secret ? 'Secret' : 'ConfigMap'
  const other: OverrideKind = wish.secret ? 'ConfigMap' : 'Secret'
  if (!layers.some(({ override, source }) => override && source?.kind === kind))
    throw new UsageError(
      `${release} reads no override from a ${kind}`,
      `${wish.secret ? 'omit' : 'give'} --secret`,
    )
  for (const text of wish.unset) {
    const path = parsePath(text)
    if (valueAt(now.ConfigMap, path) === undefined && valueAt(now.Secret, path) === undefined)
      throw new UsageError(
        `no override sets ${text.slice(0, 80)}`,
        `see them: npx tsx scripts/override-app.ts ${release}`,
      )
    now.ConfigMap = withoutValue(now.ConfigMap, path)
    now.Secret = withoutValue(now.Secret, path)
  }
  if (wish.file !== undefined) now[kind] = mergeValues(now[kind], await readFile(wish.file))
  if (wish.edit)
    now[kind] = await parseValues(await draft.edit(await editable(kind, layers)), 'the edited text')
  const below = merged(layers.filter(({ override }) => !override))
  for (const text of wish.set) {
    const { path, value } = await assignment(text, wish.secret)
    const base = kind === 'Secret' ? mergeValues(below, now.ConfigMap) : below
    now[kind] = withValue(now[kind], path, value, base)
  }
  if (kind === 'Secret') {
    for (const text of textsIn(now.Secret)) registerSecret(text)
    // A value that moves to the Secret must not stay readable beside it.
    for (const [path] of leaves(now.Secret)) now.ConfigMap = withoutValue(now.ConfigMap, path)
  } else refuseHidden(now, other, layers)
  return now
}

/** The text of an override for an editor: as it is in the cluster, with its comments. */
async function editable(kind: OverrideKind, layers: readonly ValuesLayer[]): Promise<string> {
  const { contentsOf } = await import('./write.ts')
  return (
    contentsOf({ namespace: '', layers: layers.filter(({ override }) => override) })[kind] ?? '# KEY: VALUE\n'
  )
}

/** Throws for values in the ConfigMap that the Secret covers, or that were copied from a Secret. */
function refuseHidden(now: Overrides, other: OverrideKind, layers: readonly ValuesLayer[]): void {
  const from = new Map(origins(layers).map(origin => [pathText(origin.path), origin]))
  for (const [path] of leaves(now.ConfigMap)) {
    if (other === 'Secret' && valueAt(now.Secret, path) !== undefined)
      throw new UsageError(
        `the override in the Secret sets ${pathText(path)} already, and takes precedence over the ConfigMap`,
        'give --secret, or --unset it first',
      )
    const origin = from.get(pathText(path))
    if (origin?.secret && !origin.override)
      throw new UsageError(`${pathText(path)} comes from a Secret: ${origin.origin}`, 'give --secret')
  }
}

/** `PATH=VALUE`, or `PATH` alone for a secret, which is asked for. */
async function assignment(
  text: string,
  secret: boolean,
): Promise<{ path: ReturnType<typeof parsePath>; value: HelmValue }> {
  const at = equalsSign(text)
  if (at < 0) {
    const path = parsePath(text)
    if (!secret)
      throw new UsageError(`--set needs PATH=VALUE, and ${inQuotes(text)} has no =`, 'write PATH=VALUE')
    const value = await askSecret({ message: `${pathText(path)}:`, flag: '--file FILE instead of --set' })
    registerSecret(value)
    return { path, value }
  }
  if (secret) {
    registerSecret(text.slice(at + 1))
    throw new UsageError(
      'a secret on the command line is in the history of the shell and in the list of processes',
      `give --set ${JSON.stringify(text.slice(0, at))} alone, which asks for it, or --file FILE`,
    )
  }
  const path = parsePath(text.slice(0, at))
  const value = await parseYaml(text.slice(at + 1), `the value of ${text.slice(0, Math.min(at, 80))}`)
  return { path, value: value ?? null }
}

/** Where the value begins: the first `=` outside of a quoted key. */
function equalsSign(text: string): number {
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') quoted = !quoted
    else if (text[i] === '=' && !quoted) return i
  }
  return -1
}

/** The values in a file: plain ones, or those of a ConfigMap or Secret as the docs have them. */
async function readFile(file: string): Promise<HelmValues> {
  const values = await parseValues(readBounded(file), file)
  if (!/^(configmap|secret)$/i.test(String(values.kind)) || values.apiVersion !== 'v1') return values
  const data = {
    ...(isMap(values.data) ? values.data : {}),
    ...(isMap(values.stringData) ? values.stringData : {}),
  }
  const text = data['values.yaml']
  if (typeof text !== 'string')
    throw new UsageError(`${file} is a ${values.kind} without the key values.yaml`, 'give the values alone')
  const encoded =
    /^secret$/i.test(String(values.kind)) && !isMap(values.stringData) && /^[A-Za-z0-9+/=\s]+$/.test(text)
  return parseValues(encoded ? Buffer.from(text, 'base64').toString('utf8') : text, `values.yaml in ${file}`)
}

/** The text of a file. Throws a UsageError for a folder and a missing file; no more is read than values may have. */
function readBounded(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (!stat) throw new UsageError(`the file ${file} does not exist`, 'give a file with values: --file FILE')
  if (stat.isDirectory()) throw new UsageError(`${file} is a folder`, 'give a file with values: --file FILE')
  const buffer = Buffer.alloc(MOST_BYTES + 1)
  const handle = openSync(file, 'r')
  try {
    let length = 0
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(handle, buffer, length, buffer.length - length, null)
    return buffer.subarray(0, length).toString('utf8')
  } finally {
    closeSync(handle)
  }
}
