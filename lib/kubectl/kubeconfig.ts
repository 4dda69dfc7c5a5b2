import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type https from 'node:https'
import { isIP } from 'node:net'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import tls from 'node:tls'
import type { Cluster, KubeConfig, User } from '@kubernetes/client-node'
import { codeOf, ExpectedError, messageOf } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'
import { execPlugin, isEntry, nameText, type PluginCredentials, type Refused } from './exec-plugin.ts'
import { loadKubeConfig } from './kube-bundle.ts'

type Entry = Record<string, unknown>

/** Bytes of a kubeconfig; more is something else. */
const LARGEST = 4 << 20

/** The part of a kubeconfig that its current context uses. */
export interface Access {
  server: string
  proxied: boolean
  /** Why the connection can be read or changed by anybody in between, where it can. */
  unsafe?: string
  /** Fields that name files which a copy of the kubeconfig elsewhere would lose. */
  elsewhere: string[]
  /**
   * What a request needs: the TLS settings, the agent of a proxy, and headers and `auth` with the credentials. Asked
   * for each request, since those of an exec plugin and of a tokenFile change. Throws an ExpectedError.
   */
  options(): Promise<https.RequestOptions>
}

/**
 * Reads a kubeconfig as kubectl does (k8s.io/client-go tools/clientcmd: client_config.go, loader.go, validation.go):
 * only the entries of the current context have to be complete, relative paths begin at the file's folder, a
 * tokenFile goes before a token, and nothing secret is sent over a connection that is not encrypted. Other than kubectl,
 * the only context is taken where none is current, and nobody is asked for a user and a password.
 *
 * Throws an ExpectedError of its own for each thing that is missing or that kubectl refuses: the file, a context, its
 * cluster or user, the program of an exec plugin. Nothing of the file but names is quoted: it holds keys and tokens.
 */
export async function readKubeconfig(file: string): Promise<Access> {
  const refused: Refused = (what, fix, cause) =>
    new ExpectedError(`${file} is not usable: ${what}`, fix, { cause })
  const root = await parsed(file)
  if (!isEntry(root)) throw refused('it is not a kubeconfig in YAML', FETCH)
  for (const [field, value] of [
    ['apiVersion', 'v1'],
    ['kind', 'Config'],
  ] as const)
    if (root[field] && root[field] !== value)
      throw refused(`its ${field} is ${nameText(root[field])}, where a kubeconfig has ${value}`, FETCH)

  const contexts = entriesOf(root.contexts, 'context', refused)
  const current = root['current-context'] || (contexts.size === 1 ? [...contexts.keys()][0] : undefined)
  const choose = `choose one of its contexts (${names(contexts)}): kubectl config use-context NAME --kubeconfig ${file}, or write the line "current-context: NAME" into it`
  if (contexts.size === 0) throw refused('it defines no context', FETCH)
  if (current === undefined) throw refused('it has several contexts, and no current-context', choose)
  const context = contexts.get(String(current))
  if (!context) throw refused(`its current-context ${nameText(current)} is not one of its contexts`, choose)

  const clusters = entriesOf(root.clusters, 'cluster', refused)
  const cluster = clusters.get(String(context.cluster))
  if (!cluster)
    throw refused(
      `its context ${nameText(current)} names the cluster ${nameText(context.cluster)}, which it does not define`,
      `correct the context: the clusters in the file are ${names(clusters)}`,
    )
  const clusterName = `cluster ${nameText(context.cluster)}`
  if (!cluster.server) throw refused(`its ${clusterName} has no server`, `${FETCH}, or add the address`)
  checkTypes(clusterName, cluster, CLUSTER_TEXTS, refused)
  const url = serverOf(String(cluster.server), refused)

  const users = entriesOf(root.users, 'user', refused)
  const user = context.user ? users.get(String(context.user)) : {}
  if (!user)
    throw refused(
      `its context ${nameText(current)} names the user ${nameText(context.user)}, which it does not define`,
      `correct the context: the users in the file are ${names(users)}`,
    )
  const userName = `user ${nameText(context.user)}`
  checkTypes(userName, user, USER_TEXTS, refused)
  const insecure = cluster['insecure-skip-tls-verify'] === true
  if (insecure && (cluster['certificate-authority-data'] || cluster['certificate-authority']))
    throw refused(
      'it has a certificate authority and insecure-skip-tls-verify, which exclude each other',
      'remove the line insecure-skip-tls-verify: the certificate authority verifies the server',
    )
  if (user['auth-provider'])
    throw refused(
      'its user has an auth-provider, which Kubernetes does not support since 1.26',
      'use a client certificate, a token or an exec plugin',
    )

  const folder = dirname(resolve(file))
  const plugin = user.exec ? execPlugin(user.exec, folder, cluster, refused) : undefined
  const plain = url.protocol === 'http:'
  checkMethods(userName, user, { inUrl: url.username !== '', plain, refused })
  checkProxy(cluster, refused)
  const server = `${url.protocol}//${url.host}${url.pathname.replace(/\/{1,100}$/, '')}`
  const Config = await loadKubeConfig()
  let config: KubeConfig | undefined
  /** Made when it is first needed: whoever only looks into a kubeconfig does not need the files that it names. */
  const configured = () => {
    if (config) return config
    const read = (entry: Entry, field: string) => fileOrData(entry, field, folder, refused)
    const ca = read(cluster, 'certificate-authority')
    if (ca && !isCertificate(ca))
      throw refused(`the certificate authority of its ${clusterName} is not a certificate in PEM`, FETCH)
    const logsIn = {
      ...userOf(user, url.username ? url : user),
      certData: read(user, 'client-certificate')?.toString('base64'),
      keyData: read(user, 'client-key')?.toString('base64'),
    }
    config = new Config()
    config.loadFromClusterAndUser(
      clusterOf(cluster, server, ca, insecure || plain),
      plain ? { name: 'user', impersonateUser: textOf(user.as) } : logsIn,
    )
    return config
  }
  return {
    server,
    proxied: Boolean(cluster['proxy-url']),
    unsafe: plain
      ? isLoopback(url.hostname)
        ? undefined
        : 'it is not encrypted (http://)'
      : insecure
        ? 'its certificate is not verified (insecure-skip-tls-verify in the kubeconfig)'
        : undefined,
    elsewhere: elsewhere(cluster, user),
    options: () =>
      optionsOf(configured(), user, folder, {
        insecure,
        plain,
        plugin: plain ? undefined : plugin,
        serverName: textOf(cluster['tls-server-name']),
        refused,
      }),
  }
}

