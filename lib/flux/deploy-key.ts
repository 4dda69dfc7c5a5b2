import { existsSync, readFileSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import type { Config } from '../platform/config.ts'
import type { Cluster } from '../script/cluster.ts'
import { ExpectedError } from '../script/errors.ts'
import { privateFolder, writeFileAtomic } from '../script/files.ts'
import { askConfirm, interactive } from '../script/prompt.ts'
import { quote } from '../script/quote.ts'
import type { Run } from '../script/run.ts'
import { askBranch, sshTool } from './git.ts'

const DEPLOY_KEY = 'openappstack-git'

/**
 * The Secret by which Flux logs in to the repository: one that somebody has given the GitRepository, else that of
 * the deploy key for an address over ssh, else none. Pure.
 */
export function loginSecret({ git_url }: Config, followed: KubeObject | undefined): string | undefined {
  const own = followed?.spec.secretRef?.name
  if (own !== undefined && own !== DEPLOY_KEY) return own
  return git_url?.startsWith('ssh:') ? DEPLOY_KEY : undefined
}

/** A repository, and where its deploy key is kept: here and in the cluster. */
export interface KeyPlace {
  url: string
  branch: string
  folder: string
  /** What the key says that it is for. */
  comment: string
  secret: { name: string; namespace: string }
}

/**
 * The key with which Flux reads a private repository: generated on this machine, kept in `clusters/NAME/deploy-key`, and
 * put into the cluster as the Secret that the GitRepository names, with the host key that it must meet there.
 * Source: https://fluxcd.io/flux/components/source/gitrepositories/#ssh-authentication
 */
export class DeployKey {
  readonly #folder: string
  readonly #url: URL
  readonly #branch: string
  readonly #place: KeyPlace

  private constructor(place: KeyPlace) {
    this.#place = place
    this.#folder = place.folder
    this.#url = new URL(place.url)
    this.#branch = place.branch
  }

  /** The deploy key of the platform's repository, if the cluster still lacks it; undefined when it needs none, or has it. */
  static async lacking(kubectl: Kubectl, cluster: Cluster, config: Config, secret: string | undefined) {
    if (secret !== DEPLOY_KEY) return undefined
    return DeployKey.for(kubectl, {
      url: config.git_url!,
      branch: config.git_branch!,
      folder: join(cluster.folder, 'deploy-key'),
      comment: `openappstack ${cluster.name}`,
      secret: { name: DEPLOY_KEY, namespace: 'flux-system' },
    })
  }

  /** The deploy key of a repository; undefined when the cluster has it. A Secret with a token has none. */
  static async for(kubectl: Kubectl, place: KeyPlace): Promise<DeployKey | undefined> {
    const found = await kubectl.get({ apiVersion: 'v1', kind: 'Secret', ...place.secret })
    return found?.data?.identity ? undefined : new DeployKey(place)
  }

  #file(name: 'identity' | 'identity.pub' | 'known_hosts'): string {
    return join(this.#folder, name)
  }

  /** Whether it is there, with the host key of its server. */
  get exists(): boolean {
    return existsSync(this.#file('identity')) && existsSync(this.#file('known_hosts'))
  }

  /** The ssh command that logs in with this key and no other; undefined until it exists. */
  get ssh(): string | undefined {
    if (!this.exists) return undefined
    const option = (name: string, value: string) => `-o ${quote(`${name}=${value}`)}`
    return [
      `ssh -F none -i ${quote(this.#file('identity'))}`,
      option('UserKnownHostsFile', `"${this.#file('known_hosts')}"`),
      ...['IdentitiesOnly=yes', 'IdentityAgent=none', 'StrictHostKeyChecking=yes', 'BatchMode=yes'].map(
        each => option(...(each.split('=') as [string, string])),
      ),
    ].join(' ')
  }

  /** The line of the plan. */
  get plan(): string {
    return `${this.exists ? 'use' : 'create'} the deploy key in ${this.#folder}, and create Secret ${this.#place.secret.namespace}/${this.#place.secret.name} with it`
  }

  /** The command that creates such a key by hand. */
  get command(): string {
    return `ssh-keygen -t ed25519 -N '' -f ${quote(this.#file('identity'))}`
  }

  /** The Secret for Flux. Only for a key that exists. */
  get secret(): KubeObject {
    const names = ['identity', 'identity.pub', 'known_hosts'] as const
    const data = Object.fromEntries(
      names.map(name => [name, readFileSync(this.#file(name)).toString('base64')]),
    )
    return { apiVersion: 'v1', kind: 'Secret', metadata: { ...this.#place.secret }, type: 'Opaque', data }
  }

  /**
   * Generates the key unless it exists, shows its public half, and continues when the repository accepts it. Throws
   * an ExpectedError without a terminal: somebody has to add the key to the repository first.
   */
  async admit(run: Pick<Run, 'log' | 'signal'>): Promise<string> {
    if (!this.exists) await this.#make(run)
    for (;;) {
      const { state } = await askBranch(this.#url.href, this.#branch, { ssh: this.ssh })
      if (state === 'found') return 'the repository accepts it'
      if (state === 'no-branch')
        throw new ExpectedError(
          `the branch ${JSON.stringify(this.#branch)} is not in ${this.#url.href}`,
          'push it, or correct git_branch in .flux.env (of an own source: --branch)',
        )
      run.log.print('Add this key to the repository as a deploy key, for reading only:')
      run.log.print(readFileSync(this.#file('identity.pub'), 'utf8').trim())
      const question = 'Has the key been added? Enter means no and ends this run.'
      if (!interactive() || !(await askConfirm({ message: question, flag: 'the key to the repository' })))
        throw new ExpectedError(
          `${this.#url.href} does not accept the deploy key yet (${state})`,
          'add the key above to the repository as a deploy key, then run the same command again',
        )
    }
  }

  async #make({ log }: Pick<Run, 'log'>): Promise<void> {
    privateFolder(this.#folder)
    const known = await this.#hostKey(log)
    for (const name of ['identity', 'identity.pub'] as const) rmSync(this.#file(name), { force: true })
    const { comment } = this.#place
    const made = await sshTool(
      'ssh-keygen',
      ...['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', this.#file('identity')],
    )
    if (!made.ok) throw new ExpectedError(`ssh-keygen failed: ${made.stderr.trim()}`, 'see its message')
    writeFileAtomic(this.#file('known_hosts'), known)
  }

  /** The lines of known_hosts for the server: those of whoever sits here, else what it shows, once confirmed. */
  async #hostKey(log: Run['log']): Promise<string> {
    const { hostname, port } = this.#url
    const name = port ? `[${hostname}]:${port}` : hostname
    const known = await sshTool('ssh-keygen', '-F', name, '-f', join(homedir(), '.ssh', 'known_hosts'))
    const lines = known.stdout.split('\n').filter(line => line && !line.startsWith('#'))
    if (lines.length > 0) return `${lines.map(line => line.replace(/^\S+/, name)).join('\n')}\n`
    const shown = await sshTool('ssh-keyscan', ...(port ? ['-p', port] : []), hostname)
    const fix = `log in once, and compare the fingerprint with the published one: ssh -T ${port ? `-p ${port} ` : ''}${this.#url.username || 'git'}@${hostname}`
    if (shown.stdout.trim() === '')
      throw new ExpectedError(`${name} shows no SSH host key`, 'check the address and the way to it')
    const scanned = join(this.#folder, 'scanned')
    writeFileAtomic(scanned, shown.stdout)
    const prints = await sshTool('ssh-keygen', '-l', '-f', scanned)
    rmSync(scanned)
    log.print(
      `${name} is not known here yet. It shows these host keys; compare them with the published ones:`,
    )
    log.print(prints.stdout.trim())
    if (interactive() && (await askConfirm({ message: 'Are they the right ones?', flag: fix })))
      return shown.stdout
    throw new ExpectedError(`the SSH host key of ${name} is not known`, fix)
  }
}
