import { BlockList, isIP } from 'node:net'

/**
 * Addresses in text: found and replaced as whole words, so that 10.0.0.1 is never taken for a part of
 * 10.0.0.11, 110.0.0.1 or 10.0.0.1.nip.io. An IPv6 address is the same in all of its spellings. All pure.
 */

/** An address in the one spelling that it is compared in (RFC 5952). */
export function canonical(address: string): string {
  return isIP(address) === 6 && !address.includes('%')
    ? new URL(`http://[${address}]`).hostname.slice(1, -1)
    : address
}

/** An address as it stands in a URL. */
export function inUrl(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address
}

/** Networks in which no address of a server can be, each with what it is. */
const UNUSABLE: readonly (readonly [subnet: string, prefix: number, what: string])[] = [
  ['0.0.0.0', 8, 'stands for no address'],
  ['127.0.0.0', 8, 'is the machine itself (loopback)'],
  ['169.254.0.0', 16, 'is valid on one cable only (link-local)'],
  ['224.0.0.0', 4, 'is for groups of machines (multicast)'],
  ['240.0.0.0', 4, 'is reserved'],
  // k3s' defaults, which nobody changes on a running cluster (https://docs.k3s.io/cli/server#networking).
  ['10.42.0.0', 16, 'belongs to the pods of the cluster (cluster-cidr)'],
  ['10.43.0.0', 16, 'belongs to the services of the cluster (service-cidr)'],
  ['::', 128, 'stands for no address'],
  ['::1', 128, 'is the machine itself (loopback)'],
  ['fe80::', 10, 'is valid on one cable only (link-local)'],
  ['ff00::', 8, 'is for groups of machines (multicast)'],
]

/** What is wrong with the address of a server, or undefined. */
export function checkServerAddress(address: string): string | undefined {
  const family = isIP(address)
  if (family === 0) return 'must be an IP address, like 203.0.113.7'
  if (address.includes('%')) return 'must be an address without a zone'
  if (/^::ffff:/.test(canonical(address))) return 'is an IPv4 address written as IPv6: give the IPv4 address'
  const type = family === 6 ? 'ipv6' : 'ipv4'
  return UNUSABLE.find(([subnet, prefix]) => {
    if (isIP(subnet) !== family) return false
    const list = new BlockList()
    list.addSubnet(subnet, prefix, type)
    return list.check(address, type)
  })?.[2]
}

/** Where an address stands in a text, in order. */
export function findAddress(text: string, address: string): { from: number; to: number }[] {
  return isIP(address) === 6 ? findIpv6(text, canonical(address)) : findIpv4(text, address)
}

/** Whether an address stands in a text. */
export function mentions(text: string, address: string): boolean {
  return findAddress(text, address).length > 0
}

/** The text with one address in place of another; everything else stays, to the byte. */
export function replaceAddress(text: string, from: string, to: string): string {
  let result = ''
  let end = 0
  for (const place of findAddress(text, from)) {
    result += text.slice(end, place.from) + to
    end = place.to
  }
  return result + text.slice(end)
}

function findIpv4(text: string, address: string): { from: number; to: number }[] {
  const places: { from: number; to: number }[] = []
  for (let from = text.indexOf(address); from >= 0; from = text.indexOf(address, from + 1)) {
    const to = from + address.length
    // Letters, digits, dots and dashes make it part of a longer name or number; a full stop does not.
    if (/[\w.-]/.test(text[from - 1] ?? '') || /^([\w-]|\.\w)/.test(text.slice(to, to + 2))) continue
    const before = /(?<![0-9a-f:.])[0-9a-f:.]*$/i.exec(text.slice(Math.max(0, from - 40), from))?.[0] ?? ''
    if (isIP(before + address) === 6) continue // ::ffff:10.0.0.1
    places.push({ from, to })
  }
  return places
}

/** No address with its punctuation is longer. */
const LONGEST = 60

function findIpv6(text: string, address: string): { from: number; to: number }[] {
  const places: { from: number; to: number }[] = []
  for (const { 0: run, index } of text.matchAll(/[0-9a-f:.]+/gi)) {
    if (!run.includes(':') || run.length > LONGEST) continue
    // `key:ADDRESS`, `ADDRESS: value` and a full stop: what stands at the ends is punctuation.
    const before = /^:(?!:)/.exec(run)?.[0] ?? ''
    const after = /((?<!:):|(?<!\.)\.+)$/.exec(run)?.[0] ?? ''
    const token = run.slice(before.length, run.length - after.length)
    const from = index + before.length
    const to = from + token.length
    if (before === '' && /[\w%-]/.test(text[from - 1] ?? '')) continue
    if (after === '' && /[\w%-]/.test(text[to] ?? '')) continue
    if (isIP(token) === 6 && canonical(token) === address) places.push({ from, to })
  }
  return places
}
