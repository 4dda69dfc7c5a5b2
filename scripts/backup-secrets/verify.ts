import type { Recipients } from '../../lib/age/age.ts'
import type { ageFlags } from '../../lib/age/flags.ts'
import { Kubectl, type KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, Findings } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { compareBackup, readSecrets } from '../../lib/secret-backup/cluster.ts'
import { type Backup, readBackup, readManifest } from '../../lib/secret-backup/files.ts'
import { keysFor } from '../../lib/secret-backup/keys.ts'
import { isSealed } from '../../lib/secret-backup/manifest.ts'

/** A run of a script that takes the flags of age. */
type AgeRun = Pick<Run<typeof ageFlags>, 'flags' | 'log'>

/**
 * Checks a backup against its manifest and against the cluster. Ends with `Findings` when the cluster differs, and
 * throws an ExpectedError when something could not be checked: nobody may take that for verified.
 */
export async function verifyBackup(
  run: AgeRun & Pick<Run, 'result' | 'signal'> & { cluster: Cluster },
  folder: string,
): Promise<void> {
  const { manifest } = readManifest(folder)
  const { cluster, createdAt, secrets, files } = manifest
  run.log.ok(`${files.length} file${files.length === 1 ? ' is' : 's are'} as in the manifest of ${createdAt}`)
  run.result = { folder, manifest }
  if (isSealed(manifest) && run.flags.identity.length === 0 && !run.flags.passphrase)
    throw new ExpectedError(
      'the files are intact, but the backup is encrypted: its secrets were not compared',
      'run it again with --identity FILE or --passphrase',
    )
  const backup = await readBackup(folder, await keysFor(run))
  run.log.ok(`${secrets.length} secrets can be read`)
  if (cluster !== run.cluster.name)
    throw new ExpectedError(
      `the backup is intact, but it is from the cluster ${cluster}: not compared with ${run.cluster.name}`,
      `compare it with its own cluster: --cluster ${cluster}`,
    )
  let found: KubeObject[]
  try {
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    found = await readSecrets(
      kubectl,
      secrets.map(({ namespace }) => namespace),
    )
  } catch (error) {
    if (!(error instanceof ExpectedError) || run.signal.aborted) throw error
    throw new ExpectedError(
      `the backup is intact, but not compared with the cluster: ${error.message}`,
      error.fix,
      { cause: error },
    )
  }
  const deviations = compareBackup(backup, found)
  run.result = { folder, manifest, deviations }
  for (const { secret, problem } of deviations) run.log.warn(`Secret ${secret} ${problem}`)
  if (deviations.length > 0) throw new Findings()
  run.log.ok('all match the cluster')
}

/**
 * A new backup, read from the disk and decrypted again. With recipients alone that is not possible: then only its
 * checksum is verified, and the Secrets are those that were encrypted.
 */
export async function readAgain(
  run: AgeRun,
  folder: string,
  to: Recipients | undefined,
  secrets: KubeObject[],
): Promise<Pick<Backup, 'manifest' | 'secrets'>> {
  if (!to || run.flags.identity.length > 0) return readBackup(folder, await keysFor(run))
  if ('passphrase' in to) return readBackup(folder, { identities: [], passphrase: async () => to.passphrase })
  run.log.info('without --identity the backup cannot be decrypted: only its checksum is verified')
  return { ...readManifest(folder), secrets }
}
