import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../../../lib/kubectl/kube-client.ts'
import { readKubeconfig } from '../../../../lib/kubectl/kubeconfig.ts'
import { certificate } from '../../certificates.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { serve } from '../../transport.ts'
import { credential, KUBECONFIG_CASES, tellingServer } from './kubeconfig-cases.ts'

const text = (content: string) => {
  const file = join(temporaryFolder(), 'kubeconfig')
  writeFileSync(file, content)
  return file
}
const refused = (file: string) => expectedFrom(() => connect(file))

interface Parts {
  cluster?: object
  user?: object | null
  context?: object
  more?: object
}

/** A file with a kubeconfig of one context, and what is given in the place of its parts. */
const config = ({ cluster, user, context, more }: Parts = {}) =>
  text(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1', ...cluster } }],
      users: user === null ? [] : [{ name: 'u', user: user ?? { token: 'ttt' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...context } }],
      'current-context': 'x',
      ...more,
    }),
  )

test('a kubeconfig that is not there is named', async () => {
  const error = await refused('/none/kubeconfig')
  assert.is(error.message, 'the kubeconfig /none/kubeconfig does not exist')
  assert.match(error.fix, '--kubeconfig FILE')
})

test('what is no kubeconfig in YAML is refused, and nothing of it is quoted', async () => {
  const folder = join(temporaryFolder(), 'folder')
  mkdirSync(folder)
  for (const file of [
    text('users: [\n token: hunter2hunter2'),
    text('\ttoken: hunter2hunter2'),
    text('hunter2hunter2'),
    text('[hunter2hunter2]'),
    text('null'),
    text(''),
    text(`# ${'x'.repeat(5 << 20)}`),
    folder,
  ]) {
    const error = await refused(file)
    assert.ok(error.message.startsWith(`${file} is not usable`), error.message)
    assert.not.match(`${error.message} ${error.fix}`, 'hunter2')
  }
})

