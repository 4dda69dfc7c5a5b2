import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { artifactsOf, loadReleases, RELEASES } from '../../lib/k3s/releases.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { INSTALLER_UNIT } from '../../scripts/install-cluster/run.ts'
import { test } from '../suite.ts'
import { type Machine, type Outcome, type ScriptOptions, ServerBed } from './harness.ts'

const PASSWORD = 'correct horse battery'
const DOMAIN = 'oas.example.org'

let bed: ServerBed
/** The server of the cluster `one`, its agent-to-be, and the server of `two`. */
let first: Machine
let agent: Machine
let second: Machine

test.before(async () => {
  bed = await ServerBed.start({ servers: 3, serve: false, user: { name: 'ann', password: PASSWORD } })
  ;[first, agent, second] = bed.servers as [Machine, Machine, Machine]
  await newCluster('one', first)
  await newCluster('two', second, 'ann')
})
test.after(() => bed?.stop())

/** Makes a cluster folder whose releases are those of the bed. */
async function newCluster(name: string, server: Machine, user = 'root', from = bed): Promise<void> {
  const args = [name, DOMAIN, '--ip-address', server.address, '--ssh-user', user]
  const made = await from.runScript('create-cluster', [...args, '--admin-email', 'a@example.org', '--yes'])
  assert.is(made.code, 0, made.stderr)
  copyFileSync(bed.releases.list, join(from.folder, name, 'releases.yaml'))
}

const install = (name: string, args: readonly string[] = [], options: ScriptOptions = {}): Promise<Outcome> =>
  bed.runScript('install-cluster', ['--cluster', name, '--yes', ...args], options)

function succeeded(outcome: Outcome): Outcome {
  assert.is(outcome.code, 0, outcome.stderr)
  return outcome
}

/** What is wrong, when a run ended so. */
function failed(outcome: Outcome, code: number): string {
  assert.is(outcome.code, code, outcome.stderr)
  return outcome.stderr
    .split('\n')
    .filter(line => /^(✗| {2}fix:)/.test(line))
    .join('\n')
}

const sh = (server: Machine, script: string) => server.exec(['sh', '-c', script], { timeout: 300_000 })

/** Everything on a server that an installation would change, with its times. */
const state = (server: Machine) =>
  sh(
    server,
    `find /usr/local/bin /etc/rancher /etc/systemd/system /etc/openappstack /var/backups/openappstack /root/.kube \
      /var/lib/OpenAppStack -printf '%p %T@ %s %m\\n' 2>/dev/null | sort
    systemctl show k3s k3s-agent -p ExecMainPID`,
  )

const kubectl = async (server: Machine, ...args: string[]) =>
  (await server.exec(['/usr/local/bin/k3s', 'kubectl', ...args], { timeout: 300_000 })).trim()

/** The names of the runs' journals and their text. */
const journals = (name: string) =>
  readdirSync(join(bed.folder, name, 'journal')).map(file =>
    readFileSync(join(bed.folder, name, 'journal', file), 'utf8'),
  )

// Before the first change

test('a dry run shows the plan and changes nothing', async () => {
  const before = await state(first)
  const { stderr } = succeeded(await install('one', ['--dry-run']))
  for (const line of ['install k3s v1.36.4+k3s1', '+   - oas.example.org', 'install velero v1.18.3'])
    assert.match(stderr, line)
  assert.is(await state(first), before)
})

test('a server that cannot be one is refused with all reasons at once, and nothing is changed', async () => {
  const before = await state(first)
  await sh(
    first,
    `cp /etc/os-release /root/os-release; rm /etc/os-release
    printf 'ID=fedora\\nVERSION_ID=40\\nPRETTY_NAME="Fedora 40"\\n' > /etc/os-release
    systemd-run --unit=squatter socat TCP-LISTEN:443,fork -`,
  )
  const why = failed(await install('one'), 1)
  assert.match(why, 'Fedora 40')
  assert.match(why, /443/)
  await sh(first, 'systemctl stop squatter; cp /root/os-release /etc/os-release')
  assert.is(await state(first), before)
})

