/** Repositories of own sources: branches of what the bed's Git server serves. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { layoutOf } from '../bed/cluster/layout.ts'

/** The bare repository that the bed serves. */
export function servedRepository(): string {
  return join(layoutOf('sandbox').served, 'openappstack.git')
}

/** Puts a commit with these manifests on a branch, signed by the only key in the folder `keys` of GnuPG if given. */
export function pushManifests(branch: string, manifests: string, keys?: string): void {
  const git = (input: string, ...args: string[]) =>
    execFileSync('git', ['--git-dir', servedRepository(), ...args], {
      input,
      encoding: 'utf8',
      env: {
        ...process.env,
        GIT_AUTHOR_NAME: 'x',
        GIT_AUTHOR_EMAIL: 'x@example.org',
        GIT_COMMITTER_NAME: 'x',
        GIT_COMMITTER_EMAIL: 'x@example.org',
        ...(keys ? { GNUPGHOME: keys } : {}),
      },
    }).trim()
  const blob = git(manifests, 'hash-object', '-w', '--stdin')
  const tree = git(`100644 blob ${blob}\tall.yaml\n`, 'mktree')
  git(
    '',
    'update-ref',
    `refs/heads/${branch}`,
    git('', 'commit-tree', ...(keys ? ['-S'] : []), tree, '-m', 'x'),
  )
}
