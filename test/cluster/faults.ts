/** What the tests of faults share: how a failure is told, and the means to bring faults about. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTlsServer, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { dump, load } from 'js-yaml'
import * as assert from 'uvu/assert'
import { GIT_REPOSITORY, HELM_RELEASE, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import type { KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { up } from '../bed/cluster/sandbox.ts'
import { status } from '../bed/cluster/status.ts'
import { type Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'

/** One failure as a script tells it on a terminal. */
export interface Told {
  what: string
  fix: string
}

/** The failures that a script has told: each must be one line of what is wrong and one of what to do. */
export function told(outcome: Outcome): Told[] {
  const lines = outcome.stderr.split('\n')
  return lines.flatMap((line, i) => {
    if (!line.startsWith('✗ ')) return []
    const fix = lines[i + 1] ?? ''
    assert.ok(fix.startsWith('  fix: '), `the second line is no remedy:\n${outcome.stderr}`)
    return [{ what: line.slice(2), fix: fix.slice('  fix: '.length) }]
  })
}

/** What a fault is expected to be told as. */
export interface Expected {
  what: RegExp
  fix: RegExp
  code?: number
}

/** Seconds in which a cause has to be found: far below Flux's own timeouts, and generous on a busy machine. */
export const WITHIN = 120

/** Holds the end of a run against what it should have told: one failure, in two lines, soon. */
export function checkTold(outcome: Outcome, expected: Expected): void {
  const failures = told(outcome)
  assert.is(failures.length, 1, `one failure should have been told:\n${outcome.stderr}`)
  assert.match(failures[0]!.what, expected.what, `told was: ${failures[0]!.what}`)
  assert.match(failures[0]!.fix, expected.fix, `told was: ${failures[0]!.fix}`)
  assert.is(outcome.code, expected.code ?? 1)
  assert.ok(outcome.seconds < WITHIN, `it took ${outcome.seconds} s`)
}

/** Runs a script that has to fail, and checks how. */
export async function fails(
  name: string,
  args: readonly string[],
  expected: Expected,
  options: ScriptOptions = {},
): Promise<void> {
  checkTold(await runScript(name, [...args, '--yes'], { timeout: 200_000, ...options }), expected)
}

/** Runs a script that has to end well. */
export async function succeeds(name: string, ...args: string[]): Promise<Outcome> {
  const outcome = await runScript(name, [...args, '--yes'])
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}

/** The Ref of a Kustomization of the platform. */
export const kustomization = (name: string): Ref => ({ ...KUSTOMIZATION, namespace: 'flux-system', name })

/** The Ref of a HelmRelease. */
export const release = (name: string, namespace = 'oas-apps'): Ref => ({ ...HELM_RELEASE, namespace, name })

/** Waits until an object is in one of these states. */
export async function reaches(bed: Bed, ref: Ref, wanted: (object: KubeObject) => boolean): Promise<void> {
  await until<string, true>(
    async () => {
      const object = await bed.kubectl.get(ref)
      if (object && wanted(object)) return { done: true }
      return { last: object ? JSON.stringify(standing(object)) : 'absent' }
    },
    { deadline: 180_000, every: 100, describe: last => last ?? '' },
  )
}

/** Whether an object is not ready, by its conditions. */
export const unready = (object: KubeObject): boolean => standing(object).state !== 'ready'

/** The override of a release's values, as an administrator makes it. */
export function override(name: string, values: string, namespace = 'oas-apps'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `oas-${name}-override`,
      namespace,
      labels: { 'reconcile.fluxcd.io/watch': 'Enabled' },
    },
    data: { 'values.yaml': values },
  }
}

/** The commit that is served to Flux, and faulty ones on top of it. */
export class Repository {
  readonly #bed: Bed
  readonly #folder: string
  readonly #sound: string

  constructor(bed: Bed) {
    this.#bed = bed
    this.#folder = join(bed.cluster, '.state', 'served', 'openappstack.git')
    this.#sound = this.#git(['rev-parse', 'main'])
  }

