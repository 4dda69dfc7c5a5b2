import type { HostFacts } from '../../lib/diagnosis/certificates/host-facts.ts'
import { lookAtCertificates } from '../../lib/diagnosis/certificates/look.ts'
import { probeHosts } from '../../lib/diagnosis/certificates/probe.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { readKnown } from '../../lib/diagnosis/known.ts'
import { gapError, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { APPS } from '../../lib/platform/apps.ts'
import { type Config, completeConfig, readConfig } from '../../lib/platform/config.ts'
import { secretValues } from '../../lib/platform/secrets.ts'
import { parseResolver } from '../../lib/preflight/dns.ts'
import { type ConnectTo, parseConnectTo } from '../../lib/preflight/host-name.ts'
import { coreHosts } from '../../lib/preflight/hosts.ts'
import type { ServerRun } from '../../lib/server/server.ts'
import { failedCheck, passedCheck, skippedCheck, type TestCheck, type TestSection } from './checks.ts'
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

/** A part of a test: its section, and what makes its checks. */
export type TestPart = readonly [section: TestSection, work: () => Promise<TestCheck[]>]

/** One look at a platform: the parts that judge it, and the cluster that was read for them all, where it could be. */
export interface TestLook {
  parts: readonly TestPart[]
  snapshot: Promise<Snapshot | undefined>
}

/** What all rounds share: the connection, and the addresses. Throws a UsageError for what was given wrongly. */
export async function openTest(
  run: ServerRun,
  options: TestOptions,
): Promise<{ kubectl?: Kubectl; look: () => TestLook }> {
  const { app, fqdn } = options
  const connectTo = options.connectTo === undefined ? undefined : parseConnectTo(options.connectTo)
  const resolvers = options.resolver.length > 0 ? options.resolver.map(parseResolver) : undefined
  const reached = { connectTo, resolvers, signal: run.signal }
  if (fqdn !== undefined) {
    const parts = outsideParts(fqdn, app, reached)
    return { look: () => ({ parts, snapshot: Promise.resolve(undefined) }) }
  }
  const config = completeConfig(readConfig(run.cluster.env))
  const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
  const known = await readKnown(run)
  const read = () =>
    options.wanted.includes('certs')
      ? lookAtCertificates(kubectl, { probes: true, env: run.cluster.env, gather: known, ...reached })
      : gather(kubectl, known)
  return {
    kubectl,
    look() {
      const reading = read()
      const judging = reading.then(snapshot => {
        const [gap] = snapshot.gaps
        if (gap) throw gapError(gap)
        return judgeObjects(snapshot, { app, ignored: known.ignored })
      })
      judging.catch(() => {}) // told by each part that needs it
      return {
        parts: clusterParts(run, kubectl, judging, { app, config, ...reached }),
        snapshot: reading.catch(() => undefined),
      }
    },
  }
}

/** How hosts are reached. */
interface Reached {
  connectTo: ConnectTo | undefined
  resolvers: readonly string[] | undefined
  signal: AbortSignal
}

/** The parts of a test of a cluster. */
function clusterParts(
  run: ServerRun,
  kubectl: Kubectl,
  judging: Promise<Judged>,
  { app, config, ...reached }: Reached & { app: string | undefined; config: Config },
): readonly TestPart[] {
  return [
    ['certs', async () => certificateTests(await judging, app, config, reached)],
    ['app', async () => objectChecks(await judging, app)],
    ['prometheus', () => prometheusChecks(kubectl)],
    ['host', async () => nodeChecks(await judging)],
    ['host', () => serverTests(run)],
    ['login', async () => clientChecks(await judging)],
    ['login', () => loginTests(kubectl, app, config, reached)],
    ['login', () => mailChecks(config, reached.signal)],
    ['backup', async () => backupTests(await judging)],
  ]
}

/** The parts of a test of a platform that is only a domain name, maybe with a port. */
function outsideParts(fqdn: string, app: string | undefined, reached: Reached): readonly TestPart[] {
  const config: Config = { domain: fqdn.split(':')[0]! }
  const hosts = app === undefined ? coreHosts({ domain: config.domain! }) : hostsOfApp(app, config)
  return [
    ['certs', async () => hostTests(await probeHosts(hosts, [], { expected: [], ...reached }), reached)],
    [
      'login',
      () =>
        loginChecks({
          ...loginTargets(fqdn, reached),
          clients: loginClients({ domain: fqdn }).filter(client => client.app === app),
        }),
    ],
  ]
}

/** What hosts show from outside. */
async function hostTests(
  facts: readonly HostFacts[],
  { connectTo, signal }: Pick<Reached, 'connectTo' | 'signal'>,
): Promise<TestCheck[]> {
  const found = facts.map(async each => {
    const to = addressOf(each, connectTo)
    return hostChecks(each, to && (await askFront(each.host, to, signal)), Date.now())
  })
  return (await Promise.all(found)).flat()
}

/** What the hosts of a cluster show from outside, with what the diagnosis knows of them. */
async function certificateTests(
  judged: Judged,
  app: string | undefined,
  config: Config,
  reached: Reached,
): Promise<TestCheck[]> {
  const ours = app === undefined ? undefined : hostsOfApp(app, config)
  const facts = (judged.index.snapshot.hosts ?? []).filter(({ host }) => ours?.includes(host) ?? true)
  return explainHosts(await hostTests(facts, reached), judged, app)
}

/** The login of people, and every client with its secret. */
function loginTests(
  kubectl: Kubectl,
  app: string | undefined,
  config: Config,
  reached: Reached,
): Promise<TestCheck[]> {
  return loginChecks({
    ...loginTargets(config.domain ?? '', reached),
    clients: loginClients(config).filter(client => app === undefined || client.app === app),
    async secretOf({ secret }) {
      const found = await kubectl.get({ apiVersion: 'v1', kind: 'Secret', ...secret })
      return found && secretValues(found).CLIENT_SECRET
    },
  })
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
function loginTargets(domain: string, { connectTo, signal }: Pick<Reached, 'connectTo' | 'signal'>) {
  return {
    domain,
    signal,
    target: (url: URL) =>
      connectTo
        ? { address: connectTo.address, port: connectTo[url.protocol === 'http:' ? 'http' : 'https'] }
        : { address: url.hostname, port: Number(url.port) || (url.protocol === 'http:' ? 80 : 443) },
  }
}