test('a server whose purge is not complete is refused before anything is downloaded', async () => {
  const machineId = (await sh(first, 'cat /etc/machine-id')).trim()
  const since = '2026-11-22T11:00:00.000Z'
  const mark = JSON.stringify({
    cluster: 'one',
    domain: DOMAIN,
    machineId,
    markedAt: since,
    purging: { since },
  })
  await sh(first, `mkdir -p /etc/openappstack; printf %s '${mark}' > /etc/openappstack/cluster.json`)
  const before = await state(first)
  for (const args of [[], ['--dry-run']]) {
    const outcome = await install('one', args)
    assert.match(failed(outcome, 4), `is unfinished (started ${since})`)
    assert.not.match(outcome.stderr, 'Download')
  }
  assert.is(await state(first), before)
  await sh(first, 'rm -r /etc/openappstack')
})

test('downloads that are wrong, cut, absent, or from nowhere leave nothing behind', async () => {
  const before = await state(first)
  const k3s = 'github.com/k3s-io/k3s/releases/download'
  for (const [fault, expected] of [
    [{ damaged: true }, /k3s v1\.36\.4\+k3s1 from .+ has the checksum [0-9a-f]{64}, not [0-9a-f]{64}/],
    [{ cutAfter: 100_000 }, /download of k3s` on .+ failed: curl: \(\d+\)/],
    [{ status: 404 }, /download of k3s` on .+ failed: curl: \(22\).+404/],
  ] as const) {
    bed.setFaults({ [k3s]: fault })
    assert.match(failed(await install('one'), 1), expected)
    assert.is(await state(first), before)
  }
  bed.setFaults({})
  const nowhere = failed(await install('one', ['--mirror', 'https://10.77.0.1:444']), 1)
  assert.match(nowhere, /download of CHECKSUM|download of k3s/)
  assert.match(nowhere, '--upload')
  assert.is(await state(first), before)
})

test('without the right to use sudo nothing happens', async () => {
  const before = await state(second)
  const wrong = await install('two', [], { env: { OAS_SUDO_PASSWORD: 'wrong' } })
  assert.match(failed(wrong, 1), 'sudo does not accept the password')
  assert.is(await state(second), before)
})

test('2 GB of memory and a small disk are told together', async () => {
  const small = await ServerBed.start({ serve: false, releases: false, memory: '2G', disk: '4G' })
  try {
    await newCluster('small', small.servers[0]!, 'root', small)
    const before = await state(small.servers[0]!)
    const ended = await small.runScript('install-cluster', ['--cluster', 'small', '--yes'])
    const why = failed(ended, 1)
    assert.match(why, /has 2\.\d GB of memory; 12 GB are wanted/)
    assert.match(why, /GB free of/)
    assert.is(await state(small.servers[0]!), before)
  } finally {
    await small.stop()
    process.env.OAS_CLUSTERS_DIR = bed.folder
  }
})

// Installing

test('killed at every step, it completes in the end', async () => {
  const moments = [
    'Download k3s v',
    'Download krew',
    'Mark ',
    'Storage of the applications',
    'Configuration of k3s',
    'k3s v1.36.4+k3s1 on',
    'systemd: Starting k3s',
    'Node server1',
    'flux v',
    'krew v',
    "root's kubeconfig",
    'Access from here',
    'Verify',
  ]
  for (const moment of moments) {
    const heading = new RegExp(`^(\\d+\\. |  \\[INFO\\] +)${moment.replaceAll('+', '\\+')}`, 'm')
    const { signal, stderr } = await install('one', [], {
      kill: said => (heading.test(said) ? 'SIGKILL' : undefined),
    })
    assert.is(signal, 'SIGKILL', `${moment}: ${stderr}`)
    // The installer goes on by itself. Another one has to be killed later, so this one's work is undone.
    if (moment.startsWith('k3s v'))
      await sh(
        first,
        `while systemctl show -p SubState ${INSTALLER_UNIT} | grep -q running; do sleep 0.2; done; systemctl stop k3s || true`,
      )
  }
  succeeded(await install('one'))
  assert.match(await kubectl(first, 'get', 'nodes', '--no-headers'), /^server1 +Ready .+ v1\.36\.4\+k3s1$/)
  const kubeconfig = join(bed.folder, 'one', 'kube_config_cluster.yml')
  assert.is(statSync(kubeconfig).mode & 0o777, 0o600)
  assert.match(readFileSync(kubeconfig, 'utf8'), `server: https://${first.address}:6443`)
  // The tools find the cluster as root, and so does this side.
  const found = await sh(
    first,
    'ls -l /root/.kube/config; stat -c %a /etc/rancher/k3s/config.yaml; ls /var/cache',
  )
  assert.match(found, '/root/.kube/config -> /etc/rancher/k3s/k3s.yaml')
  assert.match(found, /^600$/m)
  assert.not.match(found, 'openappstack')
  succeeded(await bed.runScript('delete-evicted-pods', ['--cluster', 'one', '--dry-run']))
})

