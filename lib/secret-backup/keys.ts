import type { AgeKeys } from '../age/age.ts'
import type { ageFlags } from '../age/flags.ts'
import type { Run } from '../script/run.ts'

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
