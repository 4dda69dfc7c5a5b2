/** The flag of scripts that check what is around the cluster. */
export const surroundingsFlags = {
  'skip-preflight': {
    type: 'boolean',
    help: 'do not check DNS, ports, mail and backup storage first',
  },
} as const

/** The flag of scripts that ask DNS. */
export const resolverFlag = {
  resolver: {
    type: 'string',
    value: 'IP',
    multiple: true,
    help: 'ask this DNS resolver instead of the usual ones (IP:PORT for another port); may be repeated',
  },
} as const

/** The flag of scripts that connect to the hosts of the platform. */
export const connectToFlag = {
  'connect-to': {
    type: 'string',
    value: 'IP[:PORT80[:PORT443]]',
    help: 'connect to this address instead of the one in DNS',
  },
} as const
