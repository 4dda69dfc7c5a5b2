// biome-ignore-all lint/suspicious/noTemplateCurlyInString: those are the variables of Flux

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseDocument, visit } from 'yaml'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ACCOUNT_SECRETS } from '../../lib/platform/accounts.ts'
import { APPS } from '../../lib/platform/apps.ts'
import { completeConfig, missingKeys, parseConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { generatedKeysOf, loadCatalogue } from '../../lib/platform/secrets.ts'
import { clusterVariables } from '../../lib/platform/variables.ts'
import { ROOT } from '../../lib/script/files.ts'
import {
  CERTIFICATES,
  filesBelow,
  ingressesIn,
  KUSTOMIZATIONS,
  type Manifest,
  manifestsOf,
  nested,
  objectsIn,
  valuesIn,
  yamlFiles,
} from '../fixtures/manifests.ts'

/** A variable in a manifest: `${name}`, `${name:=default}`, or `${name%: }`, which keeps quotes round it. */
interface Variable {
  name: string
  default?: string
}

/**
 * The variables in a text, as Flux's post-build substitution sees them. `$$` is an escaped `$`. The other
 * operators of a shell are refused: Flux knows some of them and takes others for something else.
 */
function variablesIn(text: string): Variable[] {
  const found: Variable[] = []
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '$') continue
    if (text[at + 1] === '$') at++
    else if (text[at + 1] === '{') {
      let end = at + 2
      for (let depth = 1; depth > 0; end++) {
        if (end >= text.length) throw new Error(`unclosed: ${text.slice(at, at + 40)}`)
        if (text[end] === '}') depth--
        else if (text.startsWith('${', end)) depth++
      }
      const [, name, , otherwise] = /^(\w+)(:=(.*)|%: )?$/s.exec(text.slice(at + 2, end - 1)) ?? []
      if (name === undefined) throw new Error(`not of the forms we use: ${text.slice(at, end)}`)
      found.push({ name, default: otherwise }, ...variablesIn(otherwise ?? ''))
      at = end - 1
    }
  }
  return found
}

const variablesOf = (object: unknown) => variablesIn(JSON.stringify(object))

test('variables are found: plain, with a default, nested, escaped', () => {
  assert.equal(variablesIn('a ${b} $c ${d:=e f} $(g) ${h:=} ${i%: }'), [
    { name: 'b', default: undefined },
    { name: 'd', default: 'e f' },
    { name: 'h', default: '' },
    { name: 'i', default: undefined },
  ])
  assert.equal(
    variablesIn('${a:=www.${b}}/${c}').map(({ name }) => name),
    ['a', 'b', 'c'],
  )
  assert.equal(variablesIn('$${a} $$${b}'), [{ name: 'b', default: undefined }])
  for (const wrong of ['${a', '${a:-b}', '${a:+b}', '${a^^}', '${a%b}', '${}'])
    assert.throws(() => variablesIn(wrong))
})

const catalogue = await loadCatalogue()
const required = { ip_address: '203.0.113.7', domain: 'oas.example.org', admin_email: 'admin@example.org' }
const clusterKeys = Object.keys(clusterVariables(completeConfig(required)))

/** The variables that each Secret in flux-system brings, and for which application each is made. */
const produced = new Map<string, Map<string, string>>([
  ['oas-cluster-variables', new Map(clusterKeys.map(key => [key, 'core']))],
])
for (const entry of catalogue)
  if (entry.namespace === 'flux-system') {
    const keys = produced.get(entry.name) ?? new Map()
    for (const key of generatedKeysOf(entry)) keys.set(key, entry.app)
    produced.set(entry.name, keys)
  }

const all: (Manifest & { kustomization: string })[] = KUSTOMIZATIONS.flatMap(kustomization =>
  manifestsOf(kustomization).map(manifest => ({ ...manifest, kustomization: kustomization.metadata.name })),
)
const ofKind = (kind: string) => all.filter(({ object }) => object.kind === kind)
const releases = ofKind('HelmRelease')
const place = ({ metadata: { name, namespace } }: KubeObject) => `${namespace}/${name}`
/** The manifests that hold values for a release, with what they hold. */
const values = all
  .filter(({ object }) => (object.stringData ?? object.data)?.['values.yaml'] !== undefined)
  .map(manifest => ({ ...manifest, values: valuesIn(manifest.object) }))