const FETCH = 'fetch the kubeconfig from the cluster again'
const CLUSTER_TEXTS = [
  'server',
  'certificate-authority',
  'certificate-authority-data',
  'tls-server-name',
  'proxy-url',
]
const USER_TEXTS = [
  ...['client-certificate', 'client-certificate-data', 'client-key', 'client-key-data'],
  ...['token', 'tokenFile', 'username', 'password', 'as', 'as-uid'],
]

async function parsed(file: string): Promise<unknown> {
  try {
    const stat = statSync(file)
    // A pipe would be waited for, and is empty the second time.
    if (!stat.isFile() && !stat.isDirectory())
      throw new ExpectedError(`${file} is not a file`, 'copy the kubeconfig of the cluster into a file')
    if (stat.size > LARGEST) return undefined
    const { CORE_SCHEMA, binaryTag, loadAll, mergeTag } = await import('js-yaml')
    // Of several documents the first, and of keys that are there twice the last, as kubectl has it.
    const schema = CORE_SCHEMA.withTags(mergeTag, binaryTag)
    return loadAll(decoded(readFileSync(file)), { json: true, schema })[0]
  } catch (error) {
    if (error instanceof ExpectedError) throw error
    if (codeOf(error) === 'ENOENT')
      throw new ExpectedError(
        `the kubeconfig ${file} does not exist`,
        'copy the kubeconfig of the cluster there, or give it with `install-core --kubeconfig FILE`',
      )
    // The parser quotes the file, and with it keys and tokens: only the kind of error is told.
    const why = codeOf(error) ? `it cannot be read (${codeOf(error)})` : 'it is not a kubeconfig in YAML'
    throw new ExpectedError(`${file} is not usable: ${why}`, FETCH, {
      cause: codeOf(error) ? error : undefined,
    })
  }
}

/** The text of a file: UTF-8, or UTF-16 as Windows' shells write it, which begins with a mark of the byte order. */
function decoded(bytes: Buffer): string {
  const [first = 0, second = 0] = bytes
  const wide = (first << 8) | second
  return new TextDecoder(wide === 0xfffe ? 'utf-16le' : wide === 0xfeff ? 'utf-16be' : 'utf-8').decode(bytes)
}

const textOf = (value: unknown) =>
  value instanceof Uint8Array
    ? Buffer.from(value).toString()
    : typeof value === 'string' && value !== ''
      ? value
      : undefined
const isLoopback = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host)

