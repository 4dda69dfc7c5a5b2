/** Where a container takes its settings from: the ConfigMaps and Secrets that its files and its variables come from. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import type { Meaning } from './last-words.ts'
import { whereToChange, workloadOf } from './workload-facts.ts'

/** A ConfigMap or Secret that a container reads, with the names by which a message may mean it. */
interface Source {
  kind: 'ConfigMap' | 'Secret'
  name: string
  /** Its keys, as far as they are known, and the variables that are set from it, with their key. */
  names: readonly { as: string; key?: string }[]
  /** Mounted as files, and not read as variables. */
  mounted: boolean
}

interface Named {
  name?: string
  secretName?: string
  key?: string
  items?: { key?: string }[]
}

/** What each pod is given, and nobody configures a program by. */
const GIVEN = /^(kube-root-ca\.crt|openshift-service-ca\.crt)$/

/** The ConfigMaps and Secrets that a container of a pod reads, by its mounts and its variables. */
function sourcesOf(pod: KubeObject, container: string, index: Index): Source[] {
  const spec = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find(
    each => each.name === container,
  )
  const found: Source[] = []
  const add = (kind: Source['kind'], of: Named | undefined, mounted: boolean, variable?: string) => {
    const name = of?.name ?? of?.secretName
    if (!name || GIVEN.test(name)) return
    const keys = [of?.key, ...(of?.items ?? []).map(({ key }) => key)].filter(key => key !== undefined)
    const known = kind === 'Secret' ? index.secret(pod.metadata.namespace ?? '', name)?.keys : undefined
    const names = [
      ...(variable ? [{ as: variable, ...(of?.key ? { key: of.key } : {}) }] : []),
      ...[...keys, ...Object.keys(known ?? {})].map(key => ({ as: key })),
    ]
    const earlier = found.find(each => each.kind === kind && each.name === name)
    if (!earlier) found.push({ kind, name, names, mounted })
    else {
      earlier.names = [...earlier.names, ...names]
      earlier.mounted ||= mounted
    }
  }
  const mounts = new Set(((spec?.volumeMounts ?? []) as Named[]).map(({ name }) => name))
  // biome-ignore lint/suspicious/noExplicitAny: a Volume
  for (const volume of ((pod.spec?.volumes ?? []) as any[]).filter(({ name }) => mounts.has(name)))
    for (const each of [volume, ...(volume.projected?.sources ?? [])]) {
      add('ConfigMap', each.configMap, true)
      add('Secret', each.secret, true)
    }
  // biome-ignore lint/suspicious/noExplicitAny: an EnvVar
  for (const { name, valueFrom } of (spec?.env ?? []) as any[]) {
    add('ConfigMap', valueFrom?.configMapKeyRef, false, name)
    add('Secret', valueFrom?.secretKeyRef, false, name)
  }
  for (const { configMapRef, secretRef } of spec?.envFrom ?? []) {
    add('ConfigMap', configMapRef, false)
    add('Secret', secretRef, false)
  }
  return found
}

const isWord = (text: string, name: string): boolean => {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!/[\w-]/.test(text[at - 1] ?? ' ') && !/[\w-]/.test(text[at + name.length] ?? ' ')) return true
  return false
}

/** The source that words are about: whose key or variable they name, else the only ConfigMap, else the only one. */
function sourceOf(
  sources: readonly Source[],
  words: readonly string[],
): (Source & { key?: string }) | undefined {
  const text = words.join('\n')
  for (const source of sources) {
    const name = source.names.find(({ as }) => as.length > 2 && isWord(text, as))
    if (name) return name.key && name.key !== name.as ? { ...source, key: name.key } : source
  }
  const maps = sources.filter(({ kind }) => kind === 'ConfigMap')
  const only = maps.length > 0 ? maps : sources
  return only.length === 1 ? only[0] : undefined
}

/**
 * Where an administrator changes the settings that words of a container are about: the ConfigMap or Secret that it takes
 * them from, where the manifest of its workload only names that. Pure.
 */
export function placeOf(pod: KubeObject, container: string, words: readonly string[], index: Index): string {
  const where = whereToChange(workloadOf(pod, index), index)
  // What a chart brings is changed by its values.
  if (!where.startsWith('in the manifest of')) return where
  const source = sourceOf(sourcesOf(pod, container, index), words)
  if (!source) return where
  const { kind, name, key, mounted } = source
  const how = key
    ? `whose key ${key} it takes that from`
    : mounted
      ? 'which it has mounted'
      : 'which it reads'
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
    if (only) return known.fix(where).replace('the Secret is named', `it is Secret ${only.name}, named`)
    return secrets.length > 0 || !where.startsWith('in the manifest of')
      ? known.fix(where)
      : `${known.fix(where).replace('the Secret is named', 'no Secret is named')}: correct the password in whatever else it takes it from, or create its account in that service again, as it may no longer exist there`
  }
  return known.fix(SETTINGS.test(known.rule) ? placeOf(pod, container, words, index) : where)
}
