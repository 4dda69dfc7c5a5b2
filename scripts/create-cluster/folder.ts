import { chmodSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { editConfig, readConfig } from '../../lib/platform/config.ts'
import {
  editInventory,
  type HostSettings,
  inventoryFile,
  readInventory,
} from '../../lib/platform/inventory.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { privateFolder, ROOT, readIfExists, writeFileAtomic } from '../../lib/script/files.ts'

/** The settings for the files of a cluster folder. */
export interface ClusterFacts {
  /** Keys of `.flux.env`; `ip_address` is taken from the host. */
  values: Record<string, string>
  /** Its server; the address is undefined while the server is not created yet. */
  host: Omit<HostSettings, 'address'> & { address: string | undefined }
}

/** The changes to a cluster folder. */
export interface FolderPlan {
  /** In words: the files written, and the values replaced. */
  lines: string[]
  /** The values that would be replaced, `file: name: old → new`. Empty when the folder is only completed. */
  differences: string[]
  writes: { path: string; text: string }[]
}

/**
 * Compares a cluster folder with its settings. Files are completed: comments, unknown keys and everything
 * else in them are kept. An existing `kustomization.yaml` is left alone.
 */
export async function planFolder(cluster: Cluster, { values, host }: ClusterFacts): Promise<FolderPlan> {
  const lines: string[] = []
  const differences: string[] = []
  const writes: FolderPlan['writes'] = []
  const { address } = host
  const compare = (file: string, name: string, old: string | undefined, now: string | undefined) => {
    if (old && old !== now)
      differences.push(`${file}: ${name}: ${old} → ${now ?? 'the address of the new server'}`)
  }
  const write = (path: string, before: string | undefined, text: string) => {
    if (before === text) return
    writes.push({ path, text })
    lines.push(`${before === undefined ? 'write' : 'complete'} ${path}`)
  }

  const inventory = inventoryFile(cluster)
  const present = (await readInventory(inventory)).find(({ name }) => name === host.name)
  compare('inventory.yml', `ansible_host of ${host.name}`, present?.address, address)
  if (host.user !== undefined)
    compare('inventory.yml', `ansible_user of ${host.name}`, present?.user, host.user)
  const wanted = { ...values, ...(address === undefined ? {} : { ip_address: address }) }
  const config = readConfig(cluster.env)
  for (const [name, value] of Object.entries(wanted)) compare('.flux.env', name, config[name], value)
  if (address === undefined) {
    compare('.flux.env', 'ip_address', config.ip_address, undefined)
    lines.push(`write ${inventory} and ${cluster.env}, once the address is known`)
  } else {
    const text = readIfExists(inventory)
    write(inventory, text, await editInventory(text ?? '', { ...host, address }, inventory))
    const env = readIfExists(cluster.env)
    const example = () => readFileSync(join(ROOT, 'install', '.flux.env.example'), 'utf8')
    const news = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => config[name] !== value))
    write(
      cluster.env,
      env,
      env && Object.keys(news).length === 0 ? env : editConfig(env?.trim() ? env : example(), news),
    )
  }
  const kustomization = join(cluster.folder, 'kustomization.yaml')
  if (readIfExists(kustomization) === undefined)
    write(kustomization, undefined, readFileSync(join(ROOT, 'install', 'kustomization.yaml'), 'utf8'))
  for (const path of [cluster.folder, cluster.env])
    if (isOpen(path)) lines.push(`remove the permissions of other users on ${path}`)
  return { lines: [...lines, ...differences.map(line => `  ~ ${line}`)], differences, writes }
}

/** Executes a plan; every file whole or not at all. Returns the names of the files written. */
export function writeFolder(cluster: Cluster, plan: FolderPlan): string[] {
  privateFolder(cluster.folder)
  for (const { path, text } of plan.writes) writeFileAtomic(path, text)
  if (isOpen(cluster.env)) chmodSync(cluster.env, 0o600)
  return plan.writes.map(({ path }) => basename(path))
}

/** Whether users other than its owner have any permission. */
function isOpen(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0
}
