import { DOWNLOADS, filesOf, K3S, SAVED } from '../../lib/k3s/k3s.ts'
import type { Artifact } from '../../lib/k3s/releases.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'
import { quote } from '../../lib/script/quote.ts'
import { fileTime } from '../../lib/script/timestamp.ts'
import { until } from '../../lib/script/wait.ts'
import { unitStates } from '../../lib/server/facts.ts'
import { NODE_SIGNS, nodesNotReady, serviceStart } from '../../lib/server/nodes.ts'
import { program, readFacts, type ValuesOf, wholeNumber } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { installerVariables } from './config.ts'
import { downloadOf, type VerifiableArtifact } from './downloads.ts'
import type { HostPlan } from './plan.ts'

/** What a wait is limited by. */
export interface Limits {
  /** Milliseconds. */
  deadline: number
  signal: AbortSignal
  log: Pick<Log, 'progress' | 'info'>
}

/** Under this name systemd runs the installer: a cut connection does not end it, and the next run finds it. */
export const INSTALLER_UNIT = 'openappstack-install-k3s.service'
const RUNNER = `${DOWNLOADS}/install-k3s.sh`

/**
 * What runs on the server as one piece, whether we are still connected or not. Before it: variables of the
 * installer, then `set -- ` with service, binary, its checksum, folder to save to, installer, and flags to keep.
 * Until the new binary is in place, the old k3s comes back whatever fails.
 */
const RUN = `
set -eu
umask 022
service=$1 binary=$2 sum=$3 save=$4 installer=$5
shift 5
is() { [ "$(sha256sum < "$1" | cut -c1-64)" = "$2" ]; }
if [ -n "$save" ]; then
  part=\${save%/*}/.part
  trap 'rm -rf -- "$part"; systemctl start --no-block "$service"' EXIT
  trap 'exit 1' HUP INT TERM
  install -d -m 0700 -- "\${save%/*}"
  rm -rf -- "$part"
  mkdir -m 0700 -- "$part"
  systemctl stop "$service"
  cp -a -- ${K3S.datastore} ${K3S.token} "$part/"
  cp -a -- ${K3S.config} "$part/" 2> /dev/null || true
  ${K3S.binary} --version > "$part/version" 2> /dev/null || true
  diff -r -- ${K3S.datastore} "$part/db"
  cmp -- ${K3S.token} "$part/token"
  sync
  mv -T -- "$part" "$save"
fi
if [ -n "$binary" ] && ! is ${K3S.binary} "$sum" 2> /dev/null; then
  cp -- "$binary" ${K3S.binary}.part
  chmod 0755 ${K3S.binary}.part
  is ${K3S.binary}.part "$sum"
  sync -- ${K3S.binary}.part
  mv -T -- ${K3S.binary}.part ${K3S.binary}
fi
trap - EXIT
sh "$installer" "$@"
`

