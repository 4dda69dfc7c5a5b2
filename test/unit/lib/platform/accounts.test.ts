import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ACCOUNT_SECRETS, holdsSettings } from '../../../../lib/platform/accounts.ts'
import { completeConfig } from '../../../../lib/platform/config.ts'
import { CONFIG_KEYS } from '../../../../lib/platform/config-keys.ts'
import { clusterVariables, showsVariable } from '../../../../lib/platform/variables.ts'
import { PRINTABLE } from '../../../fixtures/printable.ts'

const complete = { domain: 'a.org', ip_address: '203.0.113.7', admin_email: 'x@a.org' }
const mail: Record<string, string> = {
  ...complete,
  outgoing_mail_enabled: 'true',
  outgoing_mail_smtp_user: 'me@mail.org',
  outgoing_mail_smtp_password: PRINTABLE,
  outgoing_mail_smtp_host: 'smtp.mail.org',
  backup_s3_aws_secret_access_key: PRINTABLE,
}
/** What a Secret holds, by its place. */
const held = (place: string, values: Record<string, string>) =>
  ACCOUNT_SECRETS.find(({ namespace, name }) => `${namespace}/${name}` === place)!.values(
    completeConfig(values),
  )

test('the mail account is also one URI, from which every character of the password comes back', () => {
  const uri = (values: Record<string, string>) => held('oas/oas-mail', values).outgoing_mail_smtp_uri ?? ''
  const url = new URL(uri(mail))
  assert.is(`${url.protocol} ${url.host}`, 'smtp: smtp.mail.org:587')
  assert.equal([url.username, url.password].map(decodeURIComponent), ['me@mail.org', PRINTABLE])
  assert.match(uri({ ...mail, outgoing_mail_smtp_port: '465' }), /^smtps:.*:465\/$/)
})

test('while mail is off, applications find no server, and kratos a URI that leads nowhere', () => {
  const off = held('oas-apps/oas-mail', { ...mail, outgoing_mail_enabled: 'false' })
  assert.is(off.outgoing_mail_smtp_uri, 'smtp://localhost:25/')
  for (const key of ['MAIL_URL', 'outgoing_mail_smtp_host']) assert.is(off[key], undefined)
  assert.is(held('oas-apps/oas-mail', mail).MAIL_URL, held('oas/oas-mail', mail).outgoing_mail_smtp_uri)
})

test('every reference of the configuration is in an account, as it is, and in no variable', () => {
  const config = completeConfig(mail)
  const accounts = ACCOUNT_SECRETS.map(({ values }) => values(config))
  for (const { name, use } of CONFIG_KEYS.filter(key => key.use === 'reference' || key.secret)) {
    assert.is(use, 'reference', name)
    assert.not.ok(name in clusterVariables(config), name)
    const found = accounts.filter(account => name in account)
    assert.ok(found.length > 0, name)
    for (const account of found) assert.is(account[name], config[name])
  }
})

test('the variables and the accounts are settings; everything secret in them is hidden', () => {
  assert.ok(holdsSettings({ namespace: 'oas-apps', name: 'oas-mail' }))
  assert.ok(holdsSettings({ namespace: 'flux-system', name: 'oas-cluster-variables' }))
  assert.not.ok(holdsSettings({ namespace: 'somewhere', name: 'oas-mail' }))
  assert.equal(
    Object.keys(held('oas/oas-mail', mail)).filter(name => !showsVariable(name)),
    ['outgoing_mail_smtp_password', 'outgoing_mail_smtp_uri', 'MAIL_URL'],
  )
})

test.run()