/** The entries of a list by their names, as far as they have one. Throws for a name that is there twice. */
function entriesOf(
  list: unknown,
  part: 'context' | 'cluster' | 'user',
  refused: Refused,
): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const item of Array.isArray(list) ? list : []) {
    if (!isEntry(item) || item.name === undefined) continue
    const name = String(item.name)
    if (entries.has(name))
      throw refused(`it defines the ${part} ${nameText(name)} twice`, 'remove the one that is not meant')
    entries.set(name, isEntry(item[part]) ? item[part] : {})
  }
  return entries
}

function names(entries: ReadonlyMap<string, unknown>): string {
  const all = [...entries.keys()].map(name => asOneLine(name.slice(0, 100)))
  if (all.length === 0) return 'none'
  return all.length > 5 ? `${all.slice(0, 5).join(', ')} and ${all.length - 5} more` : all.join(', ')
}

/** Throws for a field that is a number or a list where a text belongs: a token of digits without quotes. */
function checkTypes(what: string, entry: Entry, fields: readonly string[], refused: Refused): void {
  for (const field of fields) {
    const value = entry[field]
    if (value === undefined || value === null || typeof value === 'string' || value instanceof Uint8Array)
      continue
    throw refused(`${field} of its ${what} is not a text`, 'put its value in quotes')
  }
}

/** The server's URL. Throws for what is not a URL of HTTP. */
function serverOf(server: string, refused: Refused): URL {
  const url = URL.parse(server)
  const fix = 'correct it: https://HOST:6443'
  if ((url?.protocol !== 'https:' && url?.protocol !== 'http:') || /\s/.test(server))
    throw refused(`its server ${nameText(server)} is not a URL`, fix)
  if (url.hash) throw refused('its server has a # in its address', fix)
  return url
}

/** A path as the file means it: relative to the file's folder. */
function pathIn(folder: string, path: unknown): string | undefined {
  const text = textOf(path)
  return text === undefined || isAbsolute(text) ? text : join(folder, text)
}

/** The content of `FIELD-data` in Base64, or of the file that FIELD names. Throws for both, and for what cannot be read. */
function fileOrData(entry: Entry, field: string, folder: string, refused: Refused): Buffer | undefined {
  const [path, data] = [pathIn(folder, entry[field]), textOf(entry[`${field}-data`])]
  if (path && data)
    throw refused(`it has ${field} and ${field}-data, which exclude each other`, `remove one of the two`)
  if (data) {
    if (/[^A-Za-z0-9+/=\r\n]/.test(data))
      throw refused(
        `its ${field}-data is not in Base64`,
        `give the file as ${field}, or what \`base64 -w0\` makes of it`,
      )
    return Buffer.from(data, 'base64')
  }
  if (!path) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    throw refused(
      `its ${field} ${nameText(path)} cannot be read (${codeOf(error)})`,
      `copy the file there, or ${FETCH}`,
      error,
    )
  }
}

function isCertificate(pem: Buffer): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

/** Throws for a user with half a method to log in, with two that exclude each other, or without any. */
function checkMethods(
  name: string,
  user: Entry,
  { inUrl, plain, refused }: { inUrl: boolean; plain: boolean; refused: Refused },
): void {
  const has = (field: string) => Boolean(user[field] || user[`${field}-data`])
  const [cert, key] = [has('client-certificate'), has('client-key')]
  if (cert !== key)
    throw refused(
      cert
        ? `its ${name} has a client certificate without its key`
        : `its ${name} has a client key without its certificate`,
      `add ${cert ? 'client-key-data' : 'client-certificate-data'}, or ${FETCH}`,
    )
  const token = Boolean(user.token || user.tokenFile)
  const basic = Boolean(user.username || user.password)
  if (token && basic)
    throw refused(`its ${name} has a token and a password, which exclude each other`, 'remove one of the two')
  const asWhom = ['as-uid', 'as-groups', 'as-user-extra'].find(field => user[field])
  if (asWhom && !user.as)
    throw refused(
      `its ${name} has ${asWhom}, and names nobody in \`as\``,
      `add \`as: USER\`, or remove ${asWhom}`,
    )
  // Without encryption none are sent, and a `kubectl proxy` on this machine needs none.
  if (!plain && !cert && !token && !basic && !inUrl && !user.exec)
    throw refused(
      `its ${name} has no credentials: no client certificate, no token and no exec plugin`,
      `${FETCH}, or add a token`,
    )
}

function checkProxy(cluster: Entry, refused: Refused): void {
  const proxy = textOf(cluster['proxy-url'])
  if (proxy && !['http:', 'https:', 'socks5:'].includes(URL.parse(proxy)?.protocol ?? ''))
    throw refused(
      'its proxy-url is not the URL of a proxy',
      'correct it: http://, https:// or socks5://HOST:PORT',
    )
}

