import { connect, type DetailedPeerCertificate } from 'node:tls'
import { certificateFacts } from '../gather.ts'
import type { CertificateFacts } from '../snapshot.ts'
import type { TlsFacts } from './host-facts.ts'
import { at } from './http-probe.ts'
import { PROBE_TIMEOUT, probeFailureOf, SILENCE } from './probe-failure.ts'

/** Longer than any honest chain. */
const LONGEST = 10

/** The certificates served for a host's name (SNI), valid or not. Never throws, except for the signal. */
export async function probeTls(
  { host, address, https }: { host: string; address: string; https: number },
  signal?: AbortSignal,
): Promise<TlsFacts> {
  signal?.throwIfAborted()
  try {
    const chain = await new Promise<CertificateFacts[]>((resolve, reject) => {
      const socket = connect({
        host: address,
        port: https,
        servername: host,
        rejectUnauthorized: false, // invalid certificates are wanted, too
        ALPNProtocols: ['http/1.1'],
      })
      const timer = setTimeout(
        () => end(() => reject(Object.assign(new Error('no answer in time'), { code: SILENCE }))),
        PROBE_TIMEOUT,
      )
      const abort = () => end(() => reject(signal?.reason))
      signal?.addEventListener('abort', abort, { once: true })
      const end = (settle: () => void) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        socket.destroy()
        settle()
      }
      socket.once('error', error => end(() => reject(error)))
      socket.once('secureConnect', () => {
        const chain = chainOf(socket.getPeerCertificate(true))
        end(() => resolve(chain))
      })
    })
    return { at: at(address, https), chain }
  } catch (error) {
    signal?.throwIfAborted()
    return { at: at(address, https), chain: [], failed: probeFailureOf(error) }
  }
}

/** The received certificates, the server's own first. The last one of a whole chain is its own issuer. */
function chainOf(first: DetailedPeerCertificate): CertificateFacts[] {
  const chain: CertificateFacts[] = []
  let next: DetailedPeerCertificate | undefined = first
  while (next?.raw && chain.length < LONGEST) {
    const facts = certificateFacts(next.raw)
    if ('error' in facts) break
    chain.push(facts)
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate
  }
  return chain
}
