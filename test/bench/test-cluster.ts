/**
 * A whole run of test-cluster without the browser against its parts one after another, each a process from start to
 * end (goal of the whole: at most 10 s). The platform is on a sandbox; its server is this machine, over a real sshd,
 * without k3s. Single sign-on is the real one beside it, as of a platform that is only a domain name. Run it as root.
 *
 * Usage: npx tsx test/bench/test-cluster.ts [ROUNDS]
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../lib/script/files.ts'
import type { TestCheck } from '../../scripts/test-cluster/checks.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { probing } from '../cluster/faults/certificates.ts'
import { runScript } from '../cluster/harness.ts'
import { QUIET, wholePlatform } from '../cluster/whole-platform.ts'
import { cleanUp, folder, me, newHome, newKey, Sshd } from '../host/sshd.ts'
import { alternate, type Taken, tellRatios, timed, timedScript } from './measure.ts'

const PARTS = ['certs', 'app', 'prometheus', 'host', 'backup']
const { bed, trust, stop } = await wholePlatform(() => QUIET)
const building = { progress: (text: string) => console.error(text), waiting: () => {} }
const login = await LoginBed.up(folder(), building)
try {
  newHome()
  const sshd = await Sshd.start()
  const key = newKey(join(folder(), 'key'))
  sshd.authorise(key)
  const server = { ansible_host: '127.0.0.1', ansible_port: sshd.port, ansible_user: me }
  const inventory = { all: { hosts: { sandbox: { ...server, ansible_ssh_private_key_file: key } } } }
  writeFileSync(join(bed.cluster, 'inventory.yml'), JSON.stringify(inventory))
  const authorities = join(bed.folder, 'login.pem')
  writeFileSync(authorities, login.ca)

  const onBed = (...parts: string[]) => [...probing(bed), '--timeout', '1s', '--only', parts.join()]
  const ofDomain = ['--fqdn', login.domain, '--connect-to', `127.0.0.1:1:${login.ports.ingress}`]
  const first = await runScript('test-cluster', [...onBed(...PARTS), '--accept-new-host-key', '--json'], {
    env: trust,
  })
  const { checks } = (JSON.parse(first.stdout) as { result: { checks: TestCheck[] } }).result
  const failed = checks.filter(({ problem }) => problem).map(({ name }) => name)
  console.log(`${checks.length} checks, of which these fail on this machine: ${failed.join(', ') || 'none'}`)

  /** Exit code 3 only says that checks fail. */
  const tested = (authority: string, args: readonly string[]) => {
    const script = [process.execPath, '--import', 'tsx', join(ROOT, 'scripts/test-cluster.ts'), ...args]
    const command = 'NODE_EXTRA_CA_CERTS="$0" "$@"; code=$?; [ $code -eq 0 ] || [ $code -eq 3 ]'
    return timed('sh', ['-c', command, authority, ...script])
  }
  const run = (...parts: string[]) => tested(trust.NODE_EXTRA_CA_CERTS!, onBed(...parts))
  const all = 'all parts side by side'
  const medians = await alternate(
    {
      [all]: () => run(...PARTS),
      ...Object.fromEntries(PARTS.map(part => [part, () => run(part)])),
      'login, of a domain name': () => tested(authorities, [...ofDomain, '--only', 'login']),
      'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
    },
    Number(process.argv[2] ?? 5),
  )
  const sum = (part: keyof Taken) => PARTS.reduce((total, name) => total + medians.get(name)![part], 0)
  medians.set('the parts one after another', { clock: sum('clock'), processor: sum('processor') })
  tellRatios(medians, all)
} finally {
  await login.down()
  await stop()
  cleanUp()
}
