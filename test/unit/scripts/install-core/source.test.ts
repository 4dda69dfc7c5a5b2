import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { askBranch, blobsOf, refusal } from '../../../../lib/flux/git.ts'
import type { Run } from '../../../../lib/script/run.ts'
import { gitIn } from '../../../../scripts/install-core/git.ts'
import { checkoutOrigin, fetchable, overSsh } from '../../../../scripts/install-core/origin.ts'
import { checkSource } from '../../../../scripts/install-core/source.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const forms: [remote: string, ...urls: string[]][] = [
  [
    'git@git.example.org:group/oas.git',
    'https://git.example.org/group/oas.git',
    'ssh://git@git.example.org/group/oas.git',
  ],
  ['git.example.org:oas', 'https://git.example.org/oas', 'ssh://git@git.example.org/oas'],
  [
    'me@git.example.org:/srv/oas.git',
    'https://git.example.org/srv/oas.git',
    'ssh://me@git.example.org/srv/oas.git',
  ],
  [
    'ssh://git@git.example.org:2222/a/b.git',
    'https://git.example.org/a/b.git',
    'ssh://git@git.example.org:2222/a/b.git',
  ],
  ['https://git.example.org/a/b.git', 'https://git.example.org/a/b.git'],
  ['https://me:token@git.example.org/a/b.git', 'https://git.example.org/a/b.git'],
  ['http://127.0.0.1:8080/openappstack.git', 'http://127.0.0.1:8080/openappstack.git'],
  ['/srv/git/oas.git'],
  ['../oas'],
  ['file:///srv/git/oas.git'],
  ['git://git.example.org/oas.git'],
  ['git@git.example.org:a"b.git'],
  [''],
]

test('the address of a remote takes the forms that a cluster can fetch, without anybody’s login', () => {
  for (const [remote, ...urls] of forms) assert.equal(fetchable(remote), urls, remote)
  assert.is(overSsh('https://git.example.org/a/b.git'), 'ssh://git@git.example.org/a/b.git')
})

const answers: [stderr: string, state: string][] = [
  ["fatal: couldn't find remote ref refs/heads/nowhere\n", 'no-branch'],
  ["fatal: could not read Username for 'https://github.com': terminal prompts disabled\n", 'private'],
  ["fatal: Authentication failed for 'https://git.example.org/x.git/'\n", 'private'],
  ['fatal: unable to access: The requested URL returned error: 403\n', 'private'],
  [
    'git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.\n',
    'private',
  ],
  ['Host key verification failed.\r\nfatal: Could not read from remote repository.\n', 'host-key'],
  ["fatal: unable to access 'http://127.0.0.1:1/': Failed to connect to 127.0.0.1 port 1\n", 'unreachable'],
  ['', 'unreachable'],
]

test('a refusal of git is told apart by what to do about it', () => {
  for (const [stderr, state] of answers) assert.is(refusal(stderr).state, state, stderr)
})

test('the files of a listing have their hashes', () => {
  assert.equal(
    [...blobsOf('100644 blob 11aa\tflux2/a b.yaml\n100644 blob 22bb\tflux2/c\n')],
    [
      ['flux2/a b.yaml', '11aa'],
      ['flux2/c', '22bb'],
    ],
  )
  assert.is(blobsOf('').size, 0)
})

/** A repository with one commit on a branch. */
async function repository(branch: string, files: string[]): Promise<string> {
  const folder = temporaryFolder()
  const git = async (...args: string[]) =>
    assert.type(await gitIn(folder, '-c', 'user.name=x', '-c', 'user.email=x@example.org', ...args), 'string')
  await git('init', '--quiet', `--initial-branch=${branch}`)
  for (const file of files) {
    mkdirSync(join(folder, file, '..'), { recursive: true })
    writeFileSync(join(folder, file), file)
  }
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'x')
  return folder
}

