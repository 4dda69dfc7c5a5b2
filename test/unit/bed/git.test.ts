import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { archive, refreshRepository } from '../../bed/build/git.ts'
import { test } from '../../suite.ts'

const base = mkdtempSync(join(tmpdir(), 'oas-git-'))
test.after(() => rmSync(base, { recursive: true, force: true }))

const env = {
  PATH: process.env.PATH,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
}
const git = (cwd: string, ...args: string[]) =>
  execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
const show = (repository: string, file: string) => git(repository, 'show', `main:${file}`)

let n = 0
const checkout = () => {
  const folder = join(base, `checkout${++n}`)
  mkdirSync(folder)
  git(folder, 'init', '-q', '-b', 'work')
  writeFileSync(join(folder, '.gitignore'), 'secret\n')
  writeFileSync(join(folder, 'file'), 'committed')
  git(folder, 'add', '.')
  git(folder, 'commit', '-qm', 'one')
  return { folder, repository: join(base, `served${n}.git`) }
}

test('serves the last commit, under its own name', async () => {
  const { folder, repository } = checkout()
  writeFileSync(join(folder, 'file'), 'edited')
  const served = await refreshRepository(repository, { worktree: false, source: folder })
  assert.equal(served, { commit: git(folder, 'rev-parse', 'HEAD'), from: 'commit' })
  assert.is(show(repository, 'file'), 'committed')
})

test('serves the files as they are with worktree, and leaves the index alone', async () => {
  const { folder, repository } = checkout()
  writeFileSync(join(folder, 'file'), 'edited')
  writeFileSync(join(folder, 'new'), 'new')
  writeFileSync(join(folder, 'secret'), 'not for Flux')
  const index = readFileSync(join(folder, '.git/index'))
  const one = await refreshRepository(repository, { worktree: true, source: folder })
  assert.is(one.from, 'working tree')
  assert.is(show(repository, 'file'), 'edited')
  assert.is(show(repository, 'new'), 'new')
  assert.throws(() => show(repository, 'secret'))
  assert.equal(readFileSync(join(folder, '.git/index')), index)
  assert.equal(await refreshRepository(repository, { worktree: true, source: folder }), one)

  rmSync(join(folder, 'new'))
  await refreshRepository(repository, { worktree: true, source: folder })
  assert.throws(() => show(repository, 'new'))
})

test('goes back to the last commit after worktree', async () => {
  const { folder, repository } = checkout()
  writeFileSync(join(folder, 'file'), 'edited')
  await refreshRepository(repository, { worktree: true, source: folder })
  await refreshRepository(repository, { worktree: false, source: folder })
  assert.is(show(repository, 'file'), 'committed')
})

test('serves an unpacked tarball', async () => {
  const folder = join(base, 'tarball')
  mkdirSync(folder)
  writeFileSync(join(folder, 'file'), 'unpacked')
  const repository = join(base, 'tarball.git')
  const served = await refreshRepository(repository, { worktree: false, source: folder })
  assert.is(served.from, 'working tree')
  assert.is(show(repository, 'file'), 'unpacked')
})

test('serves a shallow clone', async () => {
  const { folder, repository } = checkout()
  git(folder, 'commit', '-qm', 'two', '--allow-empty')
  const shallow = join(base, 'shallow')
  git(base, 'clone', '-q', '--depth=1', `file://${folder}`, shallow)
  const { commit } = await refreshRepository(repository, { worktree: false, source: shallow })
  assert.is(commit, git(folder, 'rev-parse', 'HEAD'))
})

test('archives the folders that are there', async () => {
  const { folder, repository } = checkout()
  mkdirSync(join(folder, 'flux2'))
  writeFileSync(join(folder, 'flux2/x'), 'x')
  await refreshRepository(repository, { worktree: true, source: folder })
  const file = join(base, 'a.tar')
  assert.equal(await archive(repository, ['flux2', 'nothing'], file), ['flux2'])
  assert.is(execFileSync('tar', ['tf', file], { encoding: 'utf8' }), 'flux2/\nflux2/x\n')
})

test.run()
