import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseInventory } from '../../lib/platform/inventory.ts'
import { ROOT } from '../../lib/script/files.ts'
import { scriptArgs } from '../compiled.ts'
import { temporaryFolder } from '../unit/helpers.ts'
import { type StandIn, standIn, TOKEN } from '../unit/provider-server.ts'

interface Ended {
  code: number | null
  out: string
  err: string
}
/** Everything that was said in this file, for the search for the token. */
let said = ''
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A clusters folder of its own, and the script as a process on it. */
function bed() {
  const clusters = temporaryFolder()
  const folder = join(clusters, 'oas')
  let child: ChildProcess | undefined
  return {
    clusters,
    folder,
    file: (name: string) => join(folder, name),
    read: (name: string) => readFileSync(join(folder, name), 'utf8'),
    /** The process that runs now. */
    child: () => child!,
    run: (args: readonly string[], env: Record<string, string> = {}): Promise<Ended> => {
      child = spawn(process.execPath, [...scriptArgs('create-cluster'), ...args], {
        cwd: ROOT,
        env: { PATH: process.env.PATH, HOME: process.env.HOME, OAS_CLUSTERS_DIR: clusters, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 300_000,
        killSignal: 'SIGKILL',
      })
      const mine = child
      running.add(mine)
      const ended: Ended = { code: null, out: '', err: '' }
      mine.stdout!.on('data', chunk => {
        ended.out += chunk
      })
      mine.stderr!.on('data', chunk => {
        ended.err += chunk
      })
      return new Promise(resolve =>
        mine.on('close', code => {
          running.delete(mine)
          said += ended.out + ended.err
          resolve({ ...ended, code })
        }),
      )
    },
  }
}
const byHand = ['oas', 'oas.example.org', '--ip-address', '203.0.113.7', '--admin-email', 'admin@example.org']
const token = { DIGITALOCEAN_TOKEN: TOKEN, COSMOS_API_TOKEN: TOKEN }
/** The command line that creates everything. */
const everything = (server: StandIn, provider = 'digitalocean') => [
  ...['oas', 'example.org', '--subdomain', 'oas', '--admin-email', 'admin@example.org', '--yes'],
  ...['--provider', provider, '--provider-url', server.url, '--create-droplet', '--size', 's-8vcpu-16gb'],
  ...['--region', 'ams3', '--image', 'debian-13-x64', '--ssh-key-id', '112', '--create-domain-records'],
]
const posts = (server: StandIn) => server.requests.filter(({ method }) => method === 'POST').length
const problems = ({ err }: Ended) => [...err.matchAll(/^✗ (.*)\n {2}fix: (.*)$/gm)].map(match => match[1]!)

/** The folder and the account hold exactly one cluster, whole. */
async function checkWhole({ read, file }: ReturnType<typeof bed>, server: StandIn): Promise<void> {
  assert.is(server.droplets.length, 1, 'servers')
  const address = server.droplets[0]!.networks.v4[1]!.ip_address
  assert.equal(
    server.records
      .get('example.org')!
      .slice(1)
      .map(({ type, name, data }) => [type, name, data]),
    [
      ['A', 'oas', address],
      ['CNAME', '*.oas', 'oas.example.org'],
    ],
  )
  const [host, second] = await parseInventory(read('inventory.yml'), 'inventory.yml')
  assert.equal(
    [host?.name, host?.address, host?.user, second],
    ['oas.example.org', address, 'root', undefined],
  )
  for (const line of [`ip_address=${address}`, 'domain=oas.example.org', 'admin_email=admin@example.org'])
    assert.match(read('.flux.env'), new RegExp(`^${line}$`, 'm'))
  assert.ok(existsSync(file('kustomization.yaml')))
}

test('a server that is there: the folder, only for its owner, and what to do next', async () => {
  const { run, clusters, folder, file, read } = bed()
  const { code, out, err } = await run([...byHand, '--yes'])
  assert.is(code, 0, err)
  assert.is(statSync(folder).mode & 0o777, 0o700)
  for (const name of ['inventory.yml', '.flux.env', 'kustomization.yaml'])
    assert.is(statSync(file(name)).mode & 0o777, 0o600, name)
  assert.match(read('.flux.env'), /^domain=oas\.example\.org$/m)
  assert.match(read('.flux.env'), /^wordpress_domain=$/m)
  assert.is(read('kustomization.yaml'), readFileSync(join(ROOT, 'install', 'kustomization.yaml'), 'utf8'))
  assert.match(
    out,
    /A {6}oas\.example\.org {4}203\.0\.113\.7\n {4}CNAME {2}\*\.oas\.example\.org {2}oas\.example\.org\n/,
  )
  for (const script of ['preflight', 'install-cluster', 'install-core'])
    assert.match(out, `scripts/${script}.ts --cluster oas `)
  assert.equal(readdirSync(clusters), ['oas'])

  const before = statSync(file('.flux.env')).mtimeMs
  const again = await run([...byHand, '--json'])
  assert.is(again.code, 0, again.err)
  assert.match(again.err, 'nothing was changed')
  assert.equal(JSON.parse(again.out).result, { folder, domain: 'oas.example.org', ipAddress: '203.0.113.7' })
  assert.is(statSync(file('.flux.env')).mtimeMs, before)
  assert.is((await run(['oas'])).code, 0, 'a complete folder needs no answers')
})

test('a whole domain and an IPv6 address: WordPress at the root, an AAAA record', async () => {
  const { run, read } = bed()
  const { code, out } = await run([
    'oas',
    'example.org',
    '--ip-address',
    '2001:db8::1',
    '--admin-email',
    'a@example.org',
    '--yes',
  ])
  assert.is(code, 0)
  assert.match(read('.flux.env'), /^wordpress_domain=example\.org$/m)
  assert.match(out, /AAAA {3}example\.org {4}2001:db8::1\n/)
})

test('all that is wrong is told at once, and nothing is made', async () => {
  const { run, clusters } = bed()
  const wrong = [
    '-x-',
    'Example_org',
    '--ip-address=1.2.3.256',
    '--admin-email=me',
    '--ssh-user=-l',
    '--size=s',
  ]
  const ended = await run([
    '--yes',
    '--provider=linode',
    '--droplet-id=1x',
    ...wrong.slice(1),
    '--',
    wrong[0]!,
  ])
  assert.is(ended.code, 2)
  assert.is(problems(ended).length, 9, ended.err)
  const missing = await run(['oas'])
  assert.equal(problems(missing), [
    'no answer to "Domain of the cluster"',
    'no answer to "Mail address of the administrator"',
    'no answer to "IP address of the cluster"',
  ])
  assert.equal(problems(await run([])), ['NAME is missing'])
  assert.equal(readdirSync(clusters), [])
})

test('hostile names get nowhere', async () => {
  const { run, clusters } = bed()
  const hostile = ['../x', 'a b', '$(id)', 'a\nb', '..', 'a/b', "a'b", '']
  const ended = await Promise.all(
    hostile.flatMap(name => [
      run([name, 'oas.example.org', '--ip-address', '1.2.3.4', '--admin-email', 'a@b.org', '--yes']),
      run(['oas', name, '--ip-address', '1.2.3.4', '--admin-email', 'a@b.org', '--yes']),
    ]),
  )
  for (const { code, err } of ended) assert.is(code, 2, err)
  assert.equal(readdirSync(clusters), [])
})

test('an existing folder is completed: nothing in it is lost', async () => {
  const { run, folder, file, read } = bed()
  mkdirSync(folder, { mode: 0o755 })
  writeFileSync(
    file('.flux.env'),
    '# mine\noutgoing_mail_smtp_password=hunter2hunter2\nadmin_email=boss@example.org\n',
    { mode: 0o644 },
  )
  writeFileSync(file('kustomization.yaml'), '# my own\n')
  const { code, err, out } = await run([
    'oas',
    'example.org',
    '--subdomain',
    'oas',
    '--ip-address',
    '203.0.113.7',
    '--yes',
  ])
  assert.is(code, 0, err)
  assert.is(
    read('.flux.env'),
    '# mine\noutgoing_mail_smtp_password=hunter2hunter2\nadmin_email=boss@example.org\ndomain=oas.example.org\nip_address=203.0.113.7\n',
  )
  assert.is(read('kustomization.yaml'), '# my own\n')
  assert.equal([statSync(folder).mode & 0o777, statSync(file('.flux.env')).mode & 0o777], [0o700, 0o600])
  assert.not.match(out + err, 'hunter2')
})

test('a value that differs is shown and refused; --yes replaces it and keeps the rest', async () => {
  const { run, file, read } = bed()
  await run([...byHand, '--yes'])
  writeFileSync(file('inventory.yml'), `${read('inventory.yml')}# my comment\n`)
  const before = [read('.flux.env'), read('inventory.yml')]
  const other = ['oas', 'oas.example.org', '--ip-address', '198.51.100.9']
  const refused = await run(other)
  assert.is(refused.code, 4)
  assert.match(
    refused.err,
    'ansible_host of oas.example.org: 203.0.113.7 → 198.51.100.9; .flux.env: ip_address: 203.0.113.7 → 198.51.100.9',
  )
  assert.is((await run([...other, '--dry-run'])).code, 0)
  assert.equal([read('.flux.env'), read('inventory.yml')], before)
  const replaced = await run([...other, '--yes'])
  assert.is(replaced.code, 0, replaced.err)
  assert.match(replaced.err, '~ .flux.env: ip_address: 203.0.113.7 → 198.51.100.9')
  assert.equal(
    [read('.flux.env'), read('inventory.yml')],
    before.map(text => text.replace('203.0.113.7', '198.51.100.9')),
  )
  // What was replaced can be read in the journal.
  const journal = readdirSync(file('journal')).map(name => read(join('journal', name)))
  assert.ok(journal.some(text => text.includes('203.0.113.7 → 198.51.100.9')))
})

test('a folder of an installed cluster is never turned into that of another', async () => {
  const { run, file, read } = bed()
  await run([...byHand, '--yes'])
  writeFileSync(file('kube_config_cluster.yml'), 'x')
  const before = read('.flux.env')
  const refused = await run(['oas', 'other.example.org', '--yes'])
  assert.is(refused.code, 4)
  assert.match(refused.err, 'give another NAME for a new cluster (this one is installed)')
  assert.is(read('.flux.env'), before)
  assert.is((await run(byHand)).code, 0)
})

test('with another domain WordPress moves along', async () => {
  const { run, read } = bed()
  await run(['oas', 'example.org', '--ip-address', '203.0.113.7', '--admin-email', 'a@example.org', '--yes'])
  await run(['oas', 'oas.example.org', '--yes'])
  assert.match(read('.flux.env'), /^wordpress_domain=www\.oas\.example\.org$/m)
})

for (const provider of ['digitalocean', 'cosmos'])
  test(`${provider}: server, records and folder; again changes nothing; the token shows nowhere`, async () => {
    const server = await standIn()
    const cluster = bed()
    let commandLine = ''
    server.fault = () => {
      commandLine ||= readFileSync(`/proc/${cluster.child().pid}/cmdline`, 'utf8')
      return undefined
    }
    try {
      const { code, err, out } = await cluster.run(everything(server, provider), token)
      assert.is(code, 0, err)
      await checkWhole(cluster, server)
      assert.is(
        'tags' in (server.requests.find(({ method }) => method === 'POST')!.body as object),
        provider === 'digitalocean',
      )
      assert.not.match(out, 'Create these DNS records')
      assert.is(posts(server), 3)
      const again = await cluster.run(everything(server, provider), token)
      assert.is(again.code, 0, again.err)
      assert.match(again.err, 'nothing was changed')
      assert.is(posts(server), 3)
      await cluster.run([...everything(server, provider), '--json', '--verbose'], token)

      assert.match(commandLine, 'create-cluster.')
      assert.not.match(commandLine, TOKEN)
      assert.not.match(said, TOKEN)
      for (const entry of readdirSync(cluster.folder, { recursive: true, withFileTypes: true }))
        if (entry.isFile()) assert.not.match(readFileSync(join(entry.parentPath, entry.name), 'utf8'), TOKEN)
      assert.not.ok(existsSync(cluster.file('.lock')))
    } finally {
      server.close()
    }
  })

test('a dry run shows the calls and makes none of them', async () => {
  const server = await standIn()
  const { run, clusters } = bed()
  try {
    const { code, err } = await run([...everything(server), '--dry-run'], token)
    assert.is(code, 0, err)
    assert.match(
      err,
      `POST ${server.url}/droplets {"name":"oas.example.org","region":"ams3","size":"s-8vcpu-16gb"`,
    )
    assert.match(
      err,
      `POST ${server.url}/domains/example.org/records {"type":"CNAME","name":"*.oas","data":"oas.example.org.","ttl":1800}`,
    )
    assert.equal([posts(server), readdirSync(clusters)], [0, []])
  } finally {
    server.close()
  }
})

test('a server of the provider by its id; its name may be free text', async () => {
  const server = await standIn()
  const { run, read } = bed()
  const networks = { v4: [{ ip_address: '203.0.113.9', type: 'public' }], v6: [] }
  server.droplets.push({
    id: 42,
    name: 'My \x1b[31mserver $(id)',
    status: 'active',
    tags: [],
    networks,
    looks: 0,
  })
  const args = [
    'oas',
    'oas.example.org',
    '--admin-email',
    'a@b.org',
    '--provider',
    'cosmos',
    '--provider-url',
    server.url,
    '--yes',
  ]
  try {
    const { code, err } = await run([...args, '--droplet-id', '42'], token)
    assert.is(code, 0, err)
    assert.not.match(err, '\x1b')
    assert.match(read('inventory.yml'), 'oas.example.org:\n      ansible_host: 203.0.113.9')
    const none = await run([...args, '--droplet-id', '43'], token)
    assert.is(none.code, 1)
    assert.equal(problems(none), ['server 43 does not exist at Greenhost Cosmos'])
  } finally {
    server.close()
  }
})

test('what is not offered, and records that contradict, are told together before anything is created', async () => {
  const server = await standIn()
  const { run, clusters } = bed()
  server.records.get('example.org')!.push({ id: 2, type: 'A', name: 'oas', data: '192.0.2.1' })
  try {
    const ended = await run(
      everything(server).map(arg => (arg === 'ams3' ? 'ams4' : arg)),
      token,
    )
    assert.is(ended.code, 4)
    assert.equal(problems(ended), [
      '--region ams4 is not offered',
      'example.org has the record A oas → 192.0.2.1, which conflicts with A oas → ADDRESS_OF_THE_NEW_SERVER',
    ])
    const incomplete = await run(everything(server).slice(0, -7), token)
    assert.is(incomplete.code, 2)
    assert.match(
      incomplete.err,
      '--create-droplet needs --region\n  fix: give --region; choose from: ams3, fra1',
    )
    assert.equal([posts(server), readdirSync(clusters)], [0, []])
  } finally {
    server.close()
  }
})

test('no token, and one that is refused, are told once', async () => {
  const server = await standIn()
  const { run, clusters } = bed()
  try {
    const none = await run(everything(server), {})
    assert.equal([none.code, problems(none)], [2, ['DIGITALOCEAN_TOKEN is not set']])
    assert.is(server.requests.length, 0)
    const wrong = await run(everything(server), { DIGITALOCEAN_TOKEN: 'wrong-token-of-mine' })
    assert.is(wrong.code, 1)
    assert.is(problems(wrong).length, 1, wrong.err)
    assert.match(wrong.err, 'answers 401')
    assert.not.match(wrong.err, 'wrong-token-of-mine')
    assert.equal(readdirSync(clusters), [])
  } finally {
    server.close()
  }
})

test('killed at any request, before or after it was carried out, the next run completes and creates nothing twice', async () => {
  const whole = await standIn()
  const first = await bed().run(everything(whole), token)
  whole.close()
  assert.is(first.code, 0, first.err)
  // Reading what is offered changes nothing, and before a look is after the request before it.
  const moments = whole.requests
    .filter(({ path }) => /^\/(droplets|domains)/.test(path))
    .flatMap(({ number, method }) => [
      { number, moment: 'after' as const },
      ...(method === 'POST' ? [{ number, moment: 'fault' as const }] : []),
    ])
  assert.ok(moments.length > 10, String(moments.length))
  const killAt = async ({ number, moment }: (typeof moments)[number]) => {
    const server = await standIn()
    const cluster = bed()
    try {
      server[moment] = request => {
        if (request.number === number) cluster.child().kill('SIGKILL')
        return undefined
      }
      assert.is((await cluster.run(everything(server), token)).code, null, `not killed at request ${number}`)
      server[moment] = () => undefined
      const again = await cluster.run(everything(server), token)
      assert.is(again.code, 0, `${moment} ${number}: ${again.err}`)
      await checkWhole(cluster, server)
    } finally {
      server.close()
    }
  }
  // Two at a time: each is a process.
  for (let i = 0; i < moments.length; i += 2) await Promise.all(moments.slice(i, i + 2).map(killAt))
})

test('an interrupted wait ends with 130, and the next run goes on', async () => {
  const server = await standIn()
  const cluster = bed()
  server.looks = 1e9
  server.after = ({ path }) => void (/droplets\/\d/.test(path) && cluster.child().kill('SIGTERM'))
  try {
    assert.is((await cluster.run(everything(server), token)).code, 130)
    assert.not.ok(existsSync(cluster.file('.lock')))
    server.after = () => undefined
    server.droplets[0]!.looks = 1
    assert.is((await cluster.run(everything(server), token)).code, 0)
    await checkWhole(cluster, server)
  } finally {
    server.close()
  }
})

test('of two runs at once the second is told so, and one server is created', async () => {
  const server = await standIn()
  const cluster = bed()
  let second: Promise<Ended> | undefined
  server.fault = async ({ method, path }) => {
    if (method !== 'POST' || path !== '/droplets' || second) return undefined
    // The first run holds the lock while its server is about to be created.
    second = cluster.run(everything(server), token)
    await second
    return undefined
  }
  try {
    const first = await cluster.run(everything(server), token)
    assert.equal([first.code, (await second)?.code], [0, 75])
    assert.match((await second)!.err, 'another run works on this folder (pid')
    await checkWhole(cluster, server)
  } finally {
    server.close()
  }
})

test.run()
