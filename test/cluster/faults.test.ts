// biome-ignore-all lint/suspicious/noTemplateCurlyInString: those are the variables of Flux
/**
 * Faults on the real API server and the real controllers of Flux: each is told as one cause with one remedy,
 * within seconds and not after a timeout, and once it is removed the same command completes.
 */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { condition, standing } from '../../lib/flux/flux.ts'
import { refOf } from '../../lib/kubectl/kubectl.ts'
import { suite } from '../suite.ts'
import { certificate } from '../unit/certificates.ts'
import {
  ApiProxy,
  base64,
  checkTold,
  fails,
  folderWith,
  type Kubeconfig,
  kustomization,
  override,
  Repository,
  reaches,
  release,
  repair,
  signal,
  succeeds,
  told,
  unready,
  viewerFolder,
} from './faults.ts'
import { Bed, runScript } from './harness.ts'

const test = suite('faults')
let bed: Bed
let repository: Repository

test.before(async () => {
  bed = await Bed.start()
  process.env.OAS_CLUSTER = bed.up.name // there will be further folders
})
test.after(() => bed?.stop())
// What a failed test leaves behind must not fail the next ones. Commits stay until they are corrected.
test.after.each(async () => {
  // The API server may be what has been left behind.
  await bed.kubectl.delete(refOf(override('wekan', ''))).catch(() => {})
})

const app = ['install-app', ['wekan']] as const

/** The override of wekan is applied, and helm-controller has begun to work with it. */
async function overrideWekan(values: string): Promise<void> {
  await bed.kubectl.apply(override('wekan', values))
  await reaches(bed, release('wekan'), unready)
}

/** The override of wekan is removed, and the same command as before completes. */
async function healWekan(): Promise<void> {
  await bed.kubectl.delete(refOf(override('wekan', '')))
  await succeeds('install-app', 'wekan')
  assert.not(unready((await bed.kubectl.get(release('wekan')))!))
}

test('the core is not installed', async () => {
  await fails(...app, {
    what: /the core is not installed: Kustomization openappstack/,
    fix: /install-core/,
  })
})

// A mistake in the very first installation: Flux has neither a source nor an older state to go on with.
test('a branch that does not exist', async () => {
  await fails('install-core', ['--set', 'git_branch=nowhere'], {
    what: /^the branch "nowhere" is not in http:/,
    fix: /git_branch in \.flux\.env/,
  })
  assert.is(await bed.kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name: 'oas' }), undefined)
  await fails('install-core', ['--set', 'git_branch=nowhere', '--skip-preflight'], {
    what: /GitRepository flux-system\/openappstack: .*(couldn't find remote ref|reference not found)/,
    fix: /the branch "nowhere" is not in http:.*git_branch in \.flux\.env/,
  })
})

test('an application that rejects its values from the start', async () => {
  await succeeds('install-core', '--set', 'git_branch=main')
  await bed.kubectl.apply(override('wekan', 'replicaCount: many\n'))
  await fails(...app, {
    what: /HelmRelease oas-apps\/wekan: .*replicaCount.*(got string, want integer|Invalid type)/,
    fix: /correct the values .*scripts\/override-app\.ts wekan/,
  })
  await healWekan()
  repository = new Repository(bed)
})

