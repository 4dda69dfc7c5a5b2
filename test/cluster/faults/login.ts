/**
 * What keeps people from logging in, brought about on the real hydra-maester, hydra, kratos and PostgreSQL
 * (`Bed.startInstalled({ login: true, maester: true })`).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeObject, Ref } from '../../../lib/kubectl/kubectl.ts'
import { run } from '../../bed/build/shell.ts'
import { layoutOf } from '../../bed/cluster/layout.ts'
import { runningProcesses } from '../../bed/cluster/processes.ts'
import { askSignOn } from '../../bed/login/ask-sign-on.ts'
import { databaseProgram } from '../../bed/login/database.ts'
import type { Fault } from '../fault-suite.ts'
import { ApiProxy, succeeds } from '../faults.ts'
import type { Bed } from '../harness.ts'
import { both, type Course, edited, misled, overriding, ref } from './courses.ts'
import { made } from './made-certificates.ts'

/** The layer of these faults. */
export const LAYER = 'login'

const oas = (apiVersion: string, kind: string) => (name: string) => ref(apiVersion, kind, name, 'oas')
const deployment = oas('apps/v1', 'Deployment')
const service = oas('v1', 'Service')
const ingress = oas('networking.k8s.io/v1', 'Ingress')
const policy = oas('networking.k8s.io/v1', 'NetworkPolicy')('panel-goes-out')
const client = ref('hydra.ory.sh/v1alpha1', 'OAuth2Client', 'wekan', 'oas-apps')
const clientSecret = ref('v1', 'Secret', 'oas-wekan-oauth', 'oas-apps')
const DOMAIN = 'oas.example.org'
const callback = `https://wekan.${DOMAIN}/_oauth/oidc`
const diagnose = { script: 'diagnose' } as const

/** What the faults need: a first user, clients in a hydra that is new, and a policy that somebody tightens later. */
export async function prepare(bed: Bed): Promise<void> {
  await succeeds('users', 'reset-admin')
  await succeeds('diagnose', '--fix')
  await bed.kubectl.apply({
    apiVersion: policy.apiVersion,
    kind: policy.kind,
    metadata: { namespace: 'oas', name: policy.name },
    spec: {
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'single-sign-on' } },
      policyTypes: ['Egress'],
      egress: [{}],
    },
  })
}

/** Has hydra-maester look at the client of wekan again. */
const lookAgain = (bed: Bed) =>
  bed.kubectl.patch(client, { status: { observedGeneration: 0 } }, { subresource: 'status' })

const clientOf = (bed: Bed) => `${bed.login.hydraAdmin}/admin/clients/wekan`
/** Somebody changes the client of wekan at hydra itself. */
async function changeClient(bed: Bed, change: object): Promise<void> {
  await askSignOn(clientOf(bed), 'PUT', { ...(await askSignOn<object>(clientOf(bed))), ...change })
}

/** The client at hydra is another one than the cluster says: --fix has hydra-maester send it. */
const different = (name: string, seed: Fault['seed'], remedy = /send the client to hydra again/): Fault => ({
  name,
  layer: LAYER,
  seed,
  expect: { rule: 'oauth-client-differs', subject: /^OAuth2Client oas-apps\/wekan$/, remedy },
  fix: diagnose,
  heal: async () => {},
})

/** Somebody changes keys of a Secret; undefined takes one away. */
function changedSecret(target: Ref, values: Record<string, string | undefined>): Course {
  let before: object
  return {
    async seed(bed) {
      before = (await bed.kubectl.get(target))!.data
      const data = Object.entries(values).map(([key, value]) => [key, value ? btoa(value) : null])
      await bed.kubectl.patch(target, { data: Object.fromEntries(data) })
    },
    async heal(bed) {
      await bed.kubectl.patch(target, { data: before })
    },
  }
}

/** hydra-maester looks at the client at the wrong moment, and again once all is well. */
const looking: Course = { seed: async bed => void (await lookAgain(bed)), heal: async () => {} }
const lookingAfter: Course = { seed: async () => {}, heal: async bed => void (await lookAgain(bed)) }

