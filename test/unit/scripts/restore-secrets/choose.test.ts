import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diffBackup } from '../../../../lib/secret-backup/diff.ts'
import { choose } from '../../../../scripts/restore-secrets/choose.ts'
import { expectedFrom } from '../../helpers.ts'
import { secret } from '../../secrets.ts'

test('what differs is never chosen unless --overwrite names it', async () => {
  const secrets = ['same', 'missing', 'incomplete', 'different'].map(each =>
    secret(each, { one: '1', two: '2' }),
  )
  const cluster = [
    secret('same', { one: '1', two: '2' }),
    secret('incomplete', { one: '1' }),
    secret('different', { one: 'changed' }),
  ]
  const diffs = diffBackup(secrets, cluster)
  const chosen = async (flags: Partial<{ only: string[]; overwrite: string[]; yes: boolean }>) =>
    (await choose({ flags: { only: [], overwrite: [], yes: false, 'dry-run': false, ...flags } }, diffs)).map(
      ({ diff, overwrite }) => `${diff.secret.metadata.name}${overwrite ? '!' : ''}`,
    )
  assert.equal(await chosen({ yes: true }), ['missing', 'incomplete'])
  assert.equal(await chosen({ only: ['missing', 'same'] }), ['missing'])
  assert.equal(await chosen({ only: ['missing, incomplete'] }), ['missing', 'incomplete'])
  assert.equal(await chosen({ only: ['flux-system/incomplete'], overwrite: ['different'] }), [
    'incomplete',
    'different!',
  ])
  assert.equal(await chosen({ overwrite: ['different'], yes: true }), ['different!'])
  assert.equal(await chosen({ overwrite: ['incomplete'] }), ['incomplete'])
  assert.is((await expectedFrom(() => chosen({ only: ['different'], yes: true }))).exitCode, 4)
  assert.match((await expectedFrom(() => chosen({ only: ['mising'] }))).fix, 'did you mean missing?')
  assert.match((await expectedFrom(() => chosen({}))).fix, '--only NAME')
})

test.run()
