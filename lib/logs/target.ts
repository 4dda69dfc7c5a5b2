import { HELM_RELEASE, KUSTOMIZATION } from '../flux/flux.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { APP_NAMES, CORE_KUSTOMIZATIONS } from '../platform/apps.ts'
import { ExpectedError, UsageError } from '../script/errors.ts'
import { suggestion } from '../script/flags.ts'
import { PRESETS } from './presets.ts'
import type { Matcher } from './selection.ts'

/** Everything that belongs to a Kustomization or to a HelmRelease. */
export interface Parts {
  name: string
  kustomization?: string
  releases: ReleaseRef[]
  namespaces: string[]
}

/** What the logs are wanted of: one pod, parts of the platform, or the containers with some labels. */
export type LogTarget =
  | { name: string; pod: { namespace: string; name: string } }
  | { name: string; matchers: readonly Matcher[] }
  | Parts

/** A HelmRelease, and how Helm calls its release. */
export interface ReleaseRef {
  namespace: string
  name: string
  /** `app.kubernetes.io/instance` of its pods, in this namespace. */
  instance: string
  targetNamespace: string
}

/** The kind of a pod. */
export const POD = { apiVersion: 'v1', kind: 'Pod' }

/** The Kustomization or the HelmReleases of this name. Pure. */
export function targetNamed(
  name: string,
  kustomizations: readonly KubeObject[],
  releases: readonly KubeObject[],
): Parts {
  const owner = 'kustomize.toolkit.fluxcd.io/name'
  const kustomization = kustomizations.find(({ metadata }) => metadata.name === name)
  const wanted = releases.filter(({ metadata }) =>
    kustomization ? metadata.labels?.[owner] === name : metadata.name === name,
  )
  if (!kustomization && wanted.length === 0) {
    if (APP_NAMES.includes(name))
      throw new ExpectedError(
        `${name} is not installed`,
        `install it with \`npx tsx scripts/install-app.ts ${name}\``,
      )
    const known = [...kustomizations, ...releases].map(({ metadata }) => metadata.name)
    throw new UsageError(
      `there is no application, release or preset ${JSON.stringify(name)}`,
      known.length > 0
        ? suggestion(name, [...new Set([...known, ...PRESETS.map(preset => preset.name)])])
        : 'nothing is installed here; for any other pod give NAMESPACE/POD',
    )
  }
  const refs = wanted.map(releaseRef)
  const inventory = (kustomization?.status?.inventory?.entries ?? []) as { id: string }[]
  const namespaces = [
    ...refs.map(({ targetNamespace }) => targetNamespace),
    ...inventory.map(({ id }) => id.split('_')[0] ?? ''),
  ]
  return {
    name,
    kustomization: kustomization?.metadata.name,
    releases: refs,
    namespaces: [...new Set(namespaces)].filter(Boolean).sort(),
  }
}

function releaseRef({ metadata, spec }: KubeObject): ReleaseRef {
  const { name, namespace = '' } = metadata
  const targetNamespace = spec?.targetNamespace ?? namespace
  const prefixed = spec?.targetNamespace ? `${spec.targetNamespace}-${name}` : name
  return { namespace, name, instance: spec?.releaseName ?? prefixed, targetNamespace }
}

/** The names that can be given, applications first. */
export async function targetNames(kubectl: Kubectl): Promise<string[]> {
  const [kustomizations, releases] = await Promise.all([
    kubectl.list(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind),
    kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind),
  ])
  const installed = kustomizations.map(({ metadata }) => metadata.name)
  return [
    ...new Set([
      ...APP_NAMES.filter(name => installed.includes(name)),
      ...CORE_KUSTOMIZATIONS.filter(name => installed.includes(name)),
      ...releases.map(({ metadata }) => metadata.name).sort(),
    ]),
  ]
}
