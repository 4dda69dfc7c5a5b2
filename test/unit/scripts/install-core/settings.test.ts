import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cluster } from '../../../../lib/script/cluster.ts'
import { ExpectedErrors } from '../../../../lib/script/errors.ts'
import {
  checkConfig,
  configure,
  diffVariables,
  parseSettings,
  settingsWriter,
} from '../../../../scripts/install-core/settings.ts'
import { cluster, expectedFrom, messagesOf } from '../../helpers.ts'

const required = 'domain=a.org\nip_address=203.0.113.7\nadmin_email=x@a.org\n'

test('--set takes KEY=VALUE, split at the first equals sign', () => {
  assert.equal(parseSettings(['domain=a.org', 'outgoing_mail_smtp_user=a=b']), {
    domain: 'a.org',
    outgoing_mail_smtp_user: 'a=b',
  })
  assert.equal(parseSettings([]), {})
})

test('all wrong settings are told at once, and no secret is taken or repeated', async () => {
  const settings = [
    'domain',
    '=x',
    'domian=a.org',
    'domain=',
    'ip_address=x',
    'outgoing_mail_smtp_password=hunter2hunter2',
    'outgoing_mail_smtp_pasword=hunter2hunter2',
    '__proto__=x',
    'hunter2hunter2',
  ]
  const error = await expectedFrom(() => parseSettings(settings))
  assert.instance(error, ExpectedErrors)
  const messages = messagesOf(error)
  assert.is(messages.length, settings.length)
  assert.not.match(messages.join(), 'hunter2')
  assert.is(messages[2], '--set domian: unknown key')
  assert.is((error as ExpectedErrors).problems[2]!.fix, 'did you mean domain?')
  assert.is(messages[3], '--set domain: domain is empty')
  assert.match(messages[5]!, 'a secret must not stand on a command line')
  assert.is(error.exitCode, 2)
})

test('a key that is set twice is refused, as it is in the file', async () => {
  const error = await expectedFrom(() => parseSettings(['domain=a.org', 'domain=b.org']))
  assert.match(error.message, 'domain')
})

test('settings stand over the file, and nothing is written', async () => {
  const { env, ...rest } = cluster(`# mine\n${required}`)
  const { config, chosen, before, changed, answered } = await configure({ env, ...rest }, { domain: 'b.org' })
  assert.is(config.domain, 'b.org')
  assert.is(config.wordpress_domain, 'www.b.org')
  assert.equal([chosen, before, changed, answered], [{ domain: 'b.org' }, `# mine\n${required}`, true, false])
  assert.is(readFileSync(env, 'utf8'), `# mine\n${required}`)
  assert.not.ok((await configure({ env, ...rest }, { domain: 'a.org' })).changed)
})

test('without a terminal all missing keys are told at once; a secret belongs into the file', async () => {
  const where = cluster(`${required.replace('domain=a.org', 'domain=')}outgoing_mail_enabled=true\n`)
  const error = (await expectedFrom(() => checkConfig(where, {}))) as ExpectedErrors
  assert.is(error.exitCode, 2)
  const fixes = new Map(
    error.problems.map(problem => [/ lacks (\w+)/.exec(problem.message)![1]!, problem.fix] as const),
  )
  assert.equal(
    [...fixes.keys()],
    [
      'domain',
      'outgoing_mail_from_address',
      'outgoing_mail_smtp_user',
      'outgoing_mail_smtp_password',
      'outgoing_mail_smtp_host',
    ],
  )
  assert.match(fixes.get('domain')!, '--set domain=VALUE')
  assert.not.match(fixes.get('outgoing_mail_smtp_password')!, '--set')
  checkConfig(where, {
    domain: 'a.org',
    outgoing_mail_enabled: 'false',
  })
  assert.match((await expectedFrom(() => configure(where, {}))).fix, '--set domain=VALUE')
})