test('again: there is nothing to do, and nothing is changed', async () => {
  const before = [await state(first), statSync(join(bed.folder, 'one', 'kube_config_cluster.yml')).mtimeMs]
  const { stderr } = succeeded(await install('one'))
  assert.match(stderr, 'Nothing to do: server1 is Ready, v1.36.4+k3s1')
  assert.equal(
    [await state(first), statSync(join(bed.folder, 'one', 'kube_config_cluster.yml')).mtimeMs],
    before,
  )
})

test('a user with a sudo password installs by upload', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'oas-upload-'))
  try {
    const ca = join(cache, 'ca.pem')
    writeFileAtomic(ca, bed.releases.ca)
    const env = {
      OAS_SUDO_PASSWORD: PASSWORD,
      XDG_CACHE_HOME: cache,
      NODE_EXTRA_CA_CERTS: ca,
    }
    const ended = succeeded(await install('two', ['--upload', '--mirror', bed.releases.mirror], { env }))
    assert.match(await kubectl(second, 'get', 'nodes', '--no-headers'), / Ready /)
    assert.is(readdirSync(join(cache, 'openappstack', 'releases')).length, 6)
    for (const text of [ended.stderr, ...journals('two')]) assert.not.match(text, PASSWORD)
  } finally {
    rmSync(cache, { recursive: true })
  }
})

test('a folder replaces the network, and every file in it is verified', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-airgap-'))
  try {
    const artifacts = artifactsOf(await loadReleases(bed.releases.list), 'amd64')
    for (const name of RELEASES) {
      const { host, pathname } = new URL(artifacts[name].url)
      cpSync(
        join(join(dirname(bed.releases.list), 'files'), host, decodeURIComponent(pathname)),
        join(folder, artifacts[name].file),
      )
    }
    // The server has lost its helm, and another k3s.
    await sh(
      second,
      `k3s kubectl create configmap kept
      cd /usr/local/bin; rm helm; cp k3s k3s.other; printf '\\n' >> k3s.other; mv k3s.other k3s`,
    )
    const env = { OAS_SUDO_PASSWORD: PASSWORD }
    writeFileAtomic(join(folder, 'install.sh'), 'echo not the installer\n')
    assert.match(
      failed(await install('two', ['--airgap', folder], { env }), 1),
      'install.sh v1.36.4+k3s1 from',
    )
    cpSync(
      join(
        join(dirname(bed.releases.list), 'files'),
        'raw.githubusercontent.com/k3s-io/k3s/v1.36.4+k3s1/install.sh',
      ),
      join(folder, 'install.sh'),
    )
    bed.setFaults({ '': { status: 503 } })
    succeeded(await install('two', ['--airgap', folder], { env }))
    assert.match(
      await sh(second, 'helm version; ls /var/lib/rancher/k3s/agent/images'),
      /v4\.2\.4[\s\S]+airgap-images/,
    )
    assert.match(await kubectl(second, 'get', 'configmap', 'kept', '-o', 'name'), 'configmap/kept')
  } finally {
    bed.setFaults({})
    rmSync(folder, { recursive: true })
  }
})

// Changing what runs

test('a second run at the same time is kept out, and told who works', async () => {
  await sh(first, 'systemctl stop k3s')
  let other: Promise<Outcome> | undefined
  const run = await install('one', [], {
    kill: said => {
      if (!other && /^\d+\. /m.test(said)) other = install('one')
      return undefined
    },
  })
  succeeded(run)
  assert.match(failed((await other)!, 75), 'another run holds the lock')
})

