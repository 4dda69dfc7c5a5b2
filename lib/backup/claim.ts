/**
 * Whether a backup of Velero holds the data of one claim. Velero leaves out volumes that no pod mounts, those of pods
 * that do not run, and hostPath volumes, and calls the backup `Completed` (velero v1.18, pkg/podvolume/backupper.go).
 */

import { podsByClaim } from '../kubectl/claims.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import { sizeText } from '../script/size.ts'
import { heldBy } from './held.ts'
import { startOf, takesNamespace, VELERO } from './objects.ts'

/** The annotation of a pod that names the volumes that Velero leaves out. */
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'
/** The label of what Velero leaves out. */
const EXCLUDED = 'velero.io/exclude-from-backup'
/** How Velero says that it has found nothing in a volume (pkg/podvolume, v1.18). */
const NOTHING = /volume was empty/
/** What to do about most that is wrong. */
export const AGAIN = 'correct the cause, then run `npx tsx scripts/backup.ts`'

/** The objects of a judgement: the lists of a whole cluster. */
export interface BackupObjects {
  volumeBackups: readonly KubeObject[]
  claims: readonly KubeObject[]
  volumes: readonly KubeObject[]
  pods: readonly KubeObject[]
}

/**
 * The data of one claim. `captured`: the backup has it. `excluded`: left out on purpose. `later`: the claim came after
 * the backup. `missing`: anything else.
 */
export interface ClaimVerdict {
  /** `namespace/name`. */
  claim: string
  state: 'captured' | 'excluded' | 'later' | 'missing'
  /** Why, unless it is captured. */
  reason?: string
  fix?: string
  /** What kind of volume it is: `local`, `hostPath`, `csi`, … */
  volume: string
  /** The pods that mount it, with their phases. */
  pods: string[]
  bytes?: number
  snapshot?: string
  /** Velero has found nothing in it. */
  empty?: boolean
  /** Of one that came later: how many bytes the backup has of the claim that had its name then. */
  earlier?: number
}

/** What the claims are judged with for a backup, found once. Pure. */
export function lookup(backup: string, { pods, volumes, volumeBackups }: BackupObjects) {
  const agents = pods.filter(
    ({ metadata: { namespace, labels } }) =>
      namespace === VELERO && (labels?.role === 'node-agent' || labels?.name === 'node-agent'),
  )
  /** Claims of which some backup has got data, by uid. */
  const filled = new Set(
    volumeBackups
      .filter(({ status }) => status?.phase === 'Completed' && (status.progress?.totalBytes ?? 0) > 0)
      .map(({ metadata }) => metadata.labels?.['velero.io/pvc-uid']),
  )
  return {
    users: podsByClaim(pods),
    filled,
    /** The bytes that the backup has of a claim, by `namespace/name`. */
    held: new Map(heldBy(backup, volumeBackups).map(({ claim, bytes }) => [claim, bytes])),
    volumes: new Map(volumes.map(volume => [volume.metadata.name, volume])),
    agents: new Set(
      agents.filter(({ status }) => status?.phase === 'Running').map(({ spec }) => spec?.nodeName as string),
    ),
  }
}

const KINDS = ['local', 'hostPath', 'csi', 'nfs', 'iscsi', 'rbd', 'cephfs', 'cinder']

/**
 * What a backup has of one claim, by the copies that Velero has taken of it; of one without a copy, why there is none.
 * Pure.
 */
