import type { FlagSpecs } from '../script/flags.ts'

/** Flags of every script that encrypts or decrypts with age. */
export const ageFlags = {
  recipient: {
    type: 'string',
    value: 'AGE1…|FILE',
    multiple: true,
    help: 'encrypt to this age recipient, or to those in a file; may be given several times',
  },
  passphrase: {
    type: 'boolean',
    help: 'encrypt with a passphrase instead (OAS_AGE_PASSPHRASE, or asked for twice)',
  },
  identity: {
    type: 'string',
    value: 'FILE',
    multiple: true,
    help: 'decrypt with the age identities in this file; may be given several times',
  },
} satisfies FlagSpecs
