/** What a pod reads of ConfigMaps and Secrets: as variables, and as files of its volumes. */
import type { KubeObject } from '../../kubectl/kubectl.ts'

/** One place where a pod names a ConfigMap or Secret. */
export interface Read {
  kind: 'ConfigMap' | 'Secret'
  name: string
  /** The key, where one is meant; a volume that takes only some keys is one read for each. */
  key?: string
  /** The variable that is set from the key; undefined where all keys are. */
  variable?: string
  isOptional: boolean
}

// biome-ignore lint/suspicious/noExplicitAny: parts of a PodSpec
type Part = any

function read(kind: Read['kind'], part: Part, more: { key?: unknown; variable?: unknown } = {}): Read[] {
  const name = part?.name ?? part?.secretName
  const { key, variable } = more
  if (typeof name !== 'string' || name === '') return []
  return [
    {
      kind,
      name,
      isOptional: part.optional === true,
      ...(typeof key === 'string' ? { key } : {}),
      ...(typeof variable === 'string' ? { variable } : {}),
    },
  ]
}

/** The volume of a pod that a container mounts. Pure. */
export const volumeOf = ({ spec }: KubeObject, mount: Part): Part =>
  ((spec?.volumes ?? []) as Part[]).find(each => each?.name === mount?.name)

/** What a volume of a pod holds, a projected one of several. Pure. */
export function readsOfVolume(volume: Part): Read[] {
  return [volume, ...(volume?.projected?.sources ?? [])].flatMap(source =>
    (['ConfigMap', 'Secret'] as const).flatMap(kind => {
      const part = kind === 'Secret' ? source?.secret : source?.configMap
      return part?.items?.length > 0
        ? part.items.flatMap((item: Part) => read(kind, part, { key: item?.key }))
        : read(kind, part)
    }),
  )
}

/** What the variables of a container are set from. Pure. */
export function readsOfVariables(container: Part): Read[] {
  const env = ((container?.env ?? []) as Part[]).flatMap(each => {
    const { configMapKeyRef, secretKeyRef } = each?.valueFrom ?? {}
    return [
      ...read('ConfigMap', configMapKeyRef, { key: configMapKeyRef?.key, variable: each?.name }),
      ...read('Secret', secretKeyRef, { key: secretKeyRef?.key, variable: each?.name }),
    ]
  })
  const whole = ((container?.envFrom ?? []) as Part[]).flatMap(each => [
    ...read('ConfigMap', each?.configMapRef),
    ...read('Secret', each?.secretRef),
  ])
  return [...env, ...whole]
}

/** Everything that a pod reads of ConfigMaps and Secrets. Pure. */
export function readsOf({ spec }: KubeObject): Read[] {
  const containers: Part[] = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]
  return [...(spec?.volumes ?? []).flatMap(readsOfVolume), ...containers.flatMap(readsOfVariables)]
}
