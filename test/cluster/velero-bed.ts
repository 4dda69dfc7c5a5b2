/**
 * Velero on a bed: the real server with its plugin for S3 and real repositories of kopia, and the Versity S3 Gateway as
 * its bucket, behind a proxy that fails on demand. The **node-agent is a stand-in**: kwok's pods have no files, so
 * nothing is read or written; it reports for each volume what a test wants (velero v1.18,
 * pkg/controller/pod_volume_backup_controller.go).
 */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { isUnfinished } from '../../lib/backup/objects.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { parseConfig } from '../../lib/platform/config.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { builtSets } from '../bed/build/build.ts'
import { VELERO_SET } from '../bed/build/programs.ts'
import { run } from '../bed/build/shell.ts'
import { freePort } from '../bed/cluster/ports.ts'
import { FaultyStorage } from '../bed/s3/faulty.ts'
import { bucketSettings, type S3Server, s3Access, s3Server, start, stopServers } from '../host/servers.ts'
import { type Bed, type Outcome, runScript } from './harness.ts'

/** What the stand-in for the node-agent says of a volume. */
export type Copying = 'whole' | 'empty' | 'fails' | 'hangs'

const VELERO = { namespace: 'velero' }

/** Holds that a run has failed, with this cause, and has called nothing proved. */
export function failed({ code, stderr }: Outcome, cause: RegExp): void {
  assert.is(code, 1, stderr)
  assert.match(stderr, cause)
  assert.not.match(stderr, /✓ Prove/)
}

/** A pod of the applications that mounts claims of the class `local-path`, each at its path, and these claims. */
export function podWithClaims(
  name: string,
  paths: Readonly<Record<string, string>>,
  labels: Record<string, string> = {},
): KubeObject[] {
  const named = (name: string) => ({ namespace: 'oas-apps', name, labels })
  const claims = Object.keys(paths).map(claim => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: named(claim),
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'local-path',
      resources: { requests: { storage: '1Gi' } },
    },
  }))
  const volumeMounts = Object.entries(paths).map(([name, mountPath]) => ({ name, mountPath }))
  const volumes = Object.keys(paths).map(claimName => ({
    name: claimName,
    persistentVolumeClaim: { claimName },
  }))
  const spec = { containers: [{ name: 'app', image: 'app', volumeMounts }], volumes }
  return [...claims, { apiVersion: 'v1', kind: 'Pod', metadata: named(name), spec }]
}

/**
 * Holds what is said of the newest nightly backup while something is wrong with it: by its proof, and by those who look
 * at the cluster alone.
 */
export async function toldOfLatest(cause: RegExp, diagnosis: RegExp): Promise<void> {
  const run = (name: string, ...args: string[]) => runScript(name, ['--cluster', 'sandbox', ...args])
  failed(await run('backup', '--verify', 'latest'), cause)
  const [diagnosed, status] = await Promise.all([run('diagnose'), run('status')])
  assert.is(diagnosed.code, 3, diagnosed.stderr)
  assert.match(diagnosed.stdout, diagnosis)
  assert.is(status.code, 3, status.stderr)
  assert.match(status.stdout, /✗ +Backups/)
}

/** A running Velero. */
export class VeleroBed {
  readonly s3: S3Server
  /** What stands between everybody and the bucket. */
  readonly storage: FaultyStorage
  /** What is said of the volumes of claims, and of those of pods that are restored (`namespace/name`); else `whole`. */
  readonly copying = new Map<string, Copying>()
  readonly #kubectl: Kubectl
  readonly #folder: string
  readonly #kubeconfig: string
  readonly #programs: string
  /** What the pods of applications answer over HTTP. */
  webStatus = 200
  #web: Server | undefined
  #server: ChildProcess | undefined
  /** What it has said since it answered. */
  #said = ''
  #agent = true

  private constructor(bed: Bed, s3: S3Server, storage: FaultyStorage, programs: string) {
    this.s3 = s3
    this.storage = storage
    this.#kubectl = bed.kubectl
    this.#kubeconfig = bed.up.kubeconfig
    this.#programs = programs
    this.#folder = mkdtempSync(join(tmpdir(), 'oas-velero-'))
  }

