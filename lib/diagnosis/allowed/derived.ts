/** What facts hold of values that they do not hold: names, and whether two of them differ. */
import type { KubeObject } from '../../kubectl/kubectl.ts'

// biome-ignore lint/suspicious/noExplicitAny: fields of any object, of any type
type Part = any

const record = (value: unknown): Record<string, Part> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
const list = (value: unknown): Part[] => (Array.isArray(value) ? value : [])

/**
 * An object with what is told of values in place of them: of a ConfigMap the keys, by its data or by what its
 * managedFields list (`f:data`), of a container the variables that a later one of the same name overrides with
 * something else, and of a path that an Ingress rewrites to the groups that it names. Pure.
 */
export function withDerived(object: KubeObject): KubeObject {
  if (object.kind === 'ConfigMap') {
    const keys = Array.isArray(object.keys) ? object.keys : keysIn(object)
    return keys ? { ...object, keys } : object
  }
  if (object.kind === 'Ingress') return withGroups(object)
  const pod = object.kind === 'Pod' ? object.spec : object.spec?.template?.spec
  const containers = list(record(pod).containers)
  if (!containers.some(each => hasTwice(list(each?.env)))) return object
  const spec = {
    ...pod,
    containers: containers.map(each => ({ ...record(each), env: marked(list(each?.env)) })),
  }
  return object.kind === 'Pod'
    ? { ...object, spec }
    : { ...object, spec: { ...object.spec, template: { ...object.spec.template, spec } } }
}

const REWRITE = 'nginx.ingress.kubernetes.io/rewrite-target'

/** An Ingress with the groups alone that its rewriting names (`$2`): the rest of that path may be a token. */
function withGroups(ingress: KubeObject): KubeObject {
  const annotations = record(record(ingress.metadata).annotations)
  const target = annotations[REWRITE]
  if (target === undefined) return ingress
  const groups = (String(target).match(/\$\d/g) ?? []).join('')
  return {
    ...ingress,
    metadata: { ...ingress.metadata, annotations: { ...annotations, [REWRITE]: groups } },
  }
}

/** The keys of a ConfigMap; undefined where nothing tells them. */
function keysIn({ data, binaryData, metadata }: KubeObject): string[] | undefined {
  if (data !== undefined || binaryData !== undefined)
    return [...Object.keys(record(data)), ...Object.keys(record(binaryData))]
  const managed = list(record(metadata).managedFields).map(each => record(record(each).fieldsV1))
  if (managed.length === 0) return undefined
  const named = managed.flatMap(fields => [
    ...Object.keys(record(fields['f:data'])),
    ...Object.keys(record(fields['f:binaryData'])),
  ])
  return [...new Set(named.flatMap(name => (name.startsWith('f:') ? name.slice(2) : [])))]
}

const hasTwice = (env: readonly Part[]) => {
  const names = env.flatMap(each => each?.name ?? [])
  return new Set(names).size < names.length
}

/** Variables, of which those that do not count are marked: a later one of the same name has something else. */
function marked(env: readonly Part[]): Part[] {
  const last = new Map(env.map(each => [each?.name, each]))
  const sourceOf = (each: Part) => JSON.stringify([each?.value ?? '', each?.valueFrom ?? null])
  return env.map(each => {
    const later = last.get(each?.name)
    return later === each || sourceOf(later) === sourceOf(each) ? each : { ...record(each), shadowed: true }
  })
}