test('a kubeconfig that does not work', async () => {
  const expired = await certificate(-20, -10)
  const early = await certificate(10, 20)
  const stranger = await certificate(-1, 10)
  const user = (made: { cert: string; key: string }) => ({
    'client-certificate-data': base64(made.cert),
    'client-key-data': base64(made.key),
  })
  const cases = [
    [
      'malformed',
      'clusters: [\nusers: "',
      /is not usable: it is not a kubeconfig in YAML/,
      /fetch the kubeconfig/,
    ],
    ['empty', '', /is not usable/, /fetch the kubeconfig/],
    ['expired', user(expired), /its client certificate expired on/, /fetch the kubeconfig/],
    ['early', user(early), /client certificate is not valid before .* clock says/, /fetch the kubeconfig/],
    ['stranger', user(stranger), /Unauthorized/, /fetch the kubeconfig|renew/],
    ['token', { token: 'nobody' }, /Unauthorized/, /fetch the kubeconfig|renew/],
    [
      'wrong-key',
      { ...user(stranger), 'client-key-data': base64(early.key) },
      /key does not belong/,
      /fetch/,
    ],
  ] as const
  for (const [name, given, what, fix] of cases) {
    const change = (config: Kubeconfig) => {
      config.users[0]!.user = given as Record<string, unknown>
    }
    const flags = folderWith(bed, name, typeof given === 'string' ? given : change)
    await fails('install-app', ['wekan', ...flags], { what, fix })
  }
  const server = (name: string, cluster: Record<string, unknown>) =>
    folderWith(bed, name, config => Object.assign(config.clusters[0]!.cluster, cluster))
  const authority = { 'certificate-authority-data': base64(stranger.cert) }
  await fails('install-app', ['wekan', ...server('wrong-ca', authority)], {
    what: /certificate of the API server .* cannot be trusted/,
    fix: /fetch the kubeconfig/,
  })
  await fails('install-app', ['wekan', ...server('nobody-there', { server: 'https://127.0.0.1:1' })], {
    what: /the API server https:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)/,
    fix: /is the cluster running/,
  })
  await fails('install-core', ['--cluster', 'new', '--kubeconfig', `${bed.folder}/absent`], {
    what: /absent does not exist/,
    fix: /--kubeconfig/,
    code: 2,
  })
})

test('Forbidden', async () => {
  const flags = await viewerFolder(bed)
  const fix = /kubeconfig of the cluster administrator/
  await fails('install-core', flags, {
    what: /Forbidden: the kubeconfig's user may not .*create secrets in flux-system, .*customresourcedefinitions/,
    fix,
  })
  const outcome = await runScript('install-app', ['wekan', '--yes', ...flags])
  assert.is(outcome.code, 1, outcome.stderr)
  assert.ok(
    told(outcome).some(({ what }) => /Forbidden|forbidden/.test(what)),
    outcome.stderr,
  )
})

