import { randomBytes } from 'node:crypto'
import type { AwsClient } from 'aws4fetch'
import type { Config } from '../platform/config.ts'
import { BodyTooLarge, bodyText } from '../script/body.ts'
import { sha256 } from '../script/digest.ts'
import { error, type PreflightFinding, quotedAnswer, warning } from './findings.ts'
import { connectionProblem, innermost } from './net.ts'

/** Milliseconds for one request. */
const PATIENCE = 20_000

/** What is done with the bucket, in words, and the right that the key needs for it. */
const STEPS = {
  list: ['listing', 's3:ListBucket'],
  write: ['writing to', 's3:PutObject'],
  read: ['reading from', 's3:GetObject'],
  delete: ['deleting from', 's3:DeleteObject'],
} as const
type Step = keyof typeof STEPS

/** A service that answered, but did not do what it was asked. */
export class S3Error extends Error {
  readonly status: number
  /** `<Code>` of the answer, as NoSuchBucket; undefined when the answer is not one of S3's. */
  readonly code?: string
  /** The region or address that the answer names as the right one. */
  readonly instead?: string
  /** Milliseconds by which the clock of the service is ahead of ours. */
  readonly clockOffset?: number

  constructor(status: number, text: string, headers: Headers = new Headers()) {
    const tag = (name: string) => plain(new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1])
    super(tag('Message') ?? text.replace(/<[^<>]*>/g, ' '))
    this.status = status
    this.code = tag('Code')
    this.instead = tag('Region') ?? tag('Endpoint') ?? headers.get('location') ?? undefined
    const time = Date.parse(headers.get('date') ?? '')
    if (!Number.isNaN(time)) this.clockOffset = time - Date.now()
  }
}

/**
 * Lists the bucket, writes a small object, reads it and deletes it, as Velero will: with the bucket in the path
 * of the address (s3ForcePathStyle in flux2/apps/velero). The object is deleted whatever else fails.
 */
export async function checkBackup(config: Config, signal?: AbortSignal): Promise<PreflightFinding[]> {
  const client = await bucketClient(config)
  const { bucket, folder, url } = folderUrl(config)
  // In no folder of its own: Velero refuses a prefix with folders that it does not know.
  const object = `${url}openappstack-preflight-${randomBytes(6).toString('hex')}`
  const content = randomBytes(16).toString('hex')
  const found: PreflightFinding[] = []
  if (config.backup_s3_url?.startsWith('http:'))
    found.push(
      warning('backup_s3_url is http: backups can be read on the way', 'take https, if the service has it'),
    )

  /** Whether a step went well; `denied` when the key lacks the right to it, which says nothing about others. */
  const attempt = async (step: Step, work: () => Promise<void>): Promise<'done' | 'denied' | 'failed'> => {
    try {
      await work()
      return 'done'
    } catch (failure) {
      signal?.throwIfAborted()
      found.push(error(...backupProblem(failure, step, config)))
      return failure instanceof S3Error && failure.code === 'AccessDenied' ? 'denied' : 'failed'
    }
  }
  const listed = await attempt('list', async () => {
    const query = new URLSearchParams({ 'list-type': '2', 'max-keys': '1', prefix: folder })
    const text = await request(client, 'GET', `${bucket}?${query}`, { signal })
    // A web server answers 200, too.
    if (!text.includes('<ListBucketResult')) throw new S3Error(200, text)
  })
  if (listed === 'failed') return found
  let isWritten: 'yes' | 'no' | 'unknown' = 'unknown'
  try {
    const written = await attempt('write', async () => {
      await request(client, 'PUT', object, { signal, body: content })
    })
    isWritten = written === 'done' ? 'yes' : written === 'denied' ? 'no' : 'unknown'
    if (isWritten === 'yes')
      await attempt('read', async () => {
        const text = await request(client, 'GET', object, { signal })
        if (text !== content) throw new S3Error(200, 'something else came back than was written')
      })
  } finally {
    // Without the signal: an interruption does not keep it from being cleaned up.
    const remove = () => request(client, 'DELETE', object)
    if (isWritten === 'yes') await attempt('delete', async () => void (await remove()))
    else if (isWritten === 'unknown') await remove().catch(() => {}) // the failure to write is told already
  }
  return found
}

/** A client of the S3 service with the account of `.flux.env`. Nothing is sent yet. */
export async function bucketClient(config: Config): Promise<AwsClient> {
  const { AwsClient } = await import('aws4fetch')
  return new AwsClient({
    accessKeyId: config.backup_s3_aws_access_key_id ?? '',
    secretAccessKey: config.backup_s3_aws_secret_access_key ?? '',
    service: 's3',
    region: config.backup_s3_region,
    retries: 0,
  })
}

/**
 * The addresses of the bucket and of the folder in it (`backup_s3_prefix`), which ends with a slash unless it is empty,
 * and both together as `url`. Pure.
 */
export function folderUrl(config: Config): { bucket: string; folder: string; url: string } {
  const bucket = `${(config.backup_s3_url ?? '').replace(/(?<!\/)\/+$/, '')}/${config.backup_s3_bucket}`
  const prefix = (config.backup_s3_prefix ?? '').replace(/^\/+|(?<!\/)\/+$/g, '')
  const folder = prefix === '' ? '' : `${prefix}/`
  return { bucket, folder, url: `${bucket}/${folder}` }
}

