/**
 * Says why a host has no valid certificate, of all hosts or of one: issuer, cert-manager, Certificate → Request →
 * Order → Challenge, DNS, port 80, and the served against the stored certificate. It replaces the seven commands of the
 * docs' chapter "HTTPS Certificates", and the deletion of a challenge that they end with.
 *
 * Usage: npx tsx scripts/cert-debug.ts [HOST] [--fix]
 * Needs: a cluster folder with a kubeconfig. Changes nothing without --fix.
 * Safe to run again: it reads everything again, and retries nothing that counts against a rate limit.
 */
import { diagnosisFlags, offline } from '../lib/diagnosis/flags.ts'
import { connectToFlag, resolverFlag } from '../lib/preflight/flags.ts'
import { UsageError } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'

const flags = {
  ...diagnosisFlags,
  'skip-probes': {
    type: 'boolean',
    help: 'read the cluster alone: ask neither DNS nor ports',
    formerly: 'no-probes',
  },
  ...resolverFlag,
  ...connectToFlag,
} as const

await script({
  name: 'cert-debug',
  group: 'repair',
  summary: 'Say why a host has no valid certificate, and what to do about it; exit code 3 for findings.',
  args: { name: 'HOST', help: 'a host name, e.g. chat.oas.example.org; default: all hosts', max: 1 },
  flags,
  examples: [
    ['npx tsx scripts/cert-debug.ts', 'All hosts'],
    ['npx tsx scripts/cert-debug.ts chat.oas.example.org', 'One'],
    ['npx tsx scripts/cert-debug.ts chat.oas.example.org --fix', 'Apply the remedies, after a question each'],
    ['npx tsx scripts/cert-debug.ts --connect-to 203.0.113.7', 'Before DNS points to the server'],
    ['npx tsx scripts/cert-debug.ts --skip-probes', 'Check the cluster alone, without DNS and ports'],
    ["npx tsx scripts/cert-debug.ts --json | jq '.result.causes[].cause'", 'For other programs'],
  ],
  cluster: 'existing',
  offline,
  changes: true,
  async run(run) {
    const [given] = run.args
    const { resolver, 'connect-to': direct, 'skip-probes': skipProbes, from } = run.flags
    const asked = [...resolver, ...(direct === undefined ? [] : [direct])]
    if (asked.length > 0 && (skipProbes || from !== undefined))
      throw new UsageError(
        `${skipProbes ? '--skip-probes' : '--from'} probes no host`,
        'omit it, or --resolver and --connect-to',
      )
    const { parseHostName, parseConnectTo } = await import('../lib/preflight/host-name.ts')
    const host = given === undefined ? undefined : parseHostName(given)
    const connectTo = direct === undefined ? undefined : parseConnectTo(direct)
    const { parseResolver } = await import('../lib/preflight/dns.ts')
    const resolvers = resolver.length > 0 ? resolver.map(parseResolver) : undefined

    const engine = await import('../lib/diagnosis/session.ts')
    const { certificateCauses, hostsText, readerOf } = await import('./cert-debug/cert-debug.ts')
    const env = from === undefined ? run.cluster.env : undefined
    const read = readerOf({ host, probes: !skipProbes, resolvers, connectTo, env, signal: run.signal })
    const session = await engine.open(run)
    const snapshot = await engine.takeSnapshot(session, read)
    engine.keep(session, snapshot)

    const judged = (facts: typeof snapshot) => engine.judge(session, facts, certificateCauses(host))
    const present = (seen: ReturnType<typeof judged>) => {
      run.result = seen.diagnosis
      run.log.print(`${hostsText(host, seen.snapshot)}\n`)
      engine.show(seen.diagnosis, run.log)
    }
    const first = judged(snapshot)
    present(first)
    const last = await engine.offerRemedies(session, first, async () =>
      judged(await engine.takeSnapshot(session, read)),
    )
    if (last !== first) present(last)
    engine.conclude(last.diagnosis)
  },
})
