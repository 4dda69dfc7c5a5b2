import { isIP } from 'node:net'
import { throwAll, UsageError } from '../../lib/script/errors.ts'

/** As many as fit a screen; a longer list is a mistake, and every request is compared with all of them. */
const MOST = 200

/** One spelling of an IPv6 address (RFC 5952). */
const short6 = (address: string) => new URL(`http://[${address}]/`).hostname.slice(1, -1)

/** The address as bits, most significant first. */
function bitsOf(address: string, family: number): string {
  if (family === 4)
    return address
      .split('.')
      .map(octet => Number(octet).toString(2).padStart(8, '0'))
      .join('')
  const [head = '', tail] = short6(address).split('::')
  const groups = (text: string | undefined) => (text ? text.split(':') : [])
  const [before, after] = [groups(head), groups(tail)]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return [...before, ...zeros, ...after]
    .map(group => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('')
}

/** The address of these bits. */
function addressOf(bits: string): string {
  const size = bits.length === 32 ? 8 : 16
  const parts = Array.from({ length: bits.length / size }, (_, i) =>
    Number.parseInt(bits.slice(i * size, (i + 1) * size), 2),
  )
  return size === 8 ? parts.join('.') : short6(parts.map(part => part.toString(16)).join(':'))
}

/** What is wrong with a range, or the range in its one spelling: `203.0.113.4/24` is `203.0.113.0/24`. Pure. */
export function parseRange(text: string): { range: string } | { problem: string } {
  const [address = '', length, ...more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || more.length > 0 || address.includes('%'))
    return { problem: 'is not an address or a range of addresses' }
  const most = family === 4 ? 32 : 128
  const prefix = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : -1
  if (prefix < 0 || prefix > most) return { problem: `has a prefix that is not between 1 and ${most}` }
  if (prefix === 0) return { problem: 'is everybody' }
  if (family === 6 && /^::ffff:/.test(short6(address)))
    return { problem: 'is an IPv4 address written as IPv6: write it as IPv4' }
  const bits = bitsOf(address, family).slice(0, prefix).padEnd(most, '0')
  return { range: `${addressOf(bits)}/${prefix}` }
}

/**
 * The ranges of `--allow` and `--behind-proxy`, each in its one spelling and once; commas separate several. Throws a
 * UsageError for all that are wrong together. Pure.
 */
export function parseRanges(flag: string, values: readonly string[]): string[] {
  const words = values.flatMap(value => value.split(',')).map(word => word.trim())
  if (words.length > MOST) throw new UsageError(`${flag} has more than ${MOST} ranges`, 'give larger ranges')
  const parsed = words.map(word => ({ word, ...parseRange(word) }))
  throwAll(
    parsed.flatMap(({ word, ...each }) =>
      'problem' in each
        ? [
            new UsageError(
              `${flag} ${JSON.stringify(word.slice(0, 60))} ${each.problem}`,
              each.problem === 'is everybody'
                ? 'to let everybody in, run this with --open'
                : 'give addresses or ranges, like 203.0.113.7, 203.0.113.0/24 or 2001:db8:1::/48',
            ),
          ]
        : [],
    ),
  )
  return [...new Set(parsed.flatMap(each => ('range' in each ? [each.range] : [])))]
}
