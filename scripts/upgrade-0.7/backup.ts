import { dirname } from 'node:path'
import { releaseName } from '../../lib/flux/stored-release.ts'
import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, throwAll } from '../../lib/script/errors.ts'
import { privateFolder } from '../../lib/script/files.ts'
import { compareBackup, pick, proveBackup, readSecrets } from '../../lib/secret-backup/cluster.ts'
import { type Backup, backupFolder, readBackup, writeBackup } from '../../lib/secret-backup/files.ts'
import { NO_KEYS } from '../../lib/secret-backup/keys.ts'
import {
  plainSecret,
  type SecretName,
  secretNameOf,
  secretPlaceOf,
  TEN,
} from '../../lib/secret-backup/secret-backup.ts'
import type { UpgradeFacts } from './facts.ts'
import { type Ownership, ownershipOf } from './state.ts'

/** The Secrets that an upgrade is about. */
export interface Subject {
  /** As the cluster has them, without what belongs to the cluster. */
  secrets: KubeObject[]
  absent: SecretName[]
  /** Which of them Helm owns. */
  owned: Ownership[]
}

/** Reads the ten Secrets of the docs, and whatever else the release of the secrets owns: it goes with them. */
export async function readSubject(kubectl: Kubectl, owner: KubeObject): Promise<Subject> {
  const found = await readSecrets(kubectl, ['flux-system', 'oas', 'oas-apps'])
  const theirs = ownershipOf(found).filter(({ release }) => release === releaseName(owner))
  const wanted = [...new Map([...TEN, ...theirs].map(name => [secretPlaceOf(name), name])).values()]
  const picked = pick(found, wanted)
  const places = new Set(picked.map(secret => secretPlaceOf(secretNameOf(secret))))
  if (picked.length === 0)
    throw new ExpectedError(
      'the cluster has no secret of the platform',
      'is it the right cluster? Its kubeconfig is clusters/NAME/kube_config_cluster.yml',
    )
  return {
    secrets: picked.map(plainSecret),
    absent: wanted.filter(name => !places.has(secretPlaceOf(name))),
    owned: theirs,
  }
}

/**
 * Backs them up, reads the backup again and compares it with the cluster; then checks that the release was not
 * removed meanwhile: such a backup may be incomplete. Returns the folder.
 */
export async function backUpSecrets(
  kubectl: Kubectl,
  cluster: Cluster,
  { secrets, absent }: Subject,
  owner: KubeObject,
): Promise<string> {
  const at = new Date()
  const folder = backupFolder(cluster, at)
  privateFolder(dirname(folder))
  const origin = { cluster: cluster.name, server: kubectl.client.server, createdAt: at.toISOString() }
  await writeBackup(folder, { ...origin, absent, secrets }, undefined, async part =>
    proveBackup(kubectl, await readBackup(part, NO_KEYS)),
  )
  const now = await kubectl.get(refOf(owner))
  if (now?.metadata.uid !== owner.metadata.uid || now?.metadata.deletionTimestamp)
    throw new ExpectedError(
      `HelmRelease ${owner.metadata.name} was removed while its secrets were backed up to ${folder}`,
      'find out why: did the branch change? Then go on with an older backup: --backup DIR',
    )
  return folder
}

/**
 * Throws when the cluster has other values than the backup while the old release is still there: they would be
 * gone after the upgrade.
 */
export async function checkStillTrue(
  kubectl: Kubectl,
  facts: Pick<UpgradeFacts, 'owner'>,
  backup: Backup,
  file: string,
): Promise<void> {
  if (!facts.owner || facts.owner.metadata.deletionTimestamp) return
  const { secrets, absent } = backup.manifest
  const namespaces = [...secrets, ...absent].map(({ namespace }) => namespace)
  throwAll(
    compareBackup(backup, await readSecrets(kubectl, namespaces)).map(
      ({ secret, problem }) =>
        new ExpectedError(
          `Secret ${secret} ${problem.replace('differs from the cluster', 'differs from the backup of this upgrade')}`,
          `if the cluster is right, start again with a new backup: move ${file} away. If the backup is right: npx tsx scripts/restore-secrets.ts ${backup.folder} --overwrite ${secret.split('/')[1]}`,
          { exitCode: EXIT.refused },
        ),
    ),
  )
}
