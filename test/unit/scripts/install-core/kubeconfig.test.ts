import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { adoptKubeconfig, kubeconfigFor } from '../../../../scripts/install-core/kubeconfig.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const place = (present?: string): Cluster => {
  const folder = join(temporaryFolder(), 'oas')
  const kubeconfig = join(folder, 'kube_config_cluster.yml')
  if (present !== undefined) {
    mkdirSync(folder)
    writeFileSync(kubeconfig, present)
  }
  return { name: 'oas', folder, env: '', kubeconfig, journal: '' }
}
const given = (text: string) => {
  const file = join(temporaryFolder(), 'k3s.yaml')
  writeFileSync(file, text)
  return file
}
/** A kubeconfig with this user and cluster. */
const kubeconfig = (user: string, cluster = '') => `
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'${cluster}}}]
users: [{name: u, user: {${user}}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
`
const inline = kubeconfig('client-certificate-data: AAAA, client-key-data: AAAA')

test('a kubeconfig that is given is used, else that of the cluster', async () => {
  const cluster = place()
  const file = given(inline)
  assert.is(await kubeconfigFor(cluster, file), file)
  assert.is(await kubeconfigFor(cluster, undefined), cluster.kubeconfig)
  assert.is(await kubeconfigFor(place(inline), file), file)
})

test('another kubeconfig than the one of the cluster is refused', async () => {
  const error = await expectedFrom(() => kubeconfigFor(place('other'), given(inline)))
  assert.is(error.exitCode, 4)
})

test('a file that is not there is wrong usage', async () => {
  assert.is((await expectedFrom(() => kubeconfigFor(place(), '/none'))).exitCode, 2)
})

test('a kubeconfig that refers to other files is refused with the command that makes one of it', async () => {
  for (const text of [
    kubeconfig('client-certificate-data: AAAA, client-key: /x'),
    kubeconfig('token: t', ', certificate-authority: ca.crt'),
    kubeconfig('client-certificate: /x, client-key-data: AAAA'),
  ])
    assert.match((await expectedFrom(() => kubeconfigFor(place(), given(text)))).fix, '--flatten --raw')
})

test('a relative path of a token or a plugin is refused, an absolute one is not', async () => {
  const folder = temporaryFolder()
  const plugin = join(folder, 'plugin.sh')
  writeFileSync(plugin, '', { mode: 0o700 })
  const file = join(folder, 'k3s.yaml')
  const v1 = 'apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never'
  const put = (user: string) => writeFileSync(file, kubeconfig(user))
  for (const user of ['tokenFile: token', `exec: {${v1}, command: ./plugin.sh}`]) {
    put(user)
    assert.match((await expectedFrom(() => kubeconfigFor(place(), file))).fix, 'the absolute path')
  }
  for (const user of ['tokenFile: /x', `exec: {${v1}, command: ${plugin}}`, `exec: {${v1}, command: sh}`]) {
    put(user)
    assert.is(await kubeconfigFor(place(), file), file)
  }
})

test('an adopted kubeconfig is a private copy, made once', () => {
  const cluster = place()
  adoptKubeconfig(cluster, given(inline))
  assert.is(readFileSync(cluster.kubeconfig, 'utf8'), inline)
  assert.is(statSync(cluster.kubeconfig).mode & 0o777, 0o600)
  assert.is(statSync(cluster.folder).mode & 0o777, 0o700)
  adoptKubeconfig(cluster, given('other'))
  assert.is(readFileSync(cluster.kubeconfig, 'utf8'), inline)
})

test.run()