export function judgeClaim(
  claim: KubeObject,
  copies: readonly KubeObject[],
  backup: KubeObject,
  look: ReturnType<typeof lookup>,
): ClaimVerdict {
  const { namespace = '', name, uid, labels } = claim.metadata
  const place = `${namespace}/${name}`
  const users = look.users.get(place) ?? []
  const volume = look.volumes.get(claim.spec?.volumeName ?? '')
  const kind = KINDS.find(each => volume?.spec?.[each] !== undefined) ?? 'other'
  const verdict = (state: ClaimVerdict['state'], more: Partial<ClaimVerdict>): ClaimVerdict => ({
    claim: place,
    state,
    volume: kind,
    pods: users.map(pod => `${pod.metadata.name} (${pod.status?.phase ?? 'unknown'})`),
    ...more,
  })
  const missing = (reason: string, fix: string) => verdict('missing', { reason, fix })

  const done = copies.find(({ status }) => status?.phase === 'Completed')
  if (done) {
    const { snapshotID, message = '', progress = {} } = done.status
    const { totalBytes = 0, bytesDone = totalBytes } = progress
    if (!snapshotID || NOTHING.test(message))
      return look.filled.has(uid)
        ? missing(
            'Velero found it empty, and it was not empty at an earlier backup',
            `check the volume of the claim ${place} on the server: its data may be gone`,
          )
        : verdict('captured', { bytes: 0, empty: true })
    if (bytesDone < totalBytes)
      return missing(`only ${sizeText(bytesDone)} of ${sizeText(totalBytes)} were copied`, AGAIN)
    return verdict('captured', { bytes: totalBytes, snapshot: snapshotID })
  }
  const copy = copies[0]
  if (copy) {
    const { phase = 'New', message } = copy.status ?? {}
    const said = message ? `: ${message}` : ''
    return /^(Failed|Canceled|Canceling)$/.test(phase)
      ? missing(`copying it has failed${said}`, AGAIN)
      : missing(`it is still being copied (${phase})${said}`, 'wait for the end of the backup')
  }
  const left = [claim, ...users].find(({ metadata }) => metadata.labels?.[EXCLUDED] === 'true')
  if (labels?.[EXCLUDED] === 'true' || left)
    return verdict('excluded', { reason: `${left!.kind} ${left!.metadata.name} has the label ${EXCLUDED}` })
  const purposely = users.find(pod => excludedVolumes(pod).has(volumeOf(pod, name)))
  if (purposely && users.every(pod => excludedVolumes(pod).has(volumeOf(pod, name))))
    return verdict('excluded', { reason: `left out by the annotation of pod ${purposely.metadata.name}` })
  if (Date.parse(claim.metadata.creationTimestamp ?? '') > startOf(backup)) {
    const earlier = look.held.get(place)
    const has =
      earlier === undefined ? '' : `, which has ${sizeText(earlier)} of the claim that had its name then`
    return verdict('later', { reason: `it was created after the backup was started${has}`, earlier })
  }
  if (namespace && !takesNamespace({ ...backup, spec: withoutSelectors(backup.spec) }, namespace))
    return missing(`the backup leaves out the namespace ${namespace}`, 'take a backup of everything')
  if (kind === 'hostPath') {
    const [, folder = '/', last = ''] =
      /^(.*)\/([^/]+)\/?$/.exec(String(volume?.spec?.hostPath?.path ?? '')) ?? []
    return missing(
      'it is a hostPath volume, which Velero does not back up',
      `create a claim on the storage class local-path, and copy the data: npx tsx scripts/migrate-data.ts --old-folder ${folder || '/'} --match ${last}=${namespace}/NEW ("Volumes that cannot be backed up" in runbooks/backup.md)`,
    )
  }
  if (users.length === 0)
    return missing(
      'no pod uses it, and Velero reads volumes of running pods only',
      `start its application, or delete the claim when nobody needs the data (kubectl -n ${namespace} delete pvc ${name})`,
    )
  const idle = users.find(({ status }) => status?.phase !== 'Running')
  if (idle && users.every(({ status }) => status?.phase !== 'Running'))
    return missing(
      `its pod ${idle.metadata.name} is ${idle.status?.phase ?? 'of an unknown phase'}, not Running`,
      'see why with `npx tsx scripts/diagnose.ts`, then take another backup',
    )
  const running = users.find(({ status }) => status?.phase === 'Running')!
  if (!mounts(running, name))
    return missing(`no container of pod ${running.metadata.name} mounts it`, 'mount it, or delete the claim')
  const node: string = running.spec?.nodeName ?? ''
  if (!look.agents.has(node))
    return missing(
      `node-agent does not run on node ${node}, and it reads the volumes there`,
      'see why with `npx tsx scripts/diagnose.ts`, then take another backup',
    )
  if (backup.spec?.defaultVolumesToFsBackup !== true)
    return missing('the backup copies no volumes unless a pod asks for it', 'run `npx tsx scripts/backup.ts`')
  return missing(
    'Velero has no copy of it',
    `read why (velero backup logs ${backup.metadata.name}), ${AGAIN}`,
  )
}

/** A selection by labels says nothing about a namespace. */
const withoutSelectors = (spec: KubeObject['spec']) => ({
  ...spec,
  labelSelector: undefined,
  orLabelSelectors: undefined,
})

/** The name that a pod gives to the volume of a claim. */
function volumeOf(pod: KubeObject, claim: string): string | undefined {
  return (pod.spec?.volumes ?? []).find(
    (volume: { persistentVolumeClaim?: { claimName?: string } }) =>
      volume.persistentVolumeClaim?.claimName === claim,
  )?.name
}

function excludedVolumes({ metadata }: KubeObject): Set<string | undefined> {
  return new Set((metadata.annotations?.[EXCLUDES] ?? '').split(',').map(name => name.trim()))
}

function mounts(pod: KubeObject, claim: string): boolean {
  const volume = volumeOf(pod, claim)
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
  return containers.some((container: { volumeMounts?: { name: string }[] }) =>
    (container.volumeMounts ?? []).some(({ name }) => name === volume),
  )
}
