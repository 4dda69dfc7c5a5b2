import { join } from 'node:path'
import { lookAtCertificates } from '../../lib/diagnosis/certificates/look.ts'
import { probeHosts } from '../../lib/diagnosis/certificates/probe.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { IGNORED_FILE, readIgnored } from '../../lib/diagnosis/ignore.ts'
import type { Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { APPS } from '../../lib/platform/apps.ts'
import { type Config, completeConfig, readConfig } from '../../lib/platform/config.ts'
import { secretValues } from '../../lib/platform/secrets.ts'
import { parseResolver } from '../../lib/preflight/dns.ts'
import { type ConnectTo, parseConnectTo } from '../../lib/preflight/host-name.ts'
import { coreHosts } from '../../lib/preflight/hosts.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { ServerRun } from '../../lib/server/server.ts'
import {
  attempt,
  failedCheck,
  passedCheck,
  skippedCheck,
  type TestCheck,
  type TestSection,
} from './checks.ts'
import { loginClients } from './clients.ts'
import { addressOf, askFront, hostChecks } from './hosts.ts'
import { loginChecks } from './login.ts'
import {
  backupTests,
  clientChecks,
  explainHosts,
  type Judged,
  judgeObjects,
  nodeChecks,
  objectChecks,
} from './objects.ts'
import { prometheusChecks } from './prometheus.ts'
import { serverTests } from './server.ts'

/** What is tested, and how it is reached. */
export interface TestOptions {
  wanted: readonly TestSection[]
  app?: string
  /** A platform that is only a domain name, maybe with a port; else the cluster of the run. */
  fqdn?: string
  resolver: readonly string[]
  connectTo?: string
}

/** One round of tests, and the cluster that was read for it. */
export interface Round {
  checks: TestCheck[]
  snapshot?: Snapshot
}

/** What all rounds share: the connection, and the addresses. Throws a UsageError for what was given wrongly. */
export async function openTest(run: ServerRun, options: TestOptions) {
  const connectTo = options.connectTo === undefined ? undefined : parseConnectTo(options.connectTo)
  const resolvers = options.resolver.length > 0 ? options.resolver.map(parseResolver) : undefined
  const { fqdn } = options
  if (fqdn !== undefined) {
    const config: Config = { domain: fqdn }
    return { kubectl: undefined, round: () => fromOutside(run, options, { config, connectTo, resolvers }) }
  }
  const config = completeConfig(readConfig(run.cluster.env))
  const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
  const ignored = await readIgnored(join(run.cluster.folder, IGNORED_FILE))
  return { kubectl, round }

  async function round(): Promise<Round> {
    const has = (section: TestSection) => options.wanted.includes(section)
    const { signal } = run
    let snapshot: Snapshot | undefined
    const reading = (async (): Promise<Judged> => {
      snapshot = has('certs')
        ? await lookAtCertificates(kubectl, {
            probes: true,
            resolvers,
            connectTo,
            env: run.cluster.env,
            signal,
          })
        : await gather(kubectl)
      const [gap] = snapshot.gaps
      if (gap)
        throw new ExpectedError(
          `${gap.what} could not be read: ${gap.why}`,
          'use the kubeconfig of the cluster administrator, then run it again',
        )
      return judgeObjects(snapshot, { app: options.app, ignored })
    })()
    reading.catch(() => {}) // told by each part that needs it
    const part = (section: TestSection, work: () => Promise<TestCheck[]>) =>
      has(section) ? attempt(section, work, signal) : []
    const checks = await Promise.all([
      part('certs', async () => {
        const judged = await reading
        const hosts = judged.index.snapshot.hosts ?? []
        const ours = options.app === undefined ? undefined : hostsOfApp(options.app, config)
        const facts = hosts.filter(({ host }) => ours === undefined || ours.includes(host))
        const found = await Promise.all(
          facts.map(async each => {
            const to = addressOf(each, connectTo)
            return hostChecks(each, to && (await askFront(each.host, to, signal)), Date.now())
          }),
        )
        return explainHosts(found.flat(), judged, options.app)
      }),
      part('app', async () => objectChecks(await reading, options.app)),
      part('prometheus', () => prometheusChecks(kubectl)),
      part('host', async () => nodeChecks(await reading)),
      part('host', () => serverTests(run)),
      part('login', async () => clientChecks(await reading)),
      part('login', () =>
        loginChecks({
          ...loginTargets(options, config, connectTo),
          signal,
          clients: loginClients(config).filter(({ app }) => options.app === undefined || app === options.app),
          async secretOf({ secret }) {
            const found = await kubectl.get({ apiVersion: 'v1', kind: 'Secret', ...secret })
            return found && secretValues(found).CLIENT_SECRET
          },
        }),
      ),
      part('login', () => mailChecks(config, signal)),
      part('backup', async () => backupTests(await reading)),
    ])
    return { checks: checks.flat(), snapshot }
  }
}

/** The hosts of an application; those of the core that are not of one stay out. */
function hostsOfApp(app: string, config: Config): string[] {
  return (APPS.find(({ name }) => name === app)?.hosts(config) ?? []).filter(Boolean)
}

/** The mail account, as the applications use it. */
async function mailChecks(config: Config, signal: AbortSignal): Promise<TestCheck[]> {
  if (config.outgoing_mail_enabled !== 'true')
    return [skippedCheck('login', 'mail account', 'not configured')]
  const { checkMail } = await import('../../lib/preflight/smtp.ts')
  const findings = (await checkMail(config, signal)).filter(({ severity }) => severity === 'error')
  return findings.length === 0
    ? [passedCheck('login', 'mail account', config.outgoing_mail_smtp_host)]
    : findings.map(({ what, fix }) => failedCheck('login', 'mail account', what, fix))
}

/** Where the hosts of the login are reached: where all are led to, else at their own names. */
function loginTargets({ fqdn }: TestOptions, config: Config, connectTo: ConnectTo | undefined) {
  return {
    domain: fqdn ?? config.domain ?? '',
    target: (url: URL) =>
      connectTo
        ? { address: connectTo.address, port: connectTo[url.protocol === 'http:' ? 'http' : 'https'] }
        : { address: url.hostname, port: Number(url.port) || (url.protocol === 'http:' ? 80 : 443) },
  }
}

/** The tests of a platform that is only a domain name. */
async function fromOutside(
  { signal }: Pick<ServerRun, 'signal'>,
  options: TestOptions,
  {
    config,
    connectTo,
    resolvers,
  }: { config: Config; connectTo: ConnectTo | undefined; resolvers: readonly string[] | undefined },
): Promise<Round> {
  const domain = (config.domain ?? '').split(':')[0]!
  const hosts = options.app === undefined ? coreHosts({ domain }) : hostsOfApp(options.app, { domain })
  const checks = await Promise.all([
    options.wanted.includes('certs')
      ? attempt(
          'certs',
          async () => {
            const facts = await probeHosts(hosts, [], { expected: [], resolvers, connectTo, signal })
            const found = facts.map(async each => {
              const to = addressOf(each, connectTo)
              return hostChecks(each, to && (await askFront(each.host, to, signal)), Date.now())
            })
            return (await Promise.all(found)).flat()
          },
          signal,
        )
      : [],
    options.wanted.includes('login')
      ? attempt(
          'login',
          () =>
            loginChecks({
              ...loginTargets(options, config, connectTo),
              signal,
              clients: loginClients(config).filter(({ app }) => app === options.app),
            }),
          signal,
        )
      : [],
  ])
  return { checks: checks.flat() }
}
