import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { BackupBucket, checkFiles } from '../../../../lib/backup/bucket.ts'
import type { BackupVerdict } from '../../../../lib/backup/judge.ts'
import { sha256 } from '../../../../lib/script/digest.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { type Failing, FaultyStorage } from '../../../bed/s3/faulty.ts'
import { suite } from '../../../suite.ts'

const test = suite('bucket')
const whole = gzipSync('x'.repeat(100_000))
/** What lies in the bucket beside them. */
const files = new Map<string, Buffer>()
let service: Server
let storage: FaultyStorage
let bucket: BackupBucket

test.before(async () => {
  // Files by their name: the service has no state, and checks no signature.
  service = createServer((asked, answer) => {
    asked.resume()
    const { url = '' } = asked
    const body = url.endsWith('/damaged') ? whole.subarray(0, -8) : (files.get(url) ?? whole)
    const missing = url.endsWith('/missing') || url.includes('/openappstack-proof.json')
    answer.writeHead(missing ? 404 : 200, { 'content-length': missing ? 0 : body.length })
    answer.end(missing ? undefined : body)
  })
  await new Promise<void>(resolve => service.listen(0, '127.0.0.1', resolve))
  storage = await FaultyStorage.start(`http://127.0.0.1:${(service.address() as AddressInfo).port}`)
  bucket = await BackupBucket.open({
    backup_s3_url: storage.url,
    backup_s3_region: 'ceph',
    backup_s3_bucket: 'backups',
    backup_s3_aws_access_key_id: 'id',
    backup_s3_aws_secret_access_key: 'secret',
  })
})
test.before.each(() => {
  storage.faults = []
})
test.after(() => {
  storage?.stop()
  service?.close()
  service?.closeAllConnections()
})

/** What it throws. */
const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    value => assert.unreachable(`it returned ${value}`) as never,
    error => error,
  )

test('a file is read to its end; one that is missing, or damaged, is told apart', async () => {
  assert.is(await bucket.readToEnd('file'), sha256(whole))
  assert.is(await bucket.readToEnd('missing'), undefined)
  assert.is(await bucket.read('missing'), undefined)
  assert.equal(await bucket.read('file'), whole)
  const damage = await failure(bucket.readToEnd('damaged'))
  assert.not.instance(damage, ExpectedError)
})

const failings: [Failing, RegExp][] = [
  [{ kind: 'cut' }, /does not answer/],
  [{ kind: 'reset' }, /does not answer/],
  [{ kind: 'unavailable' }, /is refused: SlowDown/],
  [{ kind: 'internal' }, /is refused: InternalError/],
  [{ kind: 'full' }, /is refused: QuotaExceeded/],
  [{ kind: 'signature' }, /the secret key is wrong/],
  [{ kind: 'skewed' }, /the clock of this machine and that of the S3 service/],
]
for (const [failing, cause] of failings)
  test(`${failing.kind}: told as a failure of the service, never as damage or as a file that is not there`, async () => {
    storage.faults = [{ failing }]
    for (const work of [
      () => bucket.readToEnd('file'),
      () => bucket.read('file'),
      () => bucket.write('file', 'text'),
    ]) {
      const error = await failure(work())
      assert.instance(error, ExpectedError)
      assert.match(error.message, cause)
    }
  })

test('a slow service is waited for', async () => {
  storage.faults = [{ failing: { kind: 'slow', milliseconds: 300 } }]
  assert.is(await bucket.readToEnd('file'), sha256(whole))
  assert.equal(storage.met.slice(-1), ['GET /backups/file'])
})

test('files of a backup: of another one, of one that was not finished, and those that were replaced since the proof are named', async () => {
  const folder = '/backups/backups/nightly'
  const described = (name: string, phase: string) =>
    files.set(
      `${folder}/velero-backup.json`,
      Buffer.from(JSON.stringify({ metadata: { name }, status: { phase } })),
    )
  files.set(`${folder}/nightly-podvolumebackups.json.gz`, gzipSync('[{"status":{"snapshotID":"abc"}}]'))
  const verdict = { name: 'nightly', phase: 'Completed', claims: [{ claim: 'a/b', snapshot: 'abc' }] }
  const checked = async (known?: Record<string, string>) => {
    const { flaws, files } = await checkFiles(bucket, verdict as unknown as BackupVerdict, known)
    return { files, said: flaws.map(({ what }) => what) }
  }
  described('nightly', 'Completed')
  const good = await checked()
  assert.equal(good.said, [])
  assert.is(good.files['backups/nightly/nightly.tar.gz'], sha256(whole))
  assert.is(Object.keys(good.files).length, 3)
  assert.equal((await checked(good.files)).said, [])
  described('other', 'Completed')
  assert.match((await checked()).said.join(), /velero-backup.json describes another backup$/)
  described('nightly', 'Finalizing')
  assert.match((await checked()).said.join(), /says Finalizing: a new server would not find this backup$/)
  described('nightly', 'Completed')
  files.set(`${folder}/nightly.tar.gz`, gzipSync('another one, as whole as this'))
  assert.equal((await checked(good.files)).said, [
    'backup nightly: backups/nightly/nightly.tar.gz was changed after it was proved',
  ])
})

test.run()
