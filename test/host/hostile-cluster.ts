/**
 * A server of a cluster as scripts find it that log in first: Debian's sshd in namespaces of its own. Files and a
 * `systemctl` stand for k3s there; its API server answers at port 6443 as it is told. Nothing of this machine is
 * changed: what they write to goes with the namespaces.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { sleep } from '../../lib/script/wait.ts'
import { certificate } from '../unit/certificates.ts'
import type { Answer } from './hostile-api.ts'
import { folder, newKey, Sshd } from './sshd.ts'

/** The addresses of the server, before and after change-ip. */
export const OLD = '10.77.99.1'
export const NEW = '10.77.99.2'

const SYSTEMCTL = `#!/bin/sh
# A stand-in: k3s is installed, and runs.
case "$*" in
  *LoadState*k3s.service) echo loaded ;;
  *LoadState*) echo not-found ;;
  'is-active k3s.service') echo active ;;
esac
`

/** Hands connections on to a socket of the test's own, which has no port in this network. */
const RELAY = `require('node:net').createServer(from => {
  const to = require('node:net').connect(process.argv[1])
  for (const socket of [from, to]) socket.on('error', () => { from.destroy(); to.destroy() })
  from.pipe(to).pipe(from)
}).listen(6443, () => require('node:fs').writeFileSync(process.argv[1] + '.ready', ''))`

/** What runs the sshd: it makes the namespaces, and what is found in them. $1: a folder of the test's own. */
const WITHIN = `set -e
ip link set lo up
for address in ${OLD} ${NEW}; do ip address add $address/32 dev lo; done
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
for path in /var/lib /usr/local /run; do mount -t tmpfs none $path; done
mkdir -p /run/sshd /usr/local/sbin /var/lib/rancher/k3s/server/tls /etc/rancher/k3s
cp "$1/systemctl" /usr/local/sbin/
cp "$1/ca.crt" /var/lib/rancher/k3s/server/tls/server-ca.crt
shift
exec "$@"`

/** The same server, with which a lock can be taken: it says of every change of a Lease that it is done. */
export const lockable =
  (answer: Answer): Answer =>
  (request, response) => {
    if (request.method === 'GET' || !/\/leases(\/[^/?]*)?(\?|$)/.test(request.url ?? ''))
      return answer(request, response)
    const pieces: Buffer[] = []
    request.on('data', piece => pieces.push(piece))
    request.on('end', () => response.writeHead(200).end(Buffer.concat(pieces)))
  }

/** The server of a cluster. Ends with the tests. */
export class HostileCluster {
  /** What its API server answers. */
  answer: Answer = (_request, response) => response.writeHead(503).end()
  readonly #sshd: Sshd
  readonly #key: string
  readonly #ca: string
  readonly #relay: ChildProcess

  private constructor(sshd: Sshd, key: string, ca: string, relay: ChildProcess) {
    this.#sshd = sshd
    this.#key = key
    this.#ca = ca
    this.#relay = relay
  }

  static async start(): Promise<HostileCluster> {
    const dir = folder()
    const { cert, key } = await certificate(-1, 30, ['kubernetes', OLD, NEW])
    writeFileSync(join(dir, 'ca.crt'), cert)
    writeFileSync(join(dir, 'systemctl'), SYSTEMCTL)
    chmodSync(join(dir, 'systemctl'), 0o755)
    const within = ['unshare', '--net', '--mount', '--', 'sh', '-c', WITHIN, 'sh', dir]
    const sshd = await Sshd.start({ within, alone: true })
    const login = newKey(join(dir, 'login'))
    sshd.authorise(login)

    const socket = join(dir, 'api')
    const relay = spawn(
      'nsenter',
      ['--target', String(sshd.pid), '--net', '--', process.execPath, '-e', RELAY, socket],
      { stdio: 'ignore' },
    )
    process.on('exit', () => relay.kill('SIGKILL'))
    const cluster = new HostileCluster(sshd, login, cert, relay)
    const api = https.createServer({ cert, key }, (request, response) => cluster.answer(request, response))
    await new Promise<void>(resolve => api.listen(socket, resolve))
    api.unref() // a test that fails half-way must not keep the suite from ending
    for (let i = 0; i < 1200 && !existsSync(`${socket}.ready`); i++) await sleep(50)
    return cluster
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#relay.kill('SIGKILL')
    await this.#sshd.down()
  }

  /** The command by which a script is run in its network. */
  get within(): readonly string[] {
    return ['nsenter', '--target', String(this.#sshd.pid), '--net', '--']
  }

  /** The folder of its cluster, with all that says how it is reached, in a home of its own. Returns what the scripts need of it. */
  folderIn(home: string): { clusters: string; env: Readonly<Record<string, string | undefined>> } {
    const cluster = join(home, 'clusters', 'oas')
    mkdirSync(cluster, { recursive: true })
    mkdirSync(join(home, '.ssh'), { mode: 0o700 })
    const known = readFileSync(`${this.#sshd.hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
    const { port } = this.#sshd
    writeFileSync(join(home, '.ssh', 'known_hosts'), `[127.0.0.1]:${port} ${known}\n`)
    writeFileSync(join(home, '.ssh', 'config'), `Host ${OLD} ${NEW}\n  HostName 127.0.0.1\n  Port ${port}\n`)
    const host = `ansible_host: ${OLD}\n      ansible_user: root\n      ansible_ssh_private_key_file: ${this.#key}`
    writeFileSync(join(cluster, 'inventory.yml'), `all:\n  hosts:\n    oas:\n      ${host}\n`)
    writeFileSync(
      join(cluster, '.flux.env'),
      `domain=oas.example.org\nip_address=${OLD}\nadmin_email=a@example.org\noutgoing_mail_enabled=false\n`,
    )
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: {
            server: `https://${OLD}:6443`,
            'certificate-authority-data': Buffer.from(this.#ca).toString('base64'),
          },
        },
      ],
      users: [{ name: 'u', user: { token: 'ttt' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }
    writeFileSync(join(cluster, 'kube_config_cluster.yml'), JSON.stringify(kubeconfig), { mode: 0o600 })
    return { clusters: join(home, 'clusters'), env: { HOME: home, SSH_AUTH_SOCK: undefined } }
  }
}
