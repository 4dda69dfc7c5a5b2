import { existsSync } from 'node:fs'
import { localKubeconfig, saveKubeconfig } from '../../lib/k3s/kubeconfig.ts'
import { releasesFor } from '../../lib/k3s/releases.ts'
import { checkK3sVersion } from '../../lib/k3s/version.ts'
import { readConfig } from '../../lib/platform/config.ts'
import { refuse } from '../../lib/preflight/findings.ts'
import { checkPorts } from '../../lib/preflight/net.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { readIfExists } from '../../lib/script/files.ts'
import type { FlagValues } from '../../lib/script/flags.ts'
import type { Run } from '../../lib/script/run.ts'
import { until } from '../../lib/script/wait.ts'
import { remoteKubeconfig } from '../../lib/server/k3s-files.ts'
import { waitForFormerNodes } from '../../lib/server/nodes.ts'
import { agentsOfCluster, connectServer, holdServer, serverOfCluster } from '../../lib/server/server.ts'
import { checkServer } from '../../lib/server/server-checks.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { publicAddress } from './config.ts'
import { folderSource, serverSource, uploadSource } from './downloads.ts'
import type { installFlags } from './flags.ts'
import { awaitInstaller, type Host, type Installation, joinToken, surveyHost } from './host.ts'
import { checkKubeconfig, namesMissing } from './kubeconfig.ts'
import { type Limits, waitForNode } from './run.ts'
import { checkWayOut } from './way-out.ts'

type InstallRun = Run<typeof installFlags>

