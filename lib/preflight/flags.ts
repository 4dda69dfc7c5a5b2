/** The flag of scripts that check what is around the cluster. */
export const surroundingsFlags = {
  'skip-preflight': {
    type: 'boolean',
    help: 'do not check DNS, ports, mail and backup storage first',
  },
} as const