/** The text of that script for a plan. Values are quoted; variables stay in a file that only root reads. Pure. */
export function runnerText(
  plan: HostPlan,
  artifacts: { k3s: VerifiableArtifact; installer: Artifact },
  savedTo: string,
): string {
  const variables = { ...plan.variables, ...installerVariables(plan.role, plan.version) }
  const args = [
    filesOf(plan.role).service,
    plan.binary ? downloadOf(artifacts.k3s) : '',
    artifacts.k3s.sha256,
    plan.save ? savedTo : '',
    downloadOf(artifacts.installer),
    ...plan.args,
  ]
  return [
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`),
    `set -- ${args.map(arg => quote(arg)).join(' ')}`,
    RUN,
  ].join('\n')
}

/** Where the datastore is saved to before an upgrade: a folder of its own for every time. Pure. */
export function savedFolder(version: string | undefined, now: Date): string {
  return `${SAVED}/k3s-${fileTime(now)}-${version ?? 'unknown'}`
}

/**
 * Saves the datastore where the plan says so, puts the binary in place and runs the official installer. Resolves
 * when the installer has ended well. Throws an ExpectedError with what k3s says when it does not start.
 */
export async function runInstaller(
  ssh: Ssh,
  plan: HostPlan,
  artifacts: { k3s: VerifiableArtifact; installer: Artifact },
  savedTo: string,
  limits: Limits,
): Promise<void> {
  await ssh.upload(runnerText(plan, artifacts, savedTo), RUNNER, { mode: 0o600, sudo: true })
  await clearInstaller(ssh)
  await ssh.run(['systemd-run', `--unit=${INSTALLER_UNIT}`, '--property=RemainAfterExit=yes', 'sh', RUNNER], {
    sudo: true,
  })
  await finishInstaller(ssh, plan.role, limits)
}

/** Whether an installer is at work on the server, of this run or of one that was cut off. */
export async function installerState(ssh: Ssh): Promise<'absent' | 'running' | 'done' | 'failed'> {
  const { stdout } = await ssh.exec(
    ['systemctl', 'show', '--property=LoadState,ActiveState,SubState', INSTALLER_UNIT],
    { sudo: true },
  )
  const property = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout.toString())?.[1]
  if (property('LoadState') !== 'loaded') return 'absent'
  if (property('ActiveState') === 'failed') return 'failed'
  if (property('SubState') === 'exited') return 'done'
  return property('ActiveState') === 'inactive' ? 'absent' : 'running'
}

/** Waits until the installer has ended, and clears its unit away. */
export async function finishInstaller(ssh: Ssh, role: HostPlan['role'], limits: Limits): Promise<void> {
  const { service } = filesOf(role)
  const ended = await until(
    async () => {
      const state = await installerState(ssh)
      if (state !== 'running') return { done: state }
      const said = await journal(ssh, INSTALLER_UNIT, 1)
      limits.log.progress(`  ${said.at(-1) ?? 'the installer is at work'}`)
      return { last: said.at(-1) ?? 'nothing' }
    },
    {
      ...limits,
      every: 1000,
      describe: last => `the installer is at work: ${last}`,
      fix: `it goes on by itself; follow it with: journalctl -u ${INSTALLER_UNIT} -u ${service}; then run the same command again`,
    },
  )
  if (ended !== 'failed') return clearInstaller(ssh)
  const lines = [...(await journal(ssh, INSTALLER_UNIT, 8)), ...(await journal(ssh, service, 12))]
  await clearInstaller(ssh)
  throw failure(`k3s could not be installed on ${ssh.name}`, service, lines, limits.log)
}

/** Forgets an installer that has ended; one that is at work is never touched. */
export async function clearInstaller(ssh: Ssh): Promise<void> {
  const script = `
systemctl reset-failed "$1" 2> /dev/null
[ "$(systemctl show --property=SubState --value "$1")" = running ] || systemctl stop "$1" 2> /dev/null
exit 0
`
  await ssh.sh(script, [INSTALLER_UNIT], { sudo: true, title: 'clearing the installer away' })
}

/** The last lines that a service wrote. */
async function journal(ssh: Ssh, unit: string, lines: number): Promise<string[]> {
  const { stdout } = await ssh.exec(
    ['journalctl', '--no-pager', '--output=cat', `--lines=${lines}`, '--unit', unit],
    { sudo: true },
  )
  return stdout.toString().trim().split('\n').filter(Boolean)
}

function failure(what: string, service: string, lines: readonly string[], log: Limits['log']): ExpectedError {
  for (const line of lines) log.info(`  ${line}`)
  // systemd's own lines follow the one that tells why.
  const why =
    lines.findLast(line => /fatal|not defined|panic|No space left/i.test(line)) ??
    lines.findLast(
      line => /error|fail/i.test(line) && !/^(\S+\.service:|Failed to start|Job for|See )/.test(line),
    ) ??
    lines.at(-1) ??
    'it said nothing'
  return new ExpectedError(
    `${what}: ${why.trim().slice(0, 400)}`,
    /No space left/i.test(why)
      ? 'free some disk space on the server (df -h), then run the same command again'
      : `correct what its journal says (journalctl -u ${service}), then run the same command again`,
  )
}

/** What tells whether a service starts. */
const serviceSigns = (service: string) => ({
  states: unitStates([service]),
  restarts: program(
    ['systemctl', 'show', '--property=NRestarts', '--value', service],
    ({ text }) => wholeNumber(text) ?? 0,
  ),
  started: serviceStart(service),
})

/** What the API server tells of nodes, and whether it is ready itself. */
const API_SIGNS = {
  api: program(
    ['timeout', '30', K3S.binary, 'kubectl', 'get', '--raw=/readyz', '--request-timeout=10s'],
    ({ text }) => text.trim() === 'ok',
  ),
  leases: NODE_SIGNS.leases,
  nodes: NODE_SIGNS.nodes,
}

/**
 * Waits until a node is Ready, as the API server on `server` tells it, in this version, and by the kubelet that
 * runs now: what the one before has said is still there after a restart. Ends early when k3s gives up on `ssh`.
 */
export async function waitForNode(server: Ssh, ssh: Ssh, plan: HostPlan, limits: Limits): Promise<string> {
  const { service } = filesOf(plan.role)
  const look = () =>
    readFacts(ssh, serviceSigns(service), { sudo: true, title: `reading the state of ${service}` })
  const first = (await look()).restarts
  return until(
    async (): Promise<{ done: string } | { last: string }> => {
      const { states, restarts, started } = await look()
      if (states.get(service) === 'failed' || restarts - first >= 3)
        throw failure(
          `k3s does not start on ${ssh.name}`,
          service,
          await journal(ssh, service, 12),
          limits.log,
        )
      const signs = await readFacts(server, API_SIGNS, { sudo: true, title: 'reading the nodes' })
      const last = readiness({ ...signs, started }, plan)
      if (last.startsWith('Ready')) return { done: last }
      limits.log.progress(`  ${last}`)
      return { last }
    },
    {
      ...limits,
      every: 1000,
      describe: last => last ?? `node ${plan.node} did not become Ready`,
      fix: `look at what k3s says: journalctl -u ${service}; then run the same command again`,
    },
  )
}

/** `Ready, v1.36.4+k3s1`, or why a node is not. `started` is when k3s was started on its host. Pure. */
export function readiness(
  { api, ...signs }: ValuesOf<typeof API_SIGNS & typeof NODE_SIGNS>,
  { node, version }: { node: string; version: string },
): string {
  if (signs.started === undefined) return `k3s does not run on the host of node ${node}`
  if (!api) return 'the API server is not ready'
  const [problem] = nodesNotReady(signs, [node])
  if (problem) return problem
  const kubelet = signs.nodes?.find(({ name }) => name === node)?.version
  return kubelet === version ? `Ready, ${version}` : `the kubelet of node ${node} is still ${kubelet}`
}
