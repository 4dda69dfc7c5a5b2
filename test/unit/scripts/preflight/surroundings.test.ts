import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { platformHosts } from '../../../../scripts/preflight/surroundings.ts'

test('every host of the platform is known', () => {
  const hosts = platformHosts({ domain: 'oas.example.org', wordpress_domain: 'www.oas.example.org' })
  assert.is(hosts[0], 'oas.example.org')
  for (const name of ['sso', 'admin', 'grafana', 'files', 'office', 'chat', 'wekan', 'www'])
    assert.ok(hosts.includes(`${name}.oas.example.org`), name)
  const root = platformHosts({ domain: 'example.org', wordpress_domain: 'example.org' })
  assert.is(root.filter(host => host === 'example.org').length, 1)
})

test.run()
