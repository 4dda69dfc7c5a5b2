import { APP_LAYERS, type AppChain, appChainOf } from '../../lib/diagnosis/app-chain.ts'
import type { RootCause } from '../../lib/diagnosis/finding.ts'
import { settled } from '../../lib/diagnosis/fix.ts'
import { keyOf } from '../../lib/diagnosis/graph.ts'
import type { Index } from '../../lib/diagnosis/snapshot.ts'
import { itemOf } from '../../lib/diagnosis/status.ts'
import { short } from '../../lib/diagnosis/text.ts'
import { condition } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { table } from '../../lib/script/table.ts'

/** The chain of one name; undefined for everything, or when the objects that may bear the name could not be read. */
export function chainNamed(name: string | undefined, index: Index): AppChain | undefined {
  const unknown = index.blind('Kustomization') || index.blind('HelmRelease')
  return name === undefined || unknown ? undefined : appChainOf(name, index)
}

/**
 * The chain of one name as text; without a name every chain, each in one line while it is healthy and without its
 * healthy links otherwise. Pure.
 */
export function chainText(name: string | undefined, index: Index, causes: readonly RootCause[]): string[] {
  if (index.blind('Kustomization')) return []
  const names = name === undefined ? index.all('Kustomization').map(({ metadata }) => metadata.name) : [name]
  return names.map(each => {
    const chain = appChainOf(each, index)
    if (name === undefined && isHealthy(chain, index, causes)) return `✓ ${each}`
    const rows = chainRows(chain, index, causes).filter(([mark]) => name !== undefined || mark !== '✓')
    return `${each}\n${table(rows.map(([mark, ...row]) => [`  ${mark}`, ...row]))}\n`
  })
}

/** The last line of each crashing container in a chain; none without a name. Pure. */
export function lastLines(name: string | undefined, index: Index): string[] {
  const chain = chainNamed(name, index)
  const keys = new Set(chain?.refs.map(keyOf))
  return (index.snapshot.lastLines ?? [])
    .filter(({ namespace, pod }) => keys.has(keyOf({ apiVersion: '', kind: 'Pod', namespace, name: pod })))
    .map(({ pod, container, text }) => `last line of ${pod}/${container}: ${text.split('\n').at(-1)}`)
}

/** Whether everything that is shown of a chain is healthy. Pure. */
function isHealthy(chain: AppChain, index: Index, causes: readonly RootCause[]): boolean {
  return chainRows(chain, index, causes).every(([mark]) => mark === '✓')
}

/**
 * A chain from top to bottom, one row for each link: its mark (✓ healthy, ✗ broken, ! works and will not for long,
 * … progressing), the object, and its state. Pure.
 */
export function chainRows(chain: AppChain, index: Index, causes: readonly RootCause[]): string[][] {
  const roots = new Map(causes.map(cause => [keyOf(cause.subject), cause]))
  const symptoms = new Set(causes.flatMap(({ explains }) => explains).map(({ subject }) => keyOf(subject)))
  return chain.refs.flatMap(ref => {
    const root = roots.get(keyOf(ref))
    const object = index.find(ref)
    const name = `${ref.namespace ? `${ref.namespace}/` : ''}${ref.name}`
    if (root) {
      const mark = root.verdict === 'broken' ? '✗' : '!'
      return [
        [mark, ref.kind, name, `${short(root.cause, 120)}  ← ${mark === '✗' ? 'the cause' : 'a warning'}`],
      ]
    }
    const broken = symptoms.has(keyOf(ref))
    // Flux itself, and what has no state of its own, is shown when something is wrong with it.
    if (!broken && (!object || !APP_LAYERS.includes(ref.kind) || isFluxItself(object))) return []
    const ready = object !== undefined && isReady(object)
    return [[broken ? '✗' : ready ? '✓' : '…', ref.kind, name, object ? detailOf(object) : 'does not exist']]
  })
}

const isFluxItself = ({ kind, metadata }: KubeObject) =>
  ['Deployment', 'Pod'].includes(kind) && metadata.namespace === 'flux-system'

function isReady(object: KubeObject): boolean {
  if (object.kind === 'Pod')
    return object.status?.phase === 'Succeeded' || condition(object, 'Ready')?.status === 'True'
  // A suspended object was healthy when it was suspended; that it is suspended is told as a warning.
  if (object.spec?.suspend === true) return condition(object, 'Ready')?.status === 'True'
  return settled(object)
}

function detailOf(object: KubeObject): string {
  switch (object.kind) {
    case 'Pod': {
      const { phase = '', containerStatuses = [] } = object.status ?? {}
      const waiting = containerStatuses
        .map((each: ContainerStatus) => each.state?.waiting?.reason)
        .find(Boolean)
      return waiting ?? phase
    }
    case 'Job':
      return `${object.status?.succeeded ?? 0}/${object.spec?.completions ?? 1} succeeded`
    default: {
      const detail = itemOf(object)?.detail ?? condition(object, 'Ready')?.message ?? ''
      return detail.startsWith('sha256:') ? '' : short(detail, 120) // the digest of an index is of no use to a reader
    }
  }
}

interface ContainerStatus {
  state?: { waiting?: { reason?: string } }
}
