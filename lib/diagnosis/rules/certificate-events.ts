import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'

/** The newest warnings among the events of an object, as lines of evidence. Pure. */
export function warnings(object: KubeObject, index: Index, most = 2): string[] {
  const told = index
    .events(object)
    .filter(({ type }) => type === 'Warning')
    .map(({ reason, message }) => short(`event ${reason}: ${message}`))
  return [...new Set(told)].slice(0, most)
}
