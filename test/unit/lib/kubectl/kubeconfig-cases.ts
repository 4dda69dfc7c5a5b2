/**
 * Odd kubeconfigs, and whether kubectl uses them. The unit test holds that ours are used where kubectl's are, and are
 * refused by an error of their own elsewhere; test/server/kubeconfig.test.ts asks a real kubectl about each.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { certificate } from '../../certificates.ts'
import { temporaryFolder } from '../../helpers.ts'

/** What a kubeconfig is for: a server that tells who asks, and its certificate. */
export interface Surroundings {
  url: string
  ca: string
  client: { cert: string; key: string }
}
/** A case: its name, the file that is made of it, and what ours is refused by, unless it is used. */
export type KubeconfigCase = readonly [
  name: string,
  make: (folder: string, around: Surroundings) => string,
  refused?: RegExp,
]

/** A server on loopback that answers with who asks it, and as whom. */
export async function tellingServer(): Promise<Surroundings & { close(): void }> {
  const [own, client] = await Promise.all([certificate(-1, 1), certificate(-1, 1)])
  const answer: RequestListener = ({ headers, url, socket }, response) => {
    const who = Object.entries(headers).filter(([name]) => /^(authorization|impersonate)/.test(name))
    const asked = (socket as import('node:tls').TLSSocket).getPeerCertificate().raw !== undefined
    const path = url?.replace(/[?&]timeout=\d+s$/, '')
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ path, who: who.sort(), certificate: asked }))
  }
  const server = https.createServer({ ...own, requestCert: true, rejectUnauthorized: false }, answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  const { port } = server.address() as AddressInfo
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `https://127.0.0.1:${port}`, ca: own.cert, client, close }
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const put = (folder: string, text: string | Buffer) => {
  const file = join(folder, 'config')
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
type Entry = Record<string, unknown>
interface Parts {
  root: Entry
  cluster: Entry
  user: Entry
  context: Entry
}
type Edit = (parts: Parts, folder: string, around: Surroundings) => void

/** A kubeconfig in which something is changed. */
const edited =
  (edit: Edit) =>
  (folder: string, around: Surroundings): string => {
    const cluster: Entry = { server: around.url, 'certificate-authority-data': base64(around.ca) }
    const user: Entry = { token: 'ttt' }
    const context: Entry = { cluster: 'c', user: 'u' }
    const root: Entry = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context }],
      'current-context': 'x',
    }
    edit({ root, cluster, user, context }, folder, around)
    return put(folder, JSON.stringify(root, null, 1))
  }
const cluster = (fields: Entry) => edited(parts => Object.assign(parts.cluster, fields))
const server = (change: (url: string) => string) =>
  edited((parts, _folder, { url }) => Object.assign(parts.cluster, { server: change(url) }))
const user = (fields: Entry | ((around: Surroundings, folder: string) => Entry)) =>
  edited((parts, folder, around) => {
    delete parts.user.token
    Object.assign(parts.user, typeof fields === 'function' ? fields(around, folder) : fields)
  })
const GROUP = 'client.authentication.k8s.io/'
/** A user with an exec plugin: what a shell does, and what is otherwise in its entry. */
const exec = (script: string, more: Entry = {}) =>
  user({
    exec: {
      ...{ apiVersion: `${GROUP}v1`, interactiveMode: 'Never', command: 'sh', args: ['-c', script] },
      ...more,
    },
  })
/** A command that writes such credentials, of this version. */
export const credential = (status: unknown, version = 'v1') =>
  `echo '${JSON.stringify({ apiVersion: `${GROUP}${version}`, kind: 'ExecCredential', status })}'`
const good = credential({ token: 'ttt' })
/** The same as YAML, for what JSON does not have. */
const yaml =
  (change: (text: string) => string | Buffer) =>
  (folder: string, { url, ca }: Surroundings) =>
    put(
      folder,
      change(
        `apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: ${url}\n    certificate-authority-data: ${base64(ca)}\nusers:\n- name: u\n  user:\n    token: ttt\ncontexts:\n- name: x\n  context: {cluster: c, user: u}\ncurrent-context: x\n`,
      ),
    )
const twice = (list: string, item: Entry) => edited(({ root }) => (root[list] as Entry[]).push(item))
const SECRET = 'hunter2hunter2'

