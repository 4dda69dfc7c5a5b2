import { codeOf, ExpectedError, messageOf } from '../script/errors.ts'
import { quote } from '../script/quote.ts'
import type { Login } from './auth.ts'
import type { SshSettings } from './config.ts'
import { fingerprint, keyType } from './known-hosts.ts'
import type { ExecOptions, ExecResult } from './types.ts'

/** The connection broke off; nobody knows how far the server came. Reconnecting may help. */
export class ConnectionLost extends ExpectedError {
  override name = 'ConnectionLost'
}

/** The server's host key is not the one that is known: trying again does not help. */
export class HostKeyError extends ExpectedError {
  override name = 'HostKeyError'
}

/** How a fix ends that has to be followed by another try. */
export const again = 'then run the same command again'

/** Milliseconds in words. */
export const secondsText = (ms: number): string => `${Math.round(ms / 100) / 10} s`

/** What a command is called in errors. */
export const titleOf = (command: readonly string[], options: ExecOptions): string =>
  options.title ?? command.slice(0, 3).join(' ')

/** The last line of what a command said. */
export function lastLine(output: Buffer): string {
  return output.toString().trim().split('\n').at(-1) ?? ''
}

/** The error of a command that ended with anything but exit code 0. */
export function failed(
  server: string,
  command: readonly string[],
  options: ExecOptions,
  result: ExecResult,
): ExpectedError {
  const title = titleOf(command, options)
  const reason = result.signal
    ? `ended by ${result.signal}`
    : lastLine(result.stderr) || `exit code ${result.code}`
  const fix = /No space left on device|Disk quota exceeded/.test(reason)
    ? `free some disk space on the server (df -h), ${again}`
    : (options.fix ??
      (result.code === 127 ? `install ${command[0]} on the server, ${again}` : 'see the message above'))
  return new ExpectedError(`\`${title}\` on ${server} failed: ${reason}`, fix, { cause: result })
}

/** Nobody answered, or the login took too long. */
export function timedOut({ hostName, port }: SshSettings, ms: number): ExpectedError {
  return new ExpectedError(
    `${hostName} port ${port} does not answer within ${secondsText(ms)}`,
    'check the address, that the server is up (ping), and that no firewall drops this port',
  )
}

/** The key is not the one of known_hosts; `name` is what it stands under there. */
export function hostKeyError(
  server: string,
  name: string,
  key: Buffer,
  verdict: { state: 'changed' | 'revoked'; at: string },
): HostKeyError {
  if (verdict.state === 'revoked')
    return new HostKeyError(
      `${server} shows the host key ${fingerprint(key)}, which is revoked in ${verdict.at}`,
      'do not connect: somebody marked this key as stolen; give the server new host keys',
    )
  return new HostKeyError(
    `the host key of ${server} has changed: it shows ${keyType(key)} ${fingerprint(key)}, another one than in ${verdict.at}. This may be an attack`,
    `if the server was reinstalled and its console shows this fingerprint: ssh-keygen -R ${quote(name)} -f ${quote(verdict.at.replace(/:\d+$/, ''))}; ${again}`,
  )
}

/** At the new address of a server another key is shown than at its old one. */
export function otherMachine(server: string, before: string, key: Buffer, at: string): HostKeyError {
  return new HostKeyError(
    `another machine answers at ${server}: it shows ${keyType(key)} ${fingerprint(key)}, and ${before} had another key (${at})`,
    `find out who has this address; give it to the server first, ${again}`,
  )
}

/** Turns what ssh2 throws while connecting into two lines. */
export function explain(error: unknown, settings: SshSettings, login: Login): unknown {
  if (error instanceof ExpectedError) return error
  const { hostName, port, user } = settings
  const place = `${hostName} port ${port}`
  const code = codeOf(error)
  const message = messageOf(error)
  const expected = (what: string, fix: string) => new ExpectedError(what, fix, { cause: error })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return expected(
      `the name ${hostName} is not known (${code})`,
      'correct ansible_host in inventory.yml, the alias in ~/.ssh/config, or DNS',
    )
  if (code === 'ECONNREFUSED')
    return expected(
      `${place} refuses connections`,
      'check the address and port, and that sshd runs on the server (systemctl status ssh)',
    )
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'ETIMEDOUT')
    // node-ssh says ETIMEDOUT, too, when the server hangs up.
    return message === 'No response from server'
      ? hungUp(place, error)
      : expected(
          `${place} cannot be reached (${code})`,
          'check the address, the network here, and the firewall of the server',
        )
  if (/Too many authentication failures/i.test(message))
    return expected(
      `${place} rejected the login: too many keys offered (${login.offered.join(', ')})`,
      'name the right key in ~/.ssh/config: IdentityFile FILE and IdentitiesOnly yes',
    )
  if (/authentication methods failed/i.test(message)) {
    const wanted = login.wanted.length > 0 ? ` (${login.wanted.join(',')})` : ''
    const problems = login.problems.length > 0 ? `; ${login.problems.join('; ')}` : ''
    if (login.offered.length === 0)
      return expected(
        `there is no key to log in to ${user}@${hostName} with${problems}`,
        'load your key into an agent (eval "$(ssh-agent)"; ssh-add), or make one with ssh-keygen and authorise it on the server',
      )
    return expected(
      `permission denied${wanted}: ${user}@${hostName} accepts none of ${login.offered.join(', ')}${problems}`,
      `add your public key to ~${user}/.ssh/authorized_keys on the server (ssh-copy-id), or name the right user and key`,
    )
  }
  if (error instanceof Error && 'level' in error && error.level === 'agent')
    return expected(
      `the ssh-agent did not sign: ${message}`,
      'unlock it or confirm its question; or unset SSH_AUTH_SOCK to use key files',
    )
  if (code === 'ECONNRESET' || code === 'EPIPE' || /before handshake|Connection lost/i.test(message))
    return hungUp(place, error)
  // ssh2's words for what an SSH server does not send (RFC 4253, 4.2).
  if (/^(Header line too long|Max greeting lines exceeded|Invalid identification string)/.test(message))
    return expected(
      `what answers at ${place} is not an SSH server`,
      'check the address and the port: ansible_port in inventory.yml, or Port in ~/.ssh/config',
    )
  if (/no matching/i.test(message))
    return expected(`${place} and we have no algorithm in common: ${message}`, 'update sshd on the server')
  return expected(`connecting to ${place} failed: ${message}`, 'see `ssh -v` to the same server')
}

function hungUp(place: string, cause: unknown): ExpectedError {
  return new ExpectedError(
    `${place} hung up before the login`,
    'wait until the server has booted; if it stays so, look at sshd there (MaxStartups, fail2ban, hosts.deny), or something else listens on this port',
    { cause },
  )
}
