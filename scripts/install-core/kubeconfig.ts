import { existsSync, readFileSync } from 'node:fs'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'

/**
 * The kubeconfig that a run works with: FILE of `--kubeconfig`, else the one in the cluster folder. Throws
 * when FILE is missing, refers to further files (a copy would lose them), or when the folder already has
 * another one: then FILE would turn the folder into that of another cluster (exit code 4).
 */
export function kubeconfigFor(cluster: Cluster, file: string | undefined): string {
  if (file === undefined) return cluster.kubeconfig
  if (!existsSync(file))
    throw new UsageError(`there is no file ${file}`, 'give an existing kubeconfig with --kubeconfig')
  const text = readFileSync(file, 'utf8')
  if (/["'\s{,](certificate-authority|client-certificate|client-key|tokenFile)["']?\s*:/.test(text))
    throw new UsageError(
      `${file} refers to further files, which a copy would lose`,
      `make one that holds everything: kubectl --kubeconfig ${file} config view --flatten --raw`,
    )
  const present = readIfExists(cluster.kubeconfig)
  if (present !== undefined && present !== text)
    throw new ExpectedError(
      `${cluster.kubeconfig} is another kubeconfig than ${file}`,
      'for another cluster give another --cluster NAME; to replace it, move it away first',
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
