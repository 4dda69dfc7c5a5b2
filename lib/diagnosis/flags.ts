/** The flags of every script that makes a diagnosis. */
export const diagnosisFlags = {
  fix: {
    type: 'boolean',
    help: 'offer the remedies that a script can do, one by one, and watch what they do',
  },
  from: {
    type: 'string',
    value: 'FILE',
    help: 'judge a saved snapshot instead of the cluster; nothing is asked or changed',
  },
  save: { type: 'string', value: 'FILE', help: 'keep the snapshot in a file: it holds no secret' },
  timeout: { type: 'string', value: 'MINUTES', help: '--fix: how long a remedy may take (default 5)' },
} as const

/** Whether a run works on a file alone, for the frame. */
export const offline = (flags: { from?: string }): boolean => flags.from !== undefined