test('git says whether a branch exists, is one of the platform, and at which commit', async () => {
  const folder = await repository('main', ['flux2/cluster/base/x.yaml', 'flux2/y.yaml', 'other'])
  const found = await askBranch(folder, 'main')
  assert.is(found.state, 'found')
  if (found.state !== 'found') return
  assert.is(found.base, true)
  assert.is(found.commit, await gitIn(folder, 'rev-parse', 'HEAD'))
  assert.equal([...found.files.keys()], ['flux2/cluster/base/x.yaml', 'flux2/y.yaml'])
  assert.equal(await askBranch(folder, 'nowhere'), { state: 'no-branch' })
  const stranger = await askBranch(await repository('main', ['a']), 'main')
  assert.is(stranger.state === 'found' && stranger.base, false)
  assert.is((await askBranch(join(folder, 'nothing'), 'main')).state, 'unreachable')
})

test('the origin of a checkout is its remote and the branch that it follows there, or the reason why not', async () => {
  const folder = await repository('mine', ['a'])
  assert.match((await checkoutOrigin(folder)).lack ?? '', /no remote `origin`/)
  await gitIn(folder, 'remote', 'add', 'origin', '/srv/oas.git')
  assert.match((await checkoutOrigin(folder)).lack ?? '', /not on a server/)
  await gitIn(folder, 'remote', 'set-url', 'origin', 'https://me:token@git.example.org/oas.git')
  assert.equal(await checkoutOrigin(folder), { urls: ['https://git.example.org/oas.git'], branch: 'mine' })
  await gitIn(folder, 'config', 'branch.mine.remote', 'origin')
  await gitIn(folder, 'config', 'branch.mine.merge', 'refs/heads/theirs')
  await gitIn(folder, 'update-ref', 'refs/remotes/origin/theirs', 'HEAD')
  assert.is((await checkoutOrigin(folder)).branch, 'theirs')
  await gitIn(folder, 'checkout', '--quiet', '--detach')
  assert.is((await checkoutOrigin(folder)).branch, undefined)
  assert.match((await checkoutOrigin(temporaryFolder())).lack ?? '', /not a git checkout/)
})

test('what the branch lacks of flux2/ in this checkout is named, by why it lacks it', async () => {
  const origin = await repository('main', ['flux2/cluster/base/x.yaml', 'flux2/y.yaml', 'other'])
  const checkout = join(temporaryFolder(), 'clone')
  await gitIn(origin, 'clone', '--quiet', origin, checkout)
  const commit = async () => {
    await gitIn(checkout, 'add', '.')
    await gitIn(
      checkout,
      '-c',
      'user.name=x',
      '-c',
      'user.email=x@example.org',
      'commit',
      '--quiet',
      '-m',
      'y',
    )
  }
  const said = async (url = origin, branch = 'main') => {
    const warnings: string[] = []
    const log = { warn: (text: string) => warnings.push(text) } as unknown as Run['log']
    const run = { log, flags: { 'skip-preflight': false } }
    await checkSource(run, { git_url: url, git_branch: branch }, undefined, checkout)
    return warnings.join('\n')
  }
  assert.is(await said(), '')
  writeFileSync(join(checkout, 'other'), 'changed') // Flux reads flux2/ alone
  assert.is(await said(), '')
  writeFileSync(join(checkout, 'flux2/y.yaml'), 'changed')
  assert.match(await said(), /^not committed, .*: flux2\/y\.yaml; commit and push/)
  await commit()
  assert.match(await said(), /^not pushed to main, .*: flux2\/y\.yaml; run `git push`$/)
  // The branch has gone on elsewhere.
  writeFileSync(join(origin, 'flux2/z.yaml'), 'theirs')
  await gitIn(origin, 'add', '.')
  await gitIn(origin, '-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '--quiet', '-m', 'z')
  assert.match(await said(), /^main is not at the commit .*flux2\/y\.yaml, flux2\/z\.yaml; run `git pull`/)
  const refusals = [
    [origin, 'nowhere', /"nowhere" is not in/],
    [await repository('main', ['a']), 'main', /does not hold flux2\/cluster\/base/],
    ['http://127.0.0.1:1/x.git', 'main', /cannot be read: fatal: unable to access/],
  ] as const
  for (const [url, branch, message] of refusals)
    assert.match((await expectedFrom(() => said(url, branch))).message, message)
})

test.run()
