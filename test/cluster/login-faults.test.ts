/**
 * What keeps people from logging in, brought about on the real hydra, kratos and PostgreSQL behind an installed
 * platform: each is named first by `diagnose`. `Maester` stands in for hydra-maester.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { refText } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { run } from '../bed/build/shell.ts'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import { suite } from '../suite.ts'
import { diagnosis, healthy } from './fault-suite.ts'
import { Bed, runScript } from './harness.ts'
import { Maester } from './maester.ts'

const test = suite('login faults')
let bed: Bed
let maester: Maester

const ref = (apiVersion: string, kind: string, name: string, namespace = 'oas'): Ref => ({
  apiVersion,
  kind,
  namespace,
  name,
})
const deployment = (name: string) => ref('apps/v1', 'Deployment', name)

const clients = () => `${bed.login.hydraAdmin}/admin/clients`
const changeClient = async (change: object) =>
  askSignOn(`${clients()}/wekan`, 'PUT', { ...(await askSignOn<object>(`${clients()}/wekan`)), ...change })

async function psql(sql: string): Promise<void> {
  const [newest = ''] = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a))
  const program = join('/usr/lib/postgresql', newest, 'bin/psql')
  await run(program, ['-h', '127.0.0.1', '-p', bed.databasePort, '-U', 'postgres', '-qc', sql], { cwd: '/' })
}
/** Nobody may log in to a database, and whoever is in is thrown out. */
const closeDatabase = async (name: string) => {
  await psql(`ALTER ROLE ${name} NOLOGIN`)
  await psql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${name}'`)
}

/** Waits until a diagnosis tells this first. */
async function first(rule: string, subject: RegExp): Promise<void> {
  await until<string, true>(
    async () => {
      const { causes } = await diagnosis()
      const all = causes.map(each => `${each.rule} ${refText(each.subject)}: ${each.cause}`).join('\n')
      const [cause] = causes
      if (cause?.rule === rule && subject.test(refText(cause.subject))) return { done: true }
      return { last: all }
    },
    { deadline: 60_000, every: 500, describe: last => `told was:\n${last}` },
  )
}

const patched = (object: Ref, patch: object, back: object) => ({
  seed: () => bed.kubectl.patch(object, patch),
  heal: () => bed.kubectl.patch(object, back),
})
const scaledDown = (object: Ref) => patched(object, { spec: { replicas: 0 } }, { spec: { replicas: 1 } })
const crashing = (name: string) => {
  const template = (value: string | null) => ({
    spec: { template: { metadata: { annotations: { 'sandbox.openappstack.net/crash': value } } } },
  })
  return patched(deployment(name), template('yes'), template(null))
}
/** An object that is taken away, and put back as it was. */
const removed = (object: Ref) => {
  let kept: KubeObject | undefined
  return {
    seed: async () => {
      kept = await bed.kubectl.get(object)
      await bed.kubectl.delete(object)
    },
    heal: async () => {
      const { resourceVersion: _, uid: __, ...metadata } = kept!.metadata
      await bed.kubectl.create({ ...kept!, metadata } as KubeObject)
    },
  }
}

interface LoginFault {
  name: string
  rule: string
  subject: RegExp
  seed(): Promise<unknown>
  /** --fix heals it. */
  fix?: true
  heal?(): Promise<unknown>
}

const CLIENT = { rule: 'oauth-client-differs', subject: /^OAuth2Client oas-apps\/wekan$/, fix: true } as const

