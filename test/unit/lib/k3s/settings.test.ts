import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  effectiveSettings,
  elsewhereProblem,
  type K3sSettings,
  namesIn,
  nodeNameBy,
  valueIn,
} from '../../../../lib/k3s/settings.ts'
import { lastCommand, serviceVariables } from '../../../../lib/k3s/unit.ts'
import { k3sFiles, settingsSources } from '../../../../lib/server/k3s-files.ts'
import { parseFacts, scriptFor } from '../../../../lib/server/reader.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'

const CONFIG = '/etc/rancher/k3s/config.yaml'
const UNIT = '/etc/systemd/system/k3s.service'
/** Settings from texts: config.yaml and drop-ins, the words of the unit, an environment file. */
const settingsOf = (configs: string[], words = '', environment = ''): Promise<K3sSettings> =>
  effectiveSettings({
    configs: configs.map((text, i) => ({ path: i === 0 ? CONFIG : `${CONFIG}.d/${i}.yaml`, text })),
    units: [{ path: UNIT, text: `[Service]\nExecStart=/usr/local/bin/k3s \\\n    server ${words}\n` }],
    environments: [{ path: '/etc/default/k3s', text: environment }],
  })

test('the unit wins over the files, and both over the environment', async () => {
  const all = ['node-name: file\n', 'K3S_NODE_NAME=environment\n'] as const
  assert.is(valueIn(await settingsOf([all[0]], '--node-name unit', all[1]), 'node-name'), 'unit')
  assert.is(valueIn(await settingsOf([all[0]], '', all[1]), 'node-name'), 'file')
  assert.is(valueIn(await settingsOf([''], '', all[1]), 'node-name'), 'environment')
  assert.is((await settingsOf([''], '', all[1])).get('node-name')!.from, '$K3S_NODE_NAME')
})

test('flags that may be repeated add up from files and unit; others do not', async () => {
  const settings = await settingsOf(['tls-san: a,b\ndata-dir: /a\n'], "'--tls-san=c' --tls-san d -d /b")
  assert.equal(namesIn(settings, 'tls-san'), ['a', 'b', 'c', 'd'])
  assert.is(valueIn(settings, 'data-dir'), '/b')
})

test('of a key in several files the last one counts, unless it ends with +', async () => {
  const names = async (...configs: string[]) => namesIn(await settingsOf(configs), 'tls-san')
  assert.equal(await names('tls-san: [a]', 'tls-san: [b]'), ['b'])
  assert.equal(await names('tls-san: [a]', 'tls-san+: [b]', 'tls-san+: c'), ['a', 'b', 'c'])
  assert.equal(await names('tls-san+: [a]', 'tls-san: [b]', 'tls-san+: [c]'), ['b', 'c'])
})

test('a switch takes no value, and a value may look like a flag', async () => {
  const settings = await settingsOf(
    [''],
    '--disable-network-policy --kubelet-arg -v=2 --with-node-id --debug=false',
  )
  assert.is(valueIn(settings, 'disable-network-policy'), 'true')
  assert.is(valueIn(settings, 'kubelet-arg'), '-v=2')
  assert.is(valueIn(settings, 'with-node-id'), 'true')
  assert.is(valueIn(settings, 'debug'), 'false')
})

test('data elsewhere are found wherever they are set, the usual folder is not elsewhere', async () => {
  for (const settings of [
    settingsOf(['', 'data-dir: /data']),
    settingsOf([''], '-d /data'),
    settingsOf([''], '', "K3S_DATA_DIR='/data'"),
  ])
    assert.match(elsewhereProblem(await settings)!, 'k3s keeps its data in /data (data-dir in ')
  assert.match(
    elsewhereProblem(await settingsOf(['datastore-endpoint: mysql://u:p@h/']))!,
    'external datastore',
  )
  assert.not.match(elsewhereProblem(await settingsOf(['datastore-endpoint: mysql://u:p@h/']))!, 'u:p')
  assert.match(elsewhereProblem(await settingsOf([''], '--config /x'))!, 'settings from /x')
  assert.is(elsewhereProblem(await settingsOf(['data-dir: /var/lib/rancher/k3s/'])), undefined)
})

test('the name of a node is in lower case', async () => {
  assert.is(nodeNameBy(await settingsOf(['']), 'OAS'), 'oas')
  assert.is(nodeNameBy(await settingsOf(['node-name: One']), 'OAS'), 'one')
})

test('the last command counts, and an empty one resets; environment files win over Environment=', () => {
  const units = [
    { path: 'a', text: 'ExecStart=/usr/local/bin/k3s server --node-name a\nEnvironment=A=1 "B=2 3"\n' },
    {
      path: 'b',
      text: 'ExecStart=\nExecStart=-/usr/local/bin/k3s \\\n  server \\\n  --node-name b\nEnvironment=C=4\n',
    },
  ]
  assert.equal(lastCommand(units), { path: 'b', command: 'server', words: ['--node-name', 'b'] })
  assert.equal(lastCommand([]), { path: '', command: '', words: [] })
  const files = [
    { path: 'x', text: "A='x y'\n# B=0\n" },
    { path: 'y', text: 'D=5\nA=6\n' },
  ]
  assert.equal(serviceVariables(units, files), { A: '6', B: '2 3', C: '4', D: '5' })
  assert.equal(serviceVariables([{ path: 'c', text: 'Environment=A=1\nEnvironment=\n' }], []), {})
})

test('what k3s could not read is refused by its name', async () => {
  for (const text of ['- a\n', 'a: [\n', 'words\n']) {
    const error = await expectedFrom(() => settingsOf(['', text]))
    assert.is(error.exitCode, 4)
    assert.match(error.message, 'config.yaml.d/1.yaml on the server is not a configuration of k3s')
  }
})

test('files are read in the order of k3s, on a shell', () => {
  const folder = temporaryFolder()
  const config = join(folder, 'config.yaml')
  mkdirSync(`${config}.d`)
  const files = ['b.yaml', 'B.YML', '.a.yaml', 'c.yml', 'no.json', 'ä.yaml']
  for (const file of files) writeFileSync(join(`${config}.d`, file), `node-name: "${file}"\n`)
  writeFileSync(config, 'é: 1\n')
  const { command, parse } = k3sFiles('server')
  const facts = {
    files: {
      command: command.map(word => (word === CONFIG ? config : word)) as unknown as typeof command,
      parse,
    },
  }
  const answer = execFileSync('sh', ['-c', scriptFor(facts)], { encoding: 'utf8' })
  const { configs } = settingsSources(parseFacts(facts, answer).files)
  assert.equal(
    configs.map(({ path }) => path.slice(folder.length + 1)),
    ['.a.yaml', 'B.YML', 'b.yaml', 'c.yml', 'ä.yaml']
      .map(file => `config.yaml.d/${file}`)
      .toSpliced(0, 0, 'config.yaml'),
  )
  assert.is(configs[0]!.text, 'é: 1\n')
})

test.run()