test('an API server that answers badly, slowly, or by another clock', async () => {
  const old = await certificate(-20, -10)
  const [proxy, expired] = [new ApiProxy(bed), new ApiProxy(bed, old)]
  try {
    const address = await proxy.listen()
    const through = (name: string, server: string, ca?: string) => [
      'wekan',
      ...folderWith(bed, name, config => {
        Object.assign(
          config.clusters[0]!.cluster,
          { server },
          ca && { 'certificate-authority-data': base64(ca) },
        )
      }),
    ]
    const args = through('proxy', address)
    const shifted = (seconds: number) => ({ date: new Date(Date.now() + seconds * 1000).toUTCString() })

    proxy.meddle = (_request, _response, pass) => pass(shifted(3600))
    await fails('install-app', args, { what: /this machine's clock is 60 minutes behind/, fix: /date -u/ })
    proxy.meddle = (_request, _response, pass) => pass(shifted(-600))
    await fails('install-app', args, { what: /this machine's clock is 10 minutes ahead of/, fix: /date -u/ })

    proxy.meddle = (_request, response) => {
      response.writeHead(503).end('upstream is away\n')
    }
    await fails('install-app', args, {
      what: /the API server answers 503 \(upstream is away\)/,
      fix: /wait a minute/,
    })
    proxy.meddle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please log in</html>')
    }
    await fails('install-app', args, {
      what: /answers, but it is not a Kubernetes API: <html>/,
      fix: /login page/,
    })
    proxy.meddle = () => {} // takes the request and never answers
    await fails('install-app', args, { what: /does not answer in time/, fix: /is the cluster running/ })

    // Slow, but working: no failure.
    proxy.meddle = (_request, _response, pass) => setTimeout(pass, 300)
    const outcome = await runScript('install-app', [...args, '--yes'])
    assert.is(outcome.code, 0, outcome.stderr)

    await fails('install-app', through('expired-server', await expired.listen(), old.cert), {
      what: /the certificate of the API server .* has expired/,
      fix: /renew it on the server/,
    })
  } finally {
    await proxy.close()
    await expired.close()
  }
})

for (const [title, values, what] of [
  ['a key that the chart does not know', 'nonsense: 1\n', /nonsense/],
  ['YAML that is none', 'replicaCount: [1\n  x: }\n', /oas-wekan-override.*|yaml/],
] as const)
  test(`values: ${title}`, async () => {
    await overrideWekan(values)
    await fails(...app, {
      what: new RegExp(`HelmRelease oas-apps/wekan: .*${what.source}`),
      fix: /values|override/,
    })
    await healWekan()
  })

for (const [title, values, what, fix] of [
  [
    'keeps crashing',
    'podAnnotations: {sandbox.openappstack.net/crash: "yes"}\n',
    /Pod oas-apps\/wekan-\S+: container wekan keeps crashing with exit code 1/,
    /scripts\/logs\.ts oas-apps\/wekan-\S+ --container wekan --previous/,
  ],
  [
    'has an image that cannot be pulled',
    'image: {repository: registry.invalid/wekan}\n',
    /Pod oas-apps\/wekan-\S+: the server cannot reach registry\.invalid, where registry\.invalid\/wekan/,
    /a name that does not exist is a mistake in the image/,
  ],
  [
    'has no room on any node',
    'resources: {requests: {cpu: "500"}}\n',
    /Pod oas-apps\/wekan-\S+: it requests more than any node has: cpu 500/,
    /lower what the pod requests .*\(resources\.requests\), or give it a node that is as large/,
  ],
] as const)
  test(`a pod ${title}`, async () => {
    await overrideWekan(values)
    await fails(...app, { what, fix })
    await healWekan()
  })

const folder = 'flux2/apps/wekan'

/** Commits in the way of wekan, each with what is told about it. */
const commits: Record<
  string,
  { edits: Record<string, ((text: string) => string) | undefined>; what: RegExp; fix: RegExp }
> = {
  'uses a variable that nobody defines': {
    edits: { [`${folder}/values.yaml`]: text => text.replace('root_url: "', 'root_url: "${nowhere}') },
    what: /Kustomization flux-system\/wekan: the variable \$\{nowhere\} is used in \.\/flux2\/apps\/wekan/,
    fix: /install-core|correct flux2/,
  },
  'removes the folder': {
    edits: Object.fromEntries(
      ['kustomization', 'network-policy', 'oauth-client', 'release', 'secrets', 'values'].map(name => [
        `${folder}/${name}.yaml`,
        undefined,
      ]),
    ),
    what: /Kustomization flux-system\/wekan: kustomization path not found/,
    fix: /correct \.\/flux2\/apps\/wekan in the repository/,
  },
  'is no YAML': {
    edits: { [`${folder}/network-policy.yaml`]: () => 'kind: [\n' },
    what: /Kustomization flux-system\/wekan: .*network-policy\.yaml/,
    fix: /correct \.\/flux2\/apps\/wekan/,
  },
  'is refused by the API server': {
    edits: { [`${folder}/network-policy.yaml`]: text => text.replace('port: 27017', 'port: 270170') },
    what: /Kustomization flux-system\/wekan: NetworkPolicy\/oas-apps\/wekan .*(270170|\*\*\*)/,
    fix: /correct \.\/flux2\/apps\/wekan/,
  },
  'pins a chart that the mirror does not have': {
    edits: { [`${folder}/release.yaml`]: text => text.replace(/version: .*/, 'version: 99.0.0') },
    what: /HelmChart flux-system\/oas-apps-wekan: .*wekan.*99\.0\.0/,
    fix: /the repository wekan does not offer wekan 99\.0\.0.*charts_mirror/,
  },
}

for (const [title, { edits, what, fix }] of Object.entries(commits))
  test(`a commit that ${title}`, async () => {
    repository.commit(edits)
    await repository.fetched()
    await fails(...app, { what, fix })
  })

test('the correction by a commit is seen by the next run', async () => {
  repository.revert() // and nobody tells Flux: the run has to
  await succeeds('install-app', 'wekan')
  assert.not(unready((await bed.kubectl.get(release('wekan')))!))
})

test('a Secret of install-core is gone, or lacks a key', async () => {
  const variables = {
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: 'flux-system',
    name: 'oas-cluster-variables',
  }
  await bed.kubectl.patch(variables, { data: { domain: null } })
  await reaches(bed, kustomization('core'), unready)
  await fails(...app, {
    what: /Secret flux-system\/oas-cluster-variables: lacks domain/,
    fix: /install-core/,
  })
  await bed.kubectl.delete(variables)
  await reaches(bed, kustomization('infrastructure'), object => /not found/.test(standing(object).message))
  await fails(...app, {
    what: /Secret flux-system\/oas-cluster-variables: does not exist/,
    fix: /install-core/,
  })
  await succeeds('install-core')
  await succeeds('install-app', 'wekan')
})

test('a key of a generated secret is gone: status tells it, and install-app puts the old value back', async () => {
  const secret = { apiVersion: 'v1', kind: 'Secret', namespace: 'flux-system', name: 'oas-oauth-variables' }
  const key = 'wekan_oauth_client_secret'
  const before = (await bed.kubectl.get(secret))!.data[key]
  assert.ok(before)
  await bed.kubectl.patch(secret, { data: { [key]: null } })
  await reaches(bed, kustomization('wekan'), object => standing(object).message.includes(key))
  const seen = await runScript('status', ['--json'])
  assert.is(seen.code, 3)
  assert.ok(seen.stdout.includes(key), seen.stdout)
  await succeeds('install-app', 'wekan')
  assert.is((await bed.kubectl.get(secret))!.data[key], before)
})

test('a HelmRelease and a Kustomization that are suspended', async () => {
  for (const [ref, fix] of [
    [release('wekan'), /flux resume helmrelease wekan -n oas-apps/],
    [kustomization('wekan'), /flux resume kustomization wekan -n flux-system/],
  ] as const) {
    await bed.kubectl.patch(ref, { spec: { suspend: true } })
    await fails(...app, { what: new RegExp(`${ref.kind} ${ref.namespace}/wekan: is suspended`), fix })
    await bed.kubectl.patch(ref, { spec: { suspend: null } })
    await succeeds('install-app', 'wekan')
  }
})

test('a release with exhausted retries is retried', async () => {
  // The API server refuses this port: unlike a mistake in the values, that counts as a try.
  const once = { install: { remediation: { retries: 0 } }, upgrade: { remediation: { retries: 0 } } }
  const annotation = 'kustomize.toolkit.fluxcd.io/reconcile'
  const before = (await bed.kubectl.get(release('wekan')))!.spec
  await bed.kubectl.patch(release('wekan'), {
    metadata: { annotations: { [annotation]: 'disabled' } },
    spec: once,
  })
  await bed.kubectl.apply(override('wekan', 'service: {port: 99999}\n'))
  await reaches(bed, release('wekan'), object => condition(object, 'Stalled')?.status === 'True')
  await fails(...app, {
    what: /HelmRelease oas-apps\/wekan: .*spec\.ports\[0\]\.port: Invalid value: (99999|\*\*\*)/,
    fix: /correct the values/,
  })
  // Corrected without the label by which helm-controller would see it itself.
  await bed.kubectl.patch(refOf(override('wekan', '')), {
    metadata: { labels: { 'reconcile.fluxcd.io/watch': null } },
  })
  await healWekan()
  await bed.kubectl.patch(release('wekan'), {
    metadata: { annotations: { [annotation]: null } },
    spec: { install: before.install, upgrade: before.upgrade },
  })
})

test('a broken application ends neither the installation of another one nor what the core has ready', async () => {
  await overrideWekan('podAnnotations: {sandbox.openappstack.net/crash: "yes"}\n')
  // The core is ready; that a part of it is left alone for a while is no reason not to install.
  await bed.kubectl.patch(release('loki', 'oas'), { spec: { suspend: true } })
  try {
    await succeeds('install-app', 'wordpress')
  } finally {
    await bed.kubectl.patch(release('loki', 'oas'), { spec: { suspend: null } })
  }
  await healWekan()
})

test('helm-controller is down', async () => {
  await signal('helm-controller', 'SIGKILL')
  try {
    await bed.kubectl.patch(release('wekan'), {
      metadata: { annotations: { 'reconcile.fluxcd.io/requestedAt': new Date().toISOString() } },
    })
    await fails(...app, {
      what: /Deployment flux-system\/helm-controller: runs but processes no requests/,
      fix: /-l app=helm-controller/,
    })
  } finally {
    await repair()
  }
  await succeeds('install-app', 'wekan')
})

test('the API server is down, before and in the middle of a run', async () => {
  await bed.kubectl.apply(override('wekan', 'podAnnotations: {sandbox.openappstack.net/crash: "yes"}\n'))
  await reaches(bed, release('wekan'), unready)
  let killed: Promise<void> | undefined
  const outcome = await runScript('install-app', ['wekan', '--yes'], {
    kill: stderr => {
      if (/flux get helmreleases/.test(stderr)) killed ??= signal('kube-apiserver', 'SIGKILL')
      return undefined
    },
  })
  await killed
  checkTold(outcome, { what: /the API server .* cannot be reached \(ECONN/, fix: /is the cluster running/ })
  await fails(...app, {
    what: /the API server .* cannot be reached \(ECONNREFUSED\)/,
    fix: /is the cluster running/,
  })
  await repair()
  await healWekan()
})

test('the API server is away for a moment: the wait goes on, and names what it finds afterwards', async () => {
  await overrideWekan('podAnnotations: {sandbox.openappstack.net/crash: "yes"}\n')
  /** Kills it and starts it again; resolves with the seconds that it was away. */
  const interrupt = async () => {
    const began = performance.now()
    await signal('kube-apiserver', 'SIGKILL')
    await repair()
    return (performance.now() - began) / 1000
  }
  let outage: Promise<number> | undefined
  const outcome = await runScript('install-app', ['wekan', '--yes'], {
    kill: stderr => {
      if (/ · waiting for wekan/.test(stderr)) outage ??= interrupt()
      return undefined
    },
  })
  try {
    // A machine under load may need longer than a run has patience for (25 s): then that is what is told.
    const long = (await outage)! > 20
    checkTold(outcome, {
      what: long
        ? /cannot be reached|wekan/
        : /(HelmRelease|Pod) oas-apps\/wekan|Kustomization flux-system\/wekan/,
      fix: /./,
    })
  } finally {
    await healWekan()
  }
})

/** An HTTP server that answers everything with one status. */
async function answering(status: number): Promise<{ url: string; close: () => void }> {
  const server = createServer((_request, response) => {
    if (status === 401) response.setHeader('www-authenticate', 'Basic realm="git"')
    response.writeHead(status).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

test('a Git address where nothing is, or that wants credentials, or that nobody answers at', async () => {
  const [strict, empty] = await Promise.all([answering(401), answering(404)])
  const what = (text: string) => new RegExp(`GitRepository flux-system/openappstack: .*${text}`)
  const to = (url: string) => ['--set', `git_url=${url}/x.git`, '--skip-preflight']
  const early = (url: string) => to(url).slice(0, 2)
  try {
    // Told before the first change, and later by Flux, when only the cluster can be asked.
    await fails('install-core', early(strict.url), { what: /needs a login/, fix: /ssh:\/\/git@.*deploy key/ })
    await fails('install-core', early(empty.url), {
      what: /cannot be read: fatal: .*not found/,
      fix: /git_url/,
    })
    await fails('install-core', early('http://127.0.0.1:1'), {
      what: /cannot be read: fatal: unable to access/,
      fix: /git_url.*--skip-preflight/,
    })
    await fails('install-core', to(strict.url), {
      what: what('authentication required'),
      fix: /requires credentials/,
    })
    await fails('install-core', to(empty.url), {
      what: what('not found'),
      fix: /nothing is served at .*git_url/,
    })
    await fails('install-core', to('http://127.0.0.1:1'), {
      what: what('connection refused'),
      fix: /the cluster cannot reach http:\/\/127\.0\.0\.1:1\/x\.git/,
    })
  } finally {
    strict.close()
    empty.close()
  }
  await succeeds('install-core', '--set', `git_url=${bed.up.gitUrl}`)
})

test('a mirror of charts that is down', async () => {
  await fails('install-core', ['--set', 'charts_mirror=http://127.0.0.1:1/charts'], {
    what: /HelmRepository flux-system\/\S+: .*connection refused/,
    fix: /the cluster cannot reach http:\/\/127\.0\.0\.1:1\/charts/,
  })
  await succeeds('install-core', '--set', `charts_mirror=${bed.up.chartsMirror}`)
  await succeeds('install-app', 'wekan')
})

test.run()
