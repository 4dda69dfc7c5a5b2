import { BlockList, connect, isIP } from 'node:net'
import { codeOf, ExpectedError, messageOf } from '../script/errors.ts'
import { error, listed, type PreflightFinding, quotedAnswer } from './findings.ts'

/** What a connection to a port met: somebody who listens, a machine where nobody does, or silence. */
export type PortState = 'open' | 'refused' | 'filtered'

/** Milliseconds for a connection: two of the packets that ask for one may get lost. */
const PATIENCE = 5000

/** Addresses that nobody reaches from the internet (RFC 6890, RFC 5737, RFC 3849). */
const special = new BlockList()
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  special.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of [
  ['::', 127],
  ['2001:db8::', 32],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  special.addSubnet(net, prefix, 'ipv6')

/** Whether the internet can reach this address. Pure. */
export function isPublic(address: string): boolean {
  const version = isIP(address)
  return version !== 0 && !special.check(address, version === 6 ? 'ipv6' : 'ipv4')
}

/** Tries to connect to a port. Throws an ExpectedError when there is no way from here to that address. */
export async function probePort(address: string, port: number, signal?: AbortSignal): Promise<PortState> {
  signal?.throwIfAborted()
  return new Promise<PortState>((resolve, reject) => {
    const socket = connect({ host: address, port, signal })
    const timer = setTimeout(() => end(() => resolve('filtered')), PATIENCE)
    const end = (settle: () => void) => {
      clearTimeout(timer)
      socket.destroy()
      settle()
    }
    socket.once('connect', () => end(() => resolve('open')))
    socket.once('error', failure => {
      const code = codeOf(failure)
      if (signal?.aborted) end(() => reject(signal.reason))
      else if (code === 'ECONNREFUSED' || code === 'ECONNRESET') end(() => resolve('refused'))
      // A firewall that answers says so, the kernel also after it found nobody at the address.
      else if (code === 'EHOSTUNREACH' || code === 'ETIMEDOUT' || code === 'EACCES')
        end(() => resolve('filtered'))
      else
        end(() =>
          reject(
            new ExpectedError(
              `there is no way from here to ${address}: ${messageOf(failure)}`,
              'check the network of this machine (IPv6 needs a provider that has it)',
              { cause: failure },
            ),
          ),
        )
    })
  })
}

/** What stands between this machine and the ports of the server. That nobody listens yet is fine. */
export async function checkPorts(
  address: string,
  ports: readonly number[],
  signal?: AbortSignal,
): Promise<{ states: Record<string, PortState>; findings: PreflightFinding[] }> {
  const states = Object.fromEntries(
    await Promise.all(ports.map(async port => [port, await probePort(address, port, signal)] as const)),
  )
  return { states, findings: portFindings(address, states) }
}

/** The same, judged. Pure. */
export function portFindings(
  address: string,
  states: Readonly<Record<string, PortState>>,
): PreflightFinding[] {
  const filtered = Object.keys(states).filter(port => states[port] === 'filtered')
  if (filtered.length === 0) return []
  return [
    error(
      `no connection from here to ${address}, port ${listed(filtered)}: packets vanish on the way`,
      `let TCP ${filtered.join(', ')} through: the firewall at the provider (security group), then that of the server (ufw, nft list ruleset); and check the address`,
    ),
  ]
}

/** Why a TLS or TCP connection failed, in words; undefined for a failure of another kind. Pure. */
export function connectionProblem(
  failure: unknown,
  to: string,
): Pick<PreflightFinding, 'what' | 'fix'> | undefined {
  const code = codeOf(failure) ?? ''
  const said = quotedAnswer(innermost(failure))
  const tell = (what: string, fix: string) => ({ what, fix })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EDNS')
    return tell(`the host name of ${to} is not known`, 'correct it, or check the DNS of this machine')
  if (code === 'ECONNREFUSED')
    return tell(`${to} refuses connections`, 'correct its address and port in .flux.env')
  if (/^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ECONNRESET|EPIPE|UND_ERR_\w+|ESOCKET_TIMEOUT)$/.test(code))
    return tell(
      `${to} does not answer (${said})`,
      'correct its address and port in .flux.env; a firewall in between may block it (many providers block SMTP ports)',
    )
  // STARTTLS of nodemailer loses the code of what failed, but not the words.
  if (code === 'CERT_HAS_EXPIRED' || /certificate has expired/.test(said))
    return tell(
      `the certificate of ${to} has expired`,
      'its operator has to renew it; check the clock here, too',
    )
  if (code === 'CERT_NOT_YET_VALID' || /certificate is not yet valid/.test(said))
    return tell(`the certificate of ${to} is not valid yet`, 'check the clock of this machine (date -u)')
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || /does not match certificate/.test(said))
    return tell(
      `the certificate of ${to} is for another host (${said})`,
      'give the host name that the certificate is for',
    )
  if (
    /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|CERT_|INVALID_CA/.test(code) ||
    /self-signed|unable to (verify|get)/.test(said)
  )
    return tell(
      `the certificate of ${to} is signed by nobody known (${said})`,
      'use a service with a certificate of a public authority: the applications refuse it, too',
    )
  if (/^(EPROTO$|ERR_SSL_|ETLS)/.test(code) || /wrong version number|packet length too long/i.test(said))
    return tell(
      `${to} does not speak TLS there (${said})`,
      'correct the port, or https and http in the address',
    )
  return undefined
}

/** The message of the cause at the bottom: fetch wraps all of them as "fetch failed". */
export function innermost(failure: unknown): string {
  let last = failure
  for (let e = failure; e instanceof Error; e = e.cause) last = e
  if (last instanceof AggregateError && last.errors[0]) return messageOf(last.errors[0])
  return messageOf(last)
}
