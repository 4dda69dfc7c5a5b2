/** Taints of nodes, and who tolerates them. */
import type { KubeObject } from '../../kubectl/kubectl.ts'

/** A taint of a node, or a toleration of one. */
export interface Taint {
  key?: string
  value?: string
  effect?: string
}

/** A taint as kubectl writes it. Pure. */
export const taintText = ({ key, value, effect }: Taint) => `${key}${value ? `=${value}` : ''}:${effect}`

/** The taints of a node. Pure. */
export const taintsOf = ({ spec }: KubeObject): Taint[] => spec?.taints ?? []

/** The taint of a node that a cloud controller has to set up first. */
export const OF_CLOUD = /uninitialized$/

/** Taints that the program of an agent sets itself until that runs on the node, and takes off again. */
export const OF_AGENT = /\/agent-not-ready$/

/** Whether a pod tolerates a taint by its name, and not just all. Pure. */
export const tolerates = (spec: KubeObject['spec'], taint: Taint | undefined) =>
  ((spec?.tolerations ?? []) as Taint[]).some(({ key }) => key === taint?.key)