/** Every object that ends up in the cluster and whose text is ours: manifests, and those inside of values. */
const ours: (Omit<Manifest, 'object'> & { object: Record<string, unknown> })[] = [
  ...all,
  ...values.flatMap(({ file, values }) =>
    [...nested(values)]
      .filter(({ apiVersion, kind }) => apiVersion && kind)
      .map(object => ({ file, object })),
  ),
]

for (const { metadata, spec } of KUSTOMIZATIONS) {
  const named = (spec.postBuild?.substituteFrom ?? []) as { kind: string; name: string; optional?: boolean }[]
  const used = all
    .filter(({ kustomization }) => kustomization === metadata.name)
    .flatMap(({ object }) => variablesOf(object))

  test(`${metadata.name}: every variable comes from a Secret that it names, made before it is needed`, () => {
    for (const { name } of used) {
      const from = named.filter(secret => produced.get(secret.name)?.has(name))
      assert.is(from.length, 1, `\${${name}} comes from ${from.length} of its Secrets`)
      const app = produced.get(from[0]!.name)!.get(name)!
      assert.ok(
        app === 'core' || app === metadata.name,
        `\${${name}} is made for ${app}, which need not be installed`,
      )
    }
  })

  test(`${metadata.name}: it names no Secret that it does not need, and none is optional`, () => {
    for (const { kind, name, optional } of named) {
      assert.is(kind, 'Secret')
      assert.not.ok(optional, name)
      assert.ok(produced.has(name), `nobody makes ${name}`)
      assert.ok(
        used.some(variable => produced.get(name)!.has(variable.name)),
        `nothing of ${name} is used`,
      )
    }
  })
}

test('Secrets that are substituted together have no key in common', () => {
  const keys = [...produced.values()].flatMap(secret => [...secret.keys()])
  assert.is(new Set(keys).size, keys.length)
})

test('every variable that is produced is used, or is for the scripts alone', () => {
  const scriptsOnly = [
    'backup_s3_enabled', // install-app looks at it: velero is installed, or it is not
  ]
  const used = new Set(all.flatMap(({ object }) => variablesOf(object)).map(({ name }) => name))
  const unused = [...produced.values()].flatMap(secret => [...secret.keys()]).filter(name => !used.has(name))
  assert.equal(unused, scriptsOnly)
})

test('just those variables have a default that may be absent when .flux.env is applied by hand', () => {
  const keys = new Map(CONFIG_KEYS.map(key => [key.name, key]))
  for (const { file, object } of all)
    for (const variable of variablesOf(object)) {
      const { name } = variable
      const key = keys.get(name)
      // Velero is not installed before its keys are there: a missing one had better be refused.
      const derived = !key && clusterKeys.includes(name)
      const mayBeAbsent = derived || key?.default !== undefined || key?.neededBy === 'outgoing_mail_enabled'
      assert.is(variable.default !== undefined, mayBeAbsent, `\${${name}} in ${file}`)
    }
})

test('a default is the same in a manifest and in the configuration', () => {
  const defaults = new Map(CONFIG_KEYS.map(key => [key.name, key.default?.replace('DOMAIN', '${domain}')]))
  for (const { file, object } of all)
    for (const { name, default: otherwise } of variablesOf(object))
      if (otherwise !== undefined && defaults.get(name))
        assert.is(otherwise, defaults.get(name), `\${${name}} in ${file}`)
})

/** Every string in a value, at any depth. */
function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : []
}

test('no value of a Secret is read as anything but the string that it is', () => {
  // kustomize drops the quotes of what needs none, and a variable needs none: its value is pasted without them.
  for (const { file, object } of all)
    for (const text of stringsIn(object)) {
      const bare =
        /^\$\{\w+\}/.test(text) || variablesIn(text).some(({ name }) => !clusterKeys.includes(name))
      if (!bare || text.includes('\n') || text.includes('%: }')) continue
      assert.unreachable(`${file}: ${text} is to be written with "%: }"`)
    }
  // In the text of values they are kept as they are written.
  const texts = all.flatMap(({ file, object }) => {
    const text = (object.stringData ?? object.data)?.['values.yaml']
    return text === undefined ? [] : [{ file, text }]
  })
  assert.ok(texts.length > 15)
  for (const { file, text } of texts)
    visit(parseDocument(text), {
      Scalar(_, { type, source }) {
        if (type !== 'PLAIN' || !source?.includes('${')) return
        // A switch is meant to be true or false, and a fixed beginning makes a string of the rest.
        assert.match(source, /^(\$\{\w+_enabled:=false\}$|[a-z])/, file)
      },
    })
})

