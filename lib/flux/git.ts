import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExpectedError } from '../script/errors.ts'
import { runLocal } from '../script/programs.ts'

/**
 * As Flux meets a repository: without the login, the configuration and the questions of whoever sits here. An
 * `ssh` command takes the place of git's own one.
 */
function asFlux(ssh: string | undefined): Record<string, string | undefined> {
  return {
    LC_ALL: 'C',
    GIT_DIR: undefined,
    GIT_WORK_TREE: undefined,
    GIT_INDEX_FILE: undefined,
    GIT_ASKPASS: undefined,
    SSH_ASKPASS: undefined,
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_SSH_COMMAND: ssh ?? 'ssh -o BatchMode=yes -o ConnectTimeout=20',
  }
}

/** What git says of a branch of a repository, from here. */
export type BranchAnswer =
  /** `base`: it holds flux2/cluster/base. `files`: hashes of the files below flux2. */
  | { state: 'found'; commit: string; base: boolean; files: Map<string, string> }
  | { state: 'no-branch' | 'private' | 'host-key' | 'no-git' }
  | { state: 'unreachable'; message: string }

/** Messages of git, curl and ssh to somebody who may not read a repository, or whom it does not show itself. */
const PRIVATE =
  /could not read (Username|Password)|Authentication failed|Permission denied|returned error: 40[13]|Access denied|permission to view|ERROR: Repository not found/i

/**
 * Asks for a branch as Flux will: anonymously over http(s), over ssh by `ssh`, or by the keys of whoever sits here.
 * The commit comes without its files (`--filter`), which a server that does not know filters ignores.
 */
export async function askBranch(
  url: string,
  branch: string,
  { ssh, timeout = 60_000 }: { ssh?: string; timeout?: number } = {},
): Promise<BranchAnswer> {
  const folder = mkdtempSync(join(tmpdir(), 'oas-git-'))
  const git = (...args: string[]) => runLocal(['git', '-C', folder, ...args], { env: asFlux(ssh), timeout })
  try {
    const made = await git('init', '--quiet', '--bare', '.')
    if (made.exitCode === 127) return { state: 'no-git' }
    const fetched = await git(
      ...['fetch', '--quiet', '--depth=1', '--no-tags', '--filter=blob:none'],
      ...['--', url, `refs/heads/${branch}`],
    )
    if (!fetched.ok) return refusal(fetched.stderr)
    const commit = (await git('rev-parse', 'FETCH_HEAD')).stdout.trim()
    const base = await git('rev-parse', '--verify', '--quiet', 'FETCH_HEAD:flux2/cluster/base')
    return {
      state: 'found',
      commit,
      base: base.ok,
      files: blobsOf((await git('ls-tree', '-r', 'FETCH_HEAD', 'flux2')).stdout),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What it means that git could not fetch a branch. Pure. */
export function refusal(stderr: string): BranchAnswer {
  if (/couldn't find remote ref/.test(stderr)) return { state: 'no-branch' }
  if (/Host key verification failed/.test(stderr)) return { state: 'host-key' }
  if (PRIVATE.test(stderr)) return { state: 'private' }
  const lines = stderr.split('\n').filter(line => /^(fatal|ssh|error): /.test(line))
  return { state: 'unreachable', message: lines[0]?.slice(0, 300) ?? 'git gave no reason' }
}

/** Runs ssh-keygen or ssh-keyscan. Throws an ExpectedError when it is not installed. */
export async function sshTool(program: 'ssh-keygen' | 'ssh-keyscan', ...args: string[]) {
  const output = await runLocal([program, ...args], { env: { LC_ALL: 'C' }, timeout: 30_000 })
  if (output.exitCode !== 127) return output
  throw new ExpectedError(`${program} is not installed`, 'install the OpenSSH client and run this again')
}

/** The hashes of files by their path, from `git ls-tree -r`. Pure. */
export function blobsOf(listing: string): Map<string, string> {
  const lines = listing.split('\n').filter(Boolean)
  return new Map(
    lines.map(line => {
      const [facts = '', path = ''] = line.split('\t')
      return [path, facts.split(' ')[2] ?? '']
    }),
  )
}
