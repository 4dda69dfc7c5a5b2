/** Parts of the name server of practice servers: which name servers this machine has, and the answer without any. */
import { isIP } from 'node:net'

/** The most name servers that a resolver asks (resolv.conf(5), MAXNS). */
const MOST = 3

/** The name servers in the text of resolv.conf(5). Pure. */
export function nameServersIn(text: string): string[] {
  return text
    .split('\n')
    .map(line => /^\s*nameserver\s+(\S+)\s*$/.exec(line)?.[1] ?? '')
    .filter(address => isIP(address.split('%')[0] ?? '') !== 0)
    .slice(0, MOST)
}

/**
 * The answer SERVFAIL to a query, so that whoever asks need not wait; undefined for what is not a query (RFC 1035,
 * 4.1.1). Pure.
 */
export function failedAnswer(query: Buffer): Buffer | undefined {
  if (query.length < 12 || (query[2]! & 0x80) !== 0) return undefined
  const answer = Buffer.from(query)
  answer[2] = query[2]! | 0x80
  answer[3] = 0x82 // recursion is available; the code of a server's failure
  return answer
}
