/** What a container is given by ConfigMaps and Secrets: its variables and files, and which of them are missing. */
import leven from 'leven'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import type { Meaning } from './last-words.ts'
import { type Read, readsOfVariables, readsOfVolume, volumeOf } from './reads.ts'
import { tellingLine, textLines } from './telling-lines.ts'
import type { Container } from './workload-facts.ts'

/** A ConfigMap or a Secret. */
type Source = Pick<Read, 'kind' | 'name'>

/** What is missing, and what to do about it. */
interface Lack {
  cause: string
  fix: (where: string) => string
}

// biome-ignore lint/suspicious/noExplicitAny: parts of a PodSpec
type Part = any

const title = ({ kind, name }: Source) => `${kind} ${name}`

/**
 * The keys of a ConfigMap or Secret; undefined where they are not known. Those of a ConfigMap are known from its
 * managedFields, which name what each manager has set, as its values are never read. Pure.
 */
export function keysOf(
  { kind, name }: Source,
  namespace: string | undefined,
  index: Index,
): readonly string[] | undefined {
  if (index.blind(kind)) return undefined
  if (kind === 'ConfigMap') return index.get(kind, namespace, name)?.keys
  const secret = index.secret(namespace ?? '', name)
  return secret && Object.keys(secret.keys)
}

const plain = (key: string) => key.toLowerCase().replaceAll(/[^a-z0-9]/g, '')

/** The key that resembles one that is not there: the same in other letters, a part of it, or one with a mistake. Pure. */
export function nearestKey(wanted: readonly string[], keys: readonly string[]): string | undefined {
  const far = (key: string) => Math.min(...wanted.map(each => distance(plain(each), plain(key))))
  const [best] = keys.map(key => ({ key, far: far(key) })).sort((a, b) => a.far - b.far)
  return best && best.far <= 0.4 ? best.key : undefined
}

function distance(a: string, b: string): number {
  if (a === b) return 0
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  if (short.length > 2 && (long.startsWith(short) || long.endsWith(short))) return 0.2
  return leven(a, b) / Math.max(long.length, 1)
}

/** Words by which a program says that something is not there. */
const ABSENT =
  /\b(empty|missing|required|not set|unset|undefined|not (found|defined|provided|specified|present)|must be set|KeyError)\b/i

/** How programs write the name of a variable. */
const VARIABLE = /(?<![\w.-])[A-Z][A-Z0-9]{1,40}(?:_[A-Z0-9]{1,40}){0,6}(?![\w-])/g

/** Why a variable that a program misses is not set, by where its container takes it from. Pure. */
function missingVariable(
  pod: KubeObject,
  { spec }: Container,
  line: string | undefined,
  index: Index,
): Lack | undefined {
  if (!line || !ABSENT.test(line)) return undefined
  const { namespace } = pod.metadata
  for (const [variable] of line.matchAll(VARIABLE)) {
    // The last of several entries of one name counts.
    const entry = ((spec?.env ?? []) as Part[]).findLast(each => each?.name === variable)
    const [from] = entry ? readsOfVariables({ env: [entry] }) : []
    const found = entry
      ? from && ofEntry(variable, from, namespace, index)
      : variable.includes('_')
        ? ofNobody(variable, spec, namespace, index)
        : undefined
    if (found) return found
  }
  return undefined
}

function ofEntry(
  variable: string,
  source: Read,
  namespace: string | undefined,
  index: Index,
): Lack | undefined {
  const { kind, name, key } = source
  if (!key) return undefined
  const keys = keysOf(source, namespace, index)
  const size = kind === 'Secret' ? index.secret(namespace ?? '', name)?.keys[key] : undefined
  if (size === 0)
    return {
      cause: `the key ${key} of ${title(source)}, which ${variable} is read from, is empty`,
      fix: () => `put a value under the key ${key} of ${title(source)}, then restart it`,
    }
  if (!keys || keys.includes(key)) return undefined
  const near = nearestKey([variable, key], keys)
  return {
    cause: `${title(source)} has no key ${key}, which ${variable} is read from${source.isOptional ? ' (optional, so that it starts without)' : ''}`,
    fix: where =>
      near
        ? `read ${variable} from the key ${near}, which it has, ${where}; or add ${key} to ${title(source)}`
        : `add the key ${key} to ${title(source)}, or correct the key ${where}`,
  }
}

