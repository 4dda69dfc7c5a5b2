import { createPrivateKey, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'

// tsyringe inside @peculiar/x509 asks for the reflect-metadata polyfill; its classes have none to tell.
for (const name of ['getMetadata', 'getOwnMetadata'])
  if (!(name in Reflect)) Object.assign(Reflect, { [name]: () => undefined })
const x509 = await import('@peculiar/x509')
x509.cryptoProvider.set(webcrypto)
const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A self-signed certificate that is valid from and until so many days from now, for these names, with its key, as PEM. */
export async function certificate(
  from: number,
  until: number,
  names: readonly string[] = ['127.0.0.1'],
): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify'])
  const day = (days: number) => new Date(Date.now() + days * 86_400_000)
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=unit',
    notBefore: day(from),
    notAfter: day(until),
    signingAlgorithm: curve,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension(
        names.map(value => ({ type: isIP(value) ? 'ip' : 'dns', value })),
      ),
    ],
  })
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return { cert: made.toString('pem'), key: key.export({ format: 'pem', type: 'pkcs8' }) as string }
}
