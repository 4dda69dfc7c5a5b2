/** The deploy key of a private repository, against a real sshd with a real git behind it. */
import { appendFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { DeployKey, loginSecret } from '../../lib/flux/deploy-key.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { completeConfig } from '../../lib/platform/config.ts'
import type { ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { test } from '../suite.ts'
import { cleanUp, folder, local, me, newHome, newKey, Sshd } from './sshd.ts'

const home = newHome()
const sshd = await Sshd.start({ alone: true })
// Somebody else's key: without one, sshd has no file of keys at all.
sshd.authorise(newKey(join(folder(), 'key')))
const repository = join(folder(), 'oas.git')
local('git', ['init', '--quiet', '--bare', '--initial-branch=main', repository])
const work = join(folder(), 'work')
local('git', ['clone', '--quiet', repository, work])
const author = ['-c', 'user.name=x', '-c', 'user.email=x@example.org']
local('git', ['-C', work, ...author, 'commit', '--quiet', '--allow-empty', '-m', 'x'])
local('git', ['-C', work, 'push', '--quiet', 'origin', 'HEAD:main'])

const where = join(folder(), "it's a cluster")
const cluster = { name: 'oas', folder: where, env: '', kubeconfig: '', journal: '' }
const configOf = (url: string) => completeConfig({ git_url: url, git_branch: 'main' })
const private_ = configOf(`ssh://${me}@127.0.0.1:${sshd.port}${repository}`)
let said: string[] = []
const run = { log: { print: (text: string) => void said.push(text) }, signal: undefined } as unknown as Run
/** A cluster that has no Secret yet. */
const empty = { get: async () => undefined } as unknown as Kubectl
const keyFor = (config = private_) =>
  DeployKey.lacking(empty, cluster, config, loginSecret(config, undefined))

/** What admitting the key ends with, and what was printed meanwhile. */
async function admitted(): Promise<{ note?: string; error?: ExpectedError; said: string }> {
  said = []
  const key = (await keyFor())!
  return key.admit(run).then(
    note => ({ note, said: said.join('\n') }),
    error => ({ error, said: said.join('\n') }),
  )
}

test.after(cleanUp)

test('only a repository over ssh has one, and a Secret that somebody has given stays', async () => {
  assert.is(await keyFor(configOf('https://git.example.org/oas.git')), undefined)
  const followed = (name: string) => ({
    apiVersion: 'source.toolkit.fluxcd.io/v1',
    kind: 'GitRepository',
    metadata: { name: 'openappstack' },
    spec: { secretRef: { name } },
  })
  assert.is(loginSecret(private_, followed('mine')), 'mine')
  assert.is(loginSecret(private_, followed('openappstack-git')), 'openappstack-git')
  assert.is(loginSecret(configOf('https://git.example.org/oas.git'), followed('openappstack-git')), undefined)
})

test('a server that is not known is shown by its fingerprint, and refused without somebody to confirm it', async () => {
  const { error, said } = await admitted()
  assert.match(error?.message ?? '', /host key of \[127\.0\.0\.1\]:\d+ is not known/)
  assert.match(error?.fix ?? '', `ssh -T -p ${sshd.port}`)
  assert.match(said, /SHA256:[\w+/]{43}/)
})

test('the key is shown, accepted once the repository has it, and ready for Flux', async () => {
  const host = readFileSync(`${sshd.hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  appendFileSync(join(home, '.ssh', 'known_hosts'), `[127.0.0.1]:${sshd.port} ${host}\n`)
  const refused = await admitted()
  assert.match(refused.error?.message ?? '', /does not accept the deploy key yet/)
  const shown = /^ssh-ed25519 \S+ openappstack oas$/m.exec(refused.said)?.[0]
  assert.ok(shown, refused.said)
  sshd.authorise(join(where, 'deploy-key', 'identity'))
  const { note, said } = await admitted()
  assert.is(note, 'the repository accepts it')
  assert.is(said, '') // it is shown no more
  const { data } = (await keyFor())!.secret
  const text = (key: string) => Buffer.from(data[key], 'base64').toString()
  assert.is(text('identity.pub').trim(), shown)
  assert.match(text('identity'), 'PRIVATE KEY')
  assert.is(text('known_hosts'), `[127.0.0.1]:${sshd.port} ${host}\n`)
  assert.is(statSync(join(where, 'deploy-key', 'identity')).mode & 0o777, 0o600)
})

test('a changed host key is not taken for a key that is lacking; once it is corrected here, it counts', async () => {
  const known = join(home, '.ssh', 'known_hosts')
  const before = readFileSync(known, 'utf8')
  const identity = readFileSync(join(where, 'deploy-key', 'identity'), 'utf8')
  await sshd.down()
  for (const ending of ['', '.pub']) rmSync(`${sshd.hostKey}${ending}`)
  newKey(sshd.hostKey)
  await sshd.up()
  const { error, said } = await admitted()
  assert.match(error?.message ?? '', /SSH host key of \[127\.0\.0\.1\]:\d+ is not the one known here/)
  assert.match(error?.fix ?? '', 'ssh-keygen -R')
  assert.is(said, '')
  const [type, key] = readFileSync(`${sshd.hostKey}.pub`, 'utf8').split(' ')
  writeFileSync(
    known,
    `[127.0.0.1]:${sshd.port} ${type} ${key}\n@cert-authority * ${before.split(/ (.*)/)[1]}\n`,
  )
  assert.is((await admitted()).note, 'the repository accepts it')
  const text = readFileSync(join(where, 'deploy-key', 'known_hosts'), 'utf8')
  assert.is(text, `[127.0.0.1]:${sshd.port} ${type} ${key}\n`)
  assert.is(readFileSync(join(where, 'deploy-key', 'identity'), 'utf8'), identity)
  writeFileSync(known, '')
  assert.is((await admitted()).note, 'the repository accepts it') // by the one that is kept with the key
  writeFileSync(known, `@revoked * ${type} ${key}\n`)
  assert.match((await admitted()).error?.message ?? '', 'shows only SSH host keys that')
})

test('a server that does not answer is not taken for one that lacks the key', async () => {
  writeFileSync(join(home, '.ssh', 'known_hosts'), '')
  await sshd.down()
  const { error, said } = await admitted()
  assert.match(
    error?.message ?? '',
    /cannot be read: ssh: connect to host 127\.0\.0\.1 port \d+: Connection refused/,
  )
  assert.is(said, '')
})

test.run()
