import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { GIT_REPOSITORY } from '../../lib/flux/flux.ts'
import { askBranch, blobsOf } from '../../lib/flux/git.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { type Config, readConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS, type ConfigKey, checkValue } from '../../lib/platform/config-keys.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { ROOT } from '../../lib/script/files.ts'
import { askText, interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'
import { gitIn } from './git.ts'
import { checkoutOrigin, overSsh } from './origin.ts'

type Settings = Record<string, string>
const keyOf = (name: string): ConfigKey => CONFIG_KEYS.find(key => key.name === name)!

/** For a look whether somebody without a login can read an address. */
const PROBE = { timeout: 15_000 }

/** How to get a repository that Flux can follow. */
const HOW = 'push it to a repository of your own: `git remote add origin URL`, then `git push -u origin HEAD`'

/** The GitRepository that the cluster follows; undefined before the first installation. */
export function followedSource(kubectl: Kubectl): Promise<KubeObject | undefined> {
  return kubectl.get({ ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' })
}

/**
 * Which repository and branch Flux follows, where neither `.flux.env` nor `--set` says so: what the cluster follows
 * already, else the origin of this checkout; on a terminal Enter takes it. Returns the settings to save. Throws
 * UsageErrors when nobody can be asked and there is no default.
 */
export async function chooseSource(
  cluster: Cluster,
  settings: Settings,
  followed: KubeObject | undefined,
): Promise<Settings> {
  const known = { ...readConfig(cluster.env), ...settings }
  if (known.git_url && known.git_branch) return {}
  const origin = await checkoutOrigin(ROOT)
  const urlDefault = followed?.spec.url ?? (known.git_url ? undefined : await readable(origin))
  const branchDefault = followed?.spec.ref?.branch ?? origin.branch
  const lack = origin.lack ?? 'this checkout is not on a branch'
  const ask = async (name: string, offered: string | undefined, hint: string): Promise<string> => {
    const key = keyOf(name)
    if (!interactive()) {
      if (offered) return offered
      throw new UsageError(`${cluster.env} lacks ${name}, and ${hint}`, `give --set ${name}=VALUE; or ${HOW}`)
    }
    return askText({
      message: `${key.ask}${offered ? '' : ` (${hint}: ${HOW})`}:`,
      flag: `--set ${name}=VALUE`,
      default: offered,
      check: text => (text === '' ? 'it is needed' : checkValue(key, text)),
    })
  }
  const url = known.git_url || (await ask('git_url', urlDefault, lack))
  const chosen = known.git_url || followed ? url : await withLogin(url)
  const branch = known.git_branch || (await ask('git_branch', branchDefault, lack))
  return { git_url: chosen, git_branch: branch }
}

/** The first of the forms of an address that somebody without a login can read; else the last one, by ssh. */
async function readable({ urls, branch }: { urls: string[]; branch?: string }): Promise<string | undefined> {
  for (const url of urls.slice(0, -1))
    if (['found', 'no-branch'].includes((await askBranch(url, branch ?? 'main', PROBE)).state)) return url
  return urls.at(-1)
}

/** From an address that needs a login to the one that accepts a deploy key. Enter takes it. */
async function withLogin(url: string): Promise<string> {
  if (!/^https?:/.test(url) || (await askBranch(url, 'main', PROBE)).state !== 'private' || !interactive())
    return url
  return askText({
    message: `${url} is private. Its address over ssh, for a read-only deploy key:`,
    flag: '--set git_url=ssh://…',
    default: overSsh(url),
    check: text => (text === '' ? 'it is needed' : checkValue(keyOf('git_url'), text)),
  })
}

/**
 * Asks git, before the first change, for what Flux is to follow: the branch exists, and holds flux2/cluster/base.
 * Warns of what it lacks of this checkout. Throws an ExpectedError for what Flux could not follow either. `ssh` is
 * the command that logs in with the deploy key, once there is one. --skip-preflight skips it: a repository that only
 * the cluster reaches cannot be asked from here.
 */
export async function checkSource(
  run: { log: Run['log']; flags: { 'skip-preflight': boolean } },
  { git_url: url = '', git_branch: branch = '' }: Config,
  ssh: string | undefined,
  checkout = ROOT,
): Promise<void> {
  if (run.flags['skip-preflight']) return
  const answer = await askBranch(url, branch, { ssh })
  const at = `the branch ${JSON.stringify(branch)}`
  switch (answer.state) {
    case 'no-git':
      return run.log.warn(`git is not installed here: whether ${url} holds ${at} was not checked`)
    case 'host-key':
    case 'private':
      // Flux has no key yet: the deploy key is generated, and tested, before the first change.
      if (url.startsWith('ssh:')) return
      throw new ExpectedError(
        `${url} needs a login, which Flux does not have`,
        `follow it over ssh, --set git_url=${overSsh(url)}: install-core then generates a read-only deploy key`,
      )
    case 'no-branch':
      throw new ExpectedError(
        `${at} is not in ${url}`,
        'push it, or correct git_branch in .flux.env (--set git_branch=NAME)',
      )
    case 'unreachable':
      throw new ExpectedError(
        `${url} cannot be read: ${answer.message}`,
        'correct git_url in .flux.env (--set git_url=URL); if only the cluster reaches it, add --skip-preflight',
      )
    case 'found':
      if (!answer.base)
        throw new ExpectedError(
          `${at} of ${url} does not hold flux2/cluster/base: it is not a branch of this platform`,
          `correct git_url or git_branch in .flux.env; or ${HOW}`,
        )
      for (const warning of await differences(checkout, answer, branch)) run.log.warn(warning)
  }
}

/** What of flux2/ the cluster will not get from the branch as this checkout has it: each file is named. */
async function differences(
  checkout: string,
  { commit, files }: { commit: string; files: Map<string, string> },
  branch: string,
): Promise<string[]> {
  const here = await gitIn(checkout, 'ls-tree', '-r', 'HEAD', 'flux2')
  if (here === undefined) return []
  const status =
    (await gitIn(checkout, 'status', '--porcelain', '--untracked-files=all', '--', 'flux2')) ?? ''
  const changed = status
    .split('\n')
    .filter(Boolean)
    .map(line => line.slice(3).replace(/^.* -> /, ''))
  const present = changed.filter(path => existsSync(join(checkout, path)))
  const hashes = present.length > 0 ? await gitIn(checkout, 'hash-object', '--', ...present) : ''
  const now = new Map(present.map((path, i) => [path, hashes?.split('\n')[i]]))
  // The sandbox serves files as they are: what is not committed may be in the cluster all the same.
  const uncommitted = changed.filter(path => now.get(path) !== files.get(path))
  const mine = blobsOf(here)
  const other = [...new Set([...mine.keys(), ...files.keys()])].filter(
    path => mine.get(path) !== files.get(path) && !changed.includes(path),
  )
  const ahead = (await gitIn(checkout, 'merge-base', '--is-ancestor', commit, 'HEAD')) !== undefined
  const list = (paths: string[]) =>
    `${paths.slice(0, 5).join(', ')}${paths.length > 5 ? ` and ${paths.length - 5} more` : ''}`
  return [
    ...(uncommitted.length > 0
      ? [`not committed, so not in the cluster: ${list(uncommitted)}; commit and push them to ${branch}`]
      : []),
    ...(other.length > 0
      ? [
          ahead
            ? `not pushed to ${branch}, so not in the cluster: ${list(other)}; run \`git push\``
            : `${branch} is not at the commit of this checkout, and differs in ${list(other)}; run \`git pull\`, or push your commits`,
        ]
      : []),
  ]
}
