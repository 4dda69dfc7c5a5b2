import { createPrivateKey, webcrypto } from 'node:crypto'
// It also gives @peculiar/x509 what that needs.
import '../../unit/certificates.ts'

const x509 = await import('@peculiar/x509')
const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A self-signed certificate, which may sign others, as somebody makes one by hand: with its key, as PEM. */
export async function made(options: {
  name?: string
  hosts?: readonly string[]
  /** Days from now. */
  from?: number
  until?: number
}): Promise<{ cert: string; key: string }> {
  const { name = 'made by hand', hosts = [], from = -90, until = 90 } = options
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify'])
  const day = (days: number) => new Date(Date.now() + days * 86_400_000)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '02',
    name: [{ CN: [name] }],
    notBefore: day(from),
    notAfter: day(until),
    signingAlgorithm: curve,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      ...(hosts.length > 0
        ? [new x509.SubjectAlternativeNameExtension(hosts.map(value => ({ type: 'dns' as const, value })))]
        : []),
    ],
  })
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return {
    cert: certificate.toString('pem'),
    key: key.export({ format: 'pem', type: 'pkcs8' }) as string,
  }
}
