import { isIP } from 'node:net'
import { UsageError } from '../script/errors.ts'

const EXAMPLE = 'give the host alone, as in the address bar of a browser: chat.oas.example.org'

/**
 * A host name from the command line, in the form that objects have: lower case, without a
 * dot at its end, and in ASCII (`münchen.example.org` becomes `xn--mnchen-3ya.example.org`). Throws a UsageError for
 * anything else. Pure.
 */
export function parseHostName(text: string): string {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
  const given = text.trim().replace(/\.$/, '')
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(given)) {
    const { hostname } = URL.canParse(given) ? new URL(given) : { hostname: '' }
    throw new UsageError(
      `${shown} is the address of a page, not a host`,
      hostname ? `give ${hostname}` : EXAMPLE,
    )
  }
  if (isIP(given.replace(/^\[(.*)\]$/, '$1')) || /^[\d.]+$/.test(given))
    throw new UsageError(`${shown} is an IP address: certificates here are for names`, EXAMPLE)
  if (given.startsWith('*.'))
    throw new UsageError(
      `${shown} is a wildcard: Let's Encrypt issues none over HTTP, so no certificate here has one`,
      EXAMPLE,
    )
  // URL would cut off a slash, a port, an @ or a space, and use the rest as the host.
  const ascii = /^[\p{L}\p{M}\p{N}.-]+$/u.test(given) && toAscii(given)
  // Browsers read `0x7f.1` as an address.
  if (!ascii || ascii.length > 253 || isIP(ascii))
    throw new UsageError(`${shown} is not a host name`, EXAMPLE)
  const labels = ascii.split('.')
  if (labels.length < 2 || !labels.every(label => /^[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/.test(label)))
    throw new UsageError(`${shown} is not a full host name`, EXAMPLE)
  return ascii
}

/** The name in ASCII, by the rules of browsers (UTS 46); undefined if it has none. */
function toAscii(name: string): string | undefined {
  return URL.canParse(`http://${name}/`) ? new URL(`http://${name}/`).hostname : undefined
}

/** The address at which the ports of all hosts are probed, instead of the one in DNS. */
export interface ConnectTo {
  address: string
  http: number
  https: number
}

/** The value of `--connect-to`: `IP`, `IP:PORT80` or `IP:PORT80:PORT443`, IPv6 in brackets. Pure. */
export function parseConnectTo(text: string): ConnectTo {
  const [, six, four, http = '80', https = '443'] =
    /^(?:\[([\da-f:.]+)\]|([\d.]+))(?::(\d{1,5})(?::(\d{1,5}))?)?$/i.exec(text) ?? []
  const address = six ?? four ?? (isIP(text) === 6 ? text : '')
  const ports = [Number(http), Number(https)] as const
  if (!isIP(address) || ports.some(port => port < 1 || port > 65535))
    throw new UsageError(
      `--connect-to ${JSON.stringify(text)} is not an address to connect to`,
      'give IP, IP:PORT80 or IP:PORT80:PORT443: 203.0.113.7, 127.0.0.1:8080:8443, [2001:db8::7]:80:443',
    )
  return { address, http: ports[0], https: ports[1] }
}
