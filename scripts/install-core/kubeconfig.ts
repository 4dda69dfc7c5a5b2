import { existsSync, readFileSync } from 'node:fs'
import { readKubeconfig } from '../../lib/kubectl/kubeconfig.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'

/**
 * The kubeconfig that a run works with: FILE of `--kubeconfig`, else the one in the cluster folder. Throws
 * when FILE is missing, not usable, or refers to files that a copy would lose, and when the folder already has
 * another one: then FILE would turn the folder into that of another cluster (exit code 4).
 */
export async function kubeconfigFor(cluster: Cluster, file: string | undefined): Promise<string> {
  if (file === undefined) return cluster.kubeconfig
  if (!existsSync(file))
    throw new UsageError(`${file} does not exist`, 'give an existing kubeconfig with --kubeconfig')
  const { elsewhere } = await readKubeconfig(file)
  const fields = elsewhere.join(', ')
  if (/certificate|key/.test(fields))
    throw new UsageError(
      `${file} refers to other files, which a copy would lose (${fields})`,
      `write a file that holds everything: kubectl --kubeconfig ${file} config view --flatten --raw`,
    )
  if (elsewhere.length > 0)
    throw new UsageError(
      `${file} has a relative path, which a copy would lose (${fields})`,
      'write the absolute path into it; in place of a tokenFile also the token itself',
    )
  const text = readFileSync(file, 'utf8')
  const present = readIfExists(cluster.kubeconfig)
  if (present !== undefined && present !== text)
    throw new ExpectedError(
      `${cluster.kubeconfig} is another kubeconfig than ${file}`,
      'give another --cluster NAME for another cluster; to replace it, move it elsewhere first',
      { exitCode: EXIT.refused },
    )
  return file
}

/** Copies a kubeconfig into the cluster folder, 0600 in 0700. */
export function adoptKubeconfig(cluster: Cluster, file: string): void {
  if (file === cluster.kubeconfig || readIfExists(cluster.kubeconfig) !== undefined) return
  privateFolder(cluster.folder)
  writeFileAtomic(cluster.kubeconfig, readFileSync(file))
}