  /** Starts it on a bed on which the platform is installed, and points `.flux.env` and Velero to its bucket. */
  static async start(bed: Bed): Promise<VeleroBed> {
    const building = {
      progress: console.log,
      waiting: (holder: string) => console.log(`waiting for ${holder}`),
    }
    const [programs] = await builtSets(building, [VELERO_SET])
    const s3 = await s3Server()
    const storage = await FaultyStorage.start(s3.url)
    const velero = new VeleroBed(bed, s3, storage, programs!)
    try {
      await velero.#begin(bed)
    } catch (error) {
      await velero.stop()
      throw error
    }
    return velero
  }

  async #begin(bed: Bed): Promise<void> {
    const { kubectl } = bed
    this.configure(bed, bucketSettings(this.storage.url))
    // What kwok plays of Velero, and what the chart has of another bucket.
    for (const name of ['backupstoragelocation-available', 'schedule-enabled'])
      await kubectl.delete({ apiVersion: 'kwok.x-k8s.io/v1alpha1', kind: 'Stage', name })
    await this.#applyCrds()
    kubectl.rediscover()
    await kubectl.patch(
      { apiVersion: 'velero.io/v1', kind: 'BackupStorageLocation', name: 'default', ...VELERO },
      {
        spec: {
          objectStorage: { bucket: 'backups', prefix: null },
          config: {
            region: 'ceph',
            s3Url: this.storage.url,
            s3ForcePathStyle: 'true',
            checksumAlgorithm: '',
          },
        },
        status: { phase: null },
      },
    )
    const plugins = join(this.#folder, 'plugins')
    mkdirSync(plugins)
    symlinkSync(join(this.#programs, 'velero-plugin-for-aws'), join(plugins, 'velero-plugin-for-aws'))
    await this.startServer()
    void this.#playNodeAgent()
    await this.#serveWeb(bed)
    await this.available('Available')
  }

  /** Answers for the pods of Wekan and of the core, at the ports of their charts: kwok's have nobody who listens. */
  async #serveWeb(bed: Bed): Promise<void> {
    const web = createServer((_, answer) => answer.writeHead(this.webStatus).end())
    this.#web = web
    await new Promise<void>(resolve => web.listen(0, '127.0.0.1', resolve))
    for (const port of [8080, 3000, 4433, 4444, 9090, 9093])
      bed.leadPods(port, (web.address() as AddressInfo).port)
  }

  /**
   * A pod of Wekan's release with a claim whose volume is a folder of this machine: commands in its container run here,
   * in the namespace of the application and in that of a drill.
   */
  async addFolder(name: string, folder: string): Promise<void> {
    const labels = { release: 'wekan' }
    const apps = { namespace: 'oas-apps', name }
    await this.#kubectl.apply({
      apiVersion: 'kwok.x-k8s.io/v1alpha1',
      kind: 'ClusterExec',
      metadata: { name },
      spec: {
        selector: { matchNamespaces: ['oas-apps', 'restore-drill-wekan'], matchNames: [name] },
        execs: [{ local: { workDir: folder } }],
      },
    })
    for (const object of podWithClaims(name, { [name]: folder }, labels)) await this.#kubectl.create(object)
    await until(
      async () => {
        const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...apps }
        const pod = await this.#kubectl.get({ apiVersion: 'v1', kind: 'Pod', ...apps })
        const bound = (await this.#kubectl.get(claim))?.status?.phase === 'Bound'
        return bound && pod?.status?.phase === 'Running' ? { done: true } : { last: name }
      },
      { deadline: 120_000, describe: String },
    )
  }

  /** Removes it. */
  async removeFolder(name: string): Promise<void> {
    const apps = { namespace: 'oas-apps', name }
    await this.#kubectl.delete({ apiVersion: 'v1', kind: 'Pod', ...apps })
    await this.#kubectl.delete({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...apps })
    await this.#kubectl.delete({ apiVersion: 'kwok.x-k8s.io/v1alpha1', kind: 'ClusterExec', name })
  }

  /** Sets entries of `.flux.env`. */
  configure(bed: Pick<Bed, 'cluster'>, settings: Readonly<Record<string, string>>): void {
    const env = join(bed.cluster, '.flux.env')
    const config = { ...parseConfig(readFileSync(env, 'utf8')), ...settings }
    const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(env, lines.join(''))
  }

  /** Takes the hooks from all pods: kwok runs no commands in pods, so that a hook would always fail. */
  async removeHooks(): Promise<void> {
    for (const { metadata } of await this.#kubectl.list('v1', 'Pod')) {
      const { name, namespace, annotations = {} } = metadata
      const hooks = Object.keys(annotations).filter(key => key.includes('.hook.backup.velero.io/'))
      if (hooks.length === 0) continue
      const none = Object.fromEntries(hooks.map(key => [key, null]))
      await this.#kubectl.patch(
        { apiVersion: 'v1', kind: 'Pod', name, namespace },
        { metadata: { annotations: none } },
      )
    }
  }

  /**
   * Has the schedule make a backup now, as `velero backup create --from-schedule` does. Returns it when Velero has ended
   * with it, however. `more` is set in its spec.
   */
  async nightly(more: object = {}): Promise<KubeObject> {
    const [schedule] = await this.#kubectl.list('velero.io/v1', 'Schedule', VELERO)
    const { name } = schedule!.metadata
    const ref = { apiVersion: 'velero.io/v1', kind: 'Backup', name: `${name}-${Date.now()}`, ...VELERO }
    await this.#kubectl.create({
      apiVersion: ref.apiVersion,
      kind: ref.kind,
      metadata: { name: ref.name, ...VELERO, labels: { 'velero.io/schedule-name': name } },
      spec: { ...schedule!.spec.template, ...more },
    })
    return until<string, KubeObject>(
      async () => {
        const backup = (await this.#kubectl.get(ref))!
        return isUnfinished(backup) ? { last: JSON.stringify(backup.status) } : { done: backup }
      },
      { deadline: 300_000, every: 300, describe: last => `backup ${ref.name} is ${last}` },
    )
  }

  /** Has the copying of all volumes of the applications hang, until `release`. */
  async hang(): Promise<void> {
    for (const { metadata } of await this.#kubectl.list('v1', 'PersistentVolumeClaim'))
      this.copying.set(`${metadata.namespace}/${metadata.name}`, 'hangs')
  }

  /** Waits until the copying of a volume hangs. */
  async hanging(): Promise<void> {
    await until(async () => ((await this.#hung()).length > 0 ? { done: true } : { last: 'no volume' }), {
      deadline: 180_000,
      every: 300,
      describe: last => `${last} is being copied`,
    })
  }

  /** Goes on with the volumes that hang. */
  async release(): Promise<void> {
    this.copying.clear()
    for (const { apiVersion, kind, metadata } of await this.#hung())
      await this.#kubectl.patch({ apiVersion, kind, ...metadata }, { status: { phase: 'New' } })
  }

  async #hung(): Promise<KubeObject[]> {
    const copies = await this.#kubectl.list('velero.io/v1', 'PodVolumeBackup', VELERO)
    return copies.filter(({ status }) => status?.phase === 'InProgress')
  }

  /** Starts Velero's server; with another secret key than its bucket has where one is given. */
  async startServer(secret: string = s3Access.secret): Promise<void> {
    const [metrics, profiler] = [await freePort(), await freePort()]
    this.#server = await start(
      join(this.#programs, 'velero'),
      [
        ...['server', '--namespace', 'velero', '--kubeconfig', this.#kubeconfig],
        ...['--plugin-dir', join(this.#folder, 'plugins')],
        ...['--metrics-address', `127.0.0.1:${metrics}`, '--profiler-address', `127.0.0.1:${profiler}`],
        ...['--store-validation-frequency', '5s', '--backup-sync-period', '10s', '--uploader-type', 'kopia'],
        ...['--client-qps', '200', '--client-burst', '400'],
      ],
      () =>
        fetch(`http://127.0.0.1:${metrics}/metrics`).then(
          ({ ok }) => ok,
          () => false,
        ),
      {
        AWS_ACCESS_KEY_ID: s3Access.id,
        AWS_SECRET_ACCESS_KEY: secret,
        TMPDIR: this.#folder,
        HOME: this.#folder,
      },
    )
    this.#said = ''
    for (const stream of [this.#server.stdout, this.#server.stderr])
      stream?.on('data', chunk => {
        this.#said += chunk
      })
  }

  /** Kills Velero's server, as a server that runs out of memory does. */
  async killServer(): Promise<void> {
    const server = this.#server!
    const ended = new Promise(resolve => server.once('exit', resolve))
    server.kill('SIGKILL')
    await ended
  }

  /** Ends it, with its bucket. */
  async stop(): Promise<void> {
    this.#agent = false
    await stopServers()
    this.storage.stop()
    this.#web?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Waits until Velero says this of its bucket. */
  async available(phase: string): Promise<void> {
    const ref = { apiVersion: 'velero.io/v1', kind: 'BackupStorageLocation', name: 'default', ...VELERO }
    await until(
      async () => {
        if (this.#server?.exitCode !== null) {
          console.error(`Velero has ended, and is started again as by a kubelet: ${this.#said.slice(-2000)}`)
          await this.startServer()
        }
        const { status } = (await this.#kubectl.get(ref))!
        return status?.phase === phase ? { done: true } : { last: JSON.stringify(status) }
      },
      { deadline: 300_000, describe: last => last ?? '' },
    )
  }

  /** The CRDs of Velero's data movers: the chart's stand-in has those of v1 only, and the server wants all. */
  async #applyCrds(): Promise<void> {
    const list = ['list', '-m', '-f', '{{.Dir}}', 'github.com/vmware-tanzu/velero']
    const module = await run('go', list, { cwd: VELERO_SET.folder })
    for (const name of ['datadownloads', 'datauploads']) {
      const file = join(module, 'config/crd/v2alpha1/bases', `velero.io_${name}.yaml`)
      await this.#kubectl.apply(load(readFileSync(file, 'utf8')) as KubeObject)
    }
    // Velero looks once, when it starts.
    await until(
      async () => {
        this.#kubectl.rediscover()
        const kinds = await this.#kubectl.kinds('velero.io/v2alpha1')
        return kinds.size === 2 ? { done: true } : { last: [...kinds].join(', ') }
      },
      { deadline: 120_000, every: 200, describe: last => `only ${last} is served` },
    )
  }

  /** The stand-in for the node-agent: ends whatever Velero asks of it, as a test wants. */
  async #playNodeAgent(): Promise<void> {
    while (this.#agent) {
      try {
        for (const kind of ['PodVolumeBackup', 'PodVolumeRestore'])
          for (const object of await this.#kubectl.list('velero.io/v1', kind, VELERO)) {
            const { phase = 'New' } = object.status ?? {}
            if (phase === 'New' || (phase === 'InProgress' && object.spec?.cancel)) await this.#end(object)
          }
      } catch {
        // The bed is being stopped, or the object has changed: the next round sees.
      }
      await sleep(300)
    }
  }

  async #end(object: KubeObject): Promise<void> {
    const { metadata, spec } = object
    const volume = `${spec.pod?.namespace}/${metadata.annotations?.['velero.io/pvc-name'] ?? spec.volume}`
    const copying = spec.cancel ? 'given up' : (this.copying.get(volume) ?? 'whole')
    const now = new Date().toISOString()
    const ended = { startTimestamp: now, completionTimestamp: now }
    const status = {
      whole: {
        phase: 'Completed',
        snapshotID: metadata.uid,
        progress: { totalBytes: 4096, bytesDone: 4096 },
      },
      empty: { phase: 'Completed', message: 'volume was empty so no snapshot was taken' },
      fails: { phase: 'Failed', message: 'the stand-in was told to fail' },
      'given up': { phase: 'Canceled', message: 'the stand-in was told to give up' },
      hangs: { phase: 'InProgress', progress: { totalBytes: 4096, bytesDone: 1 } },
    }[copying]
    await this.#kubectl.patch(
      { apiVersion: object.apiVersion, kind: object.kind, name: metadata.name, ...VELERO },
      { status: { path: '/stand-in', ...ended, ...status } },
    )
  }
}