test('a diff of variables shows what changes and hides secrets', () => {
  const before = {
    domain: 'a.org',
    admin_email: 'x@a.org',
    outgoing_mail_smtp_password: 'old-pass',
    somebodys_own: 'kept',
  }
  const after = {
    domain: 'b.org',
    admin_email: 'x@a.org',
    outgoing_mail_smtp_password: 'new-pass',
    backup_s3_aws_access_key_id: 'new-pass',
    charts_mirror: '',
  }
  assert.equal(diffVariables(before, after), [
    '+ backup_s3_aws_access_key_id = (hidden)',
    '+ charts_mirror = ""',
    '~ domain: "a.org" → "b.org"',
    '~ outgoing_mail_smtp_password: (hidden) → (hidden)',
  ])
  assert.equal(diffVariables(after, after), [])
  // A key of somebody else's may hold anything.
  assert.equal(diffVariables({ foreign: 'old-pass' }, { foreign: 'new-pass' }), [
    '~ foreign: (hidden) → (hidden)',
  ])
})

/** The end of a run that has asked for these; `write` is what it does once it holds the lock. */
function chosenIn(
  where: Cluster,
  chosen: Record<string, string>,
  more: { answered?: boolean; dry?: boolean } = {},
) {
  const { answered = true, dry = false } = more
  const ends: (() => Promise<void>)[] = []
  const told: string[] = []
  const run = {
    cluster: where,
    flags: { 'dry-run': dry },
    onEnd: (end: () => Promise<void>) => ends.push(end),
    log: { info: told.push.bind(told) },
  }
  const before = existsSync(where.env) ? readFileSync(where.env, 'utf8') : undefined
  const write = settingsWriter(run as unknown as Parameters<typeof settingsWriter>[0], {
    chosen,
    before,
    answered,
  })
  const end = async () => {
    for (const each of ends) await each()
  }
  return {
    write,
    end,
    told,
    text: () => (existsSync(where.env) ? readFileSync(where.env, 'utf8') : undefined),
  }
}

test('what somebody has typed is kept when a later check ends the run, and told', async () => {
  const where = cluster()
  const { end, told, text } = chosenIn(where, { domain: 'a.org' })
  assert.is(text(), undefined)
  await end()
  await end()
  assert.is(text(), 'domain=a.org\n')
  assert.equal(told, [`Your answers are kept in ${where.env}`])
})

test('a dry run, and a run that has asked nothing, keep nothing', async () => {
  for (const more of [{ dry: true }, { answered: false }]) {
    const { end, text } = chosenIn(cluster(), { domain: 'a.org' }, more)
    await end()
    assert.is(text(), undefined)
  }
})

test('what was corrected in the file while the run goes on stays, before it was written and afterwards', async () => {
  const [during, after] = [cluster('# mine\n'), cluster('# mine\n')]
  const early = chosenIn(during, { domain: 'a.org', admin_email: 'x@a.org' })
  writeFileSync(during.env, '# mine\ndomain=b.org\n')
  await early.end()
  assert.is(early.text(), '# mine\ndomain=b.org\nadmin_email=x@a.org\n')
  const late = chosenIn(after, { domain: 'a.org' })
  late.write()
  assert.is(late.text(), '# mine\ndomain=a.org\n')
  writeFileSync(after.env, '# mine\n')
  await late.end()
  assert.is(late.text(), '# mine\n')
  assert.equal(late.told, [])
})

test('a file that was changed since it was read is not overwritten: the plan was another one', async () => {
  const where = cluster(required)
  const { write, text } = chosenIn(where, { cluster_issuer: 'letsencrypt-staging' }, { answered: false })
  const moved = required.replace('203.0.113.7', '203.0.113.8')
  writeFileSync(where.env, moved)
  const error = await expectedFrom(write)
  assert.match(error.message, `${where.env} was changed meanwhile`)
  assert.match(error.fix, 'run the same command again')
  assert.is(text(), moved)
})

test.run()
