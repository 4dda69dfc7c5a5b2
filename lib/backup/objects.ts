/** The objects of Velero as far as everybody needs them: where they are, how far Velero is with them, and since when. */
import type { KubeObject } from '../kubectl/kubectl.ts'

/** The namespace of Velero. */
export const VELERO = 'velero'
/** The ConfigMap whose age is that of the newest proof of a backup; recreated with each one. */
export const PROOF_MARK = 'oas-backup-proof'
/** The same of the newest restore drill. */
export const DRILL_MARK = 'oas-restore-drill'
/**
 * The annotation of a backup with what was wrong with it in the bucket when it was proved last: `status` and `diagnose`
 * do not ask the bucket, and must not call good what is known to be damaged.
 */
export const WRONG_IN_BUCKET = 'openappstack.net/wrong-in-bucket'

const WAITING = /^(New|Queued|ReadyToStart)?$/
const RUNNING = /^(InProgress|WaitingForPluginOperations(PartiallyFailed)?|Finalizing(PartiallyFailed)?)$/

/** Whether Velero has not started with a backup or a restore: it does one thing at a time. Pure. */
export function isUnstarted({ status }: KubeObject): boolean {
  return WAITING.test(status?.phase ?? '')
}

/** Whether Velero works on a backup or a restore at the moment. Pure. */
export function isUnderWay({ status }: KubeObject): boolean {
  return RUNNING.test(status?.phase ?? '')
}

/** Whether Velero has not ended with a backup or a restore. Pure. */
export function isUnfinished(object: KubeObject): boolean {
  return isUnstarted(object) || isUnderWay(object)
}

/** When a backup was started, in milliseconds; 0 for an unknown time. Pure. */
export function startOf({ status, metadata }: KubeObject): number {
  return Date.parse(status?.startTimestamp ?? metadata.creationTimestamp ?? '') || 0
}

/** Whether a backup takes everything of a namespace. One with a label selector takes only some of it. Pure. */
export function takesNamespace({ spec }: KubeObject, namespace: string): boolean {
  const included: string[] = spec?.includedNamespaces ?? []
  const excluded: string[] = spec?.excludedNamespaces ?? []
  const some = spec?.labelSelector ?? spec?.orLabelSelectors
  return (
    !some &&
    !excluded.includes(namespace) &&
    !excluded.includes('*') &&
    (included.length === 0 || included.includes('*') || included.includes(namespace))
  )
}
