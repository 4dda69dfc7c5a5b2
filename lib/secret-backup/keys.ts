import type { AgeKeys, Recipients } from '../age/age.ts'
import type { ageFlags } from '../age/flags.ts'
import type { KubeObject } from '../kubectl/kubectl.ts'
import type { Run } from '../script/run.ts'
import { type Backup, readBackup, readManifest } from './files.ts'

/** A run of a script that takes the flags of age. */
export type AgeRun = Pick<Run<typeof ageFlags>, 'flags' | 'log'>

/** The recipients of an encrypted backup; undefined for a plain one, without the flags of age. */
export async function recipientsFor(run: AgeRun): Promise<Recipients | undefined> {
  if (!run.flags.passphrase && run.flags.recipient.length === 0) return undefined
  const { recipientsOf } = await import('../age/keys.ts')
  return recipientsOf(run.flags)
}

/** The keys of a plain backup: none. */
export const NO_KEYS: AgeKeys = { identities: [], passphrase: async () => '' }

/** The keys of a backup. Age is loaded only when it is needed. */
export function keysFor(
  run: Pick<Run<Pick<typeof ageFlags, 'identity'>>, 'flags' | 'log'>,
): Promise<AgeKeys> {
  const keys = async () => (await import('../age/keys.ts')).ageKeysOf(run.flags, run.log)
  if (run.flags.identity.length > 0) return keys()
  return Promise.resolve({ ...NO_KEYS, passphrase: async () => (await keys()).passphrase() })
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
