import { K3S } from '../../lib/k3s/k3s.ts'
import { effectiveSettings, nodeNameBy, refuseElsewhere, valueIn } from '../../lib/k3s/settings.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { HOSTNAME } from '../../lib/server/facts.ts'
import { type K3sFile, k3sFiles, settingsSources } from '../../lib/server/k3s-files.ts'
import { NODES } from '../../lib/server/nodes.ts'
import { readFacts } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { CONFIG_PART, type CopyContents } from './parts.ts'

/** The name that the node of a restored server keeps, and whether it has to be written into the restored settings. */
export interface RestoredName {
  /** Undefined where an archive of an earlier version does not say it. */
  node: string | undefined
  write: boolean
}

/** Reads the settings of a server and decides under which name its node comes back. Throws as `nameAfterRestore`. */
export async function restoredName(
  ssh: Ssh,
  node: string | undefined,
  contents: CopyContents,
): Promise<RestoredName> {
  const facts = await readFacts(
    ssh,
    { hostname: HOSTNAME, files: k3sFiles('server') },
    { sudo: true, title: 'reading the settings of k3s' },
  )
  return nameAfterRestore({ ...facts, name: ssh.name }, node, contents)
}

/**
 * Under which name the node of a server comes back with an archive of the node `node`. Pure. Throws an ExpectedError
 * (exit code 4) where the server would give its node another name, or where it keeps its data elsewhere.
 */
export async function nameAfterRestore(
  server: { name: string; hostname: string; files: readonly K3sFile[] },
  node: string | undefined,
  { parts, configs }: CopyContents,
): Promise<RestoredName> {
  const here = settingsSources(server.files)
  const hasConfig = parts.includes(CONFIG_PART)
  const settings = await effectiveSettings(hasConfig ? { ...here, configs } : here)
  refuseElsewhere(server.name, settings, 'restore it by hand (https://docs.k3s.io/datastore/backup-restore)')
  const name = nodeNameBy(settings, server.hostname)
  if (node === undefined || name === node || valueIn(settings, 'with-node-id') === 'true')
    return { node, write: false }
  const from = settings.get('node-name')?.from
  // Settings of a file win over the host name and over the environment.
  if (hasConfig && (from === undefined || from.startsWith('$'))) return { node, write: true }
  throw new ExpectedError(
    `the archive is of the node ${node}, and k3s on ${server.name} would name it ${name} (${from ?? 'its host name'}): volumes stay bound to ${node}`,
    `set node-name to ${node} in ${from?.startsWith('/') ? from : K3S.config} on the server first`,
    { exitCode: EXIT.refused },
  )
}

/** The nodes that this server has to bring back: its own, else all servers that the restored datastore knows. */
export async function serverNodes(ssh: Ssh, node: string | undefined): Promise<string[]> {
  if (node !== undefined) return [node]
  const { nodes = [] } = await readFacts(ssh, { nodes: NODES }, { sudo: true, title: 'reading the nodes' })
  return nodes.filter(({ isServer }) => isServer).map(({ name }) => name)
}
