import { createPrivateKey, createPublicKey, webcrypto, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { privateFolder, writeFileAtomic } from '../../../lib/script/files.ts'

/** A client of the API server or of etcd, named by its certificate. */
interface Client {
  file: string
  commonName: string
  group?: string
}

/** Everybody who is let in. There are no tokens and no passwords. */
const CLIENTS: Client[] = [
  { file: 'admin', commonName: 'sandbox-admin', group: 'system:masters' },
  // The names to which Kubernetes binds its built-in roles.
  { file: 'controller-manager', commonName: 'system:kube-controller-manager' },
  { file: 'scheduler', commonName: 'system:kube-scheduler' },
  { file: 'kwok', commonName: 'kwok', group: 'system:masters' },
  { file: 'flux', commonName: 'flux', group: 'system:masters' },
  { file: 'cert-manager', commonName: 'cert-manager', group: 'system:masters' },
  { file: 'etcd-client', commonName: 'kube-apiserver' },
]

const DAY = 86_400_000
const LIFETIME = 365 * DAY
/** Certificates that end sooner than this are reissued by `up`. */
const RENEW_BEFORE = 30 * DAY

type CryptoKeyPair = webcrypto.CryptoKeyPair
type CryptoKey = webcrypto.CryptoKey

const CURVE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/**
 * Makes sure that the folder holds a CA, a serving certificate for the loopback addresses, a client
 * certificate for everybody and the key that signs service account tokens. Files that are readable and
 * valid for another month are kept. Returns whether anything was issued.
 */
export async function ensurePki(folder: string, now: Date = new Date()): Promise<boolean> {
  privateFolder(folder)
  const path = (file: string) => join(folder, file)
  const accounts = hasAccountKeys(path)
  if (accounts && hasCertificates(path, now)) return false
  // Tokens that pods hold stay valid: the keys for service accounts are kept while they are whole.
  await issue(path, now, !accounts)
  return true
}

/** Whether the key pair for service account tokens exists and is a pair. */
function hasAccountKeys(path: (file: string) => string): boolean {
  try {
    const key = createPublicKey(createPrivateKey(readFileSync(path('service-account.key'))))
    return key.equals(createPublicKey(readFileSync(path('service-account.pub'))))
  } catch {
    return false // missing, or cut off half-way
  }
}

/** Whether every certificate exists, belongs to the CA and its key, and is valid long enough. */
function hasCertificates(path: (file: string) => string, now: Date): boolean {
  try {
    const ca = new X509Certificate(readFileSync(path('ca.crt')))
    return ['serving', ...CLIENTS.map(({ file }) => file)].every(file => {
      const certificate = new X509Certificate(readFileSync(path(`${file}.crt`)))
      return (
        certificate.verify(ca.publicKey) &&
        certificate.checkPrivateKey(createPrivateKey(readFileSync(path(`${file}.key`)))) &&
        new Date(certificate.validTo).getTime() - now.getTime() > RENEW_BEFORE
      )
    })
  } catch {
    return false // missing, or cut off half-way
  }
}

/**
 * Loads @peculiar/x509. Its container (tsyringe) asks for the reflect-metadata polyfill, to learn the types
 * of constructor parameters; the classes of this library have none, so "nothing is known" is the answer.
 */
export async function loadX509() {
  for (const name of ['getMetadata', 'getOwnMetadata'])
    if (!(name in Reflect)) Object.assign(Reflect, { [name]: () => undefined })
  return await import('@peculiar/x509')
}

async function issue(path: (file: string) => string, now: Date, withServiceAccounts: boolean): Promise<void> {
  const x509 = await loadX509()
  const crypto = webcrypto
  x509.cryptoProvider.set(crypto)
  const validity = { notBefore: new Date(now.getTime() - DAY), notAfter: new Date(now.getTime() + LIFETIME) }
  const newKeys = async () =>
    (await crypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])) as CryptoKeyPair
  const pemOf = async (key: CryptoKey, format: 'pkcs8' | 'spki') =>
    x509.PemConverter.encode(
      await crypto.subtle.exportKey(format, key),
      format === 'pkcs8' ? 'PRIVATE KEY' : 'PUBLIC KEY',
    )

  if (withServiceAccounts) {
    const keys = await newKeys()
    writeFileAtomic(path('service-account.key'), await pemOf(keys.privateKey, 'pkcs8'))
    writeFileAtomic(path('service-account.pub'), await pemOf(keys.publicKey, 'spki'))
  }

  // The CA's key is used here and never stored: nobody can add a client later.
  const caKeys = await newKeys()
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=openappstack-sandbox-ca',
    keys: caKeys,
    signingAlgorithm: CURVE,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey, false, crypto),
    ],
  })
  const sign = async (file: string, subject: string, usages: string[], names: string[]) => {
    const keys = await newKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: CURVE,
      ...validity,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages),
        await x509.AuthorityKeyIdentifierExtension.create(ca, false, crypto),
        ...(names.length > 0
          ? [
              new x509.SubjectAlternativeNameExtension(
                names.map(value => ({ type: /^[0-9.]+$/.test(value) ? 'ip' : 'dns', value })),
              ),
            ]
          : []),
      ],
    })
    writeFileAtomic(path(`${file}.key`), await pemOf(keys.privateKey, 'pkcs8'))
    writeFileAtomic(path(`${file}.crt`), certificate.toString('pem'))
  }
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage
  // etcd also uses its serving certificate as a client, of its own peer listener.
  await sign('serving', 'CN=sandbox', [serverAuth, clientAuth], ['127.0.0.1', 'localhost'])
  for (const { file, commonName, group } of CLIENTS)
    await sign(file, `CN=${commonName}${group ? `,O=${group}` : ''}`, [clientAuth], [])
  writeFileAtomic(path('ca.crt'), ca.toString('pem'))
}