/** An object that somebody deletes; whatever --fix has not brought back is there again. */
function removed(kind: (name: string) => Ref, name: string | RegExp): Course {
  let kept: KubeObject | undefined
  const isMeant = ({ metadata }: KubeObject) =>
    typeof name === 'string' ? metadata.name === name : name.test(metadata.name)
  return {
    async seed(bed) {
      const { apiVersion, kind: of, namespace } = kind('')
      kept = (await bed.kubectl.list(apiVersion, of, { namespace })).find(isMeant)!
      await bed.kubectl.delete(kind(kept.metadata.name))
    },
    async heal(bed) {
      const { resourceVersion: _, uid: __, ...metadata } = kept!.metadata
      if (!(await bed.kubectl.get(kind(metadata.name)))) await bed.kubectl.create({ ...kept!, metadata })
    },
  }
}

const scaledDown = (target: Ref) => edited(target, { spec: { replicas: 0 } }, { spec: { replicas: 1 } })
function crashing(name: string): Course {
  const template = (value: string | null) => ({
    spec: { template: { metadata: { annotations: { 'sandbox.openappstack.net/crash': value } } } },
  })
  return edited(deployment(name), template('yes'), template(null))
}

/** A program of single sign-on that does not get on: the process `login` of the bed has started it. */
function held(program: 'hydra' | 'kratos'): Course {
  const signal = (name: NodeJS.Signals) => {
    const { pid } = runningProcesses(layoutOf('sandbox')).find(each => each.name === 'login')!
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    const found = children.find(child => readFileSync(`/proc/${child}/comm`, 'utf8').trim() === program)
    process.kill(Number(found), name)
  }
  return { seed: async () => signal('SIGSTOP'), heal: async () => signal('SIGCONT') }
}