/** What an exec plugin has to have beside its command. */
const V1 = { apiVersion: 'client.authentication.k8s.io/v1', interactiveMode: 'Never' }
const two = [
  { name: 'x', context: { cluster: 'c', user: 'u' } },
  { name: 'y', context: { cluster: 'c', user: 'u' } },
]
for (const [what, parts, message, fix] of [
  [
    'no current context, of two',
    { more: { 'current-context': undefined, contexts: two } },
    'it has several contexts, and no current-context',
    /^choose one of its contexts \(x, y\): kubectl config use-context NAME --kubeconfig /,
  ],
  [
    'an empty current context, of two',
    { more: { 'current-context': '', contexts: two } },
    'it has several contexts, and no current-context',
    /"current-context: NAME"/,
  ],
  [
    'a current context that is not in the file',
    { more: { 'current-context': 'gone' } },
    'its current-context "gone" is not one of its contexts',
    /its contexts \(x\)/,
  ],
  ['no contexts', { more: { contexts: undefined } }, 'it defines no context', /fetch the kubeconfig/],
  ['contexts that are no list', { more: { contexts: { x: 1 } } }, 'it defines no context', /fetch/],
  [
    'a cluster that is not in the file',
    { context: { cluster: 'gone' } },
    'its context "x" names the cluster "gone", which it does not define',
    /the clusters in the file are c$/,
  ],
  [
    'a user that is not in the file',
    { context: { user: 'nobody' } },
    'its context "x" names the user "nobody", which it does not define',
    /the users in the file are u$/,
  ],
  [
    'a user, and none in the file',
    { user: null },
    'its context "x" names the user "u", which it does not define',
    /the users in the file are none$/,
  ],
  ['no server', { cluster: { server: undefined } }, 'its cluster "c" has no server', /add the address/],
  [
    'a server that is no URL',
    { cluster: { server: 'nonsense' } },
    'its server "nonsense" is not a URL',
    /https:/,
  ],
  [
    'a server of another kind',
    { cluster: { server: 'ftp://a' } },
    'its server "ftp://a" is not a URL',
    /https:/,
  ],
  [
    'a CA and no verification',
    { cluster: { 'insecure-skip-tls-verify': true, 'certificate-authority-data': 'AA==' } },
    'it has a certificate authority and insecure-skip-tls-verify, which exclude each other',
    /remove the line insecure-skip-tls-verify/,
  ],
  [
    'an auth-provider',
    { user: { 'auth-provider': { name: 'gcp' } } },
    'its user has an auth-provider, which Kubernetes does not support since 1.26',
    /exec plugin/,
  ],
  [
    'an exec plugin that is not installed',
    {
      user: { exec: { ...V1, command: 'no-such-plugin', installHint: 'see https://a.example\n\x1b[2Jnow' } },
    },
    'it needs the program "no-such-plugin", which is not in PATH',
    /^install it: see https:\/\/a\.example \\x1b\[2Jnow$/,
  ],
  ['an exec plugin without a command', { user: { exec: {} } }, 'its exec plugin names no command', /correct/],
  [
    'a tokenFile that is not there',
    { user: { tokenFile: '/none/token' } },
    'its tokenFile "/none/token" cannot be read (ENOENT)',
    /write the token there/,
  ],
  [
    'a certificate authority that is not there',
    { cluster: { 'certificate-authority': '/none/ca.crt' } },
    /\/none\/ca\.crt/,
    /fetch the kubeconfig/,
  ],
] as [string, Parts, string | RegExp, RegExp][])
  test(`a kubeconfig with ${what} has its own remedy`, async () => {
    const file = config(parts)
    const error = await refused(file)
    if (typeof message === 'string') assert.is(error.message, `${file} is not usable: ${message}`)
    else assert.match(error.message, message)
    assert.match(error.fix, fix)
  })

for (const [what, parts] of [
  ['its only context is not current', { more: { 'current-context': undefined } }],
  [
    'entries of other clusters and users are incomplete',
    {
      more: {
        clusters: [
          null,
          {},
          { name: 'b', cluster: {} },
          { name: 'c', cluster: { server: 'https://127.0.0.1:1' } },
        ],
        users: [{ name: 'none' }, { user: {} }, { name: 'u', user: { token: 'ttt' } }],
        contexts: [
          { name: 'y' },
          { name: 'z', context: {} },
          { name: 'x', context: { cluster: 'c', user: 'u' } },
        ],
      },
    },
  ],
  [
    'its context has no user, on a connection that none is sent over',
    { cluster: { server: 'http://127.0.0.1:1' }, context: { user: undefined }, user: null },
  ],
  ['a token stands beside a tokenFile that is gone', { user: { token: 'ttt', tokenFile: '/none/token' } }],
] as [string, Parts][])
  test(`a kubeconfig is used though ${what}`, async () => {
    ;(await connect(config(parts))).close()
  })

const tls = await certificate(-1, 1)
const base64 = (value: string) => Buffer.from(value).toString('base64')

/** What a server of the test's own is asked with. `make` gets the cluster's entry. */
async function headersOf(make: (cluster: object) => string): Promise<Record<string, unknown>> {
  const { url, close } = await serve(
    (request, response) => response.end(JSON.stringify(request.headers)),
    tls,
  )
  const client = await connect(make({ server: url, 'certificate-authority-data': base64(tls.cert) }))
  try {
    return await client.request({ path: '/' })
  } finally {
    client.close()
    close()
  }
}

test('a tokenFile is read for each request, relative to the kubeconfig, and goes before a token', async () => {
  const { authorization } = await headersOf(cluster => {
    const file = config({ cluster, user: { token: 'old', tokenFile: 'token' } })
    writeFileSync(join(file, '..', 'token'), 'from-the-file\n')
    return file
  })
  assert.is(authorization, 'Bearer from-the-file')
})

test('an exec plugin with a relative path is looked for beside the kubeconfig', async () => {
  const { authorization } = await headersOf(cluster => {
    const file = config({ cluster, user: { exec: { ...V1, command: './plugin.sh', args: ['ttt'] } } })
    const plugin = join(file, '..', 'plugin.sh')
    writeFileSync(plugin, `#!/bin/sh\n${credential({ token: 'TOKEN' })} | sed "s/TOKEN/$1/"\n`)
    chmodSync(plugin, 0o700)
    return file
  })
  assert.is(authorization, 'Bearer ttt')
})

for (const [what, make, message] of KUBECONFIG_CASES)
  test(`a kubeconfig with ${what} is ${message ? 'refused, and nothing of it is quoted' : 'used'}`, async () => {
    const around = await tellingServer()
    const file = make(temporaryFolder(), around)
    const ask = async () => {
      const client = await connect(file)
      try {
        return await client.request<{ path: string; who: unknown[]; certificate: boolean }>({
          path: '/version',
        })
      } finally {
        client.close()
      }
    }
    try {
      if (message) {
        const error = await expectedFrom(ask)
        assert.match(error.message, message)
        assert.not.match(`${error.message} ${error.fix}`, /hunter2|unexpected/)
      } else {
        const { path, who, certificate } = await ask()
        assert.match(path, /^\/(k8s\/clusters\/c-1\/)?version$/)
        assert.ok(certificate || who.length > 0)
      }
    } finally {
      around.close()
    }
  })

test('an exec plugin that fails says why, on one line', async () => {
  const error = await refused(
    config({
      user: { exec: { ...V1, command: 'sh', args: ['-c', 'printf "not\\033[2J\\nlogged in" >&2; exit 1'] } },
    }),
  )
  assert.match(error.message, /its exec plugin fails: not\\x1b\[2J logged in$/)
  assert.match(error.fix, 'log in with it again')
})

test('an exec plugin that never ends does not outlast the request', async () => {
  const past = { token: 'ttt', expirationTimestamp: '2020-01-01T00:00:00Z' }
  const script = `test -e first || { touch first; ${credential(past)}; exit; }; exec sleep 5`
  const file = config({ user: { exec: { ...V1, command: 'sh', args: ['-c', script] } } })
  process.chdir(join(file, '..'))
  const client = await connect(file)
  const error = await expectedFrom(() => client.request({ path: '/', timeout: 200 }))
  assert.match(error.message, 'does not answer in time')
  client.close()
})

test('nothing secret is sent over a connection that is not encrypted, as kubectl does not', async () => {
  const { url, close } = await serve((request, response) => response.end(JSON.stringify(request.headers)))
  const client = await connect(config({ cluster: { server: url }, user: { token: 'ttt' } }))
  assert.is((await client.request<{ authorization?: string }>({ path: '/' })).authorization, undefined)
  client.close()
  close()
})

test('groups are impersonated as the user is', async () => {
  const headers = await headersOf(cluster =>
    config({ cluster, user: { token: 'ttt', as: 'ann', 'as-groups': ['a', 'b'] } }),
  )
  assert.equal([headers['impersonate-user'], headers['impersonate-group']], ['ann', 'a, b'])
})

test('a connection that anybody in between can change is called unsafe, and used', async () => {
  const { url, close } = await serve((_request, response) => response.end('{}'), tls)
  const file = config({ cluster: { server: url, 'insecure-skip-tls-verify': true } })
  const client = await connect(file)
  assert.equal(await client.request({ path: '/' }), {})
  client.close()
  close()
  assert.match((await readKubeconfig(file)).unsafe!, 'insecure-skip-tls-verify')
  const unsafe = async (server: string) => (await readKubeconfig(config({ cluster: { server } }))).unsafe
  assert.match((await unsafe('http://a.example'))!, 'it is not encrypted')
  assert.is(await unsafe('http://127.0.0.1:8001'), undefined)
  assert.is(await unsafe('https://a.example'), undefined)
})

test('the environment cannot switch the verification off', async () => {
  const { rejectUnauthorized } = await (await readKubeconfig(config())).options()
  assert.is(rejectUnauthorized, true)
})

test.run()
