import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { makeProof } from '../../../../lib/backup/proof.ts'
import type { Kubectl } from '../../../../lib/kubectl/kubectl.ts'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import { test } from '../../../suite.ts'
import { temporaryFolder } from '../../helpers.ts'
import { serve } from '../../transport.ts'

test('a secret that Velero has said is in no file of the journal, Markdown of it included', async () => {
  const secret = 'hunter|2<xyz[9]'
  registerSecret(secret)
  const backup = {
    metadata: { name: 'b' },
    status: { phase: 'Failed', failureReason: `access denied for ${secret}` },
  }
  const kubectl = {
    client: { clockOffset: 0 },
    get: async () => backup,
    list: async () => [],
    serverVersion: async () => 'v1.36.4',
  } as unknown as Kubectl
  const storage = await serve((_asked, answer) => answer.writeHead(404).end())
  const config = {
    backup_s3_url: storage.url,
    backup_s3_region: 'ceph',
    backup_s3_bucket: 'backups',
    backup_s3_aws_access_key_id: 'id',
    backup_s3_aws_secret_access_key: 'a-secret-key',
  }
  const cluster = { name: 'oas', journal: temporaryFolder() } as Cluster
  try {
    const { file } = await makeProof(kubectl, 'b', { cluster, config, signal: AbortSignal.timeout(30_000) })
    for (const each of [file, file.replace(/md$/, 'json')]) {
      assert.match(readFileSync(each, 'utf8'), 'access denied for')
      assert.not.match(readFileSync(each, 'utf8'), /hunter|xyz/)
    }
  } finally {
    storage.close()
  }
})

test.run()
