import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { rules } from '../../../../lib/diagnosis/rules/sign-on-addresses.ts'
import { type SignOnSetting, settingsIn } from '../../../../lib/diagnosis/sign-on-settings.ts'
import type { Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { releaseValues } from '../../../bed/login/values.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

const ingress = (name: string, host: string) =>
  objectOf('Ingress', 'oas', name, { spec: { rules: [{ host }] } })
const objects = [
  objectOf('HelmRelease', 'oas', 'hydra'),
  objectOf('HelmRelease', 'oas', 'kratos'),
  ingress('hydra-public', 'sso.example.org'),
  ingress('single-sign-on', 'admin.example.org'),
]
const told = (settings: SignOnSetting[], more: Partial<Snapshot> = {}) =>
  diagnose(snapshotOf(objects, { signOnSettings: settings, ...more }), rules).causes
const hydra = (setting: string, value: string): SignOnSetting => ({ service: 'hydra', setting, value })
const kratos = (setting: string, value: string): SignOnSetting => ({ service: 'kratos', setting, value })

test('the values of flux2 are read from where the charts put them, and nothing is found in them', async () => {
  const variables: Record<string, string> = { domain: 'example.org' }
  for (const name of ['hydra_postgres_password', 'hydra_system_secret', 'hydra_cookie_secret'])
    variables[name] = 'x'
  for (const name of ['postgres_password', 'default_secret', 'cookie_secret', 'cipher_secret'])
    variables[`kratos_${name}`] = 'x'
  const settings = await Promise.all(
    (['hydra', 'kratos'] as const).map(name =>
      settingsIn(name, JSON.stringify(releaseValues(name, variables)[name].config)),
    ),
  )
  const names = settings.flat().map(({ setting }) => setting)
  for (const name of ['urls.self.issuer', 'urls.login', 'selfservice.flows.login.ui_url'])
    assert.ok(names.includes(name), name)
  assert.not.match(JSON.stringify(settings), 'postgres')
  assert.equal(told(settings.flat()), [])
  assert.equal(await settingsIn('kratos', '- : ['), [])
})

test('an address that nobody serves is named with its setting and where it comes from', () => {
  const [cause] = told([hydra('urls.login', 'https://login.example.net/login')])
  assert.is(cause!.rule, 'sign-on-address-elsewhere')
  assert.match(cause!.cause, 'sends browsers to https://login.example.net/login')
  assert.match(cause!.evidence.join(), 'urls.login')
  assert.is(cause!.remedy.command, 'npx tsx scripts/install-core.ts')
  const overrides = [
    {
      kind: 'ConfigMap' as const,
      namespace: 'oas',
      name: 'oas-hydra-override',
      release: 'hydra',
      unknown: [],
      changed: false,
    },
  ]
  const [own] = told([hydra('urls.login', 'https://login.example.net/login')], { overrides })
  assert.is(own!.remedy.command, 'npx tsx scripts/override-app.ts hydra --unset hydra.config.urls.login')
  assert.is(told([hydra('urls.self.issuer', 'https://admin.example.org')]).length, 1, 'the wrong host of two')
  assert.equal(told([hydra('urls.self.issuer', 'https://sso.example.org:8443/')]), [], 'the port is not ours')
  assert.equal(told([hydra('urls.login', 'not an address')]), [])
})

test('cookies for a domain to which their host does not belong are named', () => {
  const domainOf = (value: string) => told([kratos('cookies.domain', value)]).map(({ rule }) => rule)
  assert.equal(domainOf('example.org'), [])
  assert.equal(domainOf('.example.org'), [])
  assert.equal(domainOf('admin.example.org'), [])
  assert.equal(domainOf('example.net'), ['sign-on-cookie-domain'])
  assert.equal(domainOf('n.example.org'), ['sign-on-cookie-domain'])
  assert.equal(told([hydra('serve.cookies.domain', 'admin.example.org')])[0]!.rule, 'sign-on-cookie-domain')
})

test('a login that leads to the login page again is named', () => {
  const page = kratos('selfservice.flows.login.ui_url', 'https://admin.example.org/login')
  const home = (value: string) => told([page, kratos('selfservice.default_browser_return_url', value)])
  assert.equal(home('https://admin.example.org/'), [])
  assert.is(home('https://admin.example.org/login?x=1')[0]!.rule, 'sign-on-login-loop')
})

test('an Ingress that leads to another Service than its own is named, and one that opens an admin API above all', () => {
  const leading = (name: string, to: string) =>
    objectOf('Ingress', 'oas', name, {
      metadata: {
        labels: { 'helm.toolkit.fluxcd.io/name': 'hydra', 'helm.toolkit.fluxcd.io/namespace': 'oas' },
      },
      spec: {
        rules: [{ host: 'sso.example.org', http: { paths: [{ backend: { service: { name: to } } }] } }],
      },
    })
  const services = ['hydra-public', 'single-sign-on', 'kratos-admin'].map(name =>
    objectOf('Service', 'oas', name),
  )
  const of = (name: string, to: string) =>
    diagnose(snapshotOf([objectOf('HelmRelease', 'oas', 'hydra'), leading(name, to), ...services]), rules)
      .causes[0]
  assert.is(of('hydra-public', 'hydra-public'), undefined)
  assert.is(of('hydra-public', 'absent'), undefined, 'services.ts tells it')
  assert.is(of('own', 'single-sign-on'), undefined)
  const astray = of('hydra-public', 'single-sign-on')!
  assert.is(astray.cause, 'leads to Service single-sign-on and not to hydra-public: nobody can log in')
  assert.is(astray.remedy.command, 'flux reconcile helmrelease hydra -n oas --force')
  assert.is(astray.remedy.action!.do, 'reconcile')
  for (const name of ['hydra-public', 'own'])
    assert.match(of(name, 'kratos-admin')!.cause, 'knows no passwords')
})

test('nothing is said where no Ingress tells what is served', () => {
  const settings = [kratos('cookies.domain', 'example.net'), hydra('urls.login', 'https://example.net/')]
  assert.equal(diagnose(snapshotOf([], { signOnSettings: settings }), rules).causes, [])
})

test.run()
