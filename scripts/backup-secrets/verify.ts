import { Kubectl, type KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, Findings } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { compareBackup, readSecrets } from '../../lib/secret-backup/cluster.ts'
import { readBackup, readManifest } from '../../lib/secret-backup/files.ts'
import { type AgeRun, keysFor } from '../../lib/secret-backup/keys.ts'
import { isSealed } from '../../lib/secret-backup/manifest.ts'

/**
 * Checks a backup against its manifest, and against the cluster if that can be reached. Ends with `Findings` when the
 * cluster differs.
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
    return run.log.warn('the backup is encrypted: give --identity FILE or --passphrase to read it')
  const backup = await readBackup(folder, await keysFor(run))
  run.log.ok(`${secrets.length} secrets can be read`)
  if (cluster !== run.cluster.name)
    return run.log.warn(`the backup is from ${cluster}: not compared with ${run.cluster.name}`)
  let found: KubeObject[]
  try {
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    found = await readSecrets(
      kubectl,
      secrets.map(({ namespace }) => namespace),
    )
  } catch (error) {
    if (!(error instanceof ExpectedError) || run.signal.aborted) throw error
    return run.log.warn(`not compared with the cluster: ${error.message}`)
  }
  const deviations = compareBackup(backup, found)
  run.result = { folder, manifest, deviations }
  for (const { secret, problem } of deviations) run.log.warn(`Secret ${secret} ${problem}`)
  if (deviations.length > 0) throw new Findings()
  run.log.ok('all match the cluster')
}