function psql(bed: Bed, sql: string, database = 'postgres'): Promise<string> {
  const where = ['-h', '127.0.0.1', '-p', bed.databasePort, '-U', 'postgres', '-d', database]
  return run(databaseProgram('psql'), [...where, '-qAtc', sql], { cwd: '/' })
}
const throwOut = (bed: Bed, role: string) =>
  psql(bed, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`)
/** Nobody may log in to a database, and whoever is in is thrown out. */
const closedDatabase = (role: string): Course => ({
  async seed(bed) {
    await psql(bed, `ALTER ROLE ${role} NOLOGIN`)
    await throwOut(bed, role)
  },
  heal: async bed => void (await psql(bed, `ALTER ROLE ${role} LOGIN`)),
})

/** PostgreSQL asks for a password, as it does in a cluster, and has another one than kratos. */
const otherPassword: Course = (() => {
  let file: string
  let before: string
  const ask = async (bed: Bed, rules: string) => {
    writeFileSync(file, rules)
    await psql(bed, 'SELECT pg_reload_conf()')
    await throwOut(bed, 'kratos')
  }
  return {
    async seed(bed) {
      file = (await psql(bed, 'SHOW hba_file')).trim()
      before = readFileSync(file, 'utf8')
      await psql(bed, "ALTER ROLE kratos PASSWORD 'of-before'")
      await ask(bed, `host kratos kratos 127.0.0.1/32 scram-sha-256\n${before}`)
    },
    heal: bed => ask(bed, before),
  }
})()

/** hydra is given another system secret than the one by which it has encrypted its keys. */
const otherSystemSecret: Course = (() => {
  const file = () => join(layoutOf('sandbox').state, 'login', 'hydra.yaml')
  let before: string
  return {
    async seed() {
      before = readFileSync(file(), 'utf8')
      writeFileSync(file(), before.replace('hydra_system', 'hydra_strange'))
    },
    heal: async () => writeFileSync(file(), before),
  }
})()

/** Somebody has put a certificate of his own in the place of the one that cert-manager renews. */
const expired: Course = (() => {
  const target = ingress('hydra-public')
  const name = 'hydra-public.tls'
  const ISSUER = 'cert-manager.io/cluster-issuer'
  let issuer: string
  return {
    async seed(bed) {
      issuer = (await bed.kubectl.get(target))!.metadata.annotations![ISSUER]!
      const { cert, key } = await made({ hosts: [`sso.${DOMAIN}`], until: -1 })
      await bed.kubectl.patch(target, { metadata: { annotations: { [ISSUER]: null } } })
      await bed.kubectl.delete(ref('cert-manager.io/v1', 'Certificate', name, 'oas'))
      const secret = { data: { 'tls.crt': btoa(cert), 'tls.key': btoa(key) } }
      await bed.kubectl.patch(ref('v1', 'Secret', name, 'oas'), secret)
    },
    heal: async bed =>
      void (await bed.kubectl.patch(target, { metadata: { annotations: { [ISSUER]: issuer } } })),
  }
})()

/** The cluster's clock is two minutes ahead, by what its answers say. */
const ahead: Course = (() => {
  let proxy: ApiProxy
  let before: string
  return {
    async seed(bed) {
      proxy = new ApiProxy(bed)
      proxy.meddle = (_request, _response, pass) =>
        pass({ date: new Date(Date.now() + 120_000).toUTCString() })
      before = readFileSync(bed.up.kubeconfig, 'utf8')
      writeFileSync(bed.up.kubeconfig, before.replace(bed.kubectl.client.server, await proxy.listen()))
    },
    async heal(bed) {
      writeFileSync(bed.up.kubeconfig, before)
      await proxy.close()
    },
  }
})()

/** A user asks for a code, and kratos does not get rid of the mail. */
const refusedMail: Course = {
  async seed(bed) {
    const admin = `${bed.login.kratosAdmin}/admin/identities?credentials_identifier=admin`
    const [{ traits }] = await askSignOn<[{ traits: { email: string } }]>(admin)
    const recovery = `${bed.login.kratosPublic}/self-service/recovery`
    const { id } = await askSignOn<{ id: string }>(`${recovery}/api`)
    await askSignOn(`${recovery}?flow=${id}`, 'POST', { method: 'code', email: traits.email })
  },
  heal: async bed => void (await psql(bed, 'DELETE FROM courier_messages', 'kratos')),
}

/** Every administrator is disabled. */
const disabledAdmin: Course = {
  async seed(bed) {
    const people = `${bed.login.kratosAdmin}/admin/identities`
    const [{ id }] = await askSignOn<[{ id: string }]>(`${people}?credentials_identifier=admin`)
    await askSignOn(`${people}/${id}`, 'PATCH', [{ op: 'replace', path: '/state', value: 'inactive' }])
  },
  heal: async () => void (await succeeds('users', 'reset-admin')),
}

const clients: Fault[] = [
  different('An application is not registered at hydra', async bed => askSignOn(clientOf(bed), 'DELETE')),
  different('hydra has another client secret', bed => changeClient(bed, { client_secret: 'another-secret' })),
  different('hydra has another redirect address', bed =>
    changeClient(bed, { redirect_uris: ['https://old.example.org/_oauth/oidc'] }),
  ),
  different('hydra expects another authentication of the client', bed =>
    changeClient(bed, { token_endpoint_auth_method: 'client_secret_basic' }),
  ),
  different('hydra grants fewer scopes', bed => changeClient(bed, { scope: 'openid' })),
  {
    ...different('The secret of a client was changed in the cluster', async () => {}),
    ...both(lookingAfter, changedSecret(clientSecret, { CLIENT_SECRET: 'changed-by-hand' })),
  },
  {
    name: 'hydra-maester is scaled to 0, and the secret of a client was changed',
    layer: LAYER,
    ...both(
      lookingAfter,
      scaledDown(deployment('hydra-hydra-maester')),
      {
        seed: bed => bed.signal('hydra-maester', 'SIGSTOP'),
        heal: bed => bed.signal('hydra-maester', 'SIGCONT'),
      },
      changedSecret(clientSecret, { CLIENT_SECRET: 'changed-by-hand' }),
    ),
    expect: {
      rule: 'workload-scaled-to-zero',
      subject: /^Deployment oas\/hydra-hydra-maester$/,
      remedy: /flux reconcile helmrelease hydra -n oas --force/,
    },
    fix: { ...diagnose, after: bed => bed.signal('hydra-maester', 'SIGCONT') },
  },
  {
    name: 'The Secret of a client lacks the client secret',
    layer: LAYER,
    ...both(lookingAfter, changedSecret(clientSecret, { CLIENT_SECRET: undefined }), looking),
    expect: {
      rule: 'oauth-client-not-registered',
      subject: /^OAuth2Client oas-apps\/wekan$/,
      remedy: /check Secret oas-apps\/oas-wekan-oauth/,
    },
  },
  {
    name: 'A client of hydra belongs to another object',
    layer: LAYER,
    ...both(
      lookingAfter,
      {
        seed: bed => changeClient(bed, { owner: 'wekan/elsewhere' }),
        heal: bed => changeClient(bed, { owner: 'wekan/oas-apps' }),
      },
      looking,
    ),
    expect: {
      rule: 'oauth-client-not-registered',
      subject: /^OAuth2Client oas-apps\/wekan$/,
      remedy: /CLIENT_ID that no other OAuth2Client has/,
    },
  },
  {
    name: 'A client redirects to the domain of before',
    layer: LAYER,
    ...edited(
      client,
      { spec: { redirectUris: ['https://wekan.old.example.org/_oauth/oidc'] } },
      { spec: { redirectUris: [callback] } },
    ),
    expect: {
      rule: 'oauth-redirect-elsewhere',
      subject: /^OAuth2Client oas-apps\/wekan$/,
      remedy: /correct redirectUris/,
    },
  },
  {
    name: 'A client redirects to an address without TLS',
    layer: LAYER,
    ...edited(
      client,
      { spec: { redirectUris: [callback.replace('https:', 'http:')] } },
      { spec: { redirectUris: [callback] } },
    ),
    expect: {
      rule: 'oauth-redirect-plain',
      subject: /^OAuth2Client oas-apps\/wekan$/,
      remedy: /write https:/,
    },
  },
]

const programs: Fault[] = [
  {
    name: 'hydra hangs, and its pod is ready',
    layer: LAYER,
    ...held('hydra'),
    expect: { rule: 'sign-on-silent', subject: /^Deployment oas\/hydra$/, remedy: /rollout restart/ },
  },
  {
    name: 'The Service of hydra’s admin API targets a port on which nothing listens',
    layer: LAYER,
    ...edited(
      service('hydra-admin'),
      { spec: { ports: [{ name: 'http-admin', port: 4445, targetPort: 4446 }] } },
      { spec: { ports: [{ name: 'http-admin', port: 4445, targetPort: 'http-admin' }] } },
    ),
    expect: { rule: 'sign-on-silent', subject: /^Service oas\/hydra-admin$/, remedy: /targetPort/ },
  },
  {
    name: 'hydra is scaled to 0',
    layer: LAYER,
    ...both(scaledDown(deployment('hydra')), held('hydra')),
    expect: { rule: 'workload-scaled-to-zero', subject: /^Deployment oas\/hydra$/ },
  },
  {
    name: 'kratos is scaled to 0',
    layer: LAYER,
    ...both(scaledDown(deployment('kratos')), held('kratos')),
    expect: { rule: 'workload-scaled-to-zero', subject: /^Deployment oas\/kratos$/ },
  },
  {
    name: 'The user panel is scaled to 0',
    layer: LAYER,
    ...scaledDown(deployment('single-sign-on')),
    expect: { rule: 'workload-scaled-to-zero', subject: /^Deployment oas\/single-sign-on$/ },
  },
  {
    name: 'kratos keeps crashing',
    layer: LAYER,
    ...both(crashing('kratos'), held('kratos')),
    expect: { rule: 'pod-crash-looping', subject: /^Pod oas\/kratos-/, remedy: /--previous/ },
  },
  {
    name: 'The user panel keeps crashing',
    layer: LAYER,
    ...crashing('single-sign-on'),
    expect: { rule: 'pod-crash-looping', subject: /^Pod oas\/single-sign-on-/, remedy: /--previous/ },
  },
  {
    name: 'The release of kratos is suspended',
    layer: LAYER,
    ...edited(
      ref('helm.toolkit.fluxcd.io/v2', 'HelmRelease', 'kratos', 'oas'),
      { spec: { suspend: true } },
      { spec: { suspend: null } },
    ),
    expect: { rule: 'release-suspended', subject: /^HelmRelease oas\/kratos$/ },
  },
  {
    name: 'The database of hydra does not let it in',
    layer: LAYER,
    ...closedDatabase('hydra'),
    expect: { rule: 'sign-on-not-ready', subject: /^Deployment oas\/hydra$/, remedy: /check its database/ },
  },
  {
    name: 'The database of kratos does not let it in',
    layer: LAYER,
    ...closedDatabase('kratos'),
    expect: { rule: 'sign-on-not-ready', subject: /^Deployment oas\/kratos$/, remedy: /check its database/ },
  },
  {
    name: 'The database of kratos has another password',
    layer: LAYER,
    ...otherPassword,
    expect: { rule: 'sign-on-not-ready', subject: /^Deployment oas\/kratos$/, remedy: /password/ },
  },
  {
    name: 'The database of single sign-on is scaled to 0',
    layer: LAYER,
    ...both(
      scaledDown(ref('apps/v1', 'StatefulSet', 'single-sign-on-database', 'oas')),
      closedDatabase('hydra'),
      closedDatabase('kratos'),
    ),
    expect: { rule: 'workload-scaled-to-zero', subject: /^StatefulSet oas\/single-sign-on-database$/ },
  },
  {
    name: 'hydra has another system secret than its database',
    layer: LAYER,
    ...otherSystemSecret,
    expect: {
      rule: 'sign-on-keys-unreadable',
      subject: /^Deployment oas\/hydra$/,
      remedy: /hydra_system_secret from a backup/,
    },
  },
  {
    name: 'Nobody administers the platform',
    layer: LAYER,
    ...disabledAdmin,
    expect: {
      rule: 'sign-on-without-administrator',
      subject: /^Deployment oas\/kratos$/,
      remedy: /users\.ts reset-admin/,
    },
  },
]

const kratosConfig = (config: object) => overriding('kratos', JSON.stringify({ kratos: { config } }), 'oas')
const ways: Fault[] = [
  {
    name: 'The Service of hydra selects no pod',
    layer: LAYER,
    ...edited(
      service('hydra-public'),
      { spec: { selector: { nobody: 'here' } } },
      { spec: { selector: { nobody: null } } },
    ),
    expect: {
      rule: 'service-selects-nothing',
      subject: /^Service oas\/hydra-public$/,
      remedy: /correct its selector/,
    },
  },
  {
    name: 'The Service of kratos is gone',
    layer: LAYER,
    ...removed(service, 'kratos-public'),
    expect: {
      rule: 'sign-on-service-missing',
      subject: /^Deployment oas\/single-sign-on$/,
      remedy: /helmrelease kratos -n oas --force/,
    },
  },
  {
    name: 'The Ingress of hydra has a class that nobody serves',
    layer: LAYER,
    ...edited(
      ingress('hydra-public'),
      { spec: { ingressClassName: 'none' } },
      { spec: { ingressClassName: 'nginx' } },
    ),
    expect: { rule: 'ingress-class-missing', subject: /^Ingress oas\/hydra-public$/, remedy: /nginx/ },
  },
  {
    name: 'The Ingress of hydra leads to the user panel',
    layer: LAYER,
    ...misled(ingress('hydra-public'), () => ({ name: 'single-sign-on', port: { name: 'http' } })),
    expect: {
      rule: 'sign-on-ingress-elsewhere',
      subject: /^Ingress oas\/hydra-public$/,
      remedy: /helmrelease hydra -n oas --force/,
    },
    fix: diagnose,
  },
  {
    name: 'The Ingress of the user panel opens the admin API of kratos',
    layer: LAYER,
    ...misled(ingress('single-sign-on'), () => ({ name: 'kratos-admin', port: { number: 80 } })),
    expect: { rule: 'sign-on-admin-open', subject: /^Ingress oas\/single-sign-on$/ },
  },
  {
    name: 'A NetworkPolicy allows the user panel egress to kratos only',
    layer: LAYER,
    ...edited(
      policy,
      {
        spec: {
          egress: [{ to: [{ podSelector: { matchLabels: { 'app.kubernetes.io/name': 'kratos' } } }] }],
        },
      },
      { spec: { egress: [{}] } },
    ),
    expect: {
      rule: 'policy-without-names',
      subject: /^NetworkPolicy oas\/panel-goes-out$/,
      remedy: /port 53/,
    },
  },
  {
    name: 'The certificate of hydra’s host has expired',
    layer: LAYER,
    ...expired,
    expect: {
      rule: 'ingress-secret-expired',
      subject: /^Ingress oas\/hydra-public$/,
      remedy: /cert-manager\.io\/cluster-issuer/,
    },
  },
  {
    name: 'hydra has another address as issuer',
    layer: LAYER,
    ...overriding(
      'hydra',
      JSON.stringify({ hydra: { config: { urls: { self: { issuer: 'https://sso.example.net' } } } } }),
      'oas',
    ),
    expect: {
      rule: 'sign-on-address-elsewhere',
      subject: /^HelmRelease oas\/hydra$/,
      remedy: /override-app\.ts hydra --unset hydra\.config\.urls\.self\.issuer/,
    },
  },
  {
    name: 'kratos sets its cookies for another domain',
    layer: LAYER,
    ...kratosConfig({ cookies: { domain: 'example.net' } }),
    expect: {
      rule: 'sign-on-cookie-domain',
      subject: /^HelmRelease oas\/kratos$/,
      remedy: /override-app\.ts kratos --unset kratos\.config\.cookies\.domain/,
    },
  },
  {
    name: 'kratos redirects to the login page after a login',
    layer: LAYER,
    ...kratosConfig({
      selfservice: {
        flows: { login: { after: { default_browser_return_url: `https://admin.${DOMAIN}/login` } } },
      },
    }),
    expect: { rule: 'sign-on-login-loop', subject: /^HelmRelease oas\/kratos$/, remedy: /--unset/ },
  },
  {
    name: 'The clock of the cluster is wrong',
    layer: LAYER,
    ...ahead,
    expect: { rule: 'clock-offset', subject: /^Host 127\.0\.0\.1$/, remedy: /NTP/ },
  },
]

