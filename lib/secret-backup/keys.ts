import type { AgeKeys, Recipients } from '../age/age.ts'
import type { ageFlags } from '../age/flags.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import type { Run } from '../script/run.ts'
import { type Backup, readBackup, readManifest } from './files.ts'

/** A run of a script that takes the flags of age. */
export type AgeRun = Pick<Run<typeof ageFlags>, 'flags' | 'log'>

/** With what a backup is to be encrypted; undefined when no flag says so: then it is a plain one. */
export async function recipientsFor(run: AgeRun): Promise<Recipients | undefined> {
  if (!run.flags.passphrase && run.flags.recipient.length === 0) return undefined
  const { recipientsOf } = await import('../age/keys.ts')
  return recipientsOf(run.flags)
}

/** What opens a plain backup: nothing is needed. */
export const NO_KEYS: AgeKeys = { identities: [], passphrase: async () => '' }

/** What opens a backup. Age is loaded only where it is needed. */
export function keysFor(
  run: Pick<Run<Pick<typeof ageFlags, 'identity'>>, 'flags' | 'log'>,
): Promise<AgeKeys> {
  const keys = async () => (await import('../age/keys.ts')).ageKeysOf(run.flags, run.log)
  if (run.flags.identity.length > 0) return keys()
  return Promise.resolve({ ...NO_KEYS, passphrase: async () => (await keys()).passphrase() })
}

/**
 * A backup as it lies on the disk, opened again with what it was encrypted with. That is not possible with
 * recipients alone: then only its checksum is read again, and the Secrets are those that were encrypted.
 */
export async function readAgain(
  run: AgeRun,
  folder: string,
  to: Recipients | undefined,
  secrets: KubeObject[],
): Promise<Pick<Backup, 'manifest' | 'secrets'>> {
  if (!to || run.flags.identity.length > 0) return readBackup(folder, await keysFor(run))
  if ('passphrase' in to) return readBackup(folder, { identities: [], passphrase: async () => to.passphrase })
  run.log.info('without --identity it cannot be opened again: its checksum is, and what was encrypted')
  return { ...readManifest(folder), secrets }
}
