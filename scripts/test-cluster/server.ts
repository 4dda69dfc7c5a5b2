import { unitStates } from '../../lib/server/facts.ts'
import { linesOf, program, readFacts, type ValuesOf } from '../../lib/server/reader.ts'
import { connectServer, hostsOfCluster, type ServerRun } from '../../lib/server/server.ts'
import { lookAtServer } from '../../lib/server/server-checks.ts'
import { checkOf, failedCheck, passedCheck, skippedCheck, type TestCheck } from './checks.ts'

/** What a server is asked besides the facts of preflight. */
const ACCEPTANCE_FACTS = {
  units: unitStates(['k3s.service', 'k3s-agent.service']),
  /** The packages that an upgrade would replace, by the lists that the server has. */
  updates: program(['sh', '-c', 'LC_ALL=C apt-get -s -o Debug::NoLocking=1 upgrade'], answer =>
    linesOf(answer).flatMap(line => /^Inst (\S+)/.exec(line)?.[1] ?? []),
  ),
  reboot: program(['test', '-e', '/var/run/reboot-required'], ({ code }) => code === 0),
}

/** The server over SSH: k3s, and everything that preflight has to say. Skipped where no inventory names one. */
export async function serverTests(run: ServerRun): Promise<TestCheck[]> {
  const [target] = await hostsOfCluster(run.cluster, run.flags.hostname)
  if (!target) return [skippedCheck('host', 'server', 'clusters/NAME/inventory.yml names none')]
  const ssh = await connectServer(run, target)
  const { facts, findings } = await lookAtServer(ssh, run.cluster)
  const said = await readFacts(ssh, ACCEPTANCE_FACTS, {
    sudo: true,
    timeout: 30_000,
    title: 'reading from the server',
  })
  return [...unitChecks(said, facts.k3s), ...findingChecks(findings)]
}

/** What preflight found, each as a check. Its advice fails nothing, as in preflight: it is a note. Pure. */
export function findingChecks(findings: Awaited<ReturnType<typeof lookAtServer>>['findings']): TestCheck[] {
  const errors = findings.filter(({ severity }) => severity === 'error')
  const advice = findings.filter(({ severity }) => severity !== 'error').map(({ what }) => what)
  if (errors.length === 0) return [passedCheck('host', 'disk, memory, clock, kernel', advice.join('; '))]
  return errors.map(({ what, fix }) => failedCheck('host', what.split(/[,:] /)[0]!.slice(0, 60), what, fix))
}

/** The service of k3s, and pending updates. Pure. */
export function unitChecks(
  { units, updates, reboot }: ValuesOf<typeof ACCEPTANCE_FACTS>,
  k3s: string | undefined,
): TestCheck[] {
  const states = [...units.values()]
  const isActive = states.includes('active')
  const stopped = [
    k3s ? `k3s is ${states[0] ?? 'not a service of systemd'}` : 'k3s is not installed',
    k3s
      ? 'run npx tsx scripts/ssh.ts --sudo -- journalctl -u k3s -n 100'
      : 'run npx tsx scripts/install-cluster.ts',
  ] as const
  const behind = [
    `${updates.length} ${updates.length === 1 ? 'package has' : 'packages have'} an update: ${updates.slice(0, 5).join(', ')}`,
    'install them on the server: npx tsx scripts/ssh.ts --sudo opens a shell',
  ] as const
  return [
    checkOf('host', 'k3s', isActive && k3s ? undefined : stopped, k3s),
    checkOf('host', 'updates', updates.length > 0 ? behind : undefined, 'none pending'),
    checkOf(
      'host',
      'reboot',
      reboot
        ? [
            'an update waits for a reboot',
            'reboot the server at a quiet time: npx tsx scripts/ssh.ts --sudo opens a shell',
          ]
        : undefined,
      'none pending',
    ),
  ]
}
