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
import { askBranch, type BranchAnswer, sshTool } from './git.ts'

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

/**
 * The lines of known_hosts with the plain keys of a server, from the first of these listings that has one: each is what
 * `ssh-keygen -F` or ssh-keyscan prints for it. Empty where none has. Left out is every key that a listing calls
 * revoked, and those of certificate authorities: Flux would expect them from the server itself. Pure.
 * Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; https://github.com/fluxcd/pkg/blob/main/ssh/knownhosts/knownhosts.go
 */
export function trustedHostKeys(listings: readonly string[], name: string): string {
  const entries = listings.map(listing =>
    listing
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .filter(([first = '']) => first !== '' && !first.startsWith('#')),
  )
  const revoked = entries.flat().flatMap(([marker, , , key]) => (marker === '@revoked' ? [key] : []))
  const plain = entries.map(lines =>
    lines.filter(([names, , key]) => !names!.startsWith('@') && !revoked.includes(key)),
  )
  const first = plain.find(lines => lines.length > 0) ?? []
  return first.map(([, ...key]) => `${[name, ...key].join(' ')}\n`).join('')
}

/** What the deploy key has to do with, where a repository cannot be read. */
interface KeyUse {
  url: string
  branch: string
  /** The server as known_hosts names it, and the command that logs in there. */
  server: string
  login: string
  secret: { name: string; namespace: string }
}

/** Why a repository cannot be read although it may have the key; undefined when it has refused the key. Pure. */
export function keyObstacle(
  answer: Exclude<BranchAnswer, { state: 'found' }>,
  { url, branch, server, login, secret }: KeyUse,
): ExpectedError | undefined {
  switch (answer.state) {
    case 'private':
      return undefined
    case 'no-branch':
      return new ExpectedError(
        `the branch ${JSON.stringify(branch)} is not in ${url}`,
        'push it, or correct git_branch in .flux.env (of an own source: --branch)',
      )
    case 'host-key':
      return new ExpectedError(
        `the SSH host key of ${server} is not the one known here`,
        `find out why. If it has a new key: ssh-keygen -R ${quote(server)}; then log in once, and compare the fingerprint with the published one: ${login}`,
      )
    case 'no-git':
      return new ExpectedError(
        'git is not installed here: it checks that the repository accepts the deploy key',
        'install git, then run the same command again',
      )
    case 'unreachable':
      return new ExpectedError(
        `${url} cannot be read: ${answer.message}`,
        `correct the address, or the way to it; if only the cluster reaches it, create Secret ${secret.namespace}/${secret.name} by hand: runbooks/install-core.md`,
      )
  }
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
    privateFolder(this.#folder)
    // Read again each time: whoever sits here may have corrected it since.
    const known = await this.#hostKey(run.log)
    if (!this.exists) await this.#generate()
    writeFileAtomic(this.#file('known_hosts'), known)
    for (;;) {
      const answer = await askBranch(this.#url.href, this.#branch, { ssh: this.ssh })
      if (answer.state === 'found') return 'the repository accepts it'
      const obstacle = keyObstacle(answer, {
        url: this.#url.href,
        branch: this.#branch,
        server: this.#server,
        login: this.#login,
        secret: this.#place.secret,
      })
      if (obstacle) throw obstacle
      run.log.print('Add this key to the repository as a deploy key, for reading only:')
      run.log.print(readFileSync(this.#file('identity.pub'), 'utf8').trim())
      const question = 'Has the key been added? Enter means no and ends this run.'
      if (!interactive() || !(await askConfirm({ message: question, flag: 'the key to the repository' })))
        throw new ExpectedError(
          `${this.#url.href} does not accept the deploy key yet`,
          'add the key above to the repository as a deploy key, then run the same command again',
        )
    }
  }

  async #generate(): Promise<void> {
    // What is written last says that the key is whole.
    for (const name of ['known_hosts', 'identity', 'identity.pub'] as const)
      rmSync(this.#file(name), { force: true })
    const { comment } = this.#place
    const made = await sshTool(
      'ssh-keygen',
      ...['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', this.#file('identity')],
    )
    if (!made.ok) throw new ExpectedError(`ssh-keygen failed: ${made.stderr.trim()}`, 'see its message')
  }

  /** The server as known_hosts names it. */
  get #server(): string {
    const { hostname, port } = this.#url
    return port ? `[${hostname}]:${port}` : hostname
  }

  /** The command by which whoever sits here gets to know the server. */
  get #login(): string {
    const { hostname, port, username } = this.#url
    return `ssh -T ${port ? `-p ${port} ` : ''}${username || 'git'}@${hostname}`
  }

  /**
   * The lines of known_hosts for the server: those of whoever sits here, else those kept with the key, else what it
   * shows, once confirmed.
   */
  async #hostKey(log: Run['log']): Promise<string> {
    const { hostname, port } = this.#url
    const name = this.#server
    const files = [join(homedir(), '.ssh', 'known_hosts'), this.#file('known_hosts')]
    const found = await Promise.all(files.map(file => sshTool('ssh-keygen', '-F', name, '-f', file)))
    const listings = found.map(({ stdout }) => stdout)
    const known = trustedHostKeys(listings, name)
    if (known !== '') return known
    const { stdout } = await sshTool('ssh-keyscan', ...(port ? ['-p', port] : []), hostname)
    if (stdout.trim() === '')
      throw new ExpectedError(`${name} shows no SSH host key`, 'check the address and the way to it')
    const shown = trustedHostKeys([...listings, stdout], name)
    if (shown === '')
      throw new ExpectedError(
        `${name} shows only SSH host keys that ${files[0]} calls revoked`,
        'do not connect: create new host keys there',
      )
    const scanned = join(this.#folder, 'scanned')
    writeFileAtomic(scanned, shown)
    const prints = await sshTool('ssh-keygen', '-l', '-f', scanned)
    rmSync(scanned)
    log.print(
      `${name} is not known here yet. It shows these host keys; compare them with the published ones:`,
    )
    log.print(prints.stdout.trim())
    const fix = `log in once, and compare the fingerprint with the published one: ${this.#login}`
    if (interactive() && (await askConfirm({ message: 'Are they the right ones?', flag: fix }))) return shown
    throw new ExpectedError(`the SSH host key of ${name} is not known`, fix)
  }
}