/**
 * Sends a signed request and returns the answer, whose body is not read yet. `timeout`: milliseconds. Throws an S3Error
 * for an answer other than success.
 */
export async function sendSigned(
  client: AwsClient,
  method: string,
  url: string,
  { signal, body = '', timeout }: { signal?: AbortSignal; body?: string; timeout: number },
): Promise<Response> {
  const signed = await client.sign(url, {
    method,
    headers: { 'x-amz-content-sha256': sha256(body) },
    ...(body ? { body } : {}),
  })
  const late = AbortSignal.timeout(timeout)
  const response = await fetch(signed, {
    redirect: 'manual', // a signature holds for one host
    signal: signal ? AbortSignal.any([signal, late]) : late,
  })
  if (response.status === 200 || response.status === 204) return response
  throw new S3Error(response.status, await errorText(response), response.headers)
}

/** What a refusal says; nothing of one that is too long to be an error of S3. */
async function errorText(response: Response): Promise<string> {
  try {
    return (await bodyText(response)).slice(0, 100_000)
  } catch (error) {
    if (error instanceof BodyTooLarge) return ''
    throw error
  }
}

/** Sends a signed request and returns what comes back. Throws an S3Error for an answer other than success. */
async function request(
  client: AwsClient,
  method: string,
  url: string,
  options: { signal?: AbortSignal; body?: string } = {},
): Promise<string> {
  const response = await sendSigned(client, method, url, { ...options, timeout: PATIENCE })
  return bodyText(response)
}

/** Text of an XML document without its entities. */
function plain(text: string | undefined): string | undefined {
  const names: Record<string, string> = { quot: '"', apos: "'", lt: '<', gt: '>', amp: '&' }
  return text?.replace(/&(?:#(\d{1,6})|(quot|apos|lt|gt|amp));/g, (_, code?: string, name = '') =>
    code ? String.fromCodePoint(Number(code)) : (names[name] ?? ''),
  )
}

/** A failure of the S3 service, in words: what and fix. Pure. */
export function backupProblem(failure: unknown, step: Step, config: Config): [what: string, fix: string] {
  const { backup_s3_url: url, backup_s3_bucket: name, backup_s3_region: region } = config
  const [doing, right] = STEPS[step]
  const bucket = `the bucket ${name} at ${url}`
  if (!(failure instanceof S3Error)) {
    const problem = connectionProblem(failure, `the S3 service ${url}`)
    if (problem) return [problem.what, problem.fix]
    const isLate = failure instanceof Error && failure.name === 'TimeoutError'
    return [
      `${doing} ${bucket} ${isLate ? 'was not done in time' : `failed: ${quotedAnswer(innermost(failure))}`}`,
      'check backup_s3_url in .flux.env, and whether the service has an outage',
    ]
  }
  const { status, code, instead, clockOffset = 0 } = failure
  const said = quotedAnswer(`${code ?? `status ${status}`}: ${failure.message}`)
  const not = `${doing} ${bucket} is refused: ${said}`
  switch (code) {
    case 'NoSuchBucket':
      return [
        `there is no bucket ${name} at ${url}`,
        'create it at the provider, or correct backup_s3_bucket, backup_s3_url or backup_s3_region',
      ]
    case 'AccessDenied':
    case 'AllAccessDisabled':
      return [
        not,
        `give the key the right ${right} on this bucket (Velero needs all of ${Object.values(STEPS)
          .map(([, each]) => each)
          .join(', ')}), or correct backup_s3_bucket: it may be somebody else's`,
      ]
    case 'InvalidAccessKeyId':
      return [
        `the S3 service ${url} does not know the access key`,
        'correct backup_s3_aws_access_key_id in .flux.env; it may have been deleted, or belong to another service',
      ]
    case 'SignatureDoesNotMatch':
      return [
        `the S3 service ${url} refuses the signature: the secret key is wrong`,
        'correct backup_s3_aws_secret_access_key in .flux.env (no blank, no character missing)',
      ]
    case 'RequestTimeTooSkewed':
      return [
        `the clock of this machine and that of the S3 service ${url} differ by ${Math.round(Math.abs(clockOffset) / 60_000)} minutes`,
        'correct the clock of this machine (date -u); that of the server has to be right, too',
      ]
    case 'AuthorizationHeaderMalformed':
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
    case 'IllegalLocationConstraintException':
      return [
        `the bucket ${name} is not in region ${region} at ${url}${instead ? ` but at ${quotedAnswer(instead)}` : ''}: ${said}`,
        'correct backup_s3_region and backup_s3_url',
      ]
    case 'SlowDown':
    case 'ServiceUnavailable':
    case 'InternalError':
      return [not, 'the service has an outage: run the same command again later, or ask its operator']
    case 'QuotaExceeded':
    case 'XMinioStorageFull':
      return [not, 'the storage is full: delete what is not needed, or enlarge it at the provider']
    case undefined:
      return [
        `${url} does not answer like an S3 service: status ${status}${instead ? `, it points to ${quotedAnswer(instead)}` : ''} (${quotedAnswer(failure.message)})`,
        'backup_s3_url is the address of the API without the bucket, for example https://s3.example.org',
      ]
    default:
      return [not, 'correct what it refuses in .flux.env, or ask the operator of the service']
  }
}
