import { surroundingsFlags } from '../../lib/preflight/flags.ts'

/** The flags of install-core. */
export const flags = {
  kubeconfig: {
    type: 'string',
    value: 'FILE',
    help: 'install on this existing cluster; the file is copied into the cluster folder',
  },
  set: {
    type: 'string',
    value: 'KEY=VALUE',
    multiple: true,
    help: 'set a key of .flux.env (not for passwords); may be repeated',
  },
  'flux-manifest': {
    type: 'string',
    value: 'FILE',
    help: "Flux's install.yaml, for a machine without internet",
  },
  ...surroundingsFlags,
  timeout: {
    type: 'string',
    value: 'TIME',
    help: 'how long to wait until all is ready (default 60m)',
  },
} as const

/** Real command lines of install-core, each with what it does. */
export const examples = [
  [
    'npx tsx scripts/install-core.ts --cluster oas.example.org --kubeconfig ~/k3s.yaml',
    'Install on an existing cluster; asks for missing settings',
  ],
  ['npx tsx scripts/install-core.ts --cluster sandbox --yes', 'Install on the sandbox without questions'],
  ['npx tsx scripts/install-core.ts --dry-run', 'Show the plan'],
] as const

/** What to do once the core is installed. */
export const nextSteps = [
  'npx tsx scripts/secrets.ts --show userbackend_admin_password   # the password of the user admin',
  'npx tsx scripts/install-app.ts                                 # install applications',
  'npx tsx scripts/status.ts                                      # everything on one screen',
]
