import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { throwAll, UsageError } from '../../../lib/script/errors.ts'
import type { Run } from '../../../lib/script/run.ts'

/** The flags of scripts/sandbox.ts. */
export const sandboxFlags = {
  name: { type: 'string', value: 'NAME', help: 'the name of its cluster folder (default: sandbox)' },
  server: {
    type: 'boolean',
    help: 'a Debian server to practise on (systemd, sshd) instead of the control plane; needs root',
  },
  online: {
    type: 'boolean',
    help: 'up --server: with the internet, through this machine, and without stand-ins; stays on',
  },
  'name-server': {
    type: 'string',
    value: 'ADDRESS',
    help: 'up --online: who answers for names, instead of the name servers of this machine',
  },
  count: { type: 'string', value: 'N', help: 'up --server: how many servers (default 1)' },
  worktree: { type: 'boolean', help: 'up: serve the files as they are instead of the last commit' },
  'bin-dir': { type: 'string', value: 'DIR', help: 'up: use the programs in this folder; nothing is built' },
  charts: {
    type: 'string',
    value: 'DIR',
    help: 'up: serve the chart archives (*.tgz) in this folder instead of the stand-ins',
  },
  'charts-mirror': { type: 'string', value: 'URL', help: 'up: take charts from this Helm repository' },
  certificates: {
    type: 'boolean',
    help: 'up: also run the real cert-manager and an ACME server that issues certificates; stays on',
  },
  loki: { type: 'boolean', help: 'up: also run a stand-in for Loki, which `logs` reads; stays on' },
  login: {
    type: 'boolean',
    help: 'up: also run single sign-on: hydra, kratos, the user panel and stand-in applications; stays on',
  },
  audit: { type: 'boolean', help: "up: write the API server's audit log to the folder of logs; stays on" },
  confirm: { type: 'string', value: 'NAME', help: 'reset: the name of the sandbox, instead of typing it' },
} as const

/** A run of scripts/sandbox.ts. */
export type SandboxRun = Run<typeof sandboxFlags>

/** Additional parts of a sandbox; servers do not have them. */
const EXTRAS = ['certificates', 'loki', 'login', 'audit'] as const
/** The flags that one command alone takes. */
const ONLY = {
  up: ['worktree', 'bin-dir', 'charts', 'charts-mirror', 'count', 'online', 'name-server', ...EXTRAS],
  reset: ['confirm'],
} as const
/** More than these have no address: 10.77.0.2 to .9. */
export const MOST_SERVERS = 8

/** Throws everything that is wrong with the flags, before anything is done. */
export function checkSandboxFlags({ args: [command], flags }: SandboxRun): void {
  const problems: UsageError[] = []
  for (const [owner, names] of Object.entries(ONLY))
    for (const name of names)
      if (flags[name] && command !== owner)
        problems.push(
          new UsageError(`--${name} belongs to \`${owner}\`, not to \`${command}\``, `omit --${name}`),
        )
  for (const name of ['bin-dir', 'charts'] as const)
    if (flags[name] && !statSync(flags[name], { throwIfNoEntry: false })?.isDirectory())
      problems.push(new UsageError(`--${name}: ${flags[name]} is not a folder`, 'give the path of a folder'))
  const mirror = flags['charts-mirror']
  if (mirror !== undefined && !(/^https?:/.test(mirror) && URL.canParse(mirror)))
    problems.push(
      new UsageError(
        '--charts-mirror is not an http or https URL',
        'give one like https://charts.example.org',
      ),
    )
  if (flags.charts !== undefined && mirror !== undefined)
    problems.push(new UsageError('--charts and --charts-mirror exclude each other', 'give one of them'))
  if (flags.server && mirror !== undefined)
    problems.push(
      new UsageError(
        '--charts-mirror does not work with --server: you configure its cluster yourself',
        'write charts_mirror=URL into the .flux.env of your cluster',
      ),
    )
  if (flags.online && !flags.server)
    problems.push(new UsageError('--online needs --server', 'add --server, or omit --online'))
  for (const name of ['charts', 'bin-dir'] as const)
    if (flags.online && flags[name] !== undefined)
      problems.push(
        new UsageError(`--${name} does not work with --online, which offers no stand-ins`, `omit --${name}`),
      )
  const nameServer = flags['name-server']
  if (nameServer !== undefined && (!flags.online || isIP(nameServer) === 0))
    problems.push(
      new UsageError(
        '--name-server needs --online and an IP address',
        'give one like 192.168.1.1, or omit it',
      ),
    )
  if (flags.count !== undefined && !flags.server)
    problems.push(new UsageError('--count needs --server', 'add --server, or omit --count'))
  if (
    flags.count !== undefined &&
    !(/^\d$/.test(flags.count) && Number(flags.count) >= 1 && Number(flags.count) <= MOST_SERVERS)
  )
    problems.push(
      new UsageError(
        `--count ${JSON.stringify(flags.count)} is not a valid number of servers`,
        `give 1 to ${MOST_SERVERS}`,
      ),
    )
  for (const name of EXTRAS)
    if (flags.server && flags[name])
      problems.push(new UsageError(`--${name} does not work with --server`, `omit --${name}`))
  throwAll(problems)
}

/** ` --name NAME`, for a command line that is shown, where the sandbox has another name than the usual one. */
export function named(name: string): string {
  return name === 'sandbox' ? '' : ` --name ${name}`
}
