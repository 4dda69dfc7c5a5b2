/**
 * Starts and stops the sandbox: a real Kubernetes control plane with the real Flux controllers, reachable from
 * this machine only, to try the toolkit on. With --server: real Debian servers, to practise what is done over SSH.
 *
 * Usage: npx tsx scripts/sandbox.ts up|down|status|reset [--server]
 * Needs: Linux, git, and for the first `up` Go, some GB of disk and up to an hour; with --server also root.
 * Safe to run again: yes. `up` starts what does not run; only `reset` destroys, and asks for the name.
 */

import { script } from '../lib/script/script.ts'
import { checkSandboxFlags, sandboxFlags } from '../test/bed/cluster/flags.ts'
import { layoutOf } from '../test/bed/cluster/layout.ts'

await script({
  name: 'sandbox',
  group: 'practise',
  summary:
    'Start and stop a real Kubernetes control plane with Flux, or servers, on this machine, to try the toolkit on.',
  args: {
    name: 'COMMAND',
    help: 'up (start it), down (stop it, keep its state), status, reset (remove its state)',
    min: 1,
    max: 1,
    choices: ['up', 'down', 'status', 'reset'],
  },
  flags: sandboxFlags,
  examples: [
    ['npx tsx scripts/sandbox.ts up', 'start it; the first time builds its programs'],
    ['npx tsx scripts/sandbox.ts up --worktree', 'serve files that are not committed yet'],
    [
      'npx tsx scripts/sandbox.ts up --certificates --loki',
      'with the real cert-manager and a stand-in for Loki',
    ],
    ['npx tsx scripts/sandbox.ts up --login', 'with single sign-on, to log in with a browser'],
    ['npx tsx scripts/sandbox.ts up --server', 'boot a Debian server to install a cluster on; as root'],
    ['npx tsx scripts/sandbox.ts status', 'show its processes, ports, memory and logs'],
    ['npx tsx scripts/sandbox.ts reset --confirm sandbox', 'remove everything, to start over'],
  ],
  cluster: 'none',
  changes: true,
  run: async run => {
    const { name } = layoutOf(run.flags.name ?? 'sandbox').cluster
    checkSandboxFlags(run)
    const commands = run.flags.server
      ? (await import('../test/bed/server/server-commands.ts')).serverCommands
      : (await import('../test/bed/cluster/cluster-commands.ts')).sandboxCommands
    await commands[run.args[0] as keyof typeof commands](run, name)
  },
})