test('no variable stands where kustomize or Flux does not substitute it', () => {
  for (const object of KUSTOMIZATIONS) assert.equal(variablesOf(object), [])
  for (const file of yamlFiles('flux2').filter(file => file.endsWith('/kustomization.yaml')))
    assert.equal(variablesOf(objectsIn(file)), [], file)
})

test('every file below flux2 is applied by something, once', () => {
  const folders = ['flux2/cluster/base', ...KUSTOMIZATIONS.map(({ spec }) => normalize(spec.path))]
  const applied = ['flux2/cluster/apps', 'flux2/cluster/optional'].flatMap(yamlFiles)
  const reached = [...folders.flatMap(filesBelow), ...applied].sort()
  const missing = yamlFiles('flux2').filter(file => !reached.includes(file))
  assert.equal(missing, [], `no kustomization.yaml names: ${missing.join(', ')}`)
  assert.equal(reached, yamlFiles('flux2'))
  const places = all.map(({ object }) => `${object.kind} ${place(object)}`)
  assert.is(new Set(places).size, places.length)
})

test('the Kustomizations have the names that scripts know, and wait for what they stand on', () => {
  const names = KUSTOMIZATIONS.map(({ metadata }) => metadata.name)
  assert.equal(
    names.sort(),
    [
      'core',
      'infrastructure',
      'infrastructure-configs',
      'notifications',
      ...APPS.map(app => app.name),
    ].sort(),
  )
  for (const { metadata, spec } of KUSTOMIZATIONS) {
    assert.is(metadata.namespace, 'flux-system')
    assert.equal(spec.sourceRef, { kind: 'GitRepository', name: 'openappstack' })
    assert.is(spec.prune, true, metadata.name)
    assert.is(spec.wait, true, metadata.name)
    assert.match(spec.retryInterval, /^\d+m$/)
    for (const { name } of spec.dependsOn ?? []) assert.ok(names.includes(name), name)
    const longest = Math.max(
      0,
      ...releases
        .filter(({ kustomization }) => kustomization === metadata.name)
        .map(({ object }) => Number.parseInt(object.spec.timeout, 10)),
    )
    assert.ok(Number.parseInt(spec.timeout, 10) > longest, `${metadata.name} gives up before its releases do`)
  }
})

/** An entry of a release's `valuesFrom`. */
interface ValuesFrom {
  kind: string
  name: string
  optional?: boolean
  valuesKey?: string
  targetPath?: string
  literal?: boolean
}

for (const { object, file, kustomization } of releases) {
  const { metadata, spec } = object
  test(`release ${place(object)}: values come first, then the overrides, and nothing is inline`, () => {
    assert.is(spec.values, undefined)
    const from = spec.valuesFrom as ValuesFrom[]
    const required = from.slice(0, -2).filter(({ targetPath }) => targetPath === undefined)
    const references = from.slice(required.length, -2)
    const overrides = from.slice(-2)
    // A value of an account, as it is: nothing in it is syntax for Helm.
    for (const { kind, name, valuesKey, targetPath, literal, optional } of references) {
      assert.ok(targetPath && literal && optional, name)
      const account = ACCOUNT_SECRETS.find(
        each => each.name === name && each.namespace === metadata.namespace && kind === 'Secret',
      )
      assert.ok(valuesKey !== undefined && account && valuesKey in account.values({}), `${name} ${valuesKey}`)
    }
    assert.ok(required.length > 0)
    for (const { kind, name, optional, valuesKey } of required) {
      assert.not.ok(optional)
      assert.is(valuesKey, undefined)
      assert.match(name, /^oas-[a-z-]+-values$/)
      const here = values.filter(
        value =>
          value.object.kind === kind &&
          place(value.object) === `${metadata.namespace}/${name}` &&
          value.kustomization === kustomization,
      )
      assert.is(here.length, 1, `${kind} ${name}`)
      assert.is(here[0]!.object.metadata.labels?.['reconcile.fluxcd.io/watch'], 'Enabled')
    }
    // The ingress keeps the name of the override that ingress-nginx had.
    const name = metadata.name === 'ingress' ? 'oas-nginx-override' : `oas-${metadata.name}-override`
    assert.equal(overrides, [
      { kind: 'ConfigMap', name, optional: true },
      { kind: 'Secret', name, optional: true },
    ])
  })

  test(`release ${place(object)}: it has a deadline, retries, and a chart at one version`, () => {
    assert.match(spec.timeout, /^\d+m$/)
    assert.match(spec.interval, /^\d+[mh]$/)
    for (const { strategy, remediation } of [spec.install, spec.upgrade])
      if (strategy) assert.equal([strategy, remediation], [{ name: 'RetryOnFailure' }, undefined])
      else assert.ok(remediation.retries >= 1)
    const { chart, version, sourceRef } = spec.chart.spec
    assert.ok(chart)
    assert.type(version, 'string')
    assert.match(version, /^v?\d+\.\d+\.\d+$/)
    assert.is(sourceRef.kind, 'HelmRepository')
    const sources = ofKind('HelmRepository').map(({ object }) => place(object))
    assert.ok(
      sources.includes(`${sourceRef.namespace}/${sourceRef.name}`),
      `no file that flux2/infrastructure/sources/kustomization.yaml lists has HelmRepository ${sourceRef.name}`,
    )
    for (const { name } of spec.dependsOn ?? [])
      assert.ok(
        releases.some(
          other =>
            other.kustomization === kustomization && place(other.object) === `${metadata.namespace}/${name}`,
        ),
        `${file} depends on ${name}`,
      )
  })
}

