/**
 * Every script that speaks SSH, against servers that mean no good: one clear error or a clean screen, within 20 seconds
 * and 300 MB. The servers are stand-ins that speak SSH with the library that the scripts use, too.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { scriptSpecs } from '../../scripts/help/specs.ts'
import { test } from '../suite.ts'
import { temporaryFolder } from '../unit/helpers.ts'
import { kubeconfigFile, serve } from '../unit/transport.ts'
import { type Measured, measured, oneError, tryAll } from './hostile.ts'
import { apiServer } from './hostile-api.ts'
import { hostileSsh, SERVERS } from './hostile-ssh.ts'
import { cleanUp, folder, newKey } from './sshd.ts'

/** Addresses of the server, before and after change-ip, both of which ssh_config turns into the loopback. */
const OLD = '10.77.99.1'
const NEW = '10.77.99.2'

/** The scripts that connect to a server, and what they are called with. FOLDER is a folder of the test's own. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  ssh: ['--json', '--', 'uptime'],
  info: [],
  preflight: ['--only', 'server'],
  'install-cluster': ['--yes'],
  'backup-cluster-dir': ['--yes', '--output', 'FOLDER', '--new-identity', 'FOLDER/identity'],
  'change-ip': [NEW, '--yes'],
  purge: ['--confirm', 'oas', '--discard-data'],
  'migrate-data': ['--from', 'FOLDER/volumes.json', '--old-folder', '/root/old-volumes', '--yes'],
  'test-cluster': ['--only', 'host', '--timeout', '1s'],
  backup: [],
}

/** Of these the part that connects, where it comes after what needs hours: a backup asks for the token at its end. */
const PARTS: Readonly<Record<string, string>> = { backup: '../test/host/k3s-token' }

const keys = folder()
const ours = newKey(join(keys, 'ours'))
const theirs = newKey(join(keys, 'theirs'))
const others = newKey(join(keys, 'others'))
const { url: kubernetes } = await serve(apiServer(() => undefined))
test.after(cleanUp)

const publicKey = (key: string) => readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')

/** Runs a script against a server at this port of the loopback, which is known by `known`. */
async function runAgainst(name: string, port: number, known: string): Promise<Measured> {
  const home = temporaryFolder()
  const cluster = join(home, 'clusters', 'oas')
  mkdirSync(cluster, { recursive: true })
  mkdirSync(join(home, '.ssh'), { mode: 0o700 })
  writeFileSync(join(home, '.ssh', 'known_hosts'), `[127.0.0.1]:${port} ${publicKey(known)}\n`)
  writeFileSync(join(home, '.ssh', 'config'), `Host ${OLD} ${NEW}\n  HostName 127.0.0.1\n  Port ${port}\n`)
  const host = `ansible_host: ${OLD}\n      ansible_user: root\n      ansible_ssh_private_key_file: ${ours}`
  writeFileSync(join(cluster, 'inventory.yml'), `all:\n  hosts:\n    oas:\n      ${host}\n`)
  writeFileSync(
    join(cluster, '.flux.env'),
    `domain=oas.example.org\nip_address=${OLD}\nadmin_email=a@example.org\noutgoing_mail_enabled=false\n`,
  )
  writeFileSync(
    join(cluster, 'kube_config_cluster.yml'),
    readFileSync(kubeconfigFile({ server: kubernetes })),
    {
      mode: 0o600,
    },
  )
  writeFileSync(
    join(home, 'volumes.json'),
    JSON.stringify({ version: 1, cluster: 'old', takenAt: '2026-01-01T00:00:00Z', volumes: [] }),
  )
  const args = CALLS[name]!.map(arg => arg.replace('FOLDER', home))
  return await measured(PARTS[name] ?? name, args, join(home, 'clusters'), {
    HOME: home,
    SSH_AUTH_SOCK: undefined,
  })
}

/** Every script against one server. */
async function allAgainst(
  serverName: string,
  known: string,
  check: (name: string, outcome: Measured) => void,
): Promise<void> {
  const { port, close } = await hostileSsh(SERVERS[serverName]!(readFileSync(theirs, 'utf8')))
  await tryAll(Object.keys(CALLS), name => runAgainst(name, port, known), check)
  close()
}

test('no script that connects to servers is forgotten', async () => {
  const connecting = [...(await scriptSpecs())].filter(
    ([, { flags }]) => 'accept-new-host-key' in (flags ?? {}),
  )
  assert.equal(connecting.map(([name]) => name).sort(), Object.keys(CALLS).sort())
})

/** What a command of somebody may well say: a script that only hands it on has not failed. */
const BELIEVED = ['escapes for every answer', 'escapes in every fact']

for (const what of Object.keys(SERVERS))
  test(`${what}: one clear error`, () =>
    allAgainst(what, theirs, (name, outcome) => {
      const { stdout, stderr, code } = outcome
      if (name === 'backup') return assert.match(stderr, "k3s' token is not saved with the backup")
      if (BELIEVED.includes(what) && code === 0) return
      if (name === 'info') return assert.match(stderr, 'was not asked')
      if (name === 'test-cluster') return assert.is(code, 1, stdout)
      oneError(outcome)
    }))

test('another host key than the known one: one clear error, and nothing is sent', () =>
  allAgainst('escapes for every answer', others, (name, outcome) => {
    const said = outcome.stdout + outcome.stderr
    assert.match(said, /host key of .* has changed|another machine answers/)
    if (!['info', 'test-cluster', 'backup'].includes(name)) oneError(outcome)
  }))

test.run()