const FAULTS: LoginFault[] = [
  {
    name: 'an application is not registered at hydra',
    ...CLIENT,
    seed: () => askSignOn(`${clients()}/wekan`, 'DELETE'),
  },
  {
    name: 'hydra has another client secret',
    ...CLIENT,
    seed: () => changeClient({ client_secret: 'another-secret' }),
  },
  {
    name: 'hydra has another redirect address',
    ...CLIENT,
    seed: () => changeClient({ redirect_uris: ['https://old.example.org/_oauth/oidc'] }),
  },
  {
    name: 'hydra expects another authentication of the client',
    ...CLIENT,
    seed: () => changeClient({ token_endpoint_auth_method: 'client_secret_basic' }),
  },
  { name: 'hydra grants fewer scopes', ...CLIENT, seed: () => changeClient({ scope: 'openid' }) },
  {
    name: 'the secret of a client was changed in the cluster',
    ...CLIENT,
    seed: () =>
      bed.kubectl.patch(ref('v1', 'Secret', 'oas-wekan-oauth', 'oas-apps'), {
        stringData: { CLIENT_SECRET: 'changed-by-hand' },
      }),
  },
  {
    name: 'nobody administers the platform',
    rule: 'sign-on-without-administrator',
    subject: /^Deployment oas\/kratos$/,
    async seed() {
      const [{ id } = { id: '' }] = await askSignOn<{ id: string }[]>(
        `${bed.login.kratosAdmin}/admin/identities?credentials_identifier=admin`,
      )
      await askSignOn(`${bed.login.kratosAdmin}/admin/identities/${id}`, 'PATCH', [
        { op: 'replace', path: '/state', value: 'inactive' },
      ])
    },
    async heal() {
      const { code, stderr } = await runScript('users', ['reset-admin', '--yes'], { reveals: true })
      assert.is(code, 0, stderr)
    },
  },
  {
    name: 'the database of hydra does not let it in',
    rule: 'sign-on-not-ready',
    subject: /^Deployment oas\/hydra$/,
    seed: () => closeDatabase('hydra'),
    heal: () => psql('ALTER ROLE hydra LOGIN'),
  },
  {
    name: 'the database of kratos does not let it in',
    rule: 'sign-on-not-ready',
    subject: /^Deployment oas\/kratos$/,
    seed: () => closeDatabase('kratos'),
    heal: () => psql('ALTER ROLE kratos LOGIN'),
  },
  {
    name: 'hydra is scaled to 0',
    rule: 'workload-scaled-to-zero',
    subject: /^Deployment oas\/hydra$/,
    ...scaledDown(deployment('hydra')),
  },
  {
    name: 'kratos is scaled to 0',
    rule: 'workload-scaled-to-zero',
    subject: /^Deployment oas\/kratos$/,
    ...scaledDown(deployment('kratos')),
  },
  {
    name: 'the user panel is scaled to 0',
    rule: 'workload-scaled-to-zero',
    subject: /^Deployment oas\/single-sign-on$/,
    ...scaledDown(deployment('single-sign-on')),
  },
  {
    name: 'hydra-maester is scaled to 0',
    rule: 'workload-scaled-to-zero',
    subject: /^Deployment oas\/hydra-hydra-maester$/,
    ...scaledDown(deployment('hydra-hydra-maester')),
  },
  {
    name: 'kratos keeps crashing',
    rule: 'pod-crash-looping',
    subject: /^Pod oas\/kratos-/,
    ...crashing('kratos'),
  },
  {
    name: 'the user panel keeps crashing',
    rule: 'pod-crash-looping',
    subject: /^Pod oas\/single-sign-on-/,
    ...crashing('single-sign-on'),
  },
  {
    name: 'the Service of hydra selects no pod',
    rule: 'service-selects-nothing',
    subject: /^Service oas\/hydra-public$/,
    ...patched(
      ref('v1', 'Service', 'hydra-public'),
      { spec: { selector: { nobody: 'here' } } },
      { spec: { selector: { nobody: null } } },
    ),
  },
  {
    name: 'the Service of kratos is gone',
    rule: 'sign-on-service-missing',
    subject: /^Deployment oas\/single-sign-on$/,
    ...removed(ref('v1', 'Service', 'kratos-public')),
  },
  {
    name: 'the Ingress of hydra has a class that nobody serves',
    rule: 'ingress-class-missing',
    subject: /^Ingress oas\/hydra-public$/,
    ...patched(
      ref('networking.k8s.io/v1', 'Ingress', 'hydra-public'),
      { spec: { ingressClassName: 'none' } },
      { spec: { ingressClassName: 'nginx' } },
    ),
  },
  {
    name: 'the release of kratos is suspended',
    rule: 'release-suspended',
    subject: /^HelmRelease oas\/kratos$/,
    ...patched(
      ref('helm.toolkit.fluxcd.io/v2', 'HelmRelease', 'kratos'),
      { spec: { suspend: true } },
      { spec: { suspend: null } },
    ),
  },
  {
    name: 'the mail server refuses the mails to users',
    rule: 'sign-on-mail-refused',
    subject: /^Deployment oas\/kratos$/,
    async seed() {
      const flow = await askSignOn<{ id: string }>(`${bed.login.kratosPublic}/self-service/recovery/api`)
      await fetch(`${bed.login.kratosPublic}/self-service/recovery?flow=${flow.id}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ method: 'code', email: (await adminOf()).traits.email }),
      })
    },
  },
]

const adminOf = async () => {
  const url = `${bed.login.kratosAdmin}/admin/identities?credentials_identifier=admin`
  return (await askSignOn<{ traits: { email: string } }[]>(url))[0]!
}

test.before(async () => {
  bed = await Bed.startInstalled({ login: true })
  const { code, stderr } = await runScript('users', ['reset-admin', '--yes'], { reveals: true })
  assert.is(code, 0, stderr)
  maester = await Maester.start(bed)
  await healthy()
})

test.after(async () => {
  await maester?.stop()
  await bed?.stop()
})

for (const { name, rule, subject, seed, fix, heal } of FAULTS)
  test(name, async () => {
    await seed()
    await first(rule, subject)
    if (fix) {
      const outcome = await runScript('diagnose', ['--fix', '--yes'])
      assert.is(outcome.code, 0, outcome.stderr)
    }
    await heal?.()
    if (rule !== 'sign-on-mail-refused') await healthy()
  })

test('users of before there were grants: install-core tells of them, and ends their access when it is told to', async () => {
  await askSignOn(`${bed.login.kratosAdmin}/admin/identities`, 'POST', {
    schema_id: 'default',
    traits: { username: 'old', email: 'old@example.org' },
  })
  const kept = await runScript('install-core', ['--dry-run'])
  assert.is(kept.code, 0, kept.stderr)
  assert.match(kept.stderr, '1 user has no grants yet, and it may open every application')
  const ending = await runScript('install-core', ['--yes', '--set', 'legacy_access=false'])
  assert.is(ending.code, 0, ending.stderr)
  const panel = await bed.kubectl.get(deployment('single-sign-on'))
  assert.match(JSON.stringify(panel!.spec.template.spec.containers), 'legacy_access=false')
  assert.match((await runScript('users', ['show', 'old'])).stdout, 'nothing: no grants yet')
  const decided = await runScript('install-core', ['--dry-run'])
  assert.not.match(decided.stderr, 'no grants yet')
})

test('no client secret stands in what was said, nor in the journal', async () => {
  const secret = await bed.kubectl.get(ref('v1', 'Secret', 'oas-wekan-oauth', 'oas-apps'))
  const value = Buffer.from(secret!.data.CLIENT_SECRET, 'base64').toString()
  assert.equal(bed.leaks([value, 'another-secret', 'changed-by-hand']), [])
})

test.run()