/** Whether a name is another with one letter too many, too few or wrong, or with two of them changed over. */
function isTypo(name: string, meant: string): boolean {
  const sorted = (text: string) => [...text].sort().join('')
  // DB1_HOST and DB2_HOST are two.
  const isAnother = name.replace(/\d/g, '') === meant.replace(/\d/g, '')
  const isChanged = leven(name, meant) === 2 && sorted(name) === sorted(meant)
  return !isAnother && meant.length > 5 && (isChanged || leven(name, meant) === 1)
}

/** A variable that no entry sets: what is taken over as a whole lacks it, or something beside it has it. */
function ofNobody(
  variable: string,
  container: Part,
  namespace: string | undefined,
  index: Index,
): Lack | undefined {
  const mistaken = ((container?.env ?? []) as Part[]).find(each => isTypo(String(each?.name), variable))?.name
  if (mistaken)
    return {
      cause: `it has the variable ${mistaken}, but its program reads ${variable}`,
      fix: where => `rename the variable ${mistaken} to ${variable} ${where}`,
    }
  const sources: Source[] = readsOfVariables({ envFrom: container?.envFrom })
  const known = sources.map(source => ({ source, keys: keysOf(source, namespace, index) }))
  if (known.some(({ keys }) => keys?.includes(variable))) return undefined
  const near = known.flatMap(({ source, keys = [] }) => {
    const key = nearestKey([variable], keys)
    return key ? [{ source, key }] : []
  })[0]
  const names = sources.map(title).join(' and ')
  if (known.length > 0 && known.every(({ keys }) => keys))
    return {
      cause: `${names}, which its variables are taken from, ${sources.length > 1 ? 'have' : 'has'} no key ${variable}`,
      fix: where =>
        near
          ? `rename the key ${near.key} of ${title(near.source)} to ${variable}, or set ${variable} ${where}`
          : `add the key ${variable} to ${title(sources[0]!)}, or set it ${where}`,
    }
  const others = [
    ...index
      .within('ConfigMap', namespace)
      .flatMap(({ metadata, keys = [] }) =>
        keys.includes(variable) ? [{ kind: 'ConfigMap' as const, name: metadata.name }] : [],
      ),
    ...index.snapshot.secrets.flatMap(secret =>
      secret.namespace === namespace && variable in secret.keys
        ? [{ kind: 'Secret' as const, name: secret.name }]
        : [],
    ),
  ]
  const [other, second] = others
  if (!other || second || sources.length > 0) return undefined
  return {
    cause: `nothing sets ${variable} for it, and ${title(other)} has a key of this name`,
    fix: where => `set ${variable} from ${title(other)} (env with valueFrom, or envFrom) ${where}`,
  }
}

/** A path in words. */
const PATH = /(?<![\w.:/-])\/[\w.-]{1,60}(?:\/[\w.-]{1,80}){1,10}/g

/**
 * A file that is missing below a ConfigMap or Secret which is mounted in its place: it has no such key, and hides
 * what the image has there. Source: https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath. Pure.
 */
function hiddenFile(
  pod: KubeObject,
  { spec }: Container,
  line: string | undefined,
  index: Index,
): Lack | undefined {
  for (const [path] of (line ?? '').matchAll(PATH)) {
    const mount = ((spec?.volumeMounts ?? []) as Part[])
      .filter(each => each?.mountPath && path.startsWith(`${each.mountPath.replace(/\/$/, '')}/`))
      .sort((a, b) => b.mountPath.length - a.mountPath.length)[0]
    const [source, another] = readsOfVolume(volumeOf(pod, mount))
    // With items, what the files are called is not among the facts.
    if (!source || another || source.key || mount.subPath) continue
    const files = keysOf(source, pod.metadata.namespace, index)
    const folder = mount.mountPath.replace(/\/$/, '')
    const file = path.slice(folder.length + 1)
    if (!files || files.includes(file)) continue
    const near = nearestKey([file], files)
    const [only = 'KEY'] = files
    return {
      cause: `${title(source)} is mounted over ${folder}, has no ${file} (${files.slice(0, 5).join(', ') || 'nothing'}), and hides what the image has there`,
      fix: where =>
        near
          ? `name the key ${near} as the program does (${file}), or correct the path ${where}`
          : `mount the one key with subPath (mountPath ${folder}/${only}, subPath ${only}), or the volume elsewhere, ${where}; if ${file} belongs there, add it to ${title(source)}`,
    }
  }
  return undefined
}

