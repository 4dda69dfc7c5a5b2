import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tarOf } from '../../../../lib/age/tar.ts'
import type { K3sFile } from '../../../../lib/server/k3s-files.ts'
import { nameAfterRestore } from '../../../../scripts/backup-cluster-dir/naming.ts'
import { CONFIG_PART, checkCopy } from '../../../../scripts/backup-cluster-dir/parts.ts'
import { expectedFrom } from '../../helpers.ts'

const CONFIG = '/etc/rancher/k3s/config.yaml'
const file = (kind: K3sFile['kind'], path: string, text: string): K3sFile => ({
  kind,
  path,
  text,
  mode: 0o600,
  owner: '0:0',
  isBinary: false,
})
/** A restore of an archive of node `old`, with these settings, on a host named `new` with these files. */
const after = (archived: string | undefined, files: K3sFile[] = [], node: string | undefined = 'old') =>
  nameAfterRestore({ name: 'root@vps', hostname: 'NEW', files }, node, {
    parts: archived === undefined ? [] : [CONFIG_PART],
    configs: archived === undefined ? [] : [{ path: CONFIG, text: archived }],
  })

test('settings of the archive keep the name; else it is written into them', async () => {
  assert.equal(await after('node-name: old\n'), { node: 'old', write: false })
  assert.equal(await after('a: 1\n'), { node: 'old', write: true })
  // The environment gives only defaults.
  const environment = [file('environment', '/etc/default/k3s', 'K3S_NODE_NAME=new\n')]
  assert.equal(await after('a: 1\n', environment), { node: 'old', write: true })
})

test('what would rename the node is refused before anything changes', async () => {
  const unit = [
    file('unit', '/etc/systemd/system/k3s.service', 'ExecStart=/usr/local/bin/k3s server --node-name new\n'),
  ]
  const byUnit = await expectedFrom(() => after('node-name: old\n', unit))
  assert.is(byUnit.exitCode, 4)
  assert.match(byUnit.message, 'would name it new (/etc/systemd/system/k3s.service)')
  // The settings of the server count for an archive without any.
  assert.match((await expectedFrom(() => after(undefined))).message, 'would name it new (its host name)')
  const named = [file('config', CONFIG, 'node-name: old\n')]
  assert.equal(await after(undefined, named), { node: 'old', write: false })
})

test('an archive that does not say its node is left to the check after the restore', async () => {
  assert.equal(
    await nameAfterRestore({ name: 'x', hostname: 'new', files: [] }, undefined, { parts: [], configs: [] }),
    { node: undefined, write: false },
  )
})

test('data elsewhere are refused', async () => {
  assert.match((await expectedFrom(() => after('data-dir: /data\n'))).message, 'keeps its data in /data')
})

test('a copy tells its parts and its settings, in the order in which k3s reads them', async () => {
  const content = (path: string, text: string) => ({
    path,
    mode: 0o600,
    size: Buffer.byteLength(text),
    content: [Buffer.from(text)],
  })
  const copy = tarOf([
    content('var/lib/rancher/k3s/server/db/state.db', 'x'),
    content('etc/rancher/k3s/config.yaml.d/b.YML', 'b: 1\n'),
    content('etc/rancher/k3s/config.yaml.d/a.yaml', 'a: 1\n'),
    content('etc/rancher/k3s/config.yaml.d/a.json', '{}'),
    content('etc/rancher/k3s/config.yaml', 'node-name: é\n'),
    content('etc/rancher/k3s/k3s.yaml', 'secret'),
  ])
  const contents = await checkCopy(copy, 'x.tar')
  assert.equal(contents.parts, ['var/lib/rancher/k3s/server/db', CONFIG_PART])
  assert.equal(
    contents.configs.map(({ path, text }) => [path, text]),
    [
      [CONFIG, 'node-name: é\n'],
      [`${CONFIG}.d/a.yaml`, 'a: 1\n'],
      [`${CONFIG}.d/b.YML`, 'b: 1\n'],
    ],
  )
  const foreign = await expectedFrom(() => checkCopy(tarOf([content('etc/rancher/k3s-other', '')]), 'x.tar'))
  assert.match(foreign.message, 'it does not belong to k3s')
})

test.run()