const lost: Fault[] = [
  {
    name: 'The generated password of the first user is gone',
    layer: LAYER,
    ...changedSecret(ref('v1', 'Secret', 'oas-single-sign-on-variables', 'flux-system'), {
      userbackend_admin_password: undefined,
    }),
    expect: {
      rule: 'secret-key-missing',
      subject: /^Secret flux-system\/oas-single-sign-on-variables$/,
      remedy: /install-core/,
    },
  },
  {
    name: 'The program of the user panel was deleted',
    layer: LAYER,
    ...removed(oas('v1', 'ConfigMap'), /^single-sign-on-panel-/),
    expect: { rule: 'applied-object-missing', subject: /^ConfigMap oas\/single-sign-on-panel-/ },
    fix: diagnose,
  },
  {
    name: 'The Deployment of the user panel was deleted',
    layer: LAYER,
    ...removed(deployment, 'single-sign-on'),
    expect: { rule: 'applied-object-missing', subject: /^Deployment oas\/single-sign-on$/ },
    fix: diagnose,
  },
  {
    name: 'The Secret of a client was deleted',
    layer: LAYER,
    ...removed(name => ({ ...clientSecret, name }), clientSecret.name),
    expect: { rule: 'applied-object-missing', subject: /^Secret oas-apps\/oas-wekan-oauth$/ },
    fix: diagnose,
  },
  {
    name: 'A client was deleted in the cluster',
    layer: LAYER,
    ...removed(name => ({ ...client, name }), client.name),
    expect: { rule: 'applied-object-missing', subject: /^OAuth2Client oas-apps\/wekan$/ },
    fix: diagnose,
  },
  {
    name: 'The mail server does not take the mails to users',
    layer: LAYER,
    ...refusedMail,
    expect: { rule: 'sign-on-mail-refused', subject: /^Deployment oas\/kratos$/, remedy: /--only mail/ },
  },
]

/** The faults, in the order of the table: one at a time. Those that hold a program come before its pod is replaced. */
export const faults: readonly Fault[] = [...clients, ...programs, ...ways, ...lost]
