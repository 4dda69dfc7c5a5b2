import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'

/** The controllers of Flux that the platform uses. */
export const CONTROLLERS = ['source-controller', 'kustomize-controller', 'helm-controller'] as const

const NAMESPACE = 'flux-system'
/** Kinds of the manifest without a namespace. */
const CLUSTER_WIDE = new Set(['Namespace', 'CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding'])
/** What the release names `NAME-flux-system`, so that two installations can stand side by side. */
const SUFFIXED = new Set(['crd-controller', 'cluster-reconciler', 'flux-edit', 'flux-view', 'critical-pods'])

/** Reads the objects at a path of a module. */
type Files = (path: string) => KubeObject[]

/** What the manifest is made from. */
export interface FluxParts {
  /** Flux's version. */
  version: string
  /** The module flux2: its folder manifests/ holds what is common to the controllers. */
  install: Files
  controllers: { name: string; version: string; files: Files }[]
}

/**
 * Flux's install manifest for source-, kustomize- and helm-controller, as `flux install --export
 * --components=…` makes it: the release's own file is made from the same folders with kustomize
 * (https://github.com/fluxcd/flux2/tree/main/manifests).
 */
export function fluxManifest({ version, install, controllers }: FluxParts): KubeObject[] {
  const manifests = (path: string) => install(`manifests/${path}`)
  const objects = [
    ...manifests('install/namespace.yaml'),
    ...manifests('policies/allow-egress.yaml'),
    ...manifests('policies/allow-scraping.yaml'),
    ...['resourcequota', 'controller', 'edit', 'view', 'reconciler'].flatMap(name =>
      manifests(`rbac/${name}.yaml`),
    ),
  ].map(object =>
    SUFFIXED.has(object.metadata.name)
      ? { ...object, metadata: { ...object.metadata, name: `${object.metadata.name}-${NAMESPACE}` } }
      : object,
  )
  for (const object of objects)
    if (object.roleRef && SUFFIXED.has(object.roleRef.name)) object.roleRef.name += `-${NAMESPACE}`

  for (const { name, version: tag, files } of controllers) {
    const patch = manifests(`bases/${name}/patch.yaml`).flat() as unknown as JsonPatchAdd[]
    const parts = [
      ...files('config/crd/bases'),
      ...manifests(`bases/${name}/account.yaml`),
      ...files('config/manager').map(object => {
        if (object.kind !== 'Deployment') return object
        // Without a notification-controller nobody receives events.
        for (const { path, value } of patch)
          add(object, path, isEventsAddress(value) ? '--events-addr=' : value)
        for (const container of object.spec.template.spec.containers)
          container.image = `ghcr.io/fluxcd/${name}:${tag}`
        return object
      }),
    ]
    objects.push(...parts.map(object => labelled(object, { 'app.kubernetes.io/component': name })))
  }
  const labels = {
    'app.kubernetes.io/instance': NAMESPACE,
    'app.kubernetes.io/part-of': 'flux',
    'app.kubernetes.io/version': version,
  }
  return objects
    .map(object => labelled(object, labels))
    .map(object =>
      CLUSTER_WIDE.has(object.kind)
        ? object
        : { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } },
    )
}

function isEventsAddress(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('--events-addr=')
}

/** The object with these labels; a Deployment's pods carry them too. */
function labelled(object: KubeObject, labels: Record<string, string>): KubeObject {
  const { template } = object.kind === 'Deployment' ? object.spec : { template: undefined }
  if (template) template.metadata.labels = { ...template.metadata.labels, ...labels }
  return { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...labels } } }
}

/** The one operation of JSON Patch (RFC 6902) that the release's patches use. */
interface JsonPatchAdd {
  op: 'add'
  path: string
  value: unknown
}

function add(object: KubeObject, pointer: string, value: unknown): void {
  const keys = pointer.split('/').slice(1)
  const last = keys.pop()!
  // biome-ignore lint/suspicious/noExplicitAny: it walks through an object of any shape
  const parent = keys.reduce<any>((node, key) => node[key], object)
  if (!Array.isArray(parent)) parent[last] = value
  else parent.splice(last === '-' ? parent.length : Number(last), 0, value)
}
