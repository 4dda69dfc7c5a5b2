/** Where a container takes its settings from: the ConfigMaps and Secrets that its files and its variables come from. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { allowedPart } from '../allowed/pick.ts'
import type { Index } from '../snapshot.ts'
import type { Meaning } from './last-words.ts'
import { type Read, readsOfVariables, readsOfVolume } from './reads.ts'
import { whereToChange, workloadOf } from './workload-facts.ts'

/** A ConfigMap or Secret that a container reads, with the names by which a message may mean it. */
interface Source {
  kind: 'ConfigMap' | 'Secret'
  name: string
  /** Its keys, as far as they are known, and the variables that are set from it, with their key. */
  names: readonly { as: string; key?: string }[]
  /** Where it is mounted as files, as far as that is known; undefined where it is read as variables alone. */
  mounts?: readonly string[]
}

/** What each pod is given, and nobody configures a program by. */
const GIVEN = /^(kube-root-ca\.crt|openshift-service-ca\.crt)$/

/** The ConfigMaps and Secrets that a container of a pod reads, by its mounts and its variables. */
function sourcesOf(pod: KubeObject, container: string, index: Index): Source[] {
  const spec = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find(
    each => each.name === container,
  )
  const found: Source[] = []
  const add = ({ kind, name, key, variable }: Read, mounts?: readonly string[]) => {
    if (GIVEN.test(name)) return
    const names = [
      ...(variable ? [{ as: variable, ...(key ? { key } : {}) }] : []),
      ...(key ? [{ as: key }] : []),
    ]
    const earlier = found.find(each => each.kind === kind && each.name === name)
    if (!earlier) {
      const keys = kind === 'Secret' ? index.secret(pod.metadata.namespace ?? '', name)?.keys : undefined
      const known = Object.keys(keys ?? {}).map(each => ({ as: each }))
      found.push({ kind, name, names: [...names, ...known], ...(mounts ? { mounts } : {}) })
    } else {
      earlier.names = [...earlier.names, ...names]
      if (mounts) earlier.mounts = [...(earlier.mounts ?? []), ...mounts]
    }
  }
  const mounted = (spec?.volumeMounts ?? []) as { name?: string; mountPath?: string }[]
  for (const volume of (pod.spec?.volumes ?? []) as { name?: string }[]) {
    const mounts = mounted.filter(({ name }) => name === volume.name)
    const places = mounts.flatMap(({ mountPath }) => mountPath ?? [])
    if (mounts.length > 0) for (const each of readsOfVolume(volume)) add(each, places)
  }
  for (const each of readsOfVariables(spec)) add(each)
  return found
}

const isWord = (text: string, name: string): boolean => {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!/[\w-]/.test(text[at - 1] ?? ' ') && !/[\w-]/.test(text[at + name.length] ?? ' ')) return true
  return false
}

/** A path as facts hold that of a mount, by its parts: what is not known of the one is not known of the other. */
const partsOf = (path: string) => String(allowedPart(path, 'folder')).split('/').filter(Boolean)

/** How many known parts a folder has that one of several paths is in: 0 when none of them is. */
function depthIn(paths: readonly string[][], folder: string): number {
  const parts = partsOf(folder)
  const isIn = (path: readonly string[]) => parts.every((part, at) => part === path[at])
  return paths.some(isIn) ? parts.filter(part => part !== '***').length : 0
}

/** The source that words are about: whose key, variable or mount they name, else the only ConfigMap, else the only one. */
function sourceOf(
  sources: readonly Source[],
  words: readonly string[],
): (Source & { key?: string }) | undefined {
  const text = words.join('\n')
  for (const source of sources) {
    // A key that is a plain word may stand in any message.
    const name = source.names.find(({ as }) => !/^([a-z]+|.{1,2})$/.test(as) && isWord(text, as))
    if (name) return name.key && name.key !== name.as ? { ...source, key: name.key } : source
  }
  const paths = (text.match(/(?<![\w.:/])\/[\w.-]{2,60}(?:\/[\w.-]{1,80}){1,8}/g) ?? []).map(partsOf)
  const deep = sources
    .map(source => ({
      source,
      depth: Math.max(0, ...(source.mounts ?? []).map(each => depthIn(paths, each))),
    }))
    .sort((a, b) => b.depth - a.depth)
  if (deep[0] && deep[0].depth > (deep[1]?.depth ?? 0)) return deep[0].source
  const maps = sources.filter(({ kind }) => kind === 'ConfigMap')
  const only = maps.length > 0 ? maps : sources
  return only.length === 1 ? only[0] : undefined
}

/**
 * Where an administrator changes the settings that words of a container are about: the ConfigMap or Secret that it takes
 * them from, where the manifest of its workload only names that. Pure.
 */
export function settingsPlace(
  pod: KubeObject,
  container: string,
  words: readonly string[],
  index: Index,
): string {
  const where = whereToChange(workloadOf(pod, index), index)
  // What a chart brings is changed by its values.
  if (!where.startsWith('in the manifest of')) return where
  const source = sourceOf(sourcesOf(pod, container, index), words)
  if (!source) return where
  const { kind, name, key, mounts } = source
  const how = key ? `whose key ${key} it takes that from` : mounts ? 'which it has mounted' : 'which it reads'
  return `in ${kind} ${name}, ${how}, or ${where}`
}

/** Meanings that are about the settings of the program itself. */
const SETTINGS =
  /^container-(setting|certificate-unusable|address-(invalid|missing)|file-missing|data-encrypted|object-missing)/

/** What to do about a meaning, where the container takes its settings or its password from. Pure. */
export function repairOf(
  known: Meaning,
  pod: KubeObject,
  container: string,
  words: readonly string[],
  index: Index,
): string {
  const where = whereToChange(workloadOf(pod, index), index)
  if (known.rule === 'container-login-refused') {
    const secrets = sourcesOf(pod, container, index).filter(({ kind }) => kind === 'Secret')
    const [only] = secrets.length > 1 ? [sourceOf(secrets, words)] : secrets
    if (only) return known.fix(where, `it is Secret ${only.name}, named`)
    return secrets.length > 0 || !where.startsWith('in the manifest of')
      ? known.fix(where)
      : `${known.fix(where, 'no Secret is named')}: correct the password in whatever else it takes it from, or create its account in that service again, as it may no longer exist there`
  }
  return known.fix(SETTINGS.test(known.rule) ? settingsPlace(pod, container, words, index) : where)
}
