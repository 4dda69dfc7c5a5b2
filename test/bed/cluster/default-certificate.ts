import { webcrypto } from 'node:crypto'
import { loadX509 } from './pki.ts'

/**
 * RSA, as cert-manager's certificates are: Node adds a host's certificate to this one, and a client would get this one
 * if it were of a kind that it likes better.
 */
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
}
const YEAR = 365 * 86_400_000

/** A self-signed certificate with the name of the one that Traefik serves for unknown hosts. */
export async function defaultCertificate(now = new Date()): Promise<{ cert: string; key: string }> {
  const x509 = await loadX509()
  x509.cryptoProvider.set(webcrypto)
  const keys = (await webcrypto.subtle.generateKey(RSA, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=TRAEFIK DEFAULT CERT',
    keys,
    signingAlgorithm: RSA,
    notBefore: now,
    notAfter: new Date(now.getTime() + YEAR),
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'sandbox.traefik.default' }]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    ],
  })
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return { cert: certificate.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') }
}
