import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fluxRelease } from '../../../../lib/flux/flux-install.ts'

test('the release is pinned with its checksum', async () => {
  const { version, url, sha256 } = await fluxRelease()
  assert.match(version, /^v\d+\.\d+\.\d+$/)
  assert.match(url, version)
  assert.match(sha256, /^[0-9a-f]{64}$/)
})

test.run()
