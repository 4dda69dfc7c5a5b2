import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { parseConfig } from '../../../lib/platform/config.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { buildFlags, buildProgress, groupsOf } from '../../bed/build/build.ts'
import { dataModules, readObjects, withoutDescriptions } from '../../bed/build/data.ts'
import { fluxManifest } from '../../bed/build/flux-manifest.ts'
import { wantedGo } from '../../bed/build/go.ts'
import {
  ALERT_SETS,
  BED,
  builtName,
  CERTIFICATE_SETS,
  CONTROL_PLANE_PROGRAMS,
  NODE_SETS,
  OLD_FLUX,
  readGoMod,
  requiredVersion,
  SANDBOX,
} from '../../bed/build/programs.ts'
import { allProcesses } from '../../bed/cluster/control-plane.ts'
import { environment } from '../../bed/cluster/environment.ts'
import { layoutOf } from '../../bed/cluster/layout.ts'
import { COMMON_PORTS, type Extras, PORTS, type Ports } from '../../bed/cluster/spec.ts'

const ports = Object.fromEntries(PORTS.map((name, i) => [name, 20_000 + i])) as Ports
const everything: Extras = {
  audit: true,
  certificates: { 'cert-manager': '/bin/cm', pebble: '/bin/pebble', 'pebble-challtestsrv': '/bin/dns' },
  loki: true,
  login: { hydra: '/bin/hydra', kratos: '/bin/kratos' },
  maester: { 'hydra-maester': '/bin/maester' },
  notifications: { 'notification-controller': '/bin/notifications' },
}
const setting = { layout: layoutOf('sandbox'), bin: '/bin', ports }
const processes = allProcesses({ ...setting, extras: everything })

test('listens on the loopback address only, every listener on a port of its own', () => {
  const used = processes.flatMap(spec => spec.ports)
  assert.equal([...used].sort(), [...PORTS].sort())
  for (const { name, args, health } of processes) {
    for (const arg of args)
      for (const port of arg.match(/(?<=:)2\d{4}/g) ?? [])
        assert.ok(arg.includes(`127.0.0.1:${port}`), `${name} ${arg}`)
    assert.match(health, /^https?:\/\/127\.0\.0\.1:/)
    if (args.some(arg => arg.startsWith('--secure-port')))
      assert.ok(args.includes('--bind-address=127.0.0.1'))
  }
})

test('lets nobody in without a client certificate', () => {
  const args = (name: string) => processes.find(each => each.name === name)!.args
  assert.ok(args('etcd').includes('--client-cert-auth') && args('etcd').includes('--peer-client-cert-auth'))
  assert.ok(args('kube-apiserver').includes('--anonymous-auth=false'))
  for (const arg of args('kube-apiserver')) assert.not.match(arg, /^--(token|basic)-auth/)
})

test('knows the versions and the names of the programs', () => {
  const goMod = readGoMod()
  for (const { module } of CONTROL_PLANE_PROGRAMS) assert.match(requiredVersion(goMod, module), /^v\d/)
  for (const { name, package: path } of CONTROL_PLANE_PROGRAMS) {
    assert.ok(goMod.includes(`\t${path}\n`), `${path} is among the tools of go.mod`)
    assert.is(builtName(path), name === 'etcd' ? 'server' : name)
  }
  assert.match(wantedGo(goMod), /^1\.\d+/)
  assert.throws(() => requiredVersion(goMod, 'example.org/none'))
})

test('tells Kubernetes its version', () => {
  const flags = buildFlags('v1.36.4').at(-1)!
  for (const part of ['gitVersion=v1.36.4', 'gitMajor=1', 'gitMinor=36']) assert.ok(flags.includes(part))
})

test('estimates what is left of a build', () => {
  assert.is(buildProgress(1, 1000), 'building: 1 %')
  assert.is(buildProgress(50, 600_000), 'building: 50 %, about 10 min left')
  assert.match(buildProgress(100, 1), /linking/)
})

