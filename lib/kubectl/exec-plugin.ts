import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { type ExpectedError, messageOf } from '../script/errors.ts'
import { asOneLine } from '../script/printable.ts'

/** What an exec plugin gives: a token, a client certificate with its key, or both. */
export interface PluginCredentials {
  token?: string
  cert?: string
  key?: string
}

/** An error about the kubeconfig: what is wrong with it, and the fix. */
export type Refused = (what: string, fix: string, cause?: unknown) => ExpectedError
type Entry = Record<string, unknown>

/** Whether a value of a kubeconfig is a map. Pure. */
export const isEntry = (value: unknown): value is Entry =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)
/** A value of a kubeconfig for a message: in quotes, in one line, not too long. Pure. */
export const nameText = (value: unknown) => asOneLine(JSON.stringify(String(value ?? '')).slice(0, 200))

const GROUP = 'client.authentication.k8s.io/'
const VERSIONS = ['v1', 'v1beta1'].map(version => GROUP + version)
const MODES = ['Never', 'IfAvailable', 'Always']
/** Milliseconds for a plugin that asks nobody, and for one that lets somebody log in. */
const PATIENCE = 15_000
const PATIENCE_WITH_A_PERSON = 180_000
/** Characters of an answer: a token and a certificate fit in many times. */
const LONGEST = 1 << 20
/** Milliseconds that credentials without an end are used; kubectl asks again when the server refuses them. */
const WITHOUT_END = 60_000
const BY_HAND = 'run the plugin by hand, and log in with it again'

/**
 * Prepares the exec plugin of a user as kubectl runs it (k8s.io/client-go plugin/pkg/client/auth/exec/exec.go and
 * tools/clientcmd/validation.go). Returns a function that runs it, unless what it gave before is still valid; that
 * throws an ExpectedError when the plugin fails, takes too long or gives no credentials. What it writes is never quoted,
 * since it may be a credential; only what it says on stderr is. Throws at once for an entry that kubectl refuses, and
 * for a program that is missing. `cluster` is told to a plugin with provideClusterInfo.
 */
export function execPlugin(
  exec: unknown,
  folder: string,
  cluster: Entry,
  refused: Refused,
): () => Promise<PluginCredentials> {
  const command = isEntry(exec) ? textOf(exec.command) : undefined
  if (!isEntry(exec) || !command) throw refused('its exec plugin names no command', 'correct its user')
  const program = programOf(command, folder, exec.installHint, refused)
  const version = String(exec.apiVersion ?? '')
  if (!VERSIONS.includes(version))
    throw refused(
      `its exec plugin has the apiVersion ${nameText(version)}, which Kubernetes does not support`,
      `install a current version of the plugin, and let it write the kubeconfig again (${VERSIONS.join(' or ')})`,
    )
  const mode = exec.interactiveMode ?? (version === VERSIONS[0] ? undefined : 'IfAvailable')
  if (!MODES.includes(String(mode)))
    throw refused(
      `its exec plugin has ${mode === undefined ? 'no interactiveMode' : `the interactiveMode ${nameText(mode)}`}`,
      `write one of ${MODES.join(', ')} beside its command`,
    )
  const args = (Array.isArray(exec.args) ? exec.args : []).map(String)
  const env = { ...process.env }
  for (const item of Array.isArray(exec.env) ? exec.env : [])
    if (isEntry(item) && textOf(item.name)) env[String(item.name)] = String(item.value ?? '')

  let held: { credentials: PluginCredentials; until: number } | undefined
  return async () => {
    if (held && held.until > Date.now()) return held.credentials
    const interactive = mode !== 'Never' && process.stdin.isTTY === true
    if (mode === 'Always' && !interactive)
      throw refused(
        'its exec plugin asks somebody at a terminal, and there is none',
        'run the script at a terminal, or put a token or a client certificate into the kubeconfig',
      )
    const info = {
      apiVersion: version,
      kind: 'ExecCredential',
      spec: { interactive, ...(exec.provideClusterInfo === true ? { cluster: clusterInfo(cluster) } : {}) },
    }
    env.KUBERNETES_EXEC_INFO = JSON.stringify(info)
    const text = await outputOf(program, args, env, interactive).catch(error => {
      throw refused(`its exec plugin fails: ${asOneLine(messageOf(error)).slice(0, 500)}`, BY_HAND, error)
    })
    held = credentialsOf(text, version, refused)
    return held.credentials
  }
}

