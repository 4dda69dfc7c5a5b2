/** The last words of a container: what they mean where it runs, and what to do about it. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { asBeside } from './beside.ts'
import { meaningIn } from './called.ts'
import { repairOf } from './configured.ts'
import { asGiven } from './given.ts'
import type { Meaning } from './last-words.ts'
import type { Container } from './workload-facts.ts'

/** A meaning with the text of what to do about it. */
export type Understood = Omit<Meaning, 'fix'> & { fix: string }

/**
 * What the last words of a container mean, by the Services that they name, by what its pod is given, and by what is
 * beside it; undefined when they are not known. Pure.
 */
export function understood(
  pod: KubeObject,
  container: Container,
  words: readonly string[],
  index: Index,
): Understood | undefined {
  const given = asGiven(meaningIn(pod, words, index), pod, container, words, index)
  const known = asBeside(given, pod, container, words, index)
  return known && { ...known, fix: repairOf(known, pod, container.name, words, index) }
}
