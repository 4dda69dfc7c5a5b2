/** A node whose kubelet evicts for its disk, although that is not full. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { sizeText } from '../../script/size.ts'
import { isEvicted } from '../eviction.ts'
import { type Finding, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { asRoot, RESTART_K3S } from './failure.ts'
import { quantity } from './quantity.ts'
import { eventsOf } from './workload-facts.ts'

/**
 * What a node with DiskPressure suffers from in place of a full disk, with this evidence: inodes that are used up, or a
 * threshold that is too high. Undefined where its disk is full as far as its kubelet says. Pure.
 */
export function diskPressure(node: KubeObject, evidence: string[], index: Index): Finding | undefined {
  const words = evictionWords(node, index)
  if (words.some(message => /inodes/i.test(message)))
    return tell(node, {
      rule: 'node-disk-pressure',
      cause:
        'its inodes are used up, not its space: too many small files; it evicts pods, and takes no new ones',
      evidence,
      text: 'see which file system has none left (df -i), and which folder holds that many files',
      command: asRoot('du --inodes -xS /var | sort -n | tail'),
    })
  const kept = keptFree(node, words)
  return (
    kept &&
    tell(node, {
      rule: 'node-disk-pressure',
      cause: `its disk is not full, its threshold is too high: its kubelet evicts as soon as less than ${sizeText(kept.threshold)} are free, and ${sizeText(kept.available)} are`,
      evidence,
      text: 'correct eviction-hard (nodefs.available, imagefs.available) among the kubelet-arg of k3s on it, then restart k3s there',
      command: RESTART_K3S,
    })
  )
}

/** What the kubelet of a node says of what it evicts for. */
const evictionWords = (node: KubeObject, index: Index): string[] =>
  [
    ...eventsOf(index, node, /^(EvictionThresholdMet|FreeDiskSpaceFailed)$/).map(({ message }) => message),
    ...index
      .all('Pod')
      .filter(pod => isEvicted(pod) && pod.spec?.nodeName === node.metadata.name)
      .map(({ status }) => status?.message),
  ].map(message => String(message ?? ''))

/** The part of a disk that a kubelet may keep free at most: its default is 10 % of it, 15 % for images. */
const MOST_FREE = 0.3

/**
 * What a kubelet keeps free, and what is, where the first is a large part of the disk: its setting is wrong.
 * Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
 */
function keptFree(
  node: KubeObject,
  words: readonly string[],
): { threshold: number; available: number } | undefined {
  const size = quantity(node.status?.capacity?.['ephemeral-storage'])
  return words
    .map(message => /Threshold quantity: (\w+), available: (\w+)/.exec(message) ?? [])
    .map(([, threshold, available]) => ({ threshold: quantity(threshold), available: quantity(available) }))
    .find(({ threshold }) => size > 0 && threshold > MOST_FREE * size)
}
