import type { FlagSpecs } from '../../lib/script/flags.ts'
import { sshFlags } from '../../lib/ssh/flags.ts'

/** The flags of migrate-data. */
export const migrateFlags = {
  ...sshFlags,
  'old-kubeconfig': {
    type: 'string',
    value: 'FILE',
    help: 'ask the old cluster, while it still lives',
    formerly: 'from-kubeconfig',
  },
  output: {
    formerly: 'save-map',
    type: 'string',
    value: 'FILE',
    help: 'write down the volumes of the old cluster, for when it is gone, and do nothing else',
  },
  from: {
    formerly: 'from-map',
    type: 'string',
    value: 'FILE',
    help: 'the file that --output has written',
  },
  'old-folder': {
    formerly: 'from-folder',
    type: 'string',
    value: 'DIR',
    help: 'the folder on the new server that the old volumes were uploaded to',
  },
  match: {
    type: 'string',
    value: 'OLD=NEW',
    multiple: true,
    help: 'this old volume (folder, or NAMESPACE/CLAIM) is for that new one (NAMESPACE/CLAIM); several times',
  },
  skip: {
    formerly: 'leave',
    type: 'string',
    value: 'OLD',
    multiple: true,
    help: 'leave this old volume out; several times',
  },
  'skip-rest': {
    type: 'boolean',
    help: 'leave out every old volume whose match is not sure',
    formerly: 'leave-rest',
  },
  'scale-down': { type: 'boolean', help: 'scale to 0 what uses the new volumes, and back afterwards' },
  'skip-proof': { type: 'boolean', help: 'fill volumes of which no proved backup has the present data' },
  checksums: { type: 'boolean', help: 'also compare the content of every file; takes as long as copying' },
  print: { type: 'boolean', help: 'print the commands for doing it by hand, and change nothing' },
} satisfies FlagSpecs