test('what refers to an account names a key of it, and starts without it', () => {
  const known = new Map(
    ACCOUNT_SECRETS.map(({ namespace, name, values }) => [
      `${namespace}/${name}`,
      values({ outgoing_mail_enabled: 'true' }),
    ]),
  )
  const refs = [
    ...all,
    ...values.map(({ object, file, values }) => ({ file, object: { ...values, metadata: object.metadata } })),
  ]
    .flatMap(({ file, object }) =>
      [...nested(object)].flatMap(({ secretKeyRef }) =>
        secretKeyRef
          ? [
              {
                file,
                namespace: (object as KubeObject).metadata.namespace,
                ...(secretKeyRef as { name: string; key: string; optional?: boolean }),
              },
            ]
          : [],
      ),
    )
    .filter(({ name }) => ACCOUNT_SECRETS.some(account => account.name === name))
  assert.ok(refs.length >= 7)
  for (const { file, namespace, name, key, optional } of refs)
    assert.ok(optional && key in (known.get(`${namespace}/${name}`) ?? {}), `${file}: ${name} ${key}`)
})

test('data that cannot go back is never rolled back: a release that fails is left in place and tried again', () => {
  const retried = (action: 'install' | 'upgrade') =>
    releases
      .filter(({ object }) => object.spec[action].strategy?.name === 'RetryOnFailure')
      .map(({ object }) => object.metadata.name)
      .sort()
  const databases = [
    'nextcloud-mariadb',
    'rocketchat-mongodb',
    'single-sign-on-database',
    'wordpress-mariadb',
  ]
  assert.equal(retried('install'), databases)
  assert.equal(retried('upgrade'), [...databases, 'nextcloud', 'rocketchat'].sort())
})

