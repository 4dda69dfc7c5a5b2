import type { FlagSpecs } from '../script/flags.ts'

/** Flags of every script that connects to a server. */
export const sshFlags = {
  'accept-new-host-key': {
    type: 'boolean',
    help: 'trust the key of a server that is not in known_hosts yet, and remember it',
  },
  hostname: { type: 'string', value: 'NAME', help: 'which server, when the inventory has several' },
} satisfies FlagSpecs
