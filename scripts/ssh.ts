/**
 * Opens a shell on the server of a cluster, or runs one command on it. It replaces the docs' `ssh root@SERVER`
 * with an address looked up by hand.
 *
 * Usage: npx tsx scripts/ssh.ts [-- COMMAND…]
 * Needs: clusters/NAME/inventory.yml (create-cluster), a key that the server accepts.
 * Changes nothing by itself; a host key that you accept is added to known_hosts.
 */
import { timeoutOf } from '../lib/script/duration.ts'
import { ExpectedError, UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { sshFlags } from '../lib/ssh/flags.ts'
import type { Ssh } from '../lib/ssh/ssh.ts'

await script({
  name: 'ssh',
  group: 'watch',
  summary:
    'Open a shell on the server of a cluster, or run a command on it; a failing command gives exit code 1.',
  args: {
    name: '-- COMMAND…',
    help: 'a program and its arguments, each of which arrives as it is; for a pipe: -- sh -c "…"',
  },
  flags: {
    ...sshFlags,
    sudo: { type: 'boolean', help: 'run COMMAND as root (password: OAS_SUDO_PASSWORD, or asked for)' },
    timeout: { type: 'string', value: 'TIME', help: 'end COMMAND after this time (no limit by default)' },
  },
  examples: [
    ['npx tsx scripts/ssh.ts', 'Open a shell on the only server'],
    ['npx tsx scripts/ssh.ts --cluster oas.example.org -- df -h /', 'Run one command'],
    ['npx tsx scripts/ssh.ts --sudo -- journalctl -u k3s -n 50', 'Run it as root'],
    ["npx tsx scripts/ssh.ts --json -- uptime | jq -r '.result.stdout'", 'For other programs'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const timeout = timeoutOf(run.flags.timeout, 0)
    const [program, ...args] = run.args
    if (program === undefined && (run.flags.sudo || run.flags.json || timeout > 0))
      throw new UsageError(
        '--sudo, --json and --timeout are for a COMMAND, and none is given',
        'give one after --: npx tsx scripts/ssh.ts --sudo -- id',
      )
    // Here, so that `--help` need not wait for them.
    const { failed } = await import('../lib/ssh/ssh.ts')
    const { connectServer, verifyServer } = await import('../lib/server/server.ts')
    if (program === undefined) {
      await shell(await verifyServer(run))
      return
    }
    const ssh = await connectServer(run)
    const command = [program, ...args] as const
    const options = {
      sudo: run.flags.sudo,
      timeout,
      input: process.stdin.isTTY ? '' : process.stdin,
      ...(run.flags.json ? {} : { stdout: process.stdout, stderr: process.stderr }),
    }
    const result = await ssh.exec(command, options)
    const stderr = result.stderr.toString()
    run.result = {
      server: ssh.name,
      code: result.code,
      signal: result.signal,
      stdout: result.stdout.toString(),
      stderr,
    }
    if (result.code !== 0) throw failed(ssh.name, command, {}, result)
  },
})

/** Gives the terminal to the local ssh program until the shell ends. A failed last command in it is not a failure. */
async function shell(ssh: Ssh): Promise<void> {
  const { showLocal } = await import('../lib/script/programs.ts')
  const ended = await showLocal(ssh.shellCommand(), { on: 'terminal', timeout: 0 })
  if (!ended)
    throw new ExpectedError(
      'the program ssh is not installed here, and an interactive shell needs it',
      'install it (Debian: apt-get install openssh-client), or give a command after --',
    )
  // 255 is ssh's own; any other code comes from the shell.
  if (ended.exitCode === 255)
    throw new ExpectedError('ssh failed', 'see its message above; `ssh -v` says more')
}
