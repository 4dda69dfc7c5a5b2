// biome-ignore-all lint/suspicious/noTemplateCurlyInString: those are the variables of Flux
/**
 * The manifests, built, substituted and applied by the real kustomize-controller to a real API server that has
 * the CRDs that they use. Helm stays out of this: what the releases make of their values is tested elsewhere.
 */

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { HELM_RELEASE, HELM_REPOSITORY, KUSTOMIZATION, reconcile, standing } from '../../lib/flux/flux.ts'
import { type KubeObject, type Ref, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { holdsSettings } from '../../lib/platform/accounts.ts'
import { type Config, completeConfig, parseConfig, readConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { SecretCopies } from '../../lib/platform/secret-copies.ts'
import { ensureSecrets, generatedKeysOf, loadCatalogue, secretRef } from '../../lib/platform/secrets.ts'
import { clusterVariables } from '../../lib/platform/variables.ts'
import { ROOT } from '../../lib/script/files.ts'
import { until } from '../../lib/script/wait.ts'
import { gitRepository, namespaces, settingsSecrets } from '../../scripts/install-core/platform.ts'
import { readObjects } from '../bed/build/data.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { stop } from '../bed/cluster/processes.ts'
import {
  CERTIFICATES,
  ingressesIn,
  KUSTOMIZATIONS,
  manifestsOf,
  nested,
  valuesIn,
} from '../fixtures/manifests.ts'
import { test } from '../suite.ts'
import { Bed } from './harness.ts'

const names = KUSTOMIZATIONS.map(({ metadata }) => metadata.name)
const required = { ip_address: '203.0.113.7', domain: 'oas.example.org', admin_email: 'admin@example.org' }
const backup = {
  backup_s3_enabled: 'true',
  backup_s3_url: 'https://s3.example.org',
  backup_s3_region: 'ceph',
  backup_s3_bucket: 'backups',
  backup_s3_prefix: 'oas',
  backup_s3_aws_access_key_id: 'key',
  backup_s3_aws_secret_access_key: 'secret',
}
const mail = {
  outgoing_mail_enabled: 'true',
  outgoing_mail_from_address: 'oas@mail.example.org',
  outgoing_mail_smtp_user: 'user@example.org',
  outgoing_mail_smtp_password: 'password',
  outgoing_mail_smtp_host: 'smtp.example.org',
}

/** The Kustomization of this name. */
const named = (name: string): Ref => ({ ...KUSTOMIZATION, name, namespace: 'flux-system' })

let bed: Bed

test.before(async () => {
  bed = await Bed.start({ notifications: true })
  await stop(layoutOf('sandbox'), ['helm-controller'])
  const crds = join(dirname(bed.up.fluxManifest), 'crds')
  for (const name of ['cert-manager', 'hydra-maester', 'traefik'])
    for (const crd of readObjects(join(crds, `${name}.yaml`))) await bed.kubectl.apply(crd)
  for (const namespace of namespaces()) await bed.kubectl.apply(namespace)
  await ensureSecrets(bed.kubectl, await loadCatalogue(), new SecretCopies(bed.cluster))
  const config = completeConfig(readConfig(join(bed.cluster, '.flux.env')))
  for (const secret of settingsSecrets(config)) await bed.kubectl.apply(secret)
  await bed.kubectl.apply(gitRepository(config))
  const source = await ending(refOf(gitRepository(config)))
  assert.is(source.state, 'ready', source.message)
  for (const kustomization of KUSTOMIZATIONS) await bed.kubectl.apply(withoutWaiting(kustomization))
})

test.after(async () => {
  await bed?.stop()
})

/** Without waiting for the health of what is applied: nobody installs the releases here. */
function withoutWaiting(kustomization: KubeObject): KubeObject {
  return { ...kustomization, spec: { ...kustomization.spec, wait: false, retryInterval: '2s' } }
}

/** How Flux ends with an object of its own, once it has looked at it as it is now. */
async function ending(ref: Ref): Promise<{ state: string; message: string }> {
  return await until<string, { state: string; message: string }>(
    async () => {
      const object = await bed.kubectl.get(ref)
      if (!object) return { last: 'it is not there' }
      const { state, message } = standing(object)
      // No artifact is a matter of a moment: Flux looks again.
      if (state === 'waiting' || message.startsWith('Source artifact not found')) return { last: message }
      return { done: { state, message } }
    },
    { deadline: 180_000, every: 200, describe: last => `${refText(ref)}: ${last}` },
  )
}

/** Puts these variables into the cluster and has Flux apply the Kustomizations with them. */
async function substitute(values: Record<string, string>, which = names): Promise<void> {
  const secret = settingsSecrets({})[0]!
  const data = Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
  await bed.kubectl.apply({ ...secret, data: Object.fromEntries(data) })
  for (const name of which) await reconcile(bed.kubectl, named(name))
}

/** As `substitute`, with what install-core makes of this configuration. All of them have to succeed. */
async function install(config: Config, which = names): Promise<void> {
  await substitute(clusterVariables(config), which)
  for (const name of which) {
    const { state, message } = await ending(named(name))
    assert.is(state, 'ready', `${name}: ${message}`)
  }
}

/** The Secrets and ConfigMaps that the Kustomizations have applied, as `namespace/name`. */
async function applied(): Promise<Map<string, KubeObject>> {
  const labelSelector = 'kustomize.toolkit.fluxcd.io/name'
  const found = await Promise.all(
    ['ConfigMap', 'Secret'].map(kind => bed.kubectl.list('v1', kind, { labelSelector })),
  )
  return new Map(found.flat().map(object => [`${object.metadata.namespace}/${object.metadata.name}`, object]))
}

/** A place where a variable is used: in the values of a release, or under a key of a Secret. */
interface Use {
  object: string
  at: (string | number)[]
  value: (variables: Record<string, string>) => unknown
}

const use = (object: string, at: Use['at'], value: Use['value']): Use => ({ object, at, value })
const isOn = (v: Record<string, string>) => v.outgoing_mail_enabled === 'true'
const stack = 'oas/oas-kube-prometheus-stack-values'
const kratos = 'oas/oas-kratos-values'
const nextcloud = 'oas-apps/oas-nextcloud-values'
const extraEnv = ['nextcloud', 'extraEnv']
const velero = 'velero/oas-velero-values'
const location = ['configuration', 'backupStorageLocation', 0]
const smtp = ['grafana', 'grafana.ini', 'smtp']
const hostAndPort = (v: Record<string, string>) =>
  `${v.outgoing_mail_smtp_host || 'localhost'}:${v.outgoing_mail_smtp_port || '587'}`
const from = (v: Record<string, string>) => v.outgoing_mail_from_address || 'no-reply@localhost'

/** Every place of every variable that an administrator writes, but those of hosts, which `checkHosts` knows. */
const USES: readonly Use[] = [
  use(stack, ['alertmanager', 'config', 'global', 'smtp_smarthost'], hostAndPort),
  use(stack, ['alertmanager', 'config', 'global', 'smtp_from'], from),
  use(stack, ['alertmanager', 'config', 'route', 'receiver'], v => `mail-${isOn(v)}`),
  use(stack, ['alertmanager', 'config', 'receivers', 0, 'email_configs', 0, 'to'], v => v.admin_email),
  use(stack, [...smtp, 'enabled'], isOn),
  use(stack, [...smtp, 'host'], hostAndPort),
  use(stack, [...smtp, 'from_address'], from),
  use(kratos, ['kratos', 'config', 'courier', 'smtp', 'from_address'], from),
  use(kratos, ['courier', 'enabled'], isOn),
  use(kratos, ['kratos', 'config', 'selfservice', 'flows', 'verification', 'enabled'], isOn),
  use(kratos, ['kratos', 'config', 'selfservice', 'methods', 'totp', 'config', 'issuer'], v => v.domain),
  use(nextcloud, [...extraEnv, 'MAIL_FROM_ADDRESS'], v => v.outgoing_mail_from_local_part ?? ''),
  use(nextcloud, [...extraEnv, 'MAIL_DOMAIN'], v => v.outgoing_mail_domain ?? ''),
  use(nextcloud, [...extraEnv, 'SMTP_PORT'], v => v.outgoing_mail_smtp_port || '587'),
  use(nextcloud, [...extraEnv, 'SMTP_AUTHTYPE'], v => v.outgoing_mail_smtp_authtype || 'LOGIN'),
  use('oas-apps/oas-rocketchat-values', ['extraEnv', 'ADMIN_EMAIL'], v => v.admin_email),
  use(
    'oas-apps/oas-rocketchat-values',
    ['extraEnv', 'OVERWRITE_SETTING_From_Email'],
    v => v.outgoing_mail_from_address ?? '',
  ),
  use(
    'oas-apps/oas-wekan-values',
    ['env', 'MAIL_FROM'],
    v => `Wekan <${v.outgoing_mail_from_address ?? ''}>`,
  ),
  use('oas-apps/oas-wekan-values', ['extraEnvFrom'], v =>
    [
      '- secretRef:',
      '    name: oas-wekan-env',
      '- configMapRef:',
      `    name: oas-wekan-${v.cluster_issuer || 'letsencrypt-production'}`,
      '    optional: true',
      `{{- if ${isOn(v)} }}`,
      '- secretRef:',
      '    name: oas-mail',
      '    optional: true',
      '{{- end }}',
      '',
    ].join('\n'),
  ),
  use('oas-apps/oas-wordpress-setup', ['mail.php', '^if \\((.*)\\) \\{$'], v => `'${isOn(v)}' === 'true'`),
  ...(
    [
      ["'wp_mail_from', fn \\(\\) => '(.*)'\\);$", v => v.outgoing_mail_from_address ?? ''],
      ["Host = '(.*)';$", v => v.outgoing_mail_smtp_host ?? ''],
      ["Port = \\(int\\) '(.*)';$", v => v.outgoing_mail_smtp_port || '587'],
      ["AuthType = '(.*)';$", v => v.outgoing_mail_smtp_authtype || 'LOGIN'],
    ] as [string, Use['value']][]
  ).map(([pattern, value]) => use('oas-apps/oas-wordpress-setup', ['mail.php', pattern], value)),
  use(
    'oas-apps/oas-wordpress-setup',
    ['setup.sh', '--admin_email="(.*)"'],
    v => `wordpress-admin@${v.domain}`,
  ),
  use(velero, [...location, 'bucket'], v => v.backup_s3_bucket),
  use(velero, [...location, 'prefix'], v => v.backup_s3_prefix ?? ''),
  use(velero, [...location, 'config', 'region'], v => v.backup_s3_region),
  use(velero, [...location, 'config', 's3Url'], v => v.backup_s3_url),
]

/** Where generated secrets arrive as they are: the Secret, its key, and the variable. */
const PASTED = [
  ['oas-apps/oas-nextcloud-mariadb', 'MARIADB_ROOT_PASSWORD', 'nextcloud_mariadb_root_password'],
  ['oas-apps/oas-nextcloud-mariadb', 'MARIADB_PASSWORD', 'nextcloud_mariadb_password'],
  ['oas-apps/oas-nextcloud-valkey', 'password', 'nextcloud_valkey_password'],
  ['oas-apps/oas-nextcloud-credentials', 'nextcloud-password', 'nextcloud_password'],
  ['oas-apps/oas-onlyoffice', 'JWT_SECRET', 'onlyoffice_jwt_secret'],
  ['oas-apps/oas-nextcloud-oauth', 'CLIENT_SECRET', 'nextcloud_oauth_client_secret'],
  ['oas-apps/oas-rocketchat-env', 'ADMIN_PASS', 'rocketchat_admin_password'],
  ['oas-apps/oas-rocketchat-mongodb-keyfile', 'keyfile', 'rocketchat_mongodb_key'],
  ['oas-apps/oas-wekan-env', 'OAUTH2_SECRET', 'wekan_oauth_client_secret'],
  ['oas-apps/oas-wordpress-mariadb', 'MARIADB_PASSWORD', 'wordpress_mariadb_password'],
  ['oas-apps/oas-wordpress-env', 'WORDPRESS_SALT', 'wordpress_salt'],
  ['oas-apps/oas-wordpress-admin', 'WORDPRESS_ADMIN_PASSWORD', 'wordpress_admin_password'],
] as const

/** What stands in a place: below values.yaml, or in a Secret, where a second element is a pattern. */
function found(object: KubeObject, at: Use['at']): unknown {
  if (object.data?.['values.yaml'] === undefined) {
    const text = Buffer.from(object.data[at[0]!], 'base64').toString('utf8')
    return at[1] === undefined ? text : new RegExp(at[1] as string, 'm').exec(text)?.[1]
  }
  return at.reduce<unknown>((value, key) => {
    // Environment variables are a list of names and values.
    if (Array.isArray(value) && typeof key === 'string') return value.find(({ name }) => name === key)?.value
    return (value as Record<string, unknown>)[key]
  }, valuesIn(object))
}

/** Compares every place of `uses` with what has to be there. */
async function checkUses(values: Record<string, string>, uses: readonly Use[] = USES): Promise<void> {
  const objects = await applied()
  for (const { object, at, value } of uses) {
    const there = objects.get(object)
    assert.ok(there, `${object} is not there`)
    assert.equal(found(there, at), value(values), `${object} ${at.join('.')}`)
  }
}

/** The certificates of all ingresses, with their hosts and their issuer. */
async function checkHosts(config: Config): Promise<void> {
  const ofReleases = [...(await applied())].flatMap(([name, object]) =>
    object.data?.['values.yaml'] === undefined
      ? []
      : ingressesIn(valuesIn(object)).map(ingress => ({ ...ingress, namespace: name.split('/')[0] })),
  )
  const ours = (await bed.kubectl.list('networking.k8s.io/v1', 'Ingress')).map(({ metadata, spec }) => ({
    annotations: metadata.annotations ?? {},
    tls: (spec.tls ?? []) as { secretName: string; hosts: string[] }[],
    namespace: metadata.namespace,
  }))
  const ingresses = [...ofReleases, ...ours]
  const seen = ingresses.flatMap(({ namespace, tls }) =>
    tls.map(({ secretName, hosts }) => `${namespace}/${secretName} ${hosts.join()}`),
  )
  const expected = Object.entries(CERTIFICATES).map(([name, host]) =>
    name === 'oas-apps/oas-wordpress'
      ? `${name} ${config.wordpress_domain}`
      : `${name} ${host(config.domain!)}`,
  )
  assert.equal([...new Set(seen)].sort(), expected.sort())
  const issuers = ingresses.flatMap(({ annotations }) => annotations['cert-manager.io/cluster-issuer'] ?? [])
  assert.equal([...new Set(issuers)], [config.cluster_issuer])
}

const variants: Record<string, Record<string, string>> = {
  'mail off, certificates of production': backup,
  'mail on, certificates of production': { ...backup, ...mail },
  'mail on with TLS from the start, certificates of staging, WordPress on the root domain': {
    ...backup,
    ...mail,
    outgoing_mail_smtp_port: '465',
    outgoing_mail_smtp_authtype: 'PLAIN',
    cluster_issuer: 'letsencrypt-staging',
    wordpress_domain: 'oas.example.org',
    charts_mirror: 'https://mirror.example.org/a%20b/{c}?d=&e=*#f',
  },
}

for (const [name, values] of Object.entries(variants))
  test(`every path is built, substituted and applied: ${name}`, async () => {
    const config = completeConfig({ ...required, ...values })
    await install(config)
    await checkUses(clusterVariables(config))
    await checkHosts(config)
    const mirror = config.charts_mirror
    for (const { spec } of await bed.kubectl.list(HELM_REPOSITORY.apiVersion, HELM_REPOSITORY.kind))
      if (mirror) assert.is(spec.url, mirror)
      else assert.match(spec.url, /^https:\/\/[a-z0-9.-]+(\/[a-z-]+)*$/)
  })

test('every release that the manifests hold is there', async () => {
  const releases = await bed.kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind)
  assert.is(releases.length, 18)
  const objects = await applied()
  for (const { metadata, spec } of releases)
    for (const { kind, name, optional } of spec.valuesFrom) {
      if (optional || objects.has(`${metadata.namespace}/${name}`)) continue
      // What Flux does not apply, install-core has: the accounts.
      assert.ok(holdsSettings({ namespace: metadata.namespace, name }), name)
      assert.ok(await bed.kubectl.get({ apiVersion: 'v1', kind, name, namespace: metadata.namespace }), name)
    }
})

test('Flux owns none of the generated Secrets', async () => {
  const objects = await applied()
  for (const { name, namespace } of await loadCatalogue())
    assert.not.ok(objects.has(`${namespace}/${name}`), name)
  assert.not.ok(objects.has('flux-system/oas-cluster-variables'))
})

test('a `.flux.env` applied by hand is enough: the example, filled in', async () => {
  // As `kubectl apply -k` makes it: every key, most of them empty, and nothing derived.
  const example = parseConfig(readFileSync(join(ROOT, 'install/.flux.env.example'), 'utf8'))
  const values = { ...example, ...required, ...backup }
  await substitute(values)
  for (const name of names) assert.is((await ending(named(name))).state, 'ready', name)
  await checkUses(values)
  await checkHosts(completeConfig(values))
})

test('a `.flux.env` applied by hand may lack what is switched off, except for Velero', async () => {
  await substitute(required)
  for (const name of names) {
    const { state, message } = await ending(named(name))
    if (name !== 'velero') assert.is(state, 'ready', `${name}: ${message}`)
    else {
      assert.is(state, 'failed')
      assert.match(message, /backup_s3_/)
    }
  }
  const without = USES.filter(({ object }) => !object.startsWith('velero/'))
  await checkUses(required, without)
  await checkHosts(completeConfig(required))
})

/** What means something in YAML, in PHP, in a URL or in a template, and is allowed in a value. */
const hostile = [
  '#',
  'a #b',
  'a: b',
  'a:',
  '{a: b}',
  '{{ .Values }}',
  '[',
  ', a',
  '%41',
  '&a',
  '*a',
  '!!int 1',
  '|',
  '- a',
  '---',
  '? a',
  '@a',
  '<<',
  '~',
  '007',
  '0x1f',
  '1e3',
  '1.5',
  '12:30:45',
  '2024-01-01',
  'yes',
  'true',
  'null',
  '.nan',
  'ümläut 密码 😀',
  '/?#[]@!()*+,;=<>',
  `${'long '.repeat(200)}end`,
]

test('hostile values arrive unchanged wherever they are used', async () => {
  const which = ['core', 'nextcloud', 'rocketchat', 'wekan', 'wordpress', 'velero']
  const free = CONFIG_KEYS.filter(
    ({ use, name }) => use === 'variable' && !/_(enabled|port)$|charts_mirror/.test(name),
  )
  // The user's name and the password meet half of them each, in places that are alike.
  const rounds = hostile.length / 2
  for (let round = 0; round < rounds; round++) {
    const values: Record<string, string> = { ...required, ...backup, ...mail }
    free.forEach((key, i) => {
      const value = hostile[(round + rounds * (i % 2)) % hostile.length]!
      const fitting = shapes(value).find(shape => checkValue(key, shape) === undefined)
      if (fitting !== undefined) values[key.name] = fitting
    })
    const config = completeConfig(values)
    await install(config, which)
    await checkUses(clusterVariables(config))
    await checkHosts(config)
  }
})

/** A value, and what it looks like as a host, as an address, and as a domain. */
function shapes(value: string): string[] {
  return [value, `${value}@${value}.example`, `${value}.example`]
}

/** What Flux says to a copy of a Kustomization with a patch in it, which it has to refuse. */
async function refusal(copy: string, of: string, target: object, patch: object[]): Promise<string> {
  const original = withoutWaiting(KUSTOMIZATIONS.find(({ metadata }) => metadata.name === of)!)
  const kustomization = {
    ...original,
    metadata: { name: copy, namespace: 'flux-system' },
    spec: { ...original.spec, prune: false, patches: [{ target, patch: JSON.stringify(patch) }] },
  }
  await bed.kubectl.apply(kustomization)
  const { state, message } = await ending(refOf(kustomization))
  await bed.kubectl.delete(refOf(kustomization))
  assert.is(state, 'failed', message)
  return message
}

/** What YAML takes for something else than a string, or for syntax, where nothing quotes it. */
const odd = [
  ...['0123', '1e5', '0x1f', '3.14e31', 'null', 'true', '*abc', '#abc', '&a b', '!x'],
  ...['{a', '- a', 'a: b', 'a #b', '"a', '@a', '%a', '|', '>'],
]

test('a generated secret that YAML would take for something else stays the string it is', async () => {
  const catalogue = (await loadCatalogue()).filter(({ namespace }) => namespace === 'flux-system')
  const before = await Promise.all(catalogue.map(entry => bed.kubectl.get(secretRef(entry))))
  for (let round = 0; round * PASTED.length < odd.length; round++) {
    const given = new Map(
      PASTED.map(([, , name], i) => [name as string, odd[(i + round * PASTED.length) % odd.length]!]),
    )
    for (const entry of catalogue) {
      const keys = generatedKeysOf(entry).filter(key => given.has(key))
      const data = keys.map(key => [key, Buffer.from(given.get(key)!).toString('base64')])
      if (keys.length > 0) await bed.kubectl.patch(secretRef(entry), { data: Object.fromEntries(data) })
    }
    const which = ['nextcloud', 'rocketchat', 'wekan', 'wordpress']
    await install(completeConfig({ ...required, ...backup }), which)
    const objects = await applied()
    for (const [object, key, name] of PASTED)
      assert.is(found(objects.get(object)!, [key]), given.get(name), `${object} ${key}`)
  }
  for (const secret of before) await bed.kubectl.patch(refOf(secret!), { data: secret!.data })
})

test('the substitution is strict: an undefined variable is refused', async () => {
  await install(completeConfig({ ...required, ...backup }))
  const target = { kind: 'HelmRelease', name: 'loki' }
  const patch = [{ op: 'add', path: '/metadata/annotations', value: { a: '${never_heard_of}' } }]
  assert.match(await refusal('undefined-variable', 'core', target, patch), /never_heard_of/)
})

test('Flux is strict about its own kinds: a field that they do not have is refused', async () => {
  const target = { kind: 'HelmRelease', name: 'loki' }
  const patch = [{ op: 'add', path: '/spec/nonsense', value: 1 }]
  assert.match(
    await refusal('unknown-field', 'core', target, patch),
    /nonsense: field not declared in schema/,
  )
})

/** An object with values in the place of variables that stand for a number or a part of a host's name. */
function plain(object: KubeObject): KubeObject {
  const text = JSON.stringify(object).replaceAll(/"\$\{\w+_port:=(\d+)\}"/g, '$1')
  return JSON.parse(text.replaceAll('${domain}', required.domain))
}

// Unknown fields of the kinds of Kubernetes itself are dropped by Flux without a word: it puts them through its
// own types first. And objects inside of the values of a release are for Helm alone. So these are applied here.
test('every object of ours is one that the API server knows in every field', async () => {
  const native = KUSTOMIZATIONS.flatMap(manifestsOf).filter(
    ({ object }) => !/\.(fluxcd\.io|ory\.sh)\/|^(cert-manager|traefik)\.io\//.test(object.apiVersion),
  )
  const inValues = [...(await applied())].flatMap(([, object]) =>
    object.data?.['values.yaml'] === undefined
      ? []
      : [...nested(valuesIn(object))]
          .filter(({ apiVersion, kind }) => apiVersion && kind)
          .map(
            // Helm gives them the namespace of the release.
            inner =>
              ({
                ...inner,
                metadata: { namespace: object.metadata.namespace, ...(inner.metadata as object) },
              }) as KubeObject,
          ),
  )
  const objects = [...native.map(({ object }) => object), ...inValues]
  for (const kind of [
    'Job',
    'Deployment',
    'Ingress',
    'NetworkPolicy',
    'PersistentVolumeClaim',
    'OAuth2Client',
  ])
    assert.ok(
      objects.some(object => object.kind === kind),
      kind,
    )
  for (const object of objects) {
    // Under another name, since the Job that is there cannot be changed.
    const copy = { ...plain(object), metadata: { ...object.metadata, name: `${object.metadata.name}-copy` } }
    await bed.kubectl.apply(copy, { dryRun: true })
    const wrong = { ...copy, nonsense: 1 }
    const error = await bed.kubectl.apply(wrong, { dryRun: true }).then(
      () => 'accepted',
      failure => failure.message,
    )
    assert.match(error, /nonsense: field not declared in schema/, refText(refOf(object)))
  }
})

test.run()
