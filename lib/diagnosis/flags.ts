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
  output: {
    type: 'string',
    value: 'FILE',
    help: 'write the snapshot to a file: it holds no secret',
    formerly: 'save',
  },
  timeout: { type: 'string', value: 'TIME', help: '--fix: how long a remedy may take (default 5m)' },
} as const

/** Whether a run works on a file alone, for the frame. */
export const offline = (flags: { from?: string }): boolean => flags.from !== undefined