/** Fields with files beside the kubeconfig; of certificates and keys any file, since they can be put into it. */
function elsewhere(cluster: Entry, user: Entry): string[] {
  const exec = isEntry(user.exec) ? textOf(user.exec.command) : undefined
  const tokenFile = textOf(user.tokenFile)
  return [
    ...['certificate-authority'].filter(field => cluster[field] && !cluster[`${field}-data`]),
    ...['client-certificate', 'client-key'].filter(field => user[field] && !user[`${field}-data`]),
    ...(tokenFile && !isAbsolute(tokenFile) ? ['tokenFile'] : []),
    ...(exec?.includes('/') && !isAbsolute(exec) ? ['exec.command'] : []),
  ]
}

function clusterOf(cluster: Entry, server: string, ca: Buffer | undefined, skipTLSVerify: boolean): Cluster {
  const serverName = textOf(cluster['tls-server-name'])
  return {
    name: 'cluster',
    server,
    caData: ca?.toString('base64'),
    skipTLSVerify,
    // An address is compared with the certificate by ourselves: TLS sends names alone (RFC 6066).
    tlsServerName: serverName && isIP(serverName) ? undefined : serverName,
    proxyUrl: textOf(cluster['proxy-url']),
  }
}

function userOf(user: Entry, basic: Entry | URL): User {
  const { username, password } = basic
  const given = basic instanceof URL ? decodeURIComponent : (text: string) => text
  return {
    name: 'user',
    token: basic instanceof URL ? undefined : textOf(user.token),
    ...(textOf(username)
      ? { username: given(textOf(username)!), password: given(textOf(password) ?? '') }
      : {}),
    impersonateUser: textOf(user.as),
  }
}

async function optionsOf(
  config: KubeConfig,
  user: Entry,
  folder: string,
  given: {
    insecure: boolean
    plain: boolean
    plugin?: () => Promise<PluginCredentials>
    serverName?: string
    refused: Refused
  },
): Promise<https.RequestOptions> {
  const { insecure, plain, serverName, refused } = given
  const got = await given.plugin?.()
  // Said in so many words: NODE_TLS_REJECT_UNAUTHORIZED would switch it off unseen.
  const options: https.RequestOptions = { rejectUnauthorized: !insecure }
  if (serverName && isIP(serverName))
    options.checkServerIdentity = (_host, certificate) => tls.checkServerIdentity(serverName, certificate)
  if (got?.cert) Object.assign(options, { cert: got.cert, key: got.key })
  try {
    await config.applyToHTTPSOptions(options)
  } catch (error) {
    throw refused(asOneLine(messageOf(error)).slice(0, 500), FETCH, error)
  }
  const headers = options.headers as Record<string, string | string[]>
  if (!plain) {
    const token = tokenOf(user, folder, refused) ?? got?.token
    if (token !== undefined && !options.auth)
      headers.Authorization = `Bearer ${headerText('token', token, refused)}`
  }
  const list = (value: unknown) => (Array.isArray(value) ? value : []).map(String)
  for (const [name, value] of Object.entries({
    Uid: user['as-uid'] ? [String(user['as-uid'])] : [],
    Group: list(user['as-groups']),
    ...Object.fromEntries(
      Object.entries(isEntry(user['as-user-extra']) ? user['as-user-extra'] : {}).map(([key, values]) => [
        `Extra-${encodeURIComponent(key.toLowerCase())}`,
        list(values),
      ]),
    ),
  }))
    if (value.length > 0)
      headers[`Impersonate-${name}`] = value.map(each => headerText('user to impersonate', each, refused))
  return options
}

/** The token of the file that the user names, else the one in the kubeconfig. Throws where the file has none either. */
function tokenOf(user: Entry, folder: string, refused: Refused): string | undefined {
  const token = textOf(user.token)
  const file = pathIn(folder, user.tokenFile)
  if (!file) return token
  const fix = 'write the token there, or into the kubeconfig as `token`'
  try {
    const text = readFileSync(file, 'utf8').trim()
    if (text !== '' || token) return text || token
  } catch (error) {
    if (token) return token
    throw refused(`its tokenFile ${nameText(file)} cannot be read (${codeOf(error)})`, fix, error)
  }
  throw refused(`its tokenFile ${nameText(file)} is empty`, fix)
}

/** A text as a header carries it, in bytes of UTF-8. Throws for one that would end the header. */
function headerText(what: string, text: string, refused: Refused): string {
  if (/\p{Cc}/u.test(text))
    throw refused(`its ${what} has a line end or another control character in it`, 'write it on one line')
  return Buffer.from(text).toString('latin1')
}
