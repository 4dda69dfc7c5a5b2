/** Repositories of own sources: branches of what the bed's Git server serves. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { layoutOf } from '../bed/cluster/layout.ts'

/** The bare repository that the bed serves. */
export function servedRepository(): string {
  return join(layoutOf('sandbox').served, 'openappstack.git')
}

/** Git in the repository that the bed serves; what it says. */
function git(args: readonly string[], { input = '', ...env }: Record<string, string> = {}): string {
  return execFileSync('git', ['--git-dir', servedRepository(), ...args], {
    input,
    encoding: 'utf8',
    env: {
      ...process.env,
      GIT_AUTHOR_NAME: 'x',
      GIT_AUTHOR_EMAIL: 'x@example.org',
      GIT_COMMITTER_NAME: 'x',
      GIT_COMMITTER_EMAIL: 'x@example.org',
      ...env,
    },
  }).trim()
}

/** Sets a branch, or a reference by its full name, to a commit with this tree. */
function commit(branch: string, tree: string, keys?: string): void {
  const args = ['commit-tree', ...(keys ? ['-S'] : []), tree, '-m', 'x']
  const made = git(args, keys ? { GNUPGHOME: keys } : {})
  git(['update-ref', branch.startsWith('refs/') ? branch : `refs/heads/${branch}`, made])
}

/** Puts a commit with the files of a folder on a branch. */
export function pushFolder(branch: string, folder: string): void {
  const index = { GIT_INDEX_FILE: join(servedRepository(), `index-${branch}`) }
  git(['--work-tree', folder, 'add', '--all', '--force', folder], index)
  commit(branch, git(['write-tree'], index))
}

/**
 * Puts a commit with these manifests, in `all.yaml` unless told, on a branch, or under the full name of a reference;
 * signed by the only key in the folder `keys` of GnuPG if given.
 */
export function pushManifests(
  branch: string,
  manifests: string,
  { keys, file = 'all.yaml' }: { keys?: string; file?: string } = {},
): void {
  const [name = '', ...folders] = file.split('/').reverse()
  const blob = git(['hash-object', '-w', '--stdin'], { input: manifests })
  const tree = folders.reduce(
    (inner, folder) => git(['mktree'], { input: `040000 tree ${inner}\t${folder}\n` }),
    git(['mktree'], { input: `100644 blob ${blob}\t${name}\n` }),
  )
  commit(branch, tree, keys)
}