test('in oas-apps nothing is open but what a policy of an application names', () => {
  const policies = ofKind('NetworkPolicy').filter(({ object }) => object.metadata.namespace === 'oas-apps')
  const named = (name: string) => policies.find(({ object }) => object.metadata.name === name)!.object.spec
  assert.equal(named('default-deny'), { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
  const peers = policies.flatMap(({ object: { metadata, spec } }) =>
    [...(spec.ingress ?? []), ...(spec.egress ?? [])].map(rule => ({ policy: metadata.name, ...rule })),
  )
  for (const { policy, from, to, ports } of peers) {
    // Open to everybody are ports of the internet only; the ingress controller is reached as a whole.
    const open = (from ?? to ?? []).length === 0
    assert.ok(!open || (from === undefined && ports.length <= 3), policy)
    for (const { namespaceSelector, podSelector } of from ?? to ?? []) {
      assert.ok(Object.keys(podSelector.matchLabels).length > 0, policy)
      const namespace = namespaceSelector?.matchLabels['kubernetes.io/metadata.name'] ?? 'oas-apps'
      assert.ok(['kube-system', 'oas', 'oas-apps'].includes(namespace), policy)
      // A peer in the same namespace has a policy of its own that answers this one.
      if (namespace === 'oas-apps')
        assert.ok(
          policies.some(other => isDeepStrictEqual(other.object.spec.podSelector, podSelector)),
          `${policy}: ${JSON.stringify(podSelector)}`,
        )
    }
  }
})

test('the platform itself goes last when memory is short', () => {
  const [priority] = ofKind('PriorityClass')
  assert.ok(priority!.object.value > 0 && !priority!.object.globalDefault)
  const name = priority!.object.metadata.name
  const using = new Set(
    all
      .filter(({ object }) => JSON.stringify(object).includes(name) && object.kind !== 'PriorityClass')
      .map(({ file }) => file.split('/').at(-2)),
  )
  assert.equal([...using].sort(), [
    'cert-manager',
    'database',
    'hydra',
    'ingress',
    'kratos',
    'local-path-provisioner',
    'userpanel',
  ])
})

test('every namespace says what its pods may do, and who has no business with the API gets no token', () => {
  const levels = ofKind('Namespace').map(({ object: { metadata } }) => [
    metadata.name,
    metadata.labels?.['pod-security.kubernetes.io/enforce'],
  ])
  assert.equal(Object.fromEntries(levels), {
    'cert-manager': 'baseline',
    oas: 'privileged',
    'oas-apps': 'baseline',
    velero: 'privileged',
  })
  for (const { object } of ofKind('ServiceAccount'))
    assert.equal([object.metadata.name, object.automountServiceAccountToken], ['default', false])
  assert.is(ofKind('ServiceAccount').length, 2)
})

test('an upload may take an hour, and HSTS is a middleware that exists', () => {
  // biome-ignore lint/suspicious/noExplicitAny: what is there is what the test is about
  const ingress = values.find(({ file }) => file.includes('/ingress/'))!.values as any
  const { proxyReadTimeout, proxySendTimeout } = ingress.providers.kubernetesIngressNGINX
  assert.equal([proxyReadTimeout, proxySendTimeout], [3600, 3600])
  const { http, transport } = ingress.ports.websecure
  assert.is(transport.respondingTimeouts.readTimeout, '3600s')
  const middlewares = ofKind('Middleware').map(
    ({ object: { metadata } }) => `${metadata.namespace}-${metadata.name}@kubernetescrd`,
  )
  assert.equal(http.middlewares, middlewares)
  // An override replaces lists: the example repeats what it must not lose.
  // biome-ignore lint/suspicious/noExplicitAny: what is there is what the test is about
  const override = valuesIn(objectsIn('install/overrides/oas-nginx-override.yaml')[0]!) as any
  for (const middleware of middlewares)
    assert.ok(override.ports.websecure.http.middlewares.includes(middleware))
})

test('large volumes of logs and metrics are out of the backups, and databases are dumped for them', () => {
  const text = all.map(({ object }) => JSON.stringify(object)).join('\n')
  assert.is(text.match(/backup-volumes-excludes: (prometheus|storage)\b/g)?.length, 2)
  const dumped = values
    .filter(({ values }) => [...nested(values)].some(each => 'pre.hook.backup.velero.io/command' in each))
    .map(({ object }) => object.metadata.name)
  assert.equal(dumped.sort(), [
    'oas-nextcloud-mariadb-values',
    'oas-rocketchat-mongodb-values',
    'oas-single-sign-on-database-values',
    'oas-wekan-values',
    'oas-wordpress-mariadb-values',
  ])
  for (const { values: value } of values)
    for (const each of nested(value)) {
      const command = each['pre.hook.backup.velero.io/command']
      if (command !== undefined) assert.ok(Array.isArray(JSON.parse(command as string)))
    }
})

test('values belong to a release', () => {
  const referenced = new Set(
    releases.flatMap(({ object }) =>
      object.spec.valuesFrom.map(
        ({ kind, name }: { kind: string; name: string }) => `${kind} ${object.metadata.namespace}/${name}`,
      ),
    ),
  )
  for (const { object } of values) assert.ok(referenced.has(`${object.kind} ${place(object)}`), place(object))
})

test('the version of a chart is pinned in one place', () => {
  // Each application's database has a release of its own, so that it is moved on its own.
  const several: Record<string, string[]> = { mariadb: ['nextcloud-mariadb', 'wordpress-mariadb'] }
  const pins = new Map<string, string[]>()
  for (const { object } of releases) {
    const { chart } = object.spec.chart.spec
    pins.set(chart, [...(pins.get(chart) ?? []), object.metadata.name].sort())
  }
  for (const [chart, names] of pins) if (names.length > 1) assert.equal(names, several[chart], chart)
  // Elsewhere the version would be forgotten when it moves. A tag with its digest is that of a program.
  for (const { object } of releases) {
    const { version } = object.spec.chart.spec
    const others = yamlFiles('flux2')
      .filter(other => !/\/release[a-z-]*\.yaml$/.test(other))
      .filter(other => {
        const text = readFileSync(join(ROOT, other), 'utf8')
        return text.replaceAll(/tag: \S+@sha256:\S+/g, '').includes(version)
      })
    assert.equal(others, [], version)
  }
})

test('every chart repository can be moved by charts_mirror, and is needed', () => {
  const sources = ofKind('HelmRepository')
  assert.ok(sources.length > 0)
  for (const { object, file } of sources) {
    assert.match(object.spec.url, /^\$\{charts_mirror:=https:\/\/[a-z0-9.-]+(\/[a-z-]+)*\}$/, file)
    assert.is(object.spec.type ?? 'default', 'default', file)
    assert.is(place(object), `flux-system/${object.metadata.name}`)
    assert.ok(
      releases.some(release => release.object.spec.chart.spec.sourceRef.name === object.metadata.name),
      `nothing comes from ${object.metadata.name}`,
    )
  }
  const urls = sources.map(({ object }) => object.spec.url)
  assert.is(new Set(urls).size, urls.length)
})

/** The ingresses of the releases, and those of our own manifests. */
const ingresses = [
  ...values.flatMap(({ object, values }) =>
    ingressesIn(values).map(ingress => ({ ...ingress, namespace: object.metadata.namespace })),
  ),
  ...ofKind('Ingress').map(({ object: { metadata, spec } }) => ({
    namespace: metadata.namespace,
    className: spec.ingressClassName,
    annotations: metadata.annotations ?? {},
    tls: spec.tls as { secretName: string; hosts: string[] }[],
  })),
]

test('certificates are for the hosts, and in the Secrets, that are known', () => {
  const wordpress = '${wordpress_domain:=www.${domain}}'
  const expected = Object.entries(CERTIFICATES).map(([name, host]) =>
    name === 'oas-apps/oas-wordpress' ? `${name} ${wordpress}` : `${name} ${host('${domain}')}`,
  )
  const found = ingresses.flatMap(({ namespace, tls }) =>
    tls.map(({ secretName, hosts }) => `${namespace}/${secretName} ${hosts.join()}`),
  )
  // The pages and the API of the user panel share a host, and with it the certificate.
  const place = 'a new host belongs into CERTIFICATES (test/fixtures/manifests.ts)'
  assert.equal([...new Set(found)].sort(), expected.sort(), place)
  const hosts = APPS.flatMap(app => app.hosts({ domain: '${domain}', wordpress_domain: wordpress }))
  for (const host of hosts)
    assert.ok(
      expected.some(line => line.endsWith(` ${host}`)),
      host,
    )
})

test('every ingress is of class nginx, and each certificate is asked for once', () => {
  const asked = ingresses.filter(({ annotations }) => 'cert-manager.io/cluster-issuer' in annotations)
  for (const { annotations } of asked)
    assert.is(annotations['cert-manager.io/cluster-issuer'], '${cluster_issuer:=letsencrypt-production}')
  assert.equal(
    asked.flatMap(({ namespace, tls }) => tls.map(({ secretName }) => `${namespace}/${secretName}`)).sort(),
    Object.keys(CERTIFICATES).sort(),
  )
  for (const { className, tls } of ingresses) assert.is(className, 'nginx', JSON.stringify(tls))
})

test('names that administrators and backups know stay; a new one is added here', () => {
  const names = (kind: string) =>
    ofKind(kind)
      .map(({ object }) => place(object))
      .sort()
  assert.equal(
    ofKind('Namespace')
      .map(({ object }) => object.metadata.name)
      .sort(),
    ['cert-manager', 'oas', 'oas-apps', 'velero'],
  )
  assert.equal(
    ofKind('ClusterIssuer')
      .map(({ object }) => object.metadata.name)
      .sort(),
    ['letsencrypt-production', 'letsencrypt-staging'],
  )
  assert.equal(names('HelmRelease'), [
    'cert-manager/cert-manager',
    'oas-apps/nextcloud',
    'oas-apps/nextcloud-mariadb',
    'oas-apps/nextcloud-valkey',
    'oas-apps/rocketchat',
    'oas-apps/rocketchat-mongodb',
    'oas-apps/wekan',
    'oas-apps/wordpress',
    'oas-apps/wordpress-mariadb',
    'oas/alloy',
    'oas/hydra',
    'oas/ingress',
    'oas/kratos',
    'oas/kube-prometheus-stack',
    'oas/local-path-provisioner',
    'oas/loki',
    'oas/single-sign-on-database',
    'velero/velero',
  ])
  assert.ok(names('Deployment').includes('oas/single-sign-on'))
  for (const { object } of releases)
    for (const field of ['releaseName', 'targetNamespace', 'storageNamespace'])
      assert.is(object.spec[field], undefined, `${place(object)} ${field}`)
})

test('the catalogue holds the Secrets and keys that are known', () => {
  const secrets = new Set(catalogue.map(entry => place({ metadata: entry } as unknown as KubeObject)))
  assert.equal([...secrets].sort(), [
    'flux-system/oas-kube-prometheus-stack-variables',
    'flux-system/oas-nextcloud-variables',
    'flux-system/oas-oauth-variables',
    'flux-system/oas-rocketchat-variables',
    'flux-system/oas-single-sign-on-variables',
    'flux-system/oas-wordpress-variables',
    'oas/oas-alertmanager-basic-auth',
    'oas/oas-prometheus-basic-auth',
    'velero/velero-repo-credentials',
  ])
  assert.equal([...produced.get('oas-oauth-variables')!.keys()].sort(), [
    'grafana_oauth_client_secret',
    'nextcloud_oauth_client_secret',
    'rocketchat_oauth_client_secret',
    'wekan_oauth_client_secret',
    'wordpress_oauth_client_secret',
  ])
  assert.ok(produced.get('oas-single-sign-on-variables')!.has('userbackend_admin_password'))
  assert.ok(produced.get('oas-wordpress-variables')!.has('wordpress_admin_password'))
  const apps = ['core', ...APPS.map(app => app.name)]
  for (const { app, name } of catalogue) assert.ok(apps.includes(app), name)
})

test('basic auth is read from the Secrets of the catalogue', () => {
  const read = ingresses.flatMap(
    ({ annotations }) => annotations['nginx.ingress.kubernetes.io/auth-secret'] ?? [],
  )
  const made = catalogue.flatMap(({ name, basicAuth }) => (basicAuth ? [name] : []))
  assert.equal(read.sort(), made.sort())
})

test('Flux owns none of the Secrets that the scripts make', () => {
  const generated = new Set(['oas-cluster-variables', ...catalogue.map(({ name }) => name)])
  for (const { file, object } of ours) {
    const name = (object.metadata as KubeObject['metadata'] | undefined)?.name ?? ''
    assert.not.ok(generated.has(name), `${file}: ${name}`)
    assert.not.match(name, /^oas-[a-z-]+-(variables|basic-auth)$/, file)
  }
})

test('there are no Lists, which Flux would not take apart', () => {
  for (const { file, object } of ours) assert.not.match(object.kind as string, /List$/, file)
})

test('every container of ours asks for processor and memory, and has a limit of memory', () => {
  const containers = [
    ...all.map(({ file, object }) => ({ file, value: object as unknown })),
    ...values.map(({ file, values }) => ({ file, value: values as unknown })),
  ].flatMap(({ file, value }) =>
    [...nested(value)].flatMap(object =>
      [object.containers, object.initContainers, object.extraInitContainers].flatMap(list =>
        Array.isArray(list) ? list.map(container => ({ file, container })) : [],
      ),
    ),
  )
  assert.equal(containers.map(({ container }) => container.name).sort(), [
    'admin-user',
    'onlyoffice',
    'panel',
    'setup',
    'velero-plugin-for-aws',
  ])
  for (const { file, container } of containers) {
    const { requests, limits } = container.resources ?? {}
    assert.ok(requests?.cpu && requests?.memory && limits?.memory, `${file}: ${container.name}`)
  }
})

test('the user panel is deployed whole: every file is in its ConfigMap, which Flux leaves as it is', () => {
  const folder = 'flux2/core/single-sign-on/userpanel'
  const { configMapGenerator } = load(readFileSync(join(ROOT, folder, 'kustomization.yaml'), 'utf8')) as {
    configMapGenerator: { files: string[]; options: { annotations: Record<string, string> } }[]
  }
  const [{ files, options }] = configMapGenerator as [(typeof configMapGenerator)[0]]
  assert.equal(
    files,
    readdirSync(join(ROOT, folder, 'panel'))
      .map(file => `panel/${file}`)
      .sort(),
  )
  // The program's template strings look like Flux's variables.
  assert.is(options.annotations['kustomize.toolkit.fluxcd.io/substitute'], 'disabled')
  const size = files.reduce((sum, file) => sum + statSync(join(ROOT, folder, file)).size, 0)
  assert.ok(size < 900_000, `a ConfigMap holds 1 MiB: ${size}`)
})

test('an image is pinned in one place, to a version', () => {
  const images = values
    .map(({ file, values }) => ({ file, value: values as unknown }))
    .concat(all.map(({ file, object }) => ({ file, value: object as unknown })))
    .flatMap(({ file, value }) =>
      [...nested(value)].flatMap(({ image }) => (typeof image === 'string' ? [{ file, image }] : [])),
    )
  assert.ok(images.length > 0)
  const names = images.map(({ image }) => image.replace(/:[^:]*$/, ''))
  assert.is(new Set(names).size, names.length)
  for (const { file, image } of images) assert.match(image, /^[a-z.]+\/.+:[a-z-]*v?\d+\.\d+\.\d+/, file)
})

test('.flux.env.example has exactly the known keys, and is valid once the required ones are filled', () => {
  const example = readFileSync(join(ROOT, 'install/.flux.env.example'), 'utf8')
  const parsed = parseConfig(example)
  assert.equal(Object.keys(parsed).sort(), CONFIG_KEYS.map(({ name }) => name).sort())
  assert.equal(
    missingKeys(parsed).map(({ name }) => name),
    Object.keys(required),
  )
  const filled = { ...parsed, ...required }
  assert.equal(missingKeys(filled), [])
  const config = completeConfig(filled)
  for (const key of CONFIG_KEYS) assert.is(checkValue(key, config[key.name]!), undefined, key.name)
  // What it shows as the value is what an empty one would become.
  const defaults = completeConfig(required)
  assert.equal(config, defaults)
})

test('.flux.env.example explains every key in the comment above it', () => {
  const lines = readFileSync(join(ROOT, 'install/.flux.env.example'), 'utf8').split('\n')
  lines.forEach((line, i) => {
    if (!/^\w+=/.test(line)) return
    // A comment may cover a pair of keys.
    const before = lines.slice(0, i).reverse()
    const comment = before.find(above => !/^\w+=/.test(above))
    const together = before.findIndex(above => !/^\w+=/.test(above))
    assert.match(comment ?? '', /^# \S/, line)
    assert.ok(together <= 1, `${line} is too far from its comment`)
  })
})

test('install/kustomization.yaml makes the Secret that Flux substitutes from', () => {
  const [kustomization] = objectsIn('install/kustomization.yaml')
  assert.is(kustomization!.namespace, 'flux-system')
  assert.is(kustomization!.generatorOptions.disableNameSuffixHash, true)
  assert.equal(kustomization!.secretGenerator, [{ name: 'oas-cluster-variables', envs: ['.flux.env'] }])
})

for (const file of yamlFiles('install/overrides'))
  test(`${file} is an override of a release, in YAML`, () => {
    const objects = objectsIn(file)
    assert.is(objects.length, 1)
    const { apiVersion, kind, metadata, ...rest } = objects[0]!
    assert.is(apiVersion, 'v1')
    assert.is(`${metadata.name}.yaml`, file.split('/').at(-1))
    assert.is(metadata.labels?.['reconcile.fluxcd.io/watch'], 'Enabled')
    const [release, ...others] = releases.filter(
      ({ object }) =>
        object.metadata.namespace === metadata.namespace &&
        object.spec.valuesFrom.some(
          (from: { kind: string; name: string; optional?: boolean }) =>
            from.kind === kind && from.name === metadata.name && from.optional,
        ),
    )
    assert.ok(release, 'no release reads it')
    assert.equal(others, [])
    // In plain text it must not stand under `data` of a Secret.
    assert.equal(Object.keys(rest), [kind === 'Secret' ? 'stringData' : 'data'])
    assert.equal(Object.keys(rest.stringData ?? rest.data), ['values.yaml'])
    const override = valuesIn(objects[0]!)
    assert.type(override, 'object')
    assert.ok(Object.keys(override).length > 0)
    assert.equal(variablesOf(objects), [])
  })

test('the overrides that the documentation names are there', () => {
  assert.equal(yamlFiles('install/overrides'), [
    'install/overrides/oas-nextcloud-override.yaml',
    'install/overrides/oas-nginx-override.yaml',
  ])
})

test.run()
