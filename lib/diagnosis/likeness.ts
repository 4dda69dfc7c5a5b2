/** What is missing is mostly there under another name, or in another namespace: both are said beside the remedy. */
import leven from 'leven'
import { type Ref, refText } from '../kubectl/kubectl.ts'
import type { Finding } from './finding.ts'
import { refTo } from './rules/failure.ts'
import type { Index } from './snapshot.ts'

/** An object as this toolkit writes it (`Secret shop/login`), and as the API server does (`secrets "login" not found`). */
const WRITTEN = /\b([A-Z][A-Za-z]{2,40}) (?:([a-z0-9-]{1,63})\/)?([a-z0-9][a-z0-9.-]{1,252})/g
const QUOTED = /\b([a-z]{3,40}?)s?(?:\.[a-z0-9.-]{1,100})? "([a-z0-9][a-z0-9.-]{1,252})" not found/g
/** What a controller could not create: that it is not there is no mistake in a name. */
const MAKING = /\b(?:create|update) [A-Z][A-Za-z]{2,40} [\w.-]{1,252} in [A-Z]/g
/** A Service as programs call it. */
const CALLED = /\b([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})\.svc\b/g

/** Remedies with the names that resemble what their findings say to be missing. Pure. */
export function withLikeness<T extends Finding>(findings: readonly T[], index: Index): T[] {
  const kinds = new Map([...index.kinds(), 'Secret'].map(kind => [kind.toLowerCase(), kind]))
  return findings.map(finding => withNames(finding, index, kinds))
}

/** `kinds` are by the name that the API server has for them in its refusals. */
function withNames<T extends Finding>(finding: T, index: Index, kinds: ReadonlyMap<string, string>): T {
  const { subject, cause, evidence, remedy } = finding
  const { namespace } = subject
  const named = [...`${cause.replaceAll(MAKING, '')}\n${remedy.text}`.matchAll(WRITTEN)].map(
    ([, kind = '', place, name = '']) =>
      // A sentence may end behind it.
      refTo(kind, place ?? namespace, name.replace(/\.$/, '')),
  )
  const called = [...[cause, ...evidence].join('\n').matchAll(CALLED)].map(([, name = '', place]) =>
    refTo('Service', place, name),
  )
  const quoted = [...cause.matchAll(QUOTED)].flatMap(([, word = '', name = '']) => {
    const kind = kinds.get(word)
    return kind ? [refTo(kind, namespace, name)] : []
  })
  const hints = [subject, ...named, ...quoted, ...called].flatMap(ref => alike(ref, index))
  const words = `${cause} ${remedy.text}`.split(/[\s,;:]+/)
  const said = hints.filter(hint => !words.includes(hint.split(' ').at(-1)!)).slice(0, 2)
  if (said.length === 0) return finding
  const names = [...new Set(said)]
  const text = `${remedy.text}; there ${names.length === 1 ? 'is' : 'are'} ${names.join(' and ')}`
  return { ...finding, remedy: { ...remedy, text } }
}

/** The objects that resemble one that does not exist, nearest first: its name elsewhere, or another name in its place. */
function alike(ref: Ref, index: Index): string[] {
  const { kind, name } = ref
  if (index.find(ref)) return []
  const isSecret = kind === 'Secret'
  const all: Ref[] = isSecret
    ? index.snapshot.secrets.map(each => refTo(kind, each.namespace, each.name))
    : index.all(kind).map(({ metadata }) => refTo(kind, metadata.namespace, metadata.name))
  if (index.blind(kind) || all.length === 0) return []
  const isThere = all.some(
    each => each.name === name && (!ref.namespace || !each.namespace || each.namespace === ref.namespace),
  )
  if (isThere) return []
  return all
    .map(each => ({ each, far: distance(each, ref) }))
    .filter(({ far }) => far < FAR)
    .sort((a, b) => a.far - b.far)
    .slice(0, 1)
    .map(({ each }) => refText(each))
}

const FAR = 100

/** A name without the hash that kustomize and others append. */
const stem = (name: string) => name.replace(/-(?=[a-z]{0,9}\d)[a-z0-9]{5,10}$/, '')

/** How many characters two names begin with alike. */
function commonStart(a: string, b: string): number {
  let count = 0
  while (count < a.length && a[count] === b[count]) count++
  return count
}

/** How far a name is from another one: none is as near as the same one in another namespace. */
function distance(one: Ref, other: Ref): number {
  if (one.name === other.name) return 0
  if (other.namespace && one.namespace && one.namespace !== other.namespace) return FAR
  const [a, b] = [one.name, other.name].sort((x, y) => x.length - y.length) as [string, string]
  if (stem(a) === stem(b)) return 1
  if (a.length > 2 && (b.startsWith(`${a}-`) || b.endsWith(`-${a}`))) return 1 + b.length - a.length
  const typed = leven(a, b)
  // The shorter one may be the longer one cut off: `app-config` and `app-configuration`.
  const common = commonStart(a, b)
  if (common >= 5 && common >= 0.8 * a.length && typed > 1) return 10 + b.length - common
  return typed <= Math.max(1, Math.floor(a.length / 5)) ? typed : FAR
}
