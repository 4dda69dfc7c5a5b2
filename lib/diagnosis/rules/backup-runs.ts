/** Backups that do not come to an end, and what their volumes are read and stored by. */
import { isUnderWay, isUnstarted } from '../../backup/objects.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import { containersOf, since } from './workload-facts.ts'

/** Seconds after which a backup that still runs hangs: Velero gives volumes four hours. */
const HANGING = 6 * 3600

/** Seconds after which velero has at least started what waits, where nothing else runs. */
const WAITING = 3600

/** What Velero's and its storage's words ask for. The first that matches counts. */
const STORAGE: readonly [pattern: RegExp, fix: string][] = [
  [
    /too ?skewed|clock|not yet valid/i,
    'correct the clock of the server (timedatectl): the storage refuses requests of another time',
  ],
  [
    /checksum|content-sha256/i,
    'set checksumAlgorithm: "" in spec.config of the BackupStorageLocation, or go back to the earlier version of the plugin: this storage does not know the checksums that it is sent',
  ],
  [
    /HTTP response to HTTPS client|does not look like a TLS handshake/i,
    'write the address of the storage (backup_s3_url in .flux.env) with http://, or have it serve HTTPS',
  ],
  [
    /no such bucket|NoSuchBucket|bucket .*(not exist|not found)/i,
    'create the bucket, or correct backup_s3_bucket in .flux.env',
  ],
  [
    /top-level director/i,
    'give the backups a bucket or a prefix of their own: others keep files in this one',
  ],
  [
    /timed out waiting for all PodVolumeBackups/i,
    'raise fs-backup-timeout of velero, give node-agent more CPU and memory, or leave large volumes out',
  ],
  [
    /volumeSnapshotLocations/,
    'set snapshotVolumes to false (node-agent backs the volumes up), or add a VolumeSnapshotLocation',
  ],
  [
    /already exists in object storage/i,
    'give it a name of its own, or delete the backup of this name from the storage first',
  ],
  [
    /plugin\b/i,
    'add the plugin that it names to the init containers of velero, or correct spec.provider; then make a backup now',
  ],
  [
    /host_pods\b.*read-only file ?system/i,
    'let the pod’s volume be written: its mount or claim is readOnly, or its file system has become so; then make a backup now',
  ],
  [
    /read-only file ?system/i,
    'let velero and node-agent write: mount an emptyDir at the folder that it names (/udmrepo, /scratch, /tmp or their home), or omit readOnlyRootFilesystem',
  ],
  [
    /existing data in storage location/i,
    'the bucket holds a part of an earlier repository: move that folder (kopia/NAMESPACE) away, then delete this BackupRepository, so that velero creates it again',
  ],
  [/read-only|ReadOnly/, 'set accessMode of the BackupStorageLocation to ReadWrite'],
  [
    /BackupStorageLocation[\w.]{0,40} "[^"]{1,100}" not found|location was not specified/i,
    'name a BackupStorageLocation that exists, or create it',
  ],
  [
    /repository password|wrong password|no key found|ciphertext|message authentication/i,
    'restore Secret velero-repo-credentials of the time when the repository was created: no other key opens it',
  ],
  [
    /expected one matching path|host-pods volume/i,
    'give node-agent the folder of the pods of the kubelet: its hostPath is not /var/lib/kubelet/pods of this node',
  ],
  [
    /(podvolume|data)\w{1,20} with status "InProgress" during the (server|node-agent) starting/i,
    'node-agent was restarted while it ran: make a backup now; if it happens again, raise the memory limit of node-agent',
  ],
  [
    /snapshot ready|volume ?snapshot\b/i,
    'see what its VolumeSnapshot and the driver of the volume say, correct that, then make a backup now',
  ],
  [
    /preparing data|prepare ?timeout/i,
    'its volume or pod in the namespace of velero did not get ready in time: see their events while one runs (storage class, room, image), or raise data-mover-prepare-timeout of node-agent; then make a backup now',
  ],
  [
    /daemonset pod not found|node-agent/i,
    'see why node-agent does not run on that node, then make a backup now',
  ],
  [
    /server (is )?starting|restart/i,
    'velero was restarted while it ran: make a backup now; if it happens again, raise the memory limit of velero',
  ],
  [
    /PermanentRedirect|MalformedHeader|AuthorizationHeaderMalformed|region|\b301\b/i,
    'correct the region and the address of the storage (backup_s3_region, backup_s3_url in .flux.env)',
  ],
  [
    /SignatureDoesNotMatch|InvalidAccessKey|AccessDenied|access denied|forbidden|\b40[13]\b|credential/i,
    'correct the keys of the storage (backup_s3_… in .flux.env), or grant them the bucket',
  ],
  [
    /SlowDown|ServiceUnavailable|InternalError|StatusCode: 50[0-6]/,
    'the storage has an outage: make a backup now; if it fails again, ask the operator of the storage',
  ],
  [/x509|certificate/i, 'have the storage show a valid certificate, or give velero its CA'],
  [
    /not initialized|invalid repository format|no such file.*config|is there a repository at/i,
    'the repository is gone from the bucket: restore the bucket, or delete this BackupRepository, so that velero creates a new one (older backups of volumes are lost)',
  ],
  [
    // Kopia's repo/content and repo/blob.
    /\b(content|blob|object|manifest) (?:[\w/*-]{1,80} )?not found/i,
    'the data is not in the repository any more: use another backup; see whether a rule of the bucket deletes files, and whether somebody else maintains the same repository',
  ],
  [
    /permission denied|operation not permitted/i,
    'let node-agent read the volume: it has to run as root, and on some systems privileged',
  ],
  [
    /no space|insufficient storage|StorageFull|quota exceeded|\b507\b/i,
    'make room in the storage, or keep backups for a shorter time',
  ],
  [
    /no such host|refused|timed? ?out|unreachable|deadline|\bEOF\b|connection reset/i,
    'let the server reach the storage: address, DNS and firewall',
  ],
]

/** What to do about a message of Velero; undefined where its words are not known. Pure. */
export const storageFix = (message: string): string | undefined =>
  STORAGE.find(([pattern]) => pattern.test(message))?.[1]

/** Backups that run for longer than Velero lets any; the others wait for them. */
const hanging = each('Backup', (backup, index) => {
  const { namespace } = backup.metadata
  const lasts = since(index, backup.status?.startTimestamp, backup.metadata.creationTimestamp)
  if (!isUnderWay(backup) || lasts < HANGING) return undefined
  const waiting = index.within('Backup', namespace).filter(isUnstarted)
  const behind =
    waiting.length === 0 ? '' : `, and ${waiting.length} ${waiting.length === 1 ? 'waits' : 'wait'} behind it`
  return {
    rule: 'backup-never-ends',
    cause: `has been running for ${durationText(lasts * 1000)}${behind}`,
    evidence: [`phase ${backup.status?.phase}`],
    text: 'restart velero: it fails what it finds in progress, and goes on with the next; see node-agent, too',
    command: `kubectl -n ${namespace} rollout restart deployment velero`,
  }
})

/** Backups and restores that velero does not take up, although it works on no other. */
const notBegun = each(['Backup', 'Restore'], (object, index) => {
  const { kind, metadata, status } = object
  const lasts = since(index, status?.startTimestamp, metadata.creationTimestamp)
  const isBusy = index.within(kind, metadata.namespace).some(isUnderWay)
  if (!isUnstarted(object) || isBusy || lasts < WAITING) return undefined
  return {
    rule: 'backup-not-begun',
    cause: `has been ${status?.phase || 'New'} for ${durationText(lasts * 1000)}: velero does not process it`,
    text: 'see whether velero runs, and what it says; then restart it',
    command: `kubectl -n ${metadata.namespace} rollout restart deployment velero`,
    symptom: true,
    causedBy: [refTo('Deployment', metadata.namespace, 'velero')],
  }
})

/** Restores that run for longer than Velero lets any. */
const endless = each('Restore', (restore, index) => {
  const lasts = since(index, restore.status?.startTimestamp, restore.metadata.creationTimestamp)
  if (!isUnderWay(restore) || lasts < HANGING) return undefined
  return {
    rule: 'restore-never-ends',
    cause: `has been running for ${durationText(lasts * 1000)}`,
    evidence: [`phase ${restore.status?.phase}`],
    text: 'see whether the pods that it restores start, and node-agent; then restart velero, which fails it',
    command: `kubectl -n ${restore.metadata.namespace} rollout restart deployment velero`,
  }
})

/** Repositories of volume backups that cannot be used. */
const repositories = each('BackupRepository', repository => {
  const { namespace, name } = repository.metadata
  const { phase, message = '' } = repository.status ?? {}
  if (phase !== 'NotReady') return undefined
  const locked = /already locked/.test(message)
  return {
    rule: locked ? 'backup-repository-locked' : 'backup-repository-not-ready',
    cause: locked
      ? 'it is locked by a run that was killed: no volume is backed up'
      : `it cannot be used: ${short(String(message), 200)}`,
    evidence: String(message)
      .split('\n')
      .slice(0, 2)
      .map(line => short(line)),
    ...(locked
      ? {
          text: 'when no backup is running, restart velero, which unlocks its repositories (by hand: restic unlock)',
          command: `kubectl -n ${namespace} rollout restart deployment velero`,
        }
      : {
          text: storageFix(String(message)) ?? 'correct what its message names',
          command: `kubectl -n ${namespace} describe backuprepository ${name}`,
        }),
  }
})

/** Repositories whose last maintenance has failed: Velero opens each of them hourly, a backup comes once a day. */
const maintenance = each('BackupRepository', repository => {
  const { namespace, name } = repository.metadata
  const runs: { result?: string; startTimestamp?: string; message?: string }[] =
    repository.status?.recentMaintenance ?? []
  const last = runs.reduce<(typeof runs)[number] | undefined>(
    (latest, run) => ((run.startTimestamp ?? '') >= (latest?.startTimestamp ?? '') ? run : latest),
    undefined,
  )
  if (repository.status?.phase === 'NotReady' || last?.result !== 'Failed') return undefined
  const message = String(last.message ?? '')
  return {
    rule: 'backup-repository-maintenance-failed',
    verdict: 'warning',
    cause: `its last maintenance has failed: ${short(message, 200)}`,
    text: storageFix(message) ?? 'correct what its message names',
    command: `kubectl -n ${namespace} describe backuprepository ${name}`,
  }
})

/** Volumes that could not be backed up or restored, with the newest failure of each pod. */
const volumeRuns: Rule = index =>
  ['PodVolumeBackup', 'PodVolumeRestore', 'DataUpload', 'DataDownload'].flatMap(kind => {
    const newest = new Map<string, KubeObject>()
    for (const run of index.all(kind)) {
      const { pod = {}, volume, sourceNamespace, sourcePVC } = run.spec ?? {}
      const place = volume
        ? `${pod.namespace}/${pod.name}/${volume}`
        : `${sourceNamespace}/${sourcePVC ?? run.metadata.name}`
      const known = newest.get(place)
      const age = (of: KubeObject) => since(index, of.metadata.creationTimestamp)
      if (!known || age(run) < age(known)) newest.set(place, run)
    }
    const [done, work] = /Backup|Upload/.test(kind) ? ['backed up', 'backup'] : ['restored', 'restore']
    return [...newest].flatMap(([place, run]): Finding[] => {
      const { namespace, name } = run.metadata
      if (!/^(Failed|Canceled)$/.test(run.status?.phase)) return []
      const said = String(run.status?.message ?? '')
      const limit = killedAgent(run, index)
      return [
        tell(run, {
          rule: `volume-${work}-failed`,
          cause: `volume ${place} was not ${done}: ${limit ? `node-agent was killed when it needed more than its limit of ${limit} of memory: ` : ''}${short(said, 200)}`,
          text: limit
            ? `raise the memory limit of DaemonSet node-agent, then make the ${work} again`
            : (again(storageFix(said), work!) ?? `correct what it says, then make the ${work} again`),
          command: `kubectl -n ${namespace} describe ${kind.toLowerCase()} ${name}`,
          causedBy: [
            ...index.within('DaemonSet', namespace),
            ...index.within('VolumeSnapshot', run.spec?.sourceNamespace),
          ].map(refOf),
          symptom: true,
        }),
      ]
    })
  })

/** The memory limit by which the node-agent of a run was killed within the day before; undefined where it was not. */
function killedAgent({ metadata, spec }: KubeObject, index: Index): string | undefined {
  return index
    .within('Pod', metadata.namespace)
    .filter(pod => pod.spec?.nodeName === spec?.node)
    .flatMap(containersOf)
    .filter(({ name, status }) => {
      const { reason, finishedAt } = status.lastState?.terminated ?? {}
      return name === 'node-agent' && reason === 'OOMKilled' && since(index, finishedAt) < 86_400
    })
    .map(container => String(container.spec?.resources?.limits?.memory ?? 'the node'))[0]
}

/** What a fix of a backup means for a restore. */
const again = (fix: string | undefined, work: string) =>
  work === 'restore' ? fix?.replace('make a backup now', 'restore again') : fix

/** Restores that have failed within the last week, as long as no later one of the same backup has succeeded. */
const restores = each('Restore', (restore, index) => {
  const { namespace, name } = restore.metadata
  const { phase = '', failureReason, validationErrors = [], errors } = restore.status ?? {}
  const age = since(index, restore.status?.startTimestamp, restore.metadata.creationTimestamp)
  const later = index
    .within('Restore', namespace)
    .some(
      other =>
        other.status?.phase === 'Completed' &&
        other.spec?.backupName === restore.spec?.backupName &&
        since(index, other.status?.startTimestamp, other.metadata.creationTimestamp) < age,
    )
  if (!/Failed/.test(phase) || later || age > 7 * 86_400) return undefined
  const words = [failureReason, ...validationErrors].filter(Boolean).map(String)
  return {
    rule: 'restore-failed',
    verdict: 'warning',
    cause: `has ${phase === 'PartiallyFailed' ? 'failed in part' : 'failed'}: not everything is back`,
    evidence: [`${phase}${errors ? `, ${errors} errors` : ''}`, ...words.map(text => short(text))],
    text:
      again(storageFix(words.join('; ')), 'restore') ??
      'read its log, correct what it names, then restore again',
    command: `velero restore describe ${name} -n ${namespace} --details`,
    symptom: true,
    causedBy: [
      ...index
        .within('PodVolumeRestore', namespace)
        .filter(({ metadata }) => metadata.labels?.['velero.io/restore-name'] === name),
      ...index.within('BackupStorageLocation', namespace),
    ].map(refOf),
  }
})

/** What a failed backup may have failed by: the readers and the stores of volumes. Pure. */
export function behindBackups(namespace: string | undefined, index: Index): Ref[] {
  const here = (kind: string) => index.all(kind).filter(({ metadata }) => metadata.namespace === namespace)
  return [
    ...here('DaemonSet'),
    ...here('BackupRepository'),
    ...here('PodVolumeBackup'),
    ...here('DataUpload'),
    ...here('Deployment'),
    ...here('Backup'),
  ].map(refOf)
}

export const rules: Rule[] = [hanging, notBegun, endless, repositories, maintenance, volumeRuns, restores]
