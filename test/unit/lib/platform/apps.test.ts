import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { APPS, checkApp, DATA_NAMES } from '../../../../lib/platform/apps.ts'
import { completeConfig } from '../../../../lib/platform/config.ts'
import { generatedKeysOf, loadCatalogue } from '../../../../lib/platform/secrets.ts'
import type { UsageError } from '../../../../lib/script/errors.ts'

const config = completeConfig({ domain: 'oas.example.org' })

test('the password that is told for an application is one of its own in the catalogue', async () => {
  const catalogue = await loadCatalogue()
  for (const { name, login } of APPS) {
    if (!login) continue
    const keys = catalogue.filter(entry => entry.app === name).flatMap(generatedKeysOf)
    assert.ok(keys.includes(login.key), `${name}: ${login.key}`)
  }
})

test('hosts are those of the docs; that of a new application is added here', () => {
  assert.equal(
    APPS.flatMap(app => app.hosts(config)),
    [
      'files.oas.example.org',
      'office.oas.example.org',
      'chat.oas.example.org',
      'wekan.oas.example.org',
      'www.oas.example.org',
    ],
  )
})

test('--app takes the names that it lists, and says which one was meant', () => {
  assert.is(checkApp('core', DATA_NAMES), 'core')
  const refused = (app: string | undefined, known = DATA_NAMES) => {
    try {
      return checkApp(app, known)
    } catch (error) {
      const { message, fix, exitCode } = error as UsageError
      assert.is(exitCode, 2)
      return `${message} / ${fix}`
    }
  }
  const list = 'expected one of: core, nextcloud, rocketchat, wekan, wordpress'
  assert.is(refused('wikan'), `--app "wikan": unknown application / did you mean wekan? ${list}`)
  assert.is(refused('velero'), `--app "velero": an application without data / ${list}`)
  assert.is(refused(undefined), `--app is missing / ${list}`)
})

test.run()