/** A certificate authority, whose key is forgotten, and what it has signed for these names. */
export async function issueServing(
  names: readonly string[],
): Promise<{ ca: string; certificate: string; key: string }> {
  const x509 = await loadX509()
  x509.cryptoProvider.set(webcrypto)
  const newKeys = () => webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const notBefore = new Date(Date.now() - DAY)
  const common = { notBefore, notAfter: new Date(Date.now() + LIFETIME), signingAlgorithm: CURVE }
  const caKeys = await newKeys()
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...common,
    name: 'CN=OpenAppStack sandbox',
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey, false, webcrypto),
    ],
  })
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    ...common,
    subject: `CN=${names[0]}`,
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(ca, false, webcrypto),
      new x509.SubjectAlternativeNameExtension(
        names.map(value => ({ type: /^[0-9.]+$/.test(value) ? 'ip' : 'dns', value })),
      ),
    ],
  })
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    ca: ca.toString('pem'),
    certificate: certificate.toString('pem'),
    key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
  }
}

/** A kubeconfig with the certificates in it, for one server and one client. */
export function kubeconfig(options: {
  cluster: string
  server: string
  ca: string
  certificate: string
  key: string
}): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  return `apiVersion: v1
kind: Config
current-context: ${options.cluster}
clusters:
  - name: ${options.cluster}
    cluster:
      server: ${options.server}
      certificate-authority-data: ${base64(options.ca)}
users:
  - name: ${options.cluster}
    user:
      client-certificate-data: ${base64(options.certificate)}
      client-key-data: ${base64(options.key)}
contexts:
  - name: ${options.cluster}
    context:
      cluster: ${options.cluster}
      user: ${options.cluster}
`
}

/** Writes the kubeconfigs of the programs and, at `adminPath`, that of the administrator. */
export function writeKubeconfigs(folder: string, cluster: string, server: string, adminPath: string): void {
  const read = (file: string) => readFileSync(join(folder, file), 'utf8')
  for (const { file } of CLIENTS) {
    if (file === 'etcd-client') continue
    const text = kubeconfig({
      cluster,
      server,
      ca: read('ca.crt'),
      certificate: read(`${file}.crt`),
      key: read(`${file}.key`),
    })
    const path = file === 'admin' ? adminPath : join(folder, `${file}.kubeconfig`)
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileAtomic(path, text)
  }
}
