import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import { isForeign } from './allowed/kinds.ts'
import { KUBERNETES_KINDS } from './allowed/kubernetes.ts'

/** Where the API server notes that it serves a kind by a CustomResourceDefinition. */
const AUTOMANAGED = 'kube-aggregator.kubernetes.io/automanaged'

/** Stable versions before beta and alpha, the newer one first. */
const rank = (version: string) => {
  const [, major = 0, stage = ''] = /^v(\d+)(alpha|beta)?/.exec(version) ?? []
  return Number(major) - { '': 0, beta: 1000, alpha: 2000 }[stage]!
}

/**
 * The kinds that CustomResourceDefinitions bring and that a diagnosis has no rules for, each at its best version: of
 * these it reads what they say of themselves. One that would be taken for a kind of ours is left out. `apis` are the APIServices. Throws what the API server answers when asked for the kinds of a group.
 */
export async function kindsOfOthers(
  kubectl: Kubectl,
  apis: readonly KubeObject[],
  ours: readonly string[],
): Promise<[apiVersion: string, kind: string][]> {
  const groups = apis
    .filter(({ metadata, spec }) => metadata.labels?.[AUTOMANAGED] === 'true' && !spec?.service)
    .map(({ spec }) => ({ group: String(spec?.group ?? ''), version: String(spec?.version ?? '') }))
    .sort((a, b) => rank(b.version) - rank(a.version))
  const served = await Promise.all(
    groups.map(async ({ group, version }) => {
      const kinds = await kubectl.kinds(`${group}/${version}`)
      return [...kinds].map(kind => ({ group, version, kind }))
    }),
  )
  const known = new Set([...ours, ...Object.keys(KUBERNETES_KINDS)])
  const isOurs = (kind: string, apiVersion: string) => known.has(kind) && !isForeign(kind, apiVersion)
  const best = new Map<string, [string, string]>()
  for (const { group, version, kind } of served.flat())
    if (!isOurs(kind, `${group}/${version}`) && !best.has(`${group}/${kind}`))
      best.set(`${group}/${kind}`, [`${group}/${version}`, kind])
  return [...best.values()]
}