test('an upgrade saves datastore and token first and keeps objects, flags and the own configuration', async () => {
  await kubectl(first, 'create', 'configmap', 'kept', '--from-literal=a=b')
  const uid = await kubectl(first, 'get', 'configmap', 'kept', '-o', 'jsonpath={.metadata.uid}')
  await sh(
    first,
    `printf '# mine\\nkubelet-arg: [max-pods=200]\\n' >> /etc/rancher/k3s/config.yaml
    sed -i "s/^    server.*/    server '--debug' '--disable=servicelb'/" /etc/systemd/system/k3s.service
    echo "K3S_TOKEN='$(cat /var/lib/rancher/k3s/server/token)'" >> /etc/systemd/system/k3s.service.env
    systemctl daemon-reload`,
  )
  const token = (await sh(first, 'cat /var/lib/rancher/k3s/server/token')).trim()
  copyFileSync(bed.releases.newerList, join(bed.folder, 'one', 'releases.yaml'))

  // A disk that is full while the datastore is copied: the old k3s has to come back.
  await sh(
    first,
    'mkdir -p /var/backups/openappstack; mount -t tmpfs -o size=1m tmpfs /var/backups/openappstack',
  )
  const full = await install('one')
  assert.match(failed(full, 1), /could not be installed on .+: .*No space left/)
  await sh(first, 'for i in $(seq 60); do k3s kubectl get configmap kept && exit 0; sleep 1; done; exit 1')
  assert.match(await sh(first, 'k3s --version; ls -A /var/backups/openappstack'), 'v1.36.4+k3s1')
  await sh(first, 'umount /var/backups/openappstack')

  const ended = succeeded(await install('one'))
  assert.match(ended.stderr, 'upgrade k3s from v1.36.4+k3s1 to v1.36.5+k3s1')
  assert.match(await kubectl(first, 'get', 'nodes', '--no-headers'), / v1\.36\.5\+k3s1$/)
  assert.is(await kubectl(first, 'get', 'configmap', 'kept', '-o', 'jsonpath={.metadata.uid}'), uid)
  const saved = await sh(
    first,
    'cd /var/backups/openappstack; stat -c "%a %n" *; cat */token; ls */db; cat */version',
  )
  assert.match(saved, /^700 k3s-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-v1\.36\.4\+k3s1$/m)
  assert.match(saved, token)
  const now = await sh(
    first,
    'cat /etc/rancher/k3s/config.yaml /etc/systemd/system/k3s.service /etc/systemd/system/k3s.service.env',
  )
  for (const kept of ['# mine', 'max-pods=200', '- servicelb', "'--debug'", token]) assert.match(now, kept)
  assert.not.match(now, '--disable')
  for (const text of [full.stderr, ended.stderr, ...journals('one')]) assert.not.match(text, token)
  assert.match(succeeded(await install('one')).stderr, 'Nothing to do')
})

test('a downgrade, and a minor version left out, are refused', async () => {
  const before = await state(first)
  assert.match(
    failed(await install('one', ['--k3s-version', 'v1.36.4+k3s1']), 4),
    'a downgrade can lose data',
  )
  assert.match(failed(await install('one', ['--k3s-version', 'v1.38.0+k3s1']), 4), 'would be left out')
  assert.is(await state(first), before)
})

test('a k3s that does not start is told with its own words, and comes back', async () => {
  await sh(
    first,
    "sed -i \"s/'--debug'/'--no-such-flag'/\" /etc/systemd/system/k3s.service; systemctl daemon-reload",
  )
  const why = failed(await install('one'), 1)
  assert.match(why, /k3s could not be installed on .+no-such-flag/)
  await sh(first, 'sed -i "s/\'--no-such-flag\'//" /etc/systemd/system/k3s.service; systemctl daemon-reload')
  succeeded(await install('one'))
})

