import { sshFlags } from '../../lib/ssh/flags.ts'

/** The flags of install-cluster. */
export const installFlags = {
  ...sshFlags,
  'k3s-version': {
    type: 'string',
    value: 'VERSION',
    help: 'another version of k3s than the pinned one, like v1.36.4+k3s1',
  },
  upload: { type: 'boolean', help: 'download here and upload, for a server that cannot reach the releases' },
  airgap: {
    type: 'string',
    value: 'DIR',
    help: 'take everything from this folder, also the images of k3s; nothing is downloaded',
  },
  mirror: {
    type: 'string',
    value: 'URL',
    help: 'download from a mirror instead: URL/github.com/PATH for https://github.com/PATH',
  },
  timeout: { type: 'string', value: 'TIME', help: 'how long each wait may take (default 15m)' },
} as const