/** The path of a plugin's program; one with a slash is relative to the kubeconfig. Throws when it is missing. */
function programOf(command: string, folder: string, installHint: unknown, refused: Refused): string {
  const runs = (path: string) => {
    try {
      accessSync(path, constants.X_OK)
      return statSync(path).isFile()
    } catch {
      return false
    }
  }
  const hint = textOf(installHint)
  const install = hint ? `install it: ${asOneLine(hint).slice(0, 500)}` : 'install it'
  if (command.includes('/')) {
    const path = isAbsolute(command) ? command : join(folder, command)
    if (runs(path)) return path
    throw refused(`it needs the program ${nameText(path)}, which is not there or not executable`, install)
  }
  if ((process.env.PATH ?? '').split(delimiter).some(place => runs(join(place, command)))) return command
  throw refused(`it needs the program ${nameText(command)}, which is not in PATH`, install)
}

/** What a plugin with provideClusterInfo is told (k8s.io/client-go pkg/apis/clientauthentication/v1, Cluster). */
function clusterInfo(cluster: Entry): Entry {
  const fields = [
    'server',
    'tls-server-name',
    'insecure-skip-tls-verify',
    'certificate-authority-data',
    'proxy-url',
  ]
  const own = (Array.isArray(cluster.extensions) ? cluster.extensions : []).find(
    item => isEntry(item) && item.name === `${GROUP}exec`,
  )
  return {
    ...Object.fromEntries(fields.filter(field => cluster[field]).map(field => [field, cluster[field]])),
    ...(own ? { config: own.extension } : {}),
  }
}

/** What a program writes. Throws when it fails, writes without end, or does not end. */
function outputOf(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  interactive: boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env,
      stdio: interactive ? ['inherit', 'pipe', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let errors = ''
    const end = (error?: Error) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      // A process that it leaves behind would keep this one from ending.
      for (const stream of [child.stdout, child.stderr]) stream?.destroy()
      if (error) reject(error)
      else resolve(output)
    }
    const patience = interactive ? PATIENCE_WITH_A_PERSON : PATIENCE
    const timer = setTimeout(() => end(new Error(`it did not end within ${patience / 1000} s`)), patience)
    child.stdout?.setEncoding('utf8').on('data', text => {
      output += text
      if (output.length > LONGEST) end(new Error('it writes without end'))
    })
    child.stderr?.setEncoding('utf8').on('data', text => {
      errors = (errors + text).slice(0, 2000)
    })
    child.on('error', end)
    child.on('exit', (code, signal) => {
      const done = () => {
        if (code === 0) return end()
        end(new Error(errors.trim() || `it ended with ${signal ?? `exit code ${code}`}, without a word`))
      }
      const late = setTimeout(done, 1000)
      child.on('close', () => {
        clearTimeout(late)
        done()
      })
    })
  })
}

/** The credentials of a plugin's answer, and until when they are used. */
function credentialsOf(text: string, version: string, refused: Refused) {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    answer = undefined
  }
  if (!isEntry(answer) || answer.kind !== 'ExecCredential')
    throw refused('its exec plugin does not write an ExecCredential in JSON', BY_HAND)
  if (answer.apiVersion !== version)
    throw refused(
      `its exec plugin answers in the version ${nameText(answer.apiVersion)}, and is configured for ${nameText(version)}`,
      'correct the apiVersion of the plugin in the kubeconfig, or install the version of the plugin that it is for',
    )
  const status = isEntry(answer.status) ? answer.status : {}
  const token = textOf(status.token)
  const [cert, key] = [textOf(status.clientCertificateData), textOf(status.clientKeyData)]
  if (!cert !== !key || (!token && !cert))
    throw refused('its exec plugin gives no token, and no certificate with its key', BY_HAND)
  const until = Date.parse(String(status.expirationTimestamp ?? ''))
  return {
    credentials: { token, cert, key },
    until: Number.isNaN(until) ? Date.now() + WITHOUT_END : until,
  }
}