/** Throws what is wrong with the flags. */
export function checkInstallFlags(flags: Partial<FlagValues<typeof installFlags>>): void {
  const { 'k3s-version': version, airgap, upload, mirror } = flags
  if (airgap !== undefined && (upload || mirror))
    throw new UsageError('--airgap downloads nothing', 'leave out --upload and --mirror')
  if (airgap !== undefined && !existsSync(airgap))
    throw new UsageError(
      `the folder ${airgap} does not exist`,
      'give the folder with the downloads as --airgap DIR',
    )
  if (mirror !== undefined && !/^https:\/\/[^\s?#]+$/.test(mirror))
    throw new UsageError(
      `--mirror ${JSON.stringify(mirror)} is not an https URL`,
      'give one like https://mirror.example.org/releases',
    )
  const problem = version === undefined ? undefined : checkK3sVersion(version)
  if (problem)
    throw new UsageError(
      `--k3s-version ${JSON.stringify(version)} ${problem}`,
      'see https://github.com/k3s-io/k3s/releases',
    )
}

/** The hosts of a cluster, looked at: the server first, then the agents. */
export class K3sCluster {
  readonly server: Ssh
  readonly installation: Installation
  readonly #run: InstallRun
  readonly #limits: Limits
  readonly #agents: readonly Ssh[]
  hosts: Host[] = []

  private constructor(
    run: InstallRun,
    limits: Limits,
    server: Ssh,
    agents: readonly Ssh[],
    installation: Installation,
  ) {
    this.#run = run
    this.#limits = limits
    this.server = server
    this.#agents = agents
    this.installation = installation
  }

  /**
   * Connects to all hosts and, unless it is a dry run, takes their locks and waits for an installer that an
   * earlier run has left at work.
   */
  static async connect(run: InstallRun, limits: Limits): Promise<K3sCluster> {
    const { flags, cluster } = run
    const target = await serverOfCluster(cluster, flags.hostname)
    const { domain, address } = publicAddress(readConfig(cluster.env), target.host)
    const releases = await releasesFor(cluster)
    run.log.detail(`versions: ${releases.file}`)
    const server = await connectServer(run, target)
    const agents: Ssh[] = []
    for (const agent of await agentsOfCluster(cluster, flags.hostname))
      agents.push(await connectServer(run, agent))
    const source = flags.airgap
      ? folderSource(flags.airgap)
      : flags.upload
        ? uploadSource(flags.mirror)
        : serverSource(server, flags.mirror)
    const k3s = new K3sCluster(run, limits, server, agents, {
      cluster: cluster.name,
      domain,
      address,
      releases,
      k3sVersion: flags['k3s-version'],
      source,
      airgap: flags.airgap !== undefined,
    })
    if (!flags['dry-run'])
      for (const { ssh, role } of k3s.#all) {
        await holdServer(ssh, run)
        await awaitInstaller(ssh, role, limits)
      }
    return k3s
  }

  get #all() {
    return [
      { ssh: this.server, role: 'server' as const },
      ...this.#agents.map(ssh => ({ ssh, role: 'agent' as const })),
    ]
  }

  /** Looks at all hosts; throws everything that stands in the way, at once. */
  async survey(): Promise<void> {
    const { cluster, log } = this.#run
    const { address, domain } = this.installation
    await this.#run.preflight([
      async () => checkKubeconfig(cluster, address, domain, await remoteKubeconfig(this.server)),
      async () => {
        const token = await joinToken(this.server)
        this.hosts = []
        for (const { ssh, role } of this.#all)
          this.hosts.push(await surveyHost(ssh, role, this.installation, token))
      },
      ...this.#all.map(
        ({ ssh }) =>
          async () =>
            refuse(await checkServer(ssh, cluster), log),
      ),
      ...this.#all.map(
        ({ ssh }) =>
          async () =>
            refuse(await checkWayOut(ssh, { images: this.installation.airgap }), log),
      ),
      // Nobody listens before the installation: a server that refuses the connection lets it through.
      async () => refuse((await checkPorts(address, [6443], this.#limits.signal)).findings, log),
    ])
    for (const note of this.hosts.flatMap(host => host.plan.notes)) log.warn(note)
  }

  /** What has to be done, in words. */
  async plan(): Promise<string[]> {
    const remote = await remoteKubeconfig(this.server)
    const { cluster } = this.#run
    const isFetched = remote !== undefined && readIfExists(cluster.kubeconfig) === this.#local(remote)
    return [
      ...this.hosts.flatMap(({ ssh, plan }) =>
        plan.lines.map(line => (this.hosts.length > 1 ? `${ssh.settings.hostName}: ${line}` : line)),
      ),
      ...(isFetched ? [] : [`fetch the kubeconfig to ${cluster.kubeconfig}`]),
    ]
  }

  #local(remote: string | undefined): string {
    return localKubeconfig(remote, this.installation.address)
  }

  /** Waits until every node of these hosts is Ready, and every other that was before. */
  async ready(): Promise<string> {
    const words = []
    for (const { ssh, plan } of this.hosts)
      words.push(`${plan.node} is ${await waitForNode(this.server, ssh, plan, this.#limits)}`)
    const here = new Set(this.hosts.map(({ plan }) => plan.node))
    const others = (this.hosts[0]?.facts.nodes ?? []).filter(
      ({ name, isReady }) => isReady && !here.has(name),
    )
    if (others.length > 0)
      words.push(
        await waitForFormerNodes(
          this.server,
          others.map(({ name }) => name),
          this.#limits,
        ),
      )
    return words.join('; ')
  }

  /** Fetches the kubeconfig, after the API server has answered here, by its address, for all its names. */
  async access(): Promise<string> {
    const { domain, address } = this.installation
    const text = this.#local(await remoteKubeconfig(this.server))
    await until(
      async () => {
        const missing = await namesMissing(text, [domain, address])
        return missing.length === 0 ? { done: true } : { last: missing.join(' and ') }
      },
      {
        deadline: 60_000,
        patience: 20_000,
        every: 2000,
        signal: this.#limits.signal,
        describe: last => `the certificate of the API server is not valid for ${last}`,
        fix: 'look at tls-san in /etc/rancher/k3s/config.yaml and its drop-ins on the server',
      },
    )
    return saveKubeconfig(this.#run.cluster, text) ? `saved ${this.#run.cluster.kubeconfig}` : 'unchanged'
  }
}