/**
 * A file that is mounted by its key (subPath), which its ConfigMap or Secret does not have: the kubelet makes a folder
 * of that name then. Pure.
 */
export function missingSubPath(pod: KubeObject, { spec }: Container, index: Index): Lack | undefined {
  for (const mount of (spec?.volumeMounts ?? []) as Part[]) {
    const [source, another] = readsOfVolume(volumeOf(pod, mount))
    // With items, what the files are called is not among the facts.
    if (!mount?.subPath || !source || another || source.key) continue
    const keys = keysOf(source, pod.metadata.namespace, index)
    const [first = ''] = String(mount.subPath).split('/')
    // Names that are not kept with the facts are `***`.
    if (!keys || keys.includes(first) || first.includes('***')) continue
    const near = nearestKey([first], keys) ?? (keys.length === 1 ? keys[0] : undefined)
    return {
      cause: `${title(source)} has no key ${first}, which is mounted by subPath: there is a folder in its place`,
      fix: where =>
        near
          ? `set subPath to ${near}, which it has, ${where}, or name that key ${first} in ${title(source)}`
          : `add the key ${first} to ${title(source)}, or correct subPath ${where}`,
    }
  }
  return undefined
}

/** By these words a program says that its settings lack one. */
const KEYLESS =
  /\b(?:config(?:uration)?|setting)s? key ["'`]?([\w.-]{3,60})["'`]? (?:is |was )?(?:not found|missing|not set|unset)/i

/** A key that a program looks for in its settings, and that no ConfigMap or Secret which it is given has. */
function missingKey(
  pod: KubeObject,
  { spec }: Container,
  words: readonly string[],
  index: Index,
): Meaning | undefined {
  const line = textLines(words).find(each => KEYLESS.test(each))
  const [, key = ''] = KEYLESS.exec(line ?? '') ?? []
  if (!line || !key) return undefined
  const mounted = ((spec?.volumeMounts ?? []) as Part[]).flatMap(mount => readsOfVolume(volumeOf(pod, mount)))
  const sources = [...mounted, ...readsOfVariables({ envFrom: spec?.envFrom })]
  const known = sources.map(source => keysOf(source, pod.metadata.namespace, index))
  const [source] = sources
  if (!source || known.some(keys => !keys || keys.includes(key))) return undefined
  return {
    rule: 'container-setting-missing',
    cause: `${title(source)}, which it is given, has no key ${key}: ${short(line.trim(), 200)}`,
    fix: () => `add the key ${key} to ${title(source)}, then restart it`,
    line,
  }
}

/** Meanings that leave open where what is missing should have come from. */
const OPEN = /^container-(setting|file)-missing$/

/**
 * What the last words of a container mean, by what its pod is given: a variable that they name may be read from a key
 * that is not there, and a file may be hidden by what is mounted over its folder. Pure.
 */
export function asGiven(
  known: Meaning | undefined,
  pod: KubeObject,
  container: Container,
  words: readonly string[],
  index: Index,
): Meaning | undefined {
  const keyless =
    !known || /^container-setting/.test(known.rule) ? missingKey(pod, container, words, index) : undefined
  if (keyless) return keyless
  if (known && !OPEN.test(known.rule)) return known
  const line = known?.line ?? tellingLine(...words)
  const variable = missingVariable(pod, container, line, index)
  const lack = variable ?? hiddenFile(pod, container, line, index)
  if (!lack || !line) return known
  return {
    rule: variable ? 'container-setting-missing' : 'container-file-missing',
    cause: `${lack.cause}: ${short(line.trim(), 200)}`,
    fix: lack.fix,
    line,
  }
}