test('sshd killed while the installer works: the next run waits for it', async () => {
  const slow = '/etc/systemd/system/k3s.service.d/slow.conf'
  await first.write(slow, '[Service]\nExecStartPre=/bin/sleep 15\n')
  await sh(first, 'systemctl daemon-reload; systemctl stop k3s')
  let killed = false
  const ended = await install('one', [], {
    kill: said => {
      if (!killed && /systemd: Starting k3s/.test(said)) {
        killed = true
        void sh(first, "kill -9 $(pgrep -f 'sshd: root')").catch(() => {})
      }
      return undefined
    },
  })
  assert.match(failed(ended, 1), /the connection to .+ was lost/)
  const next = succeeded(await install('one'))
  assert.match(next.stderr, 'The installer of an earlier run is at work')
  await sh(first, `rm ${slow}; systemctl daemon-reload`)
  assert.match(await kubectl(first, 'get', 'nodes', '--no-headers'), / Ready /)
})

test('the server reboots while the installer works: the next run completes', async () => {
  await sh(first, 'systemctl stop k3s')
  let reset: Promise<void> | undefined
  const ended = await install('one', [], {
    kill: said => {
      if (/systemd: Starting k3s|^\d+\. k3s v/m.test(said)) reset ??= first.reset()
      return undefined
    },
  })
  await reset
  assert.match(failed(ended, 1), /the connection to .+ was lost/)
  await first.waitForBoot()
  succeeded(await install('one'))
  assert.match(await kubectl(first, 'get', 'nodes', '--no-headers'), / Ready /)
})

test('packets dropped in the middle: the run gives up, and the next one completes', async () => {
  await sh(first, 'systemctl stop k3s')
  let cut = false
  const ended = await install('one', [], {
    kill: said => {
      if (!cut && /^\d+\. k3s v/m.test(said)) {
        cut = true
        void bed.cut(first)
      }
      return undefined
    },
  })
  await bed.heal(first)
  assert.match(failed(ended, 1), /the connection to .+ was lost/)
  // The lock of a connection that was never closed is free after a minute.
  let next = await install('one')
  for (let i = 0; i < 15 && next.code === 75; i++) {
    await new Promise(resolve => setTimeout(resolve, 5000))
    next = await install('one')
  }
  succeeded(next)
  assert.match(await kubectl(first, 'get', 'nodes', '--no-headers'), / Ready /)
})

test('another host joins as an agent, with its token in a file', async () => {
  const inventory = join(bed.folder, 'one', 'inventory.yml')
  const text = readFileSync(inventory, 'utf8')
  const { parseDocument } = await import('yaml')
  const doc = parseDocument(text)
  doc.setIn(['all', 'hosts', 'two'], { ansible_host: agent.address, ansible_user: 'root' })
  doc.setIn(['all', 'children', 'worker', 'hosts', 'two'], null)
  writeFileAtomic(inventory, String(doc))
  succeeded(await install('one'))
  const nodes = await kubectl(first, 'get', 'nodes', '--no-headers')
  assert.match(nodes, /^server1 +Ready /m)
  assert.match(nodes, /^server2 +Ready /m)
  const token = (await sh(first, 'cat /var/lib/rancher/k3s/server/node-token')).trim()
  assert.is((await sh(agent, 'stat -c %a /etc/rancher/k3s/agent-token')).trim(), '600')
  assert.not.match(
    await sh(agent, "tr '\\0' ' ' < /proc/$(systemctl show -P ExecMainPID k3s-agent)/cmdline"),
    token,
  )
  for (const text of journals('one')) assert.not.match(text, token)
  assert.match(succeeded(await install('one')).stderr, 'Nothing to do')
})

test('a folder with the kubeconfig of another cluster is refused', async () => {
  mkdirSync(join(bed.folder, 'wrong'))
  for (const file of ['inventory.yml', '.flux.env', 'releases.yaml'])
    copyFileSync(join(bed.folder, 'one', file), join(bed.folder, 'wrong', file))
  const other = readFileSync(join(bed.folder, 'two', 'kube_config_cluster.yml'), 'utf8')
  writeFileAtomic(join(bed.folder, 'wrong', 'kube_config_cluster.yml'), other)
  const why = failed(await install('wrong'), 4)
  assert.match(why, 'is for another cluster')
  assert.match(why, 'the cluster one')
})

test.run()