test('builds in one call what one call of `go build` can build', () => {
  const sets = [SANDBOX, ...CERTIFICATE_SETS, OLD_FLUX, ...NODE_SETS]
  const groups = groupsOf(sets.map(set => ({ set })))
  const names = groups.map(group => group.flatMap(({ set }) => set.programs.map(({ name }) => name)))
  assert.equal(names, [
    [...CONTROL_PLANE_PROGRAMS.map(({ name }) => name), 'kubelet', 'kube-proxy', 'kubectl'],
    ['cert-manager'],
    ['pebble', 'pebble-challtestsrv'],
    ['helm-controller'],
    ['local-path-provisioner'],
    ['k3s', 'app'],
    ['coredns'],
  ])
  const twice = { folder: BED, programs: [SANDBOX.programs[1]!] }
  assert.is(groupsOf([{ set: SANDBOX }, { set: twice }]).length, 2)
})

test('takes the manifests of the Flux release that install-core installs', () => {
  const { version } = load(readFileSync(join(ROOT, 'install/flux.yaml'), 'utf8')) as { version: string }
  assert.is(dataModules().flux.version, version)
})

const addresses = {
  gitUrl: 'http://127.0.0.1:20006/openappstack.git',
  chartsMirror: 'http://127.0.0.1:20006/charts',
  fluxManifest: '/nowhere/flux.yaml',
}

test('writes a configuration that is valid', () => {
  const values = parseConfig(environment('', addresses))
  assert.is(values.git_url, addresses.gitUrl)
  assert.is(values.charts_mirror, addresses.chartsMirror)
  assert.is(values.git_branch, 'main')
})

test('brings its own addresses up to date and leaves every other value alone', () => {
  const first = environment('', addresses).replace('admin@example.org', 'me@example.net')
  const moved = {
    ...addresses,
    gitUrl: 'http://127.0.0.1:1/openappstack.git',
    chartsMirror: 'http://127.0.0.1:1/charts',
  }
  const second = environment(first, moved)
  assert.is(second, first.replaceAll('127.0.0.1:20006', '127.0.0.1:1'))
  assert.is(environment(second, moved), second)
  const own = first
    .replace(addresses.gitUrl, 'https://git.example.org/mine.git')
    .replace(addresses.chartsMirror, 'https://charts.example.org')
  assert.is(environment(own, moved), own)
  assert.match(
    environment(own, { ...moved, chartsMirror: 'https://mirror.example.org' }),
    /charts_mirror=https:\/\/mirror/,
  )
})

test('names its ACME server when it has one, and none that is not its own is changed', () => {
  const acmeServer = 'https://127.0.0.1:20014/dir'
  const written = environment(environment('', addresses), { ...addresses, acmeServer })
  assert.is(parseConfig(written).acme_server, acmeServer)
  const moved = { ...addresses, acmeServer: 'https://127.0.0.1:2/dir' }
  assert.is(parseConfig(environment(written, moved)).acme_server, moved.acmeServer)
  const own = written.replace(acmeServer, 'https://acme.example.org/directory')
  assert.is(environment(own, moved), own)
})

test('runs more only when it is asked to', () => {
  const plain = allProcesses({ ...setting, extras: {} })
  assert.equal(plain.flatMap(spec => spec.ports).sort(), [...COMMON_PORTS].sort())
  const written = plain.flatMap(({ files }) => Object.keys(files ?? {}))
  assert.equal(
    written.map(file => basename(file)),
    ['egress.yaml'],
  )
})

test('runs the cert-manager that the platform installs', () => {
  const release = load(
    readFileSync(join(ROOT, 'flux2/infrastructure/cert-manager/release.yaml'), 'utf8'),
  ) as KubeObject
  assert.is(release.spec.chart.spec.version, dataModules().crds['cert-manager']?.version)
})

test('takes CRDs of the version of the program that it builds', () => {
  const built = Object.entries(dataModules().crds).filter(([name]) => existsSync(join(BED, name, 'go.mod')))
  assert.ok(built.length > 3)
  for (const [name, { module, version }] of built)
    assert.is(requiredVersion(readFileSync(join(BED, name, 'go.mod'), 'utf8'), module), version, name)
})

