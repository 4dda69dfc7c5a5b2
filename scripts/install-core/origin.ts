import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { gitIn } from './git.ts'

/** Where this checkout comes from, in forms that a cluster can fetch, or why there is none. */
export interface Origin {
  /** The best one first. */
  urls: string[]
  branch?: string
  /** Why `urls` is empty. */
  lack?: string
}

const keys = new Map(CONFIG_KEYS.map(key => [key.name, key]))
const isValid = (name: string, value: string) => checkValue(keys.get(name)!, value) === undefined

/**
 * The forms of a remote's address that Flux can fetch, without anybody's login: a public repository is read over
 * https, one that is not over ssh with a deploy key. A path on this machine has none. Pure.
 */
export function fetchable(remote: string): string[] {
  // git's short form: [USER@]HOST:PATH, which is neither a path nor a URL (git-fetch(1), "GIT URLS").
  const short = /^(?:([\w.+-]+)@)?([\w.-]+):(?!\/\/)\/?(\S+)$/.exec(remote)
  if (short) return sshForms(short[1] ?? 'git', short[2]!, '', short[3]!)
  const url = URL.parse(remote)
  if (url?.protocol === 'ssh:')
    return sshForms(url.username || 'git', url.hostname, url.port, url.pathname.slice(1))
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return []
  url.username = ''
  url.password = ''
  return [url.href].filter(each => isValid('git_url', each))
}

function sshForms(user: string, host: string, port: string, path: string): string[] {
  const ssh = `ssh://${user}@${host}${port ? `:${port}` : ''}/${path}`
  return [`https://${host}/${path}`, ssh].filter(each => isValid('git_url', each))
}

/** The address over ssh of a repository that https does not show to everybody. Pure. */
export function overSsh(url: string): string {
  const { host, pathname } = new URL(url)
  return `ssh://git@${host}${pathname}`
}

/**
 * The origin of the checkout in `folder`, and the branch there that is checked out here. Reads git's configuration
 * and nothing else: no network.
 */
export async function checkoutOrigin(folder: string): Promise<Origin> {
  if ((await gitIn(folder, 'rev-parse', '--git-dir')) === undefined)
    return { urls: [], lack: 'this folder is not a git checkout' }
  const remote = await gitIn(folder, 'remote', 'get-url', 'origin')
  if (remote === undefined) return { urls: [], lack: 'this checkout has no remote `origin`' }
  const urls = fetchable(remote)
  if (urls.length === 0) return { urls, lack: 'the remote `origin` of this checkout is not on a server' }
  const upstream = await gitIn(folder, 'rev-parse', '--abbrev-ref', '--symbolic-full-name', '@{upstream}')
  const branch = upstream?.startsWith('origin/')
    ? upstream.slice('origin/'.length)
    : await gitIn(folder, 'symbolic-ref', '--short', '--quiet', 'HEAD')
  return { urls, branch: branch !== undefined && isValid('git_branch', branch) ? branch : undefined }
}
