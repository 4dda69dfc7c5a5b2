import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { agentsOfCluster, serverOfCluster } from '../../../../lib/server/server.ts'
import { test } from '../../../suite.ts'

const INVENTORY = `all:
  hosts:
    one: {ansible_host: 203.0.113.7, ansible_user: ann, ansible_port: 2222}
    two: {ansible_host: 203.0.113.8}
    other: {ansible_host: 203.0.113.9}
  children:
    master: {hosts: {one: }}
    worker: {hosts: {one: , two: }}
`

let folder: string
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'oas-server-'))
})
test.after.each(() => rmSync(folder, { recursive: true }))

/** A cluster with these files. */
function cluster(files: { inventory?: string; env?: string }): Cluster {
  if (files.inventory) writeFileSync(join(folder, 'inventory.yml'), files.inventory)
  if (files.env) writeFileSync(join(folder, '.flux.env'), files.env)
  const kubeconfig = join(folder, 'kube_config_cluster.yml')
  return { name: 'a', folder, env: join(folder, '.flux.env'), kubeconfig, journal: join(folder, 'journal') }
}

test('the server is the master of the inventory, the agents are the other workers', async () => {
  const a = cluster({ inventory: INVENTORY })
  const { host, user, port } = await serverOfCluster(a, undefined)
  assert.equal([host, user, port], ['203.0.113.7', 'ann', 2222])
  const agents = await agentsOfCluster(a, undefined)
  assert.equal(
    agents.map(agent => [agent.name, agent.host]),
    [['two', '203.0.113.8']],
  )
})

test('a cluster of one server has no agents', async () => {
  const single = INVENTORY.replace('worker: {hosts: {one: , two: }}', 'worker: {hosts: {one: }}')
  assert.equal(await agentsOfCluster(cluster({ inventory: single }), undefined), [])
})

test('without an inventory the address of the configuration is taken, as root', async () => {
  const a = cluster({ env: 'domain=a.example.org\nip_address=203.0.113.7\n' })
  assert.equal(await serverOfCluster(a, undefined), { host: '203.0.113.7', user: 'root' })
  assert.equal(await agentsOfCluster(a, undefined), [])
})

test('without either it is told what to do', async () => {
  await serverOfCluster(cluster({}), undefined).then(
    () => assert.unreachable(),
    error => {
      assert.match(error.message, 'which server cluster a is on')
      assert.match(error.fix, 'create-cluster')
      assert.is(error.exitCode, 2)
    },
  )
})

test.run()
