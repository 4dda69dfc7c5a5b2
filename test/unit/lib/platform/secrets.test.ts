import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { APP_NAMES } from '../../../../lib/platform/apps.ts'
import { SecretCopies } from '../../../../lib/platform/secret-copies.ts'
import {
  generatedKeysOf,
  generatePassword,
  loadCatalogue,
  planSecret,
  planText,
  secretValues,
} from '../../../../lib/platform/secrets.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { basic, entry, secret as secretOf } from '../../secrets.ts'

const secret = (values: Record<string, string>, { name, namespace } = entry) =>
  secretOf(name, values, namespace)

test('a Secret that is absent is created with all its keys', () => {
  const plan = planSecret(entry, undefined)
  assert.equal([plan.action, plan.missing], ['create', ['one', 'two']])
  assert.is(planText(plan), 'create Secret flux-system/oas-wekan-variables with one, two')
})

test('existing values win; only what is absent or empty is added', () => {
  const partial: Record<string, string>[] = [
    { one: 'mine' },
    { one: 'mine', two: '' },
    { one: 'mine', other: 'x' },
  ]
  for (const values of partial) {
    const plan = planSecret(entry, secret(values))
    assert.equal([plan.action, plan.missing], ['merge', ['two']])
    assert.is(planText(plan), 'add to Secret flux-system/oas-wekan-variables the missing two')
  }
  const { data: _none, ...bare } = secret({})
  assert.equal(planSecret(entry, bare as KubeObject).missing, ['one', 'two'])
})

test('a complete Secret is left alone', () => {
  const plan = planSecret(entry, secret({ one: 'a', two: 'b', other: 'c' }))
  assert.equal([plan.action, plan.missing, planText(plan)], ['keep', [], undefined])
})

test('a basic-auth Secret has a password and its htpasswd line', () => {
  assert.equal(generatedKeysOf(basic), ['pass', 'auth'])
  assert.equal(planSecret(basic, secret({ pass: 'x' })).missing, ['auth'])
})

test('passwords are letters and digits of the wanted length, evenly distributed and never the same', () => {
  assert.match(generatePassword(64), /^[A-Za-z0-9]{64}$/)
  assert.is(generatePassword(0), '')
  assert.is(new Set(Array.from({ length: 1000 }, () => generatePassword(32))).size, 1000)
  const counts = new Map<string, number>()
  const draws = 200_000
  for (const letter of generatePassword(draws)) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  assert.is(counts.size, 62)
  const expected = draws / 62
  const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  // 61 degrees of freedom: 120 is exceeded once in 100,000 runs; `byte % 62` gives about 1,500.
  assert.ok(chiSquare < 120, `chi square ${chiSquare}`)
})

test('values of a Secret are decoded, and hidden from then on', () => {
  assert.equal(secretValues(secret({ one: 'decoded-value-ü', two: 'newline-value\n' })), {
    one: 'decoded-value-ü',
    two: 'newline-value\n',
  })
  assert.is(redact('decoded-value-ü newline-value'), '*** ***')
  assert.equal(secretValues(undefined), {})
})

test('a copy is private and gives its values back', async () => {
  const folder = join(temporaryFolder(), 'oas')
  const copies = new SecretCopies(folder)
  assert.equal(await copies.read(entry), {})
  await copies.keep(entry, secret({ one: 'copy-one', two: 'copy-two' }))
  const file = join(folder, 'secrets', 'oas-wekan-variables.yaml')
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.is(statSync(join(folder, 'secrets')).mode & 0o777, 0o700)
  assert.equal(await copies.read(entry), { one: 'copy-one', two: 'copy-two' })
  assert.match(readFileSync(file, 'utf8'), 'kind: Secret')
})

test('a copy that is the same already is not written again', async () => {
  const folder = temporaryFolder()
  const copies = new SecretCopies(folder)
  const file = join(folder, 'secrets', 'oas-wekan-variables.yaml')
  await copies.keep(entry, secret({ one: 'a', two: 'b' }))
  const { ino } = statSync(file)
  await copies.keep(entry, secret({ two: 'b', one: 'a' }))
  assert.is(statSync(file).ino, ino)
  await copies.keep(entry, secret({ one: 'changed', two: 'b' }))
  assert.is((await copies.read(entry)).one, 'changed')
})

test('a copy keeps what the cluster has lost: another application may need it back', async () => {
  const copies = new SecretCopies(temporaryFolder())
  await copies.keep(entry, secret({ grafana: 'old-grafana', wekan: 'old-wekan' }))
  await copies.keep(entry, secret({ grafana: 'new-grafana' }))
  assert.equal(await copies.read(entry), { grafana: 'new-grafana', wekan: 'old-wekan' })
})

test('a broken copy is named and not quoted', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'secrets'))
  writeFileSync(join(folder, 'secrets', 'oas-wekan-variables.yaml'), 'data:\n  one: "aHVudGVyMg==\n two: [')
  const error = await expectedFrom(() => new SecretCopies(folder).read(entry))
  assert.match(error.message, 'oas-wekan-variables.yaml')
  assert.not.match(`${error.message} ${error.fix}`, 'aHVudGVyMg')
})

test('the catalogue names each key once, for what can be installed', async () => {
  const catalogue = await loadCatalogue()
  const variables = catalogue.filter(each => each.namespace === 'flux-system').flatMap(generatedKeysOf)
  assert.is(new Set(variables).size, variables.length)
  for (const each of catalogue) {
    assert.ok(['core', ...APP_NAMES].includes(each.app), each.app)
    // The name and the key that Velero asks for (velero v1.18, pkg/repository/keys/keys.go).
    if (each.namespace === 'velero') assert.is(each.name, 'velero-repo-credentials')
    else assert.match(each.name, /^oas-[a-z-]+$/)
    assert.ok(generatedKeysOf(each).length > 0, each.name)
    for (const [key, { length }] of Object.entries(each.keys ?? {})) {
      assert.match(key, /^[a-z0-9_-]+$/)
      assert.ok(length >= 32, key)
    }
  }
})

test.run()