/** The cases. */
export const KUBECONFIG_CASES: readonly KubeconfigCase[] = [
  ['JSON', edited(() => {})],
  ['a mark of the byte order', yaml(text => `\ufeff${text}`)],
  ['UTF-16', yaml(text => Buffer.from(`\ufeff${text}`, 'utf16le'))],
  ['lines that end as on Windows', yaml(text => text.replaceAll('\n', '\r\n'))],
  [
    'YAML anchors',
    yaml(text =>
      text.replace('user:\n', 'user: &u\n').replace('contexts:', '- {name: v, user: *u}\ncontexts:'),
    ),
  ],
  [
    'a YAML merge key',
    yaml(text => `base: &base {token: merged}\n${text}`.replace('token: ttt', '<<: *base')),
  ],
  [
    'a key twice, of which the last counts',
    yaml(text => text.replace('token: ttt', 'token: a\n    token: b')),
  ],
  ['a second document', yaml(text => `${text}---\nother: document\n`)],
  ['a token in binary', yaml(text => text.replace('ttt', `!!binary ${base64('ttt')}`))],
  ['a token of digits', yaml(text => text.replace('ttt', '123456')), /token of its user "u" is not a text/],
  [
    'no apiVersion and kind',
    edited(({ root }) => Object.assign(root, { apiVersion: undefined, kind: undefined })),
  ],
  [
    'another apiVersion',
    edited(({ root }) => Object.assign(root, { apiVersion: 'v2' })),
    /its apiVersion is "v2"/,
  ],
  ['another kind', edited(({ root }) => Object.assign(root, { kind: 'List' })), /its kind is "List"/],
  ['a cluster twice', twice('clusters', { name: 'c', cluster: {} }), /defines the cluster "c" twice/],
  ['a user twice', twice('users', { name: 'u', user: {} }), /defines the user "u" twice/],
  ['a context twice', twice('contexts', { name: 'x', context: {} }), /defines the context "x" twice/],
  [
    'users that are no list',
    edited(({ root }) => Object.assign(root, { users: {} })),
    /users in the file are none|names the user "u", which it does not define/,
  ],
  [
    'extensions and unknown fields',
    edited(({ root, ...parts }) => {
      root.preferences = { colors: true }
      parts.cluster.extensions = [{ name: 'cluster_info', extension: { provider: 'minikube.sigs.k8s.io' } }]
    }),
  ],
  [
    'a link to a file',
    (folder, around) => {
      const target = edited(() => {})(temporaryFolder(), around)
      symlinkSync(target, join(folder, 'config'))
      return join(folder, 'config')
    },
  ],
  [
    'a link to itself',
    folder => {
      symlinkSync(join(folder, 'config'), join(folder, 'config'))
      return join(folder, 'config')
    },
    /cannot be read \(ELOOP\)/,
  ],
  [
    'a link to nothing',
    folder => {
      symlinkSync('/none/config', join(folder, 'config'))
      return join(folder, 'config')
    },
    /does not exist/,
  ],
  [
    'a folder',
    folder => {
      mkdirSync(join(folder, 'config'))
      return join(folder, 'config')
    },
    /cannot be read \(EISDIR\)/,
  ],
  [
    'a pipe that nobody writes into',
    folder => {
      spawnSync('mkfifo', [join(folder, 'config')])
      return join(folder, 'config')
    },
    /is not a file/,
  ],
  [
    'a certificate authority beside it',
    edited(({ cluster }, folder, { ca }) => {
      writeFileSync(join(folder, 'ca.crt'), ca)
      delete cluster['certificate-authority-data']
      cluster['certificate-authority'] = 'ca.crt'
    }),
  ],
  [
    'a certificate authority in a home folder',
    edited(({ cluster }) => {
      delete cluster['certificate-authority-data']
      cluster['certificate-authority'] = '~/ca.crt'
    }),
    /certificate-authority ".*\/~\/ca\.crt" cannot be read \(ENOENT\)/,
  ],
  [
    'a certificate authority twice',
    cluster({ 'certificate-authority': '/none' }),
    /certificate-authority and certificate-authority-data, which exclude each other/,
  ],
  [
    'a certificate authority that is not in Base64',
    cluster({ 'certificate-authority-data': `-----BEGIN ${SECRET}` }),
    /certificate-authority-data is not in Base64/,
  ],
  [
    'a certificate authority of something else',
    cluster({ 'certificate-authority-data': base64(SECRET) }),
    /is not a certificate in PEM/,
  ],
  [
    'a certificate authority in lines',
    edited(({ cluster }, _folder, { ca }) => {
      cluster['certificate-authority-data'] = base64(ca).replaceAll(/(.{60})/g, '$1\n')
    }),
  ],
  [
    'a proxy of another kind',
    cluster({ 'proxy-url': 'ftp://127.0.0.1:1' }),
    /proxy-url is not the URL of a proxy/,
  ],
  [
    'a proxy without a scheme',
    cluster({ 'proxy-url': '127.0.0.1:1' }),
    /proxy-url is not the URL of a proxy/,
  ],
  ['an empty proxy', cluster({ 'proxy-url': '' })],
  ['a name of the server that is an address', cluster({ 'tls-server-name': '127.0.0.1' })],
  [
    'a name that the server does not have',
    cluster({ 'tls-server-name': 'other.example' }),
    /cannot be trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
  ],
  ['a server below a path', server(url => `${url}/k8s/clusters/c-1/`)],
  ['a server that ends with slashes', server(url => `${url}//`)],
  ['a server in upper case', server(url => url.replace('https', 'HTTPS'))],
  ['a server with a query', server(url => `${url}/?a=b`)],
  ['a server with a password', server(url => url.replace('//', '//me:p%40w@'))],
  ['a server with a line end', server(url => `${url}\n`), /is not a URL/],
  ['a server without brackets', server(() => 'https://::1:6443'), /is not a URL/],
  [
    'a client certificate and its key',
    user(({ client }) => ({
      'client-certificate-data': base64(client.cert),
      'client-key-data': base64(client.key),
    })),
  ],
  [
    'a client certificate and a key beside it',
    user(({ client }, folder) => {
      writeFileSync(join(folder, 'key'), client.key)
      return { 'client-certificate-data': base64(client.cert), 'client-key': 'key' }
    }),
  ],
  [
    'a client certificate alone',
    user(({ client }) => ({ 'client-certificate-data': base64(client.cert) })),
    /its user "u" has a client certificate without its key/,
  ],
  [
    'a client key alone',
    user(({ client }) => ({ 'client-key-data': base64(client.key) })),
    /its user "u" has a client key without its certificate/,
  ],
  ['no credentials', user({}), /its user "u" has no credentials/],
  ['an empty token', user({ token: '' }), /its user "u" has no credentials/],
  ['a token in two lines', user({ token: 'a\nb' }), /token has a line end/],
  ['a token of other letters', user({ token: 'tö€' })],
  [
    'a token and a password',
    user({ token: 'ttt', username: 'ann' }),
    /a token and a password, which exclude/,
  ],
  ['a user without a password', user({ username: 'ann' })],
  [
    'an empty tokenFile',
    user((_around, folder) => {
      writeFileSync(join(folder, 'token'), '')
      return { tokenFile: 'token' }
    }),
    /its tokenFile ".*" is empty/,
  ],
  [
    'an empty tokenFile beside a token',
    user((_around, folder) => {
      writeFileSync(join(folder, 'token'), '')
      return { tokenFile: 'token', token: 'ttt' }
    }),
  ],
  [
    'somebody to impersonate',
    user({
      ...{ token: 'ttt', as: 'ann', 'as-uid': '7', 'as-groups': ['a', 'b'] },
      'as-user-extra': { 'example.org/Reason': ['a b', 'c'] },
    }),
  ],
  ['groups of nobody', user({ token: 'ttt', 'as-groups': ['a'] }), /has as-groups, and names nobody in `as`/],
  ['a plugin', exec(good)],
  ['a plugin of before', exec(credential({ token: 'ttt' }, 'v1beta1'), { apiVersion: `${GROUP}v1beta1` })],
  [
    'a plugin beside a token',
    edited(({ user }) =>
      Object.assign(user, {
        exec: {
          apiVersion: `${GROUP}v1`,
          interactiveMode: 'Never',
          command: 'sh',
          args: ['-c', credential({ token: 'of-the-plugin' })],
        },
      }),
    ),
  ],
  ['a plugin that is told about itself', exec(`test -n "$KUBERNETES_EXEC_INFO" && ${good}`)],
  [
    'a plugin that is told about the cluster',
    exec(`case $KUBERNETES_EXEC_INFO in *127.0.0.1*) ${good};; esac`, { provideClusterInfo: true }),
  ],
  [
    'a plugin with variables',
    exec(credential({ token: 'A' }).replace('"A"', `"'$A'"`), { env: [{ name: 'A', value: 'ttt' }] }),
  ],
  ['a plugin that warns', exec(`echo warning >&2; ${good}`)],
  ['a plugin that reads', exec(`cat; ${good}`)],
  [
    'a plugin of a version that is gone',
    exec(good, { apiVersion: `${GROUP}v1alpha1` }),
    /the apiVersion "client\.authentication\.k8s\.io\/v1alpha1", which Kubernetes does not support/,
  ],
  ['a plugin without a version', exec(good, { apiVersion: undefined }), /plugin has the apiVersion ""/],
  ['a plugin without a mode', exec(good, { interactiveMode: undefined }), /plugin has no interactiveMode/],
  ['a plugin with another mode', exec(good, { interactiveMode: 'Maybe' }), /has the interactiveMode "Maybe"/],
  ['a plugin that asks somebody', exec(good, { interactiveMode: 'Always' }), /asks somebody at a terminal/],
  [
    'a plugin that answers in another version',
    exec(credential({ token: SECRET }, 'v1beta1')),
    /plugin answers in the version "client\.authentication\.k8s\.io\/v1beta1"/,
  ],
  ['a plugin that answers nonsense', exec(`echo ${SECRET}`), /does not write an ExecCredential/],
  ['a plugin that answers null', exec('echo null'), /does not write an ExecCredential/],
  ['a plugin that chatters', exec(`echo ${SECRET}; ${good}`), /does not write an ExecCredential/],
  ['a plugin that answers nothing', exec('true'), /does not write an ExecCredential/],
  ['a plugin without a token', exec(credential({})), /gives no token, and no certificate with its key/],
  [
    'a plugin with half a certificate',
    exec(
      `printf '%s' '${JSON.stringify({ apiVersion: `${GROUP}v1`, kind: 'ExecCredential', status: { clientCertificateData: 'x' } })}'`,
    ),
    /gives no token/,
  ],
  ['a plugin that fails', exec('echo log in first >&2; exit 3'), /exec plugin fails: log in first$/],
  ['a plugin that fails without a word', exec('exit 3'), /it ended with exit code 3, without a word/],
  ['a plugin that writes without end', exec(`yes ${SECRET}`), /it writes without end/],
]
