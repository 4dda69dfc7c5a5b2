import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import { run } from './shell.ts'

/** The branch that the sandbox serves. */
export const BRANCH = 'main'

const fix = 'install git and see that this checkout is whole: `git status`'

/** Runs git, without anything that the user's environment or configuration would change in it. */
function git(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return run('git', args, {
    env: {
      GIT_DIR: undefined,
      GIT_WORK_TREE: undefined,
      GIT_INDEX_FILE: undefined,
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_NOSYSTEM: '1',
      // A checkout that belongs to somebody else (mounted into a container) is fine to read.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_AUTHOR_NAME: 'OpenAppStack sandbox',
      GIT_AUTHOR_EMAIL: 'sandbox@localhost',
      GIT_COMMITTER_NAME: 'OpenAppStack sandbox',
      GIT_COMMITTER_EMAIL: 'sandbox@localhost',
      ...env,
    },
    timeout: 60_000,
    fix,
  })
}

/** What is served: the commit, and whether it is the checkout's HEAD or a commit of its files as they are. */
export interface ServedCommit {
  commit: string
  from: 'commit' | 'working tree'
}

/**
 * Brings the bare repository up to date with the checkout `source`: with its HEAD, or with `worktree` (and
 * where there is no commit, as in an unpacked tarball) with the files as they are. Flux sees a new commit
 * only when something has changed. Never touches the checkout's own index.
 */
export async function refreshRepository(
  repository: string,
  options: { worktree: boolean; source?: string },
): Promise<ServedCommit> {
  const source = options.source ?? ROOT
  if (!existsSync(join(repository, 'HEAD'))) {
    rmSync(repository, { recursive: true, force: true })
    await git(['init', '--quiet', '--bare', `--initial-branch=${BRANCH}`, repository])
    // So that a shallow clone, as CI makes them, can be pushed here.
    await git(['--git-dir', repository, 'config', 'receive.shallowUpdate', 'true'])
  }
  const head = existsSync(join(source, '.git'))
    ? await git(['-C', source, 'rev-parse', '--verify', '--quiet', 'HEAD^{commit}']).catch(() => undefined)
    : undefined
  if (!options.worktree && head !== undefined) {
    await git([
      ...['-C', source, 'push', '--quiet', '--force', '--no-verify', repository],
      `${head}:refs/heads/${BRANCH}`,
    ])
    return { commit: head, from: 'commit' }
  }
  return { commit: await commitFiles(repository, source), from: 'working tree' }
}

/** Writes the folders of the served commit that exist to a tar file. Returns which they are. */
export async function archive(
  repository: string,
  folders: readonly string[],
  file: string,
): Promise<string[]> {
  const tree = await git(['--git-dir', repository, 'ls-tree', '-d', '--name-only', BRANCH, ...folders])
  const found = tree.split('\n').filter(line => line !== '')
  if (found.length > 0)
    await git(['--git-dir', repository, 'archive', '--format=tar', `--output=${file}`, BRANCH, ...found])
  return found
}

/** Commits the files of a folder, except what .gitignore leaves out, on top of what is served. */
async function commitFiles(repository: string, source: string): Promise<string> {
  const temporary = mkdtempSync(join(repository, 'index-'))
  try {
    const env = { GIT_DIR: repository, GIT_WORK_TREE: source, GIT_INDEX_FILE: join(temporary, 'index') }
    // Once more when a file vanished meanwhile, as temporary files of editors do.
    const add = () => git(['-C', source, 'add', '--all', '.'], env)
    await add().catch(add)
    const tree = await git(['write-tree'], env)
    const parent = await git(['rev-parse', '--verify', '--quiet', `refs/heads/${BRANCH}`], env).catch(
      () => undefined,
    )
    if (parent && (await git(['rev-parse', `${parent}^{tree}`], env)) === tree) return parent
    const commit = await git(
      ['commit-tree', tree, '-m', 'Working tree', ...(parent ? ['-p', parent] : [])],
      env,
    )
    await git(['update-ref', `refs/heads/${BRANCH}`, commit], env)
    return commit
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
