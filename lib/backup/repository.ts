/** The encryption of the volumes in the bucket: whether the password of the cluster opens what was written with it. */
import { createDecipheriv, hkdfSync, type ScryptOptions, scrypt } from 'node:crypto'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { sha256 } from '../script/digest.ts'
import type { BackupBucket } from './bucket.ts'
import type { BackupFlaw } from './judge.ts'
import { VELERO } from './objects.ts'
import { VELERO_API } from './velero.ts'

/** What kopia calls `scrypt-65536-8-1`, and the memory that it needs (internal/crypto/pb_key_deriver_scrypt.go). */
const SCRYPT: ScryptOptions = { N: 65536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 }

/**
 * The keys that were derived: each takes a part of a second of the processor, and a backup needs them before it begins
 * and for its proof.
 */
const keys = new Map<string, Promise<Buffer>>()

function derived(password: string, salt: Buffer): Promise<Buffer> {
  const of = sha256(`${salt.toString('base64')} ${password}`)
  const known = keys.get(of)
  if (known) return known
  const key = new Promise<Buffer>((resolve, reject) =>
    scrypt(password, salt, 32, SCRYPT, (error, key) => (error ? reject(error) : resolve(key))),
  )
  keys.set(of, key)
  key.catch(() => keys.delete(of))
  return key
}

/**
 * Whether a password opens a repository of kopia, by its file `kopia.repository`; `unknown` when kopia has encrypted
 * it in a way that is not known here. Throws when it is not the file of a repository.
 */
export async function opensRepository(
  file: Buffer,
  password: string,
): Promise<'opened' | 'refused' | 'unknown'> {
  // The fields of kopia's repo/format/format_blob.go.
  const { uniqueID, keyAlgo, encryption, encryptedBlockFormat } = JSON.parse(file.toString())
  const salt = Buffer.from(String(uniqueID), 'base64')
  const sealed = Buffer.from(String(encryptedBlockFormat), 'base64')
  if (salt.length < 16 || sealed.length < 28) throw new Error('it does not describe a repository')
  if (keyAlgo !== 'scrypt-65536-8-1' || encryption !== 'AES256_GCM') return 'unknown'
  const master = await derived(password, salt)
  // internal/crypto/aesgcm.go: two keys of the one, then nonce, text and tag in a row.
  const key = (purpose: string) => Buffer.from(hkdfSync('sha256', master, salt, purpose, 32))
  const cipher = createDecipheriv('aes-256-gcm', key('AES'), sealed.subarray(0, 12))
  cipher.setAAD(key('CHECKSUM'))
  cipher.setAuthTag(sealed.subarray(-16))
  cipher.update(sealed.subarray(12, -16))
  try {
    cipher.final()
    return 'opened'
  } catch {
    return 'refused'
  }
}

const SECRET = 'velero-repo-credentials'

/** The password of the repositories that the cluster has; '' when it has none. */
export async function repositoryPassword(kubectl: Kubectl): Promise<string> {
  const secret = await kubectl.get({ apiVersion: 'v1', kind: 'Secret', namespace: VELERO, name: SECRET })
  return Buffer.from(String(secret?.data?.['repository-password'] ?? ''), 'base64').toString()
}

const RESTORE = `restore the password of the time: kubectl apply -f clusters/NAME/secrets/${SECRET}.yaml, or from a backup: npx tsx scripts/restore-secrets.ts --overwrite ${SECRET}`

interface RepositoryFlaw extends BackupFlaw {
  /** It is not in the bucket. */
  isAbsent?: true
}

/** What is wrong with the repository of a namespace. Throws when the bucket cannot be reached. */
async function flawOf(
  bucket: BackupBucket,
  namespace: string,
  password: string,
): Promise<RepositoryFlaw | undefined> {
  const path = `kopia/${namespace}/kopia.repository`
  const file = await bucket.read(path)
  const damaged = (what: string) => ({
    what: `${path} ${what}: the volumes of ${namespace} cannot be read`,
    fix: 'take another backup, and find out who changes the bucket',
  })
  if (!file) return { ...damaged('is not in the bucket'), isAbsent: true }
  if (password === '')
    return {
      what: `the Secret ${VELERO}/${SECRET} does not exist: nobody can read the volumes of ${namespace}`,
      fix: RESTORE,
    }
  try {
    return (await opensRepository(file, password)) === 'refused'
      ? {
          what: `the password of the cluster does not open ${path}: it was changed after the first backup`,
          fix: RESTORE,
        }
      : undefined
  } catch {
    return damaged('in the bucket is damaged')
  }
}

async function flawsOf(
  kubectl: Kubectl,
  bucket: BackupBucket,
  namespaces: string[],
): Promise<RepositoryFlaw[]> {
  const password = await repositoryPassword(kubectl)
  const flaws = [...new Set(namespaces)].map(namespace => flawOf(bucket, namespace, password))
  return (await Promise.all(flaws)).filter(flaw => flaw !== undefined)
}

/**
 * What is wrong with the repositories that have the claims (`namespace/name`) of a backup, one a namespace: each has to
 * be in the bucket, and to be opened by the password that the cluster has. Throws when the bucket cannot be reached.
 */
export async function checkRepositories(
  kubectl: Kubectl,
  bucket: BackupBucket,
  backup: string,
  claims: readonly string[],
): Promise<BackupFlaw[]> {
  const namespaces = claims.map(claim => claim.split('/')[0]!)
  const flaws = await flawsOf(kubectl, bucket, namespaces)
  return flaws.map(({ what, fix }) => ({ what: `backup ${backup}: ${what}`, fix }))
}

/**
 * What is wrong with the repositories that Velero writes to already: with another password it tries each volume for a
 * minute before it says so. One that is not in the bucket is created by Velero. Throws when the bucket cannot be reached.
 */
export async function checkPresentRepositories(
  kubectl: Kubectl,
  bucket: BackupBucket,
): Promise<BackupFlaw[]> {
  const repositories = await kubectl.list(VELERO_API, 'BackupRepository', { namespace: VELERO })
  const flaws = await flawsOf(
    kubectl,
    bucket,
    repositories.flatMap(({ spec }) => spec?.volumeNamespace ?? []),
  )
  return flaws.filter(({ isAbsent }) => !isAbsent)
}
