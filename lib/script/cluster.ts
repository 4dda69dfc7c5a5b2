import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UsageError } from './errors.ts'
import { ROOT } from './files.ts'
import { suggestion } from './flags.ts'
import { askSelect, interactive } from './prompt.ts'

/** A cluster folder, `clusters/NAME/`, and the paths in it (docs 0.7.0, "Install OpenAppStack"). */
export interface Cluster {
  name: string
  folder: string
  /** `.flux.env`: the configuration. */
  env: string
  /** `kube_config_cluster.yml`: access to the API server. */
  kubeconfig: string
  /** Transcripts of the runs that changed something. */
  journal: string
}

/** The folder that holds the cluster folders: `clusters/` of this checkout, or OAS_CLUSTERS_DIR. */
export function clustersFolder(): string {
  return resolve(process.env.OAS_CLUSTERS_DIR || join(ROOT, 'clusters'))
}

/** What is wrong with a cluster's name, or undefined. It becomes the name of a folder, and mostly is a domain. */
export function checkClusterName(name: string): string | undefined {
  if (name.length > 100) return 'a cluster name has at most 100 characters'
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name) || name.includes('..'))
    return 'a cluster name consists of letters, digits, dots and dashes, and begins and ends with a letter or digit'
  return undefined
}

/** The cluster folder of this name, whether it exists or not. Throws a UsageError for a name that cannot be one. */
export function clusterNamed(name: string): Cluster {
  const problem = checkClusterName(name)
  if (problem)
    throw new UsageError(`${JSON.stringify(name)} cannot be a cluster: ${problem}`, 'give --cluster NAME')
  const folder = join(clustersFolder(), name)
  return {
    name,
    folder,
    env: join(folder, '.flux.env'),
    kubeconfig: join(folder, 'kube_config_cluster.yml'),
    journal: join(folder, 'journal'),
  }
}

/** The names of the clusters that have a folder, sorted. */
export function clusterNames(): string[] {
  if (!existsSync(clustersFolder())) return []
  return readdirSync(clustersFolder())
    .filter(name => checkClusterName(name) === undefined)
    .filter(name => statSync(join(clustersFolder(), name), { throwIfNoEntry: false })?.isDirectory())
    .sort()
}

/**
 * The cluster that a script works on: the one named by --cluster or OAS_CLUSTER; else the only one;
 * else the one chosen on the terminal. With `mayBeNew` a named cluster needs no folder yet.
 */
export async function chooseCluster(
  named: string | undefined,
  options: { mayBeNew: boolean },
): Promise<Cluster> {
  const wanted = named ?? (process.env.OAS_CLUSTER || undefined)
  const names = clusterNames()
  if (wanted !== undefined) {
    const cluster = clusterNamed(wanted)
    if (!options.mayBeNew && !names.includes(wanted))
      throw new UsageError(
        `cluster ${wanted} does not exist in ${clustersFolder()}`,
        names.length > 0 ? suggestion(wanted, names) : noCluster,
      )
    return cluster
  }
  if (names.length === 1) return clusterNamed(names[0]!)
  if (names.length === 0) throw new UsageError('there is no cluster yet', noCluster)
  if (!interactive())
    throw new UsageError(`there are ${names.length} clusters: ${names.join(', ')}`, 'give --cluster NAME')
  return clusterNamed(await askSelect({ message: 'Which cluster?', flag: '--cluster', choices: names }))
}

const noCluster =
  'start a sandbox with `npx tsx scripts/sandbox.ts up`, or install on a cluster of your own with `npx tsx scripts/install-core.ts --cluster NAME --kubeconfig FILE`'
