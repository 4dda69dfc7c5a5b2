/** The generated secrets and k3s' token, encrypted, beside a backup in the bucket: without them it helps nobody. */
import { allOf, encryptTo, type Recipients } from '../../lib/age/age.ts'
import { recipientsIfAny } from '../../lib/age/keys.ts'
import { recipientsFile } from '../../lib/age/remembered.ts'
import { BackupBucket } from '../../lib/backup/bucket.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Config } from '../../lib/platform/config.ts'
import { countText } from '../../lib/script/count.ts'
import { sha256 } from '../../lib/script/digest.ts'
import { ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import { generatedAmong, pick, readSecrets } from '../../lib/secret-backup/cluster.ts'
import { streamText } from '../../lib/secret-backup/manifest.ts'
import { plainSecret } from '../../lib/secret-backup/secret-backup.ts'
import { readServerFile } from '../../lib/server/facts.ts'
import { connectServer, type ServerRun } from '../../lib/server/server.ts'

/** The file beside the backup; its SHA-256 is beside it. */
const secretsPath = (backup: string) => `backups/${backup}/openappstack-secrets.yaml.age`

/**
 * The recipients that the flags name, or those that backup-cluster-dir remembers; undefined when there are none. Throws
 * a UsageError for one that is not a recipient.
 */
export function recipientsOfRun(
  run: ServerRun & { flags: { recipient: string[] } },
): Promise<Recipients | undefined> {
  return recipientsIfAny({ recipient: run.flags.recipient, passphrase: false }, recipientsFile(run.cluster))
}

/**
 * Encrypts them, writes them into the bucket and reads them again. k3s' token is left out, with a warning, where the
 * server cannot be reached. Throws when the bucket does not have what was written.
 */
export async function saveSecrets(
  run: ServerRun,
  kubectl: Kubectl,
  { backup, config, to }: { backup: string; config: Config; to: Recipients },
): Promise<string> {
  const found = await readSecrets(kubectl, ['flux-system', 'oas', 'velero'])
  const secrets = pick(found, await generatedAmong(found)).map(plainSecret)
  const token = await tokenOf(run)
  const all = [...secrets, ...(token === undefined ? [] : [tokenSecret(token)])]
  const { armor } = await import('age-encryption')
  const sealed = armor.encode(await allOf(encryptTo(to, [Buffer.from(streamText(all))])))
  const bucket = await BackupBucket.open(config, run.signal)
  const path = secretsPath(backup)
  await bucket.write(path, sealed)
  await bucket.write(`${path}.sha256`, `${sha256(sealed)}\n`)
  const again = await bucket.read(path)
  if (again?.toString() !== sealed)
    throw new ExpectedError(
      `${path} in the bucket is not what was written`,
      'run the same command again, and find out who changes the bucket',
    )
  return `${countText(secrets.length, 'Secret')}${token === undefined ? '' : " and k3s' token"}`
}

/** Bytes that a server may say in place of a token, which has a hundred. */
const LONGEST_TOKEN = 4096

/**
 * The token of the server's k3s, with which its datastore is encrypted in part; undefined, with a warning, where the
 * server cannot be reached or has none.
 */
export async function tokenOf(run: ServerRun): Promise<string | undefined> {
  try {
    const ssh = await connectServer(run)
    const token = (await readServerFile(ssh, K3S.token, { most: LONGEST_TOKEN }))?.trim() ?? ''
    if (!/^[!-~]+$/.test(token)) throw new ExpectedError(`${K3S.token} cannot be read`, '')
    registerSecret(token)
    return token
  } catch (error) {
    run.signal.throwIfAborted()
    if (!(error instanceof ExpectedError)) throw error
    run.log.warn(`k3s' token is not saved with the backup: ${messageOf(error)}`)
    return undefined
  }
}

/** The token as a Secret, so that all of it is one form. Pure. */
function tokenSecret(token: string): KubeObject {
  const metadata = { namespace: 'kube-system', name: 'openappstack-k3s-token' }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata,
    type: 'Opaque',
    data: { token: Buffer.from(token).toString('base64') },
  }
}
