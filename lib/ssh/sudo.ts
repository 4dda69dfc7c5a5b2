import { ExpectedError } from '../script/errors.ts'
import { askSecret, interactive } from '../script/prompt.ts'
import { registerSecret } from '../script/redact.ts'
import { again, lastLine } from './errors.ts'
import type { Ssh } from './ssh.ts'

/** sudo with messages in English, without a terminal, and with its password (if any) from stdin. */
export function sudo(password: string | undefined, ...rest: string[]): [string, ...string[]] {
  const how = password === undefined ? ['-n'] : ['-S', '-p', '']
  return ['env', 'LC_ALL=C.UTF-8', 'sudo', ...how, ...rest]
}

/**
 * Finds out how to become root: '' for root himself, undefined for sudo without a password, else the password,
 * which is asked for once, or taken from OAS_SUDO_PASSWORD. It only ever travels on stdin.
 */
export async function sudoPassword(ssh: Ssh, warn: (text: string) => void): Promise<string | undefined> {
  const { user, hostName } = ssh.settings
  if ((await ssh.run(['id', '-u'])) === '0') return ''
  const free = await ssh.exec(sudo(undefined, 'true'))
  if (free.code === 0) return undefined
  const fail = (what: string, fix: string) => {
    throw new ExpectedError(`${user} cannot become root on ${hostName}: ${what}`, fix)
  }
  if (free.code === 127)
    fail('sudo is not installed', `log in as root, or install sudo and allow it to ${user}`)
  const said = lastLine(free.stderr)
  if (!/password is required/.test(said)) fail(said, 'correct /etc/sudoers on the server (visudo)')
  const given = process.env.OAS_SUDO_PASSWORD
  for (let attempt = 1; ; attempt++) {
    const password =
      given ||
      (await askSecret({
        message: `sudo password of ${user} on ${hostName}`,
        flag: 'it as OAS_SUDO_PASSWORD in the environment',
      }))
    registerSecret(password)
    const check = await ssh.exec(sudo(password, '-k', 'true'), { input: `${password}\n` })
    if (check.code === 0) return password
    const text = check.stderr.toString()
    if (/not in the sudoers file|not allowed to (execute|run)|may not run sudo/i.test(text))
      fail('this user may not use sudo', `as root on the server: adduser ${user} sudo; ${again}`)
    if (!/incorrect password|no password was provided|try again/i.test(text))
      fail(lastLine(check.stderr), 'correct sudo on the server')
    if (given || attempt === 3 || !interactive())
      fail(
        'sudo does not accept the password',
        given ? 'correct OAS_SUDO_PASSWORD' : `find out the password of ${user}, ${again}`,
      )
    warn('sudo does not accept this password')
  }
}
