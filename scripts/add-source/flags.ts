import { readFileSync, statSync } from 'node:fs'
import { parseSourceName } from '../../lib/flux/own-sources.ts'
import { parseHostName } from '../../lib/preflight/host-name.ts'
import { UsageError } from '../../lib/script/errors.ts'
import { inQuotes } from '../../lib/script/printable.ts'
import { registerSecret } from '../../lib/script/redact.ts'

/** What a run is told about a source. */
export interface SourceFlags {
  branch?: string | undefined
  tag?: string | undefined
  path?: string | undefined
  username?: string | undefined
  'token-file'?: string | undefined
  'verify-with'?: string | undefined
  login?: string | undefined
  memory?: string | undefined
  storage?: string | undefined
}

/** A source, as it was asked for. What no flag says is undefined: a source that exists keeps what it has. */
export interface WantedSource {
  name: string
  url: string
  ref: { branch: string } | { tag: string } | undefined
  path: string | undefined
  /** For an address over https: user and token. */
  token: { username: string; password: string } | undefined
  /** The public keys that commits have to be signed with. */
  keys: string | undefined
  login: { host: string; callback: string } | undefined
  memory: string | undefined
  storage: string | undefined
}

const MOST_BYTES = 100_000

/** Reads what add-source is told. Throws a UsageError for anything that Flux or Git would take otherwise. */
export function readSourceFlags(args: readonly string[], flags: SourceFlags): WantedSource {
  const [name = '', address] = args
  if (address === undefined)
    throw new UsageError(
      'the address of the repository is missing',
      'give NAME and URL; without both they are listed',
    )
  if (flags.branch !== undefined && flags.tag !== undefined)
    throw new UsageError('--branch and --tag do not go together', 'give one of them')
  const url = parseUrl(address)
  const isSsh = url.startsWith('ssh:')
  const { username, 'token-file': tokenFile, 'verify-with': keyFile } = flags
  if (isSsh && (username !== undefined || tokenFile !== undefined))
    throw new UsageError('--username and --token-file are for https', 'omit them: ssh uses a deploy key')
  if ((username === undefined) !== (tokenFile === undefined))
    throw new UsageError('--username and --token-file go together', 'give both, or none')
  return {
    name: parseSourceName(name),
    url,
    ref:
      flags.tag !== undefined
        ? { tag: parseRef('--tag', flags.tag) }
        : given(flags.branch, text => ({ branch: parseRef('--branch', text) })),
    path: given(flags.path, parseFolder),
    token: tokenFile === undefined ? undefined : { username: username!, password: readToken(tokenFile) },
    keys: given(keyFile, readKeys),
    login: given(flags.login, parseLogin),
    memory: given(flags.memory, text => parseSize('--memory', text)),
    storage: given(flags.storage, text => parseSize('--storage', text)),
  }
}

const given = <T>(text: string | undefined, parse: (text: string) => T): T | undefined =>
  text === undefined ? undefined : parse(text)

/** The address of a repository. Throws a UsageError. Pure. */
export function parseUrl(text: string): string {
  const shown = JSON.stringify(text.replace(/\/\/[^/@]*@/, '//…@').slice(0, 120))
  const [, user, host, path] = /^([\w.-]{1,60})@([\w.-]{1,253}):(?!\/\/)([\w./~-]{1,500})$/.exec(text) ?? []
  if (host)
    throw new UsageError(`${shown} is not an address that Flux takes`, `give ssh://${user}@${host}/${path}`)
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (
    !url ||
    !/^(https?|ssh):$/.test(url.protocol) ||
    url.hostname === '' ||
    text.length > 500 ||
    /[\s\\`$]/.test(text)
  )
    throw new UsageError(
      `${shown} is not the address of a Git repository`,
      'give https://HOST/PATH.git or ssh://git@HOST/PATH.git',
    )
  if (url.password || (url.username && url.protocol !== 'ssh:'))
    throw new UsageError(
      `${shown} holds a user or a password, which everybody would see`,
      'give them by --username and --token-file',
    )
  if (url.search || url.hash) throw new UsageError(`${shown} has a ? or #`, 'give the address alone')
  return url.href
}

/** A branch or a tag, by the rules of git-check-ref-format(1) and no further signs. Throws a UsageError. Pure. */
function parseRef(flag: string, text: string): string {
  const isName = /^\w[\w./+-]{0,200}$/.test(text) && !/\.\.|\/\/|\.lock(\/|$)|[./]$|\/\./.test(text)
  if (!isName)
    throw new UsageError(`${flag} ${inQuotes(text)} is not a name in Git`, 'give one like main or v1.2')
  return text
}

/** A folder of the repository. Throws a UsageError for a way out of it. Pure. */
export function parseFolder(text: string): string {
  const parts = text.split('/').filter(part => part !== '' && part !== '.')
  if (text.startsWith('/') || parts.includes('..') || !parts.every(part => /^[\w.@+ -]{1,200}$/.test(part)))
    throw new UsageError(
      `--path ${inQuotes(text)} is not a folder of a repository`,
      'give one from its root on: ./apps',
    )
  return `./${parts.join('/')}`
}

/** `HOST` or `HOST/PATH` of the page to which people come back from logging in. Throws a UsageError. Pure. */
export function parseLogin(text: string): { host: string; callback: string } {
  const slash = text.indexOf('/')
  const host = parseHostName(slash < 0 ? text : text.slice(0, slash))
  const path = slash < 0 ? '/oauth2/callback' : text.slice(slash)
  if (!/^\/[\w./~-]{0,300}$/.test(path) || path.split('/').includes('..'))
    throw new UsageError(`--login ${inQuotes(text)} has no valid path`, 'give HOST, or HOST/PATH')
  return { host, callback: `https://${host}${path}` }
}

function parseSize(flag: string, text: string): string {
  if (!/^[1-9]\d{0,4}(Mi|Gi|Ti)$/.test(text))
    throw new UsageError(
      `${flag} ${JSON.stringify(text.slice(0, 40))} is not a size`,
      'give one like 512Mi or 4Gi',
    )
  return text
}

/** A small text file. Throws a UsageError where it cannot be one. */
function readSmall(flag: string, file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (!stat?.isFile() || stat.size === 0 || stat.size > MOST_BYTES)
    throw new UsageError(`${flag}: ${file} is not a file of 1 to ${MOST_BYTES} bytes`, 'give the right file')
  return readFileSync(file, 'utf8')
}

function readToken(file: string): string {
  const token = readSmall('--token-file', file).trim()
  registerSecret(token)
  if (!/^[\x21-\x7e]{1,2000}$/.test(token))
    throw new UsageError(
      `--token-file: ${file} does not hold a token alone`,
      'write the token and nothing else into it',
    )
  return token
}

function readKeys(file: string): string {
  const text = readSmall('--verify-with', file)
  if (/PRIVATE KEY/.test(text) || !text.includes('BEGIN PGP PUBLIC KEY BLOCK'))
    throw new UsageError(
      `--verify-with: ${file} does not hold public PGP keys`,
      'write them: gpg --armor --export NAME > FILE',
    )
  return text
}
