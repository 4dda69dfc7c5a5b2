/**
 * What the cluster tests share: a sandbox of their own (real etcd, Kubernetes and Flux), and scripts run as a
 * user runs them, as processes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { loadCatalogue, secretRef, secretValues } from '../../lib/platform/secrets.ts'
import { readIfExists } from '../../lib/script/files.ts'
import { sleep } from '../../lib/script/wait.ts'
import { type AuditedRequest, auditMark, isWrite, requestsSince } from '../bed/build/audit.ts'
import { type Layout, layoutOf } from '../bed/cluster/layout.ts'
import { podRoutes } from '../bed/cluster/pod-ports.ts'
import { preparedState, upFrom } from '../bed/cluster/prepared.ts'
import { down, type Up, type UpOptions, up } from '../bed/cluster/sandbox.ts'
import { LOOPBACK } from '../bed/cluster/spec.ts'
import { readSandboxState } from '../bed/cluster/state.ts'
import { status } from '../bed/cluster/status.ts'
import { runScript, said } from '../harness-script.ts'
import { CertificatesBed } from './certificates-bed.ts'

export { type Outcome, runScript, type ScriptOptions } from '../harness-script.ts'

/** Runs a script on the way to a state from which tests start. */
async function must(name: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runScript(name, ['--cluster', 'sandbox', ...args], { timeout: 900_000 })
  if (code !== 0) throw new Error(`${name} ended with ${code}:\n${stderr}`)
}

/** A sandbox of a test file's own, in a temporary clusters folder. */
export class Bed {
  readonly folder: string
  readonly up: Up
  readonly kubectl: Kubectl
  readonly #layout: Layout
  #certificates?: CertificatesBed

  private constructor(folder: string, started: Up, kubectl: Kubectl) {
    this.folder = folder
    this.up = started
    this.kubectl = kubectl
    this.#layout = layoutOf('sandbox')
  }

  /** Starts it, with nothing installed. The files of this checkout are served as they are, committed or not. */
  static start(options: UpOptions = {}): Promise<Bed> {
    return Bed.#start(() => up({ worktree: true, ...options }))
  }

