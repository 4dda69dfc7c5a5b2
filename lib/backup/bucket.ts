/** The bucket of the backups: what Velero has written into it, read again, and our proofs beside it. */
import { createHash } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, gunzipSync } from 'node:zlib'
import type { AwsClient } from 'aws4fetch'
import type { Config } from '../platform/config.ts'
import { backupProblem, bucketClient, folderUrl, S3Error, sendSigned } from '../preflight/s3.ts'
import { bodyBytes } from '../script/body.ts'
import { sha256 } from '../script/digest.ts'
import { ExpectedError, messageOf } from '../script/errors.ts'
import type { BackupFlaw, BackupVerdict } from './judge.ts'

/** Milliseconds for one request; a file may be large. */
const REQUEST = 60_000
/** Bytes of a small file that are read at most. */
const SMALL = 64 * 1024 * 1024

/** A bucket with backups. Its methods throw an ExpectedError that names the cause when the service does not do it. */
export class BackupBucket {
  readonly #config: Config
  readonly #client: AwsClient
  readonly #signal: AbortSignal | undefined
  readonly #folder: string

  private constructor(config: Config, client: AwsClient, signal: AbortSignal | undefined) {
    this.#folder = folderUrl(config).url
    this.#config = config
    this.#client = client
    this.#signal = signal
  }

  /** The bucket that `.flux.env` names. Nothing is sent yet. */
  static async open(config: Config, signal?: AbortSignal): Promise<BackupBucket> {
    return new BackupBucket(config, await bucketClient(config), signal)
  }

  /** Sends a request and takes its answer; undefined when the file does not exist. */
  async #send<T>(
    method: 'GET' | 'PUT',
    path: string,
    take: (answer: Response) => Promise<T>,
    body = '',
  ): Promise<T | undefined> {
    const step = method === 'PUT' ? 'write' : 'read'
    try {
      const url = this.#folder + path.split('/').map(encodeURIComponent).join('/')
      const options = { body, signal: this.#signal, timeout: REQUEST }
      return await take(await sendSigned(this.#client, method, url, options))
    } catch (failure) {
      if (isDamage(failure)) throw failure
      if (failure instanceof S3Error && failure.status === 404 && failure.code !== 'NoSuchBucket')
        return undefined
      this.#signal?.throwIfAborted()
      throw new ExpectedError(...backupProblem(failure, step, this.#config))
    }
  }

  /** A small file, or undefined when it does not exist. */
  async read(path: string): Promise<Buffer | undefined> {
    return this.#send('GET', path, answer => bodyBytes(answer, SMALL))
  }

  /** Writes a small file. */
  async write(path: string, text: string): Promise<void> {
    await this.#send('PUT', path, answer => bodyBytes(answer), text)
  }

  /**
   * Reads a gzip file to its end and keeps nothing. Returns its SHA-256, or undefined when it does not exist; throws when
   * it is damaged.
   */
  async readToEnd(path: string): Promise<string | undefined> {
    return this.#send('GET', path, async ({ body }) => {
      const sum = createHash('sha256')
      const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
      const pieces = Readable.fromWeb(body as never).on('data', piece => sum.update(piece))
      await pipeline(pieces, createGunzip(), nowhere)
      return sum.digest('hex')
    })
  }
}

/** Whether a file was read to its end and is not what it should be: zlib says so by its codes, as Z_BUF_ERROR. */
const isDamage = (failure: unknown) => /^Z_/.test((failure as { code?: string }).code ?? '')

/**
 * The file with our proof of a backup, in the bucket. What is proved of one application only
 * has a file of its own: it does not replace what is known of the whole. Pure.
 */
export const proofPath = (name: string, app?: string) =>
  `backups/${name}/openappstack-proof${app === undefined ? '' : `-${app}`}.json`

/** What to do about a file in the bucket that is missing, damaged, or not what it was. */
export const BUCKET_CHANGED_FIX = 'take another backup, and find out who changes the bucket'

/** The SHA-256 of files of a backup, by their paths in the bucket. */
export type FileSums = Record<string, string>

/**
 * What is wrong with the files of a backup in the bucket: the description, the objects and the list of the volumes. Each
 * is read to its end, and compared with what an earlier proof has `known` of it: Velero changes none of them later.
 * Throws when the bucket cannot be reached. Returns the sums of now, too.
 */
export async function checkFiles(
  bucket: BackupBucket,
  verdict: BackupVerdict,
  known: FileSums = {},
): Promise<{ flaws: BackupFlaw[]; files: FileSums }> {
  const { name } = verdict
  const folder = `backups/${name}`
  const [flaws, files]: [BackupFlaw[], FileSums] = [[], {}]
  const flaw = (what: string, fix = BUCKET_CHANGED_FIX) => flaws.push({ what, fix })
  const summed = (path: string, sum: string) => {
    files[path] = sum
    if (known[path] !== undefined && known[path] !== sum) flaw(`${path} was changed after it was proved`)
  }
  /** A file, made into something. */
  const sound = async <T>(path: string, make: (bytes: Buffer) => T): Promise<T | undefined> => {
    const bytes = await bucket.read(path)
    if (!bytes) {
      flaw(`${path} is not in the bucket`)
      return undefined
    }
    try {
      const made = make(bytes)
      summed(path, sha256(bytes))
      return made
    } catch {
      flaw(`${path} in the bucket is damaged`)
      return undefined
    }
  }
  const described = await sound(`${folder}/velero-backup.json`, bytes => JSON.parse(bytes.toString()))
  if (described && described.metadata?.name !== name)
    flaw(`${folder}/velero-backup.json describes another backup`)
  // Velero says Completed to the cluster even when it could not write that into the bucket (v1.18,
  // pkg/controller/backup_finalizer_controller.go); another server takes no other phase from there.
  else if (described && described.status?.phase !== verdict.phase)
    flaw(
      `${folder}/velero-backup.json says ${described.status?.phase ?? 'no phase'}: a new server would not find this backup`,
      'the bucket refused the last file of Velero: take another backup',
    )
  const contents = `${folder}/${name}.tar.gz`
  try {
    const sum = await bucket.readToEnd(contents)
    if (sum === undefined) flaw(`${contents} is not in the bucket`)
    else summed(contents, sum)
  } catch (error) {
    if (error instanceof ExpectedError) throw error
    flaw(`${contents} in the bucket is damaged: ${messageOf(error)}`)
  }
  const captured = verdict.claims.filter(({ snapshot }) => snapshot !== undefined)
  const listed = await sound(`${folder}/${name}-podvolumebackups.json.gz`, bytes => {
    const list = JSON.parse(gunzipSync(bytes, { maxOutputLength: SMALL }).toString()) as {
      status?: { snapshotID?: string }
    }[]
    return new Set((list ?? []).map(({ status }) => status?.snapshotID))
  })
  for (const { claim, snapshot } of captured)
    if (listed && !listed.has(snapshot)) flaw(`the list of volumes in the bucket does not have ${claim}`)
  return { flaws: flaws.map(({ what, fix }) => ({ what: `backup ${name}: ${what}`, fix })), files }
}
