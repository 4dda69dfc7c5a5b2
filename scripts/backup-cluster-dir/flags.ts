import { ageFlags } from '../../lib/age/flags.ts'
import type { FlagSpecs } from '../../lib/script/flags.ts'
import type { Run } from '../../lib/script/run.ts'
import { sshFlags } from '../../lib/ssh/flags.ts'

/** Flags of backup-cluster-dir. */
export const archiveFlags = {
  ...ageFlags,
  remember: {
    type: 'boolean',
    help: 'encrypt to these recipients from now on, when none are given (backup-recipients.txt)',
  },
  'new-identity': {
    type: 'string',
    value: 'FILE',
    help: 'make a new age identity, write it to FILE, and encrypt to it',
  },
  'skip-server': {
    type: 'boolean',
    help: 'the cluster folder alone, without the state of k3s',
    formerly: 'no-server',
  },
  output: {
    type: 'string',
    value: 'DIR',
    help: 'where to put the archive (clusters/NAME/backups)',
    formerly: 'to',
  },
  list: { type: 'boolean', help: 'list the archives' },
  verify: { type: 'string', value: 'FILE', help: 'decrypt this archive and compare all of it, nothing else' },
  restore: { type: 'string', value: 'FILE', help: 'restore the cluster folder from this archive' },
  server: { type: 'boolean', help: 'with --restore: the state of k3s on the server instead of the folder' },
  confirm: {
    type: 'string',
    value: 'NAME',
    help: 'with --server: the name of the cluster, instead of typing it',
  },
  ...sshFlags,
} satisfies FlagSpecs

/** A run of backup-cluster-dir. */
export type ArchiveRun = Run<typeof archiveFlags>