  #git(args: readonly string[], env: Record<string, string> = {}, input = ''): string {
    const identity = Object.fromEntries(
      ['AUTHOR', 'COMMITTER'].flatMap(who => [
        [`GIT_${who}_NAME`, 'fault'],
        [`GIT_${who}_EMAIL`, 'fault@localhost'],
      ]),
    )
    return execFileSync('git', ['--git-dir', this.#folder, ...args], {
      encoding: 'utf8',
      input,
      env: { PATH: process.env.PATH, ...identity, ...env },
    }).trim()
  }

  /** Commits the sound files with these edits; undefined deletes a file, and a file that is not there is empty. */
  commit(edits: Record<string, ((text: string) => string) | undefined>): void {
    const temporary = mkdtempSync(join(this.#folder, 'index-'))
    try {
      const env = { GIT_INDEX_FILE: join(temporary, 'index') }
      this.#git(['read-tree', this.#sound], env)
      const entries = Object.entries(edits).map(([path, edit]) => {
        // Mode 0 removes; the object's name is then only of the right length.
        if (!edit) return `0 ${'0'.repeat(40)}\t${path}\n`
        const there = this.#git(['ls-tree', '--name-only', this.#sound, path]) !== ''
        const text = there ? this.#git(['show', `${this.#sound}:${path}`]) : ''
        const edited = edit(text)
        assert.is.not(edited, text, `nothing is edited in ${path}`)
        return `100644 ${this.#git(['hash-object', '-w', '--stdin'], {}, edited)}\t${path}\n`
      })
      this.#git(['update-index', '--index-info'], env, entries.join(''))
      this.#push(this.#git(['write-tree'], env))
    } finally {
      rmSync(temporary, { recursive: true })
    }
  }

  /** Another branch at the same commit. */
  branch(name: string): void {
    this.#git(['branch', '--force', name, 'main'])
  }

  /** The administrator's correction: a new commit that holds what the first one did. */
  revert(): void {
    this.#push(this.#git(['rev-parse', `${this.#sound}^{tree}`]))
  }

  #push(tree: string): void {
    if (this.#git(['rev-parse', 'main^{tree}']) === tree) return
    const commit = this.#git(['commit-tree', tree, '-p', 'main', '-m', 'Fault'])
    this.#git(['update-ref', 'refs/heads/main', commit])
  }

  /** Waits until Flux has the newest commit: asked for, since it would look after minutes only. */
  async fetched(): Promise<void> {
    const ref = { ...GIT_REPOSITORY, namespace: 'flux-system', name: 'openappstack' }
    await this.#bed.kubectl.patch(ref, {
      metadata: { annotations: { 'reconcile.fluxcd.io/requestedAt': new Date().toISOString() } },
    })
    const commit = this.#git(['rev-parse', 'main'])
    await reaches(this.#bed, ref, object => object.status?.artifact?.revision?.endsWith(commit) === true)
  }
}

/** A kubeconfig, as far as the tests change it. */
export interface Kubeconfig {
  clusters: { cluster: Record<string, unknown> }[]
  users: { user: Record<string, unknown> }[]
  [field: string]: unknown
}

/** Another cluster folder that leads to the same cluster, with another kubeconfig. Returns its --cluster flag. */
export function folderWith(
  bed: Bed,
  name: string,
  change: string | ((config: Kubeconfig) => void),
): string[] {
  const folder = join(bed.folder, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  copyFileSync(join(bed.cluster, '.flux.env'), join(folder, '.flux.env'))
  let text = change
  if (typeof text === 'function') {
    const config = load(readFileSync(bed.up.kubeconfig, 'utf8')) as Kubeconfig
    text(config)
    text = dump(config)
  }
  writeFileAtomic(join(folder, 'kube_config_cluster.yml'), text)
  return ['--cluster', name]
}

/** Base64, as the fields of a kubeconfig that end with `-data` want it. */
export const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64')

/** What a proxy does with a request; `pass` lets the API server answer, with other headers if they are given. */
export type Meddling = (
  request: IncomingMessage,
  response: ServerResponse,
  pass: (headers?: Record<string, string>) => void,
) => void

/** A TLS server in front of the real API server. */
export class ApiProxy {
  meddle: Meddling = (_request, _response, pass) => pass()
  readonly #server: ReturnType<typeof createTlsServer>

  /** `certificate` is what it shows; that of the API server itself unless told. */
  constructor(bed: Bed, certificate?: { cert: string; key: string }) {
    const pki = (file: string) => readFileSync(join(bed.cluster, '.state', 'pki', file))
    const upstream = new URL(bed.kubectl.client.server)
    const credentials = { ca: pki('ca.crt'), cert: pki('admin.crt'), key: pki('admin.key') }
    this.#server = createTlsServer(certificate ?? { cert: pki('serving.crt'), key: pki('serving.key') })
    this.#server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.meddle(request, response, (headers = {}) => {
        const sent = httpsRequest(
          {
            ...credentials,
            host: upstream.hostname,
            port: upstream.port,
            path: request.url,
            method: request.method,
            headers: request.headers,
          },
          answer => {
            response.writeHead(answer.statusCode!, { ...answer.headers, ...headers })
            answer.pipe(response)
          },
        )
        sent.on('error', () => response.destroy())
        request.pipe(sent)
      })
    })
  }

  /** Begins to listen; returns its address. */
  async listen(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Ends it, with all connections. */
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

/** Sends a signal to a process of the sandbox. */
export async function signal(name: string, signal: NodeJS.Signals): Promise<void> {
  const found = (await status())?.find(process => process.name === name)
  assert.ok(found?.pid, `${name} does not run`)
  process.kill(found.pid, signal)
}

/** Starts what is missing of the sandbox again. */
export async function repair(): Promise<void> {
  await up({ worktree: true })
}

/** A cluster folder whose user may read everything but Secrets (the ClusterRole `view`). Returns its --cluster flag. */
export async function viewerFolder(bed: Bed): Promise<string[]> {
  const account = { namespace: 'default', name: 'viewer' }
  await bed.kubectl.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: account })
  await bed.kubectl.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'viewer' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'ServiceAccount', ...account }],
  })
  const { status } = await bed.kubectl.call<{ status: { token: string } }>({
    method: 'POST',
    path: '/api/v1/namespaces/default/serviceaccounts/viewer/token',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  })
  return folderWith(bed, 'viewer', config => {
    config.users[0]!.user = { token: status.token }
  })
}
