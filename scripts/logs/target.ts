import { HELM_RELEASE, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { type LogContainer, logContainersOf } from '../../lib/logs/containers.ts'
import type { LogReadOptions } from '../../lib/logs/read.ts'
import { type LogTarget, POD, targetNamed } from '../../lib/logs/target.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { selects } from './filter.ts'
import { findPods } from './pods.ts'

/**
 * What a name means: NAMESPACE/POD, a Kustomization (an application, or a part of the core), or a HelmRelease.
 * Throws a UsageError with a suggestion for anything else. A pod `mayBeGone` where its log is kept elsewhere.
 */
export async function findTarget(
  kubectl: Kubectl,
  name: string,
  { mayBeGone = false } = {},
): Promise<LogTarget> {
  const [namespace, pod, rest] = name.split('/')
  if (namespace && pod && rest === undefined) {
    if (!mayBeGone && !(await kubectl.get({ ...POD, namespace, name: pod }))) {
      const all = await kubectl.list('v1', 'Pod', { namespace, metadataOnly: true })
      const pods = all.map(({ metadata }) => metadata.name)
      throw new UsageError(
        `there is no pod ${name}`,
        `${pods.length > 0 ? suggestion(pod, pods) : `there are no pods in ${namespace}`}; for a deleted one give --source loki`,
      )
    }
    return { name, pod: { namespace, name: pod } }
  }
  const [kustomizations, releases] = await Promise.all([
    kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind),
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
  ])
  return targetNamed(name, kustomizations, releases)
}

/** The containers of a target, those of one name when it is given. Throws when there are none of that name. */
export async function findContainers(
  kubectl: Kubectl,
  target: LogTarget,
  wanted: LogReadOptions,
): Promise<LogContainer[]> {
  const all = (await findPods(kubectl, target))
    .flatMap(pod => logContainersOf(pod, wanted.previous))
    .filter(({ labels }) => !('matchers' in target) || selects(target.matchers, labels))
  const found = all.filter(({ container }) => [undefined, container].includes(wanted.container))
  if (all.length > 0 && found.length === 0)
    throw new UsageError(
      `${target.name} has no container ${JSON.stringify(wanted.container)}`,
      suggestion(wanted.container!, [...new Set(all.map(({ container }) => container))]),
    )
  return found
}