  /**
   * Starts it with a platform, from a state that is prepared once and kept: the core, wekan, velero and
   * cert-manager with an ACME server are installed and ready.
   */
  static async startInstalled(options: UpOptions = {}): Promise<Bed> {
    const progress = (text: string) => console.log(text)
    const building = { progress, waiting: (holder: string) => progress(`waiting for ${holder}`) }
    const prepared = await preparedState('platform', building, async () => {
      await up({ worktree: true, certificates: true })
      await must('install-core', '--yes', '--set', 'git_branch=main')
      await must('install-app', '--yes', '--skip-backup', 'wekan', 'velero')
      await must('status', '--watch')
    })
    return Bed.#start(async () => {
      const started = await upFrom(prepared, { worktree: true, ...options })
      await must('status', '--watch') // it ends when everything is ready
      return started
    })
  }

  static async #start(start: () => Promise<Up>): Promise<Bed> {
    const folder = mkdtempSync(join(tmpdir(), 'oas-bed-'))
    process.env.OAS_CLUSTERS_DIR = folder
    try {
      const started = await start()
      return new Bed(folder, started, await Kubectl.connect(started.kubeconfig))
    } catch (error) {
      await down()
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Ends it and removes everything of it. */
  async stop(): Promise<void> {
    this.kubectl.client.close()
    this.#certificates?.close()
    await down()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** The folder of its cluster. */
  get cluster(): string {
    return join(this.folder, 'sandbox')
  }

  /** Faults and facts of its certificates (`Bed.start({ certificates: true })`). */
  get certificates(): CertificatesBed {
    this.#certificates ??= new CertificatesBed(this.#layout)
    return this.#certificates
  }

  /** Every object's resourceVersion, except of what the control plane itself rewrites all the time. */
  async versions(): Promise<Map<string, string>> {
    const versions = new Map<string, string>()
    const restless = new Set(['Lease', 'Event', 'Node', 'EndpointSlice', 'Endpoints'])
    const groups = await this.kubectl.call<{ groups: { preferredVersion: { groupVersion: string } }[] }>({
      path: '/apis',
    })
    for (const version of ['v1', ...groups.groups.map(group => group.preferredVersion.groupVersion)]) {
      const { resources } = await this.kubectl.call<{
        resources: { name: string; kind: string; verbs: string[] }[]
      }>({
        path: version === 'v1' ? '/api/v1' : `/apis/${version}`,
      })
      for (const { name, kind, verbs } of resources) {
        if (name.includes('/') || restless.has(kind) || !verbs.includes('list')) continue
        for (const { metadata } of await this.kubectl.list(version, kind, { metadataOnly: true }))
          versions.set(
            `${version} ${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
            metadata.resourceVersion ?? '',
          )
      }
    }
    return versions
  }

  /** `versions` of everything in the namespaces of the platform but what Flux itself writes, as lines. */
  async live(): Promise<string[]> {
    return [...(await this.versions())]
      .filter(([key]) => / oas(-apps)?\//.test(key) && !key.includes('.toolkit.fluxcd.io/'))
      .map(([key, version]) => `${key} ${version}`)
      .sort()
  }

  /** As `versions`, once nothing changes any more by itself. */
  async settled(): Promise<Map<string, string>> {
    let before = await this.versions()
    for (let attempt = 0; attempt < 60; attempt++) {
      await sleep(1000)
      const now = await this.versions()
      if (isDeepStrictEqual(now, before)) return now
      before = now
    }
    throw new Error('the cluster does not settle')
  }

  /**
   * Where the API server's audit log ends now (`Bed.start({ audit: true })`): `requestsSince` begins there. Take
   * it right before a script, since our own calls by `kubectl` carry the scripts' user agent, too.
   */
  auditMark(): number {
    return auditMark(this.#layout)
  }

  /** The requests of our scripts since a mark, or those of another user agent. */
  requestsSince(mark: number, userAgent = 'openappstack-runbooks'): AuditedRequest[] {
    return requestsSince(this.#layout, mark).filter(request => request.userAgent.startsWith(userAgent))
  }

  /** Those of them that change something, as `VERB KIND NAMESPACE/NAME`: none for whatever only looks. */
  writesSince(mark: number, userAgent?: string): string[] {
    return this.requestsSince(mark, userAgent)
      .filter(isWrite)
      .map(({ verb, target }) => `${verb} ${target}`)
  }

  /** Where its Loki listens (`Bed.start({ loki: true })`), without the API server in between. */
  get lokiUrl(): string {
    return `http://${LOOPBACK}:${readSandboxState(this.#layout).ports.loki}`
  }

  /** Where its single sign-on listens (`Bed.start({ login: true })`), without the API server in between. */
  get login(): Record<'kratosAdmin' | 'kratosPublic' | 'hydraAdmin', string> {
    const { ports } = readSandboxState(this.#layout)
    const at = (port: number | undefined) => `http://${LOOPBACK}:${port}`
    return {
      kratosAdmin: at(ports.kratosAdmin),
      kratosPublic: at(ports.kratosPublic),
      hydraAdmin: at(ports.hydraAdmin),
    }
  }

  /** The port of its PostgreSQL (`Bed.start({ login: true })`). */
  get databasePort(): string {
    return String(readSandboxState(this.#layout).ports.database)
  }

  /** The port on which its notification-controller looks for Alertmanager (`Bed.start({ notifications: true })`). */
  get alertmanagerPort(): number {
    return readSandboxState(this.#layout).ports.alertmanager!
  }

  /** Gives Loki lines of one stream, as a collector does: oldest first. Lines that are no pair are of now. */
  async pushLogs(
    stream: Record<string, string>,
    lines: readonly (string | readonly [Date, string])[],
  ): Promise<void> {
    const values = lines.map((line, i) => {
      const [at, text] = typeof line === 'string' ? [new Date(), line] : line
      // Lines of the same millisecond keep their order by the nanoseconds.
      return [`${at.getTime()}${String(i % 1_000_000).padStart(6, '0')}`, text]
    })
    const answer = await fetch(`${this.lokiUrl}/loki/api/v1/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ streams: [{ stream, values }] }),
    })
    if (!answer.ok) throw new Error(`Loki refuses lines: ${await answer.text()}`)
  }

  /** Leads whoever asks for this port of a pod to a server of the test (`Bed.start({ loki: true })`). */
  leadPods(port: number, to: number): void {
    const file = podRoutes(this.#layout)
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readIfExists(file) ?? '{}'), [port]: to }))
  }

  /** Sends a signal to one of its processes: SIGSTOP and SIGCONT hold and release a controller. */
  async signal(name: string, signal: NodeJS.Signals): Promise<void> {
    const found = (await status())?.find(process => process.name === name)
    if (!found?.pid) throw new Error(`${name} does not run`)
    process.kill(found.pid, signal)
  }

  /** The value of every generated secret in the cluster. */
  async secretValues(): Promise<string[]> {
    const entries = await loadCatalogue()
    const values = await Promise.all(
      entries.map(async entry => secretValues(await this.kubectl.get(secretRef(entry)))),
    )
    return [...new Set(values.flatMap(value => Object.values(value)))]
  }

  /** Where one of these values occurs in what scripts have said or in their journals; empty when nowhere. */
  leaks(values: readonly string[]): string[] {
    const journal = join(this.cluster, 'journal')
    const texts = [
      ...said.map((text, i) => [`output ${i}`, text] as const),
      ...readdirSync(journal).map(name => [name, readFileSync(join(journal, name), 'utf8')] as const),
    ]
    return texts.flatMap(([where, text]) =>
      values.some(value => value && text.includes(value)) ? [where] : [],
    )
  }
}
