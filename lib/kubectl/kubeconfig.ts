import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import type https from 'node:https'
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import type { Cluster, KubeConfig, User } from '@kubernetes/client-node'
import { codeOf, ExpectedError, messageOf } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'
import { loadKubeConfig } from './kube-bundle.ts'

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

type Entry = Record<string, unknown>

/**
 * Reads a kubeconfig as kubectl does (k8s.io/client-go tools/clientcmd: client_config.go, loader.go): only the entries
 * of the current context have to be complete, relative paths begin at the file's folder, inline data goes before
 * files, a tokenFile before a token. Other than kubectl, the only context is taken where none is current.
 *
 * Throws an ExpectedError of its own for each thing that is missing: the file, a context, its cluster or user, the
 * program of an exec plugin. Nothing of the file but names is quoted: it holds keys and tokens.
 */
export async function readKubeconfig(file: string): Promise<Access> {
  const refused = (what: string, fix: string, cause?: unknown) =>
    new ExpectedError(`${file} is not usable: ${what}`, fix, { cause })
  const fetchAgain = 'fetch the kubeconfig from the cluster again'
  const root = await parsed(file)
  if (!isEntry(root)) throw refused('it is not a kubeconfig in YAML', fetchAgain)

  const contexts = entriesOf(root.contexts, 'context')
  const current = root['current-context'] || (contexts.size === 1 ? [...contexts.keys()][0] : undefined)
  const choose = `choose one of its contexts (${names(contexts)}): kubectl config use-context NAME --kubeconfig ${file}, or write the line "current-context: NAME" into it`
  if (contexts.size === 0) throw refused('it defines no context', fetchAgain)
  if (current === undefined) throw refused('it has several contexts, and no current-context', choose)
  const context = contexts.get(String(current))
  if (!context) throw refused(`its current-context ${quoted(current)} is not one of its contexts`, choose)

  const clusters = entriesOf(root.clusters, 'cluster')
  const cluster = clusters.get(String(context.cluster))
  if (!cluster)
    throw refused(
      `its context ${quoted(current)} names the cluster ${quoted(context.cluster)}, which it does not define`,
      `correct the context: the clusters in the file are ${names(clusters)}`,
    )
  if (typeof cluster.server !== 'string')
    throw refused(`its cluster ${quoted(context.cluster)} has no server`, `${fetchAgain}, or add the address`)
  const url = URL.parse(cluster.server)
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    throw refused(`its server ${quoted(cluster.server)} is not a URL`, 'correct it: https://HOST:6443')

  const users = entriesOf(root.users, 'user')
  const user = context.user ? users.get(String(context.user)) : {}
  if (!user)
    throw refused(
      `its context ${quoted(current)} names the user ${quoted(context.user)}, which it does not define`,
      `correct the context: the users in the file are ${names(users)}`,
    )
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
  const config = new (await loadKubeConfig())()
  const plain = url.protocol === 'http:'
  const exec = user.exec && execOf(user.exec, folder, refused)
  config.loadFromClusterAndUser(clusterOf(cluster, folder, insecure || plain), userOf(user, exec, folder))
  return {
    server: cluster.server.replace(/\/$/, ''),
    proxied: cluster['proxy-url'] !== undefined,
    unsafe: plain
      ? isLoopback(url.hostname)
        ? undefined
        : 'it is not encrypted (http://)'
      : insecure
        ? 'its certificate is not verified (insecure-skip-tls-verify in the kubeconfig)'
        : undefined,
    elsewhere: elsewhere(cluster, user),
    options: () => optionsOf(config, user, folder, { insecure, refused }),
  }
}

type Refused = (what: string, fix: string, cause?: unknown) => ExpectedError

async function parsed(file: string): Promise<unknown> {
  if (!existsSync(file))
    throw new ExpectedError(
      `the kubeconfig ${file} does not exist`,
      'copy the kubeconfig of the cluster there, or give it with `install-core --kubeconfig FILE`',
    )
  const fix = 'fetch the kubeconfig from the cluster again'
  const { load } = await import('js-yaml')
  try {
    const { size } = statSync(file)
    return size > LARGEST ? undefined : load(readFileSync(file, 'utf8'))
  } catch (error) {
    // The parser quotes the file, and with it keys and tokens: only the kind of error is told.
    const why = codeOf(error) ? `it cannot be read (${codeOf(error)})` : 'it is not a kubeconfig in YAML'
    throw new ExpectedError(`${file} is not usable: ${why}`, fix, {
      cause: codeOf(error) ? error : undefined,
    })
  }
}

