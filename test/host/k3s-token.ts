/** The part of `backup` that asks the server, without the backup before it: whether there is a token, and no token. */
import { script } from '../../lib/script/script.ts'
import { sshFlags } from '../../lib/ssh/flags.ts'
import { tokenOf } from '../../scripts/backup/secrets.ts'

await script({
  name: 'k3s-token',
  group: 'back up',
  summary: 'Ask the server of a cluster for the token of its k3s.',
  flags: sshFlags,
  examples: [],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const token = await tokenOf(run)
    run.log.print(token === undefined ? 'no token' : 'a token')
  },
})
