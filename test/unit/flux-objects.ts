import { GIT_REPOSITORY, HELM_CHART, HELM_RELEASE, HELM_REPOSITORY, KUSTOMIZATION } from '../../lib/flux.ts'
import type { KubeObject } from '../../lib/kubectl.ts'

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