const isEntry = (value: unknown): value is Entry =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const quoted = (name: unknown) => asOneLine(JSON.stringify(String(name ?? '')).slice(0, 200))
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)
const isLoopback = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host)

/** The entries of a list by their names, as far as they have one. */
function entriesOf(list: unknown, part: 'context' | 'cluster' | 'user'): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const item of Array.isArray(list) ? list : [])
    if (isEntry(item) && item.name !== undefined && !entries.has(String(item.name)))
      entries.set(String(item.name), isEntry(item[part]) ? item[part] : {})
  return entries
}

function names(entries: ReadonlyMap<string, unknown>): string {
  const all = [...entries.keys()].map(name => asOneLine(name.slice(0, 100)))
  if (all.length === 0) return 'none'
  return all.length > 5 ? `${all.slice(0, 5).join(', ')} and ${all.length - 5} more` : all.join(', ')
}

/** A path as the file means it: relative to the file's folder. */
function pathIn(folder: string, path: unknown): string | undefined {
  const text = textOf(path)
  return text === undefined || isAbsolute(text) ? text : join(folder, text)
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

function clusterOf(cluster: Entry, folder: string, skipTLSVerify: boolean): Cluster {
  const caData = textOf(cluster['certificate-authority-data'])
  return {
    name: 'cluster',
    server: String(cluster.server).replace(/\/$/, ''),
    caData,
    caFile: caData ? undefined : pathIn(folder, cluster['certificate-authority']),
    skipTLSVerify,
    tlsServerName: textOf(cluster['tls-server-name']),
    proxyUrl: textOf(cluster['proxy-url']),
  }
}

function userOf(user: Entry, exec: unknown, folder: string): User {
  const certData = textOf(user['client-certificate-data'])
  const keyData = textOf(user['client-key-data'])
  return {
    name: 'user',
    certData,
    certFile: certData ? undefined : pathIn(folder, user['client-certificate']),
    keyData,
    keyFile: keyData ? undefined : pathIn(folder, user['client-key']),
    token: textOf(user.token),
    username: textOf(user.username),
    password: textOf(user.password),
    exec,
    impersonateUser: textOf(user.as),
  }
}

/** An exec plugin with the path of its program. Throws when the program is missing. */
function execOf(exec: unknown, folder: string, refused: Refused): Entry {
  const command = isEntry(exec) ? textOf(exec.command) : undefined
  if (!isEntry(exec) || !command) throw refused('its exec plugin names no command', 'correct its user')
  const runs = (path: string) => {
    try {
      accessSync(path, constants.X_OK)
      return statSync(path).isFile()
    } catch {
      return false
    }
  }
  const hint = textOf(exec.installHint)
  const install = hint ? `install it: ${asOneLine(hint).slice(0, 500)}` : 'install it'
  if (command.includes('/')) {
    const path = pathIn(folder, command)!
    if (runs(path)) return { ...exec, command: path }
    throw refused(`it needs the program ${quoted(path)}, which is not there or not executable`, install)
  }
  if ((process.env.PATH ?? '').split(delimiter).some(place => runs(join(place, command)))) return exec
  throw refused(`it needs the program ${quoted(command)}, which is not in PATH`, install)
}

async function optionsOf(
  config: KubeConfig,
  user: Entry,
  folder: string,
  { insecure, refused }: { insecure: boolean; refused: Refused },
): Promise<https.RequestOptions> {
  // Said in so many words: NODE_TLS_REJECT_UNAUTHORIZED would switch it off unseen.
  const options: https.RequestOptions = { rejectUnauthorized: !insecure }
  try {
    await config.applyToHTTPSOptions(options)
  } catch (error) {
    const why = asOneLine(messageOf(error)).slice(0, 500)
    if (user.exec)
      throw refused(
        `its exec plugin fails: ${why}`,
        'run the plugin by hand, and log in with it again',
        error,
      )
    throw refused(why, 'fetch the kubeconfig from the cluster again', error)
  }
  const headers = options.headers as Record<string, string | string[]>
  const tokenFile = pathIn(folder, user.tokenFile)
  if (tokenFile)
    try {
      headers.Authorization = `Bearer ${readFileSync(tokenFile, 'utf8').trim()}`
    } catch (error) {
      if (!user.token)
        throw refused(
          `its tokenFile ${quoted(tokenFile)} cannot be read (${codeOf(error)})`,
          'write the token there, or into the kubeconfig as `token`',
          error,
        )
    }
  const groups = user['as-groups']
  if (Array.isArray(groups)) headers['Impersonate-Group'] = groups.map(String)
  return options
}