test('knows the programs of everything else', () => {
  for (const { folder, programs } of [...CERTIFICATE_SETS, ...ALERT_SETS, OLD_FLUX])
    for (const { name, package: path } of programs) {
      assert.is(builtName(path), name)
      const goMod = readFileSync(join(folder, 'go.mod'), 'utf8')
      assert.ok(goMod.includes(path) || path === /^module (.*)$/m.exec(goMod)?.[1], path)
    }
})

test('follows its own Flux manifest, and no other that is there', () => {
  const there = join(BED, 'go.mod')
  const written = environment('', { ...addresses, fluxManifest: there })
  const newer = { ...addresses, fluxManifest: '/new.yaml' }
  assert.is(environment(written, newer), written)
  assert.match(environment(written, { ...newer, fluxManifestBefore: there }), /flux_manifest=\/new\.yaml/)
})

test('leaves out the prose of a CRD, and no property', () => {
  const crd = {
    spec: {
      description: 'prose',
      properties: { description: { type: 'string', description: 'prose' }, a: { description: 'x' } },
    },
  } as unknown as KubeObject
  assert.equal(withoutDescriptions(crd) as unknown, {
    spec: { properties: { description: { type: 'string' }, a: {} } },
  })
})

test('makes the install manifest of Flux as its release does', () => {
  const object = (kind: string, name: string, rest = {}) => ({
    apiVersion: 'v1',
    kind,
    metadata: { name },
    ...rest,
  })
  const files: Record<string, unknown[]> = {
    'manifests/install/namespace.yaml': [object('Namespace', 'flux-system')],
    'manifests/rbac/reconciler.yaml': [
      object('ClusterRoleBinding', 'cluster-reconciler', { roleRef: { name: 'cluster-admin' } }),
    ],
    'manifests/rbac/controller.yaml': [
      object('ClusterRoleBinding', 'crd-controller', { roleRef: { name: 'crd-controller' } }),
    ],
    'manifests/bases/source-controller/account.yaml': [object('ServiceAccount', 'source-controller')],
    'manifests/bases/source-controller/patch.yaml': [
      [
        { op: 'add', path: '/spec/template/spec/containers/0/args/0', value: '--events-addr=http://n' },
        { op: 'add', path: '/spec/template/spec/serviceAccountName', value: 'source-controller' },
      ],
    ],
  }
  const deployment = object('Deployment', 'source-controller', {
    spec: {
      template: { metadata: { labels: { app: 's' } }, spec: { containers: [{ image: 'x', args: ['--a'] }] } },
    },
  })
  const objects = fluxManifest({
    version: 'v2.0.0',
    install: path => (files[path] ?? []) as KubeObject[],
    controllers: [
      {
        name: 'source-controller',
        version: 'v1.0.0',
        files: path => (path === 'config/manager' ? [deployment] : []) as KubeObject[],
      },
    ],
  })
  const find = (kind: string) => objects.filter(each => each.kind === kind)
  const [made] = find('Deployment')
  assert.equal(made!.spec.template.spec, {
    containers: [{ image: 'ghcr.io/fluxcd/source-controller:v1.0.0', args: ['--events-addr=', '--a'] }],
    serviceAccountName: 'source-controller',
  })
  assert.is(made!.metadata.namespace, 'flux-system')
  assert.is(made!.spec.template.metadata.labels!['app.kubernetes.io/part-of'], 'flux')
  assert.equal(
    find('ClusterRoleBinding').map(each => [each.metadata.name, each.roleRef.name]),
    [
      ['crd-controller-flux-system', 'crd-controller-flux-system'],
      ['cluster-reconciler-flux-system', 'cluster-admin'],
    ],
  )
  for (const { kind, metadata } of objects) {
    assert.is(metadata.labels!['app.kubernetes.io/version'], 'v2.0.0')
    assert.is(metadata.namespace, /^(Namespace|ClusterRole)/.test(kind) ? undefined : 'flux-system')
  }
})

test('has Stages that are whole', () => {
  const stages = readObjects(join(BED, 'stages'))
  assert.is(new Set(stages.map(({ metadata }) => metadata.name)).size, stages.length)
  for (const { kind, metadata, spec } of stages) {
    assert.is(kind, 'Stage')
    assert.ok(spec.resourceRef.kind && (spec.next || spec.steps), metadata.name)
  }
})

test.run()
