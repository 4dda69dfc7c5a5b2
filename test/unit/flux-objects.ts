import { Index } from '../../lib/diagnosis/snapshot.ts'
import {
  GIT_REPOSITORY,
  HELM_CHART,
  HELM_RELEASE,
  HELM_REPOSITORY,
  KUSTOMIZATION,
} from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { objectOf } from './lib/diagnosis/snapshots.ts'

const types = {
  GitRepository: GIT_REPOSITORY,
  HelmRepository: HELM_REPOSITORY,
  HelmChart: HELM_CHART,
  Kustomization: KUSTOMIZATION,
  HelmRelease: HELM_RELEASE,
}

/** `Ready=False InstallFailed: message` as a condition, observed at this generation. */
export function conditionOf(text: string, observedGeneration = 1) {
  const [, type, status, reason, message] = /^(\w+)=(\w+) (\w+): ([\s\S]*)$/.exec(text)!
  return {
    type,
    status,
    reason,
    message,
    observedGeneration,
    lastTransitionTime: '2026-01-02T03:04:05Z',
  }
}

/** A Flux object with these conditions, all observed at its generation (1 unless `more` says otherwise). */
export function fluxObject(
  kind: keyof typeof types,
  name: string,
  conditions: readonly string[],
  more: {
    namespace?: string
    generation?: number
    annotations?: Record<string, string>
    spec?: Record<string, unknown>
    status?: Record<string, unknown>
  } = {},
): KubeObject {
  const { namespace = 'flux-system', generation = 1, annotations, spec = {}, status = {} } = more
  return {
    ...types[kind],
    metadata: { name, namespace, generation, annotations },
    spec,
    status: {
      observedGeneration: conditions.some(text => text.startsWith('Ready=True')) ? generation : -1,
      conditions: conditions.map(text => conditionOf(text, generation)),
      ...status,
    },
  }
}

/** A Kustomization's inventory of these ids. */
export function inventoryOf(...ids: string[]) {
  return { inventory: { entries: ids.map(id => ({ id, v: 'v2' })) } }
}

// A small platform: one commit, releases in oas-apps, and what depends on what.
export const revision = 'main@sha1:4f3c'
export const ready = 'Ready=True ReconciliationSucceeded: x'
export const unready = 'Ready=False InstallFailed: Helm install failed\nmore'
export const git = (at = revision) =>
  fluxObject('GitRepository', 'openappstack', [ready], { status: { artifact: { revision: at } } })
export const release = (name: string, condition = ready) =>
  fluxObject('HelmRelease', name, [condition], {
    namespace: 'oas-apps',
    spec: { chart: { spec: { chart: name, sourceRef: { kind: 'HelmRepository', name: `${name}-charts` } } } },
  })
export const kustomization = (name: string, dependsOn: string[] = [], condition = ready, ...ids: string[]) =>
  fluxObject('Kustomization', name, [condition], {
    spec: {
      sourceRef: { kind: 'GitRepository', name: 'openappstack' },
      dependsOn: dependsOn.map(each => ({ name: each })),
    },
    status: {
      lastAppliedRevision: revision,
      ...inventoryOf(`oas-apps_${name}_helm.toolkit.fluxcd.io_HelmRelease`, ...ids),
    },
  })
export const pod = (name: string, labels: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'oas-apps', labels },
})

/** What a wait has read of a cluster, by kinds. */
export interface Parts {
  /** GitRepositories, HelmRepositories and HelmCharts. */
  sources: KubeObject[]
  kustomizations: KubeObject[]
  helmReleases: KubeObject[]
  pods: KubeObject[]
  /** The Deployments of flux-system, healthy unless given, and whatever else the pods belong to. */
  workloads: KubeObject[]
}

/** A controller of Flux with so many replicas. */
export const controller = (
  name: string,
  replicas: number | undefined,
  readyReplicas?: number,
): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'flux-system' },
  spec: { replicas },
  status: { readyReplicas },
})

const controllers = ['source-controller', 'kustomize-controller', 'helm-controller']

/** A node on which everything runs. */
const node: KubeObject = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'server' },
  status: { conditions: [conditionOf('Ready=True KubeletReady: x')] },
}

/** A snapshot as a wait takes one, now. */
export function facts(more: Partial<Parts>): Index {
  const parts = { sources: [git()], kustomizations: [], helmReleases: [], pods: [], workloads: [], ...more }
  const given = new Set(parts.workloads.map(({ metadata }) => metadata.name))
  const healthy = controllers.filter(name => !given.has(name)).map(name => controller(name, 1, 1))
  return new Index({
    version: 1,
    takenAt: new Date().toISOString(),
    server: 'https://127.0.0.1:6443',
    clockOffset: 0,
    groups: Object.values(types).map(({ apiVersion }) => apiVersion),
    objects: [node, ...healthy, ...Object.values(parts).flat()],
    secrets: [],
    gaps: [],
    unread: ['Secret', 'ConfigMap', 'Service', 'StorageClass', 'PersistentVolume'],
  })
}

/** The status of a Deployment whose pod is ready and of the version that was applied last. */
export const rolledOut = { observedGeneration: 2, replicas: 1, updatedReplicas: 1, readyReplicas: 1 }

/** The Deployment of one of Flux's controllers, in its second generation. */
export const deployment = (status?: object, spec: object = { replicas: 1 }): KubeObject =>
  objectOf('Deployment', 'flux-system', 'kustomize-controller', {
    apiVersion: 'apps/v1',
    metadata: { generation: 2 },
    spec,
    status,
  })
