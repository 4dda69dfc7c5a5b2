import { createRequire } from 'node:module'
import { countText } from '../script/count.ts'
import { codeOf, messageOf } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'
import { askSecret, interactive } from '../script/prompt.ts'
import { registerSecret } from '../script/redact.ts'
import type { SshSettings } from './config.ts'

/** A key, as ssh2 parses it. */
interface ParsedKey {
  type: string
  comment: string
  getPublicSSH(): Buffer
  isPrivateKey(): boolean
}

/** An ssh-agent, as ssh2 talks to it. */
interface Agent {
  getIdentities(done: (error: Error | undefined, keys: ParsedKey[]) => void): void
}

/** The part of ssh2 that node-ssh does not hand on: agents and keys. It has to be the copy that node-ssh uses. */
const ssh2 = createRequire(createRequire(import.meta.url).resolve('node-ssh'))('ssh2') as {
  createAgent(socket: string): Agent
  utils: { parseKey(key: string, passphrase?: string): ParsedKey | ParsedKey[] | Error }
}

/** One try to log in, as ssh2 expects it from an authHandler. */
export type LoginMethod = { username: string } & (
  | { type: 'agent'; agent: Agent }
  | { type: 'publickey'; key: ParsedKey }
)

function parse(text: string, passphrase?: string): ParsedKey | Error {
  try {
    const key = ssh2.utils.parseKey(text, passphrase)
    return Array.isArray(key) ? key[0]! : key
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error))
  }
}

const samePublic = (a: ParsedKey) => (b: ParsedKey) => a.getPublicSSH().equals(b.getPublicSSH())

/**
 * The ways to log in to one server, in the order of ssh: keys of the agent, those that the configuration names
 * first, then the key files. A passphrase is asked for only when its key's turn has come.
 */
export class Login {
  /** What was offered, in words. */
  readonly offered: string[] = []
  /** What could not be offered, and why. */
  readonly problems: string[] = []
  /** What the server still wants, as it said last. */
  wanted: string[] = []
  readonly #methods: AsyncGenerator<LoginMethod, undefined>

  constructor(settings: SshSettings, options: { onAsk: (asking: boolean) => void }) {
    this.#methods = this.#generate(settings, options.onAsk)
  }

  /** The next method; false when there is none left. */
  async next(): Promise<LoginMethod | false> {
    return (await this.#methods.next()).value ?? false
  }

  async *#generate(
    settings: SshSettings,
    onAsk: (asking: boolean) => void,
  ): AsyncGenerator<LoginMethod, undefined> {
    const username = settings.user
    const named = settings.identityFiles.flatMap(file => publicKeyOf(file) ?? [])
    const agent = await this.#agent(settings, named)
    if (agent) yield { type: 'agent', username, agent: agent.agent }
    for (const file of settings.identityFiles) {
      const key = await this.#privateKey(file, agent?.keys ?? [], onAsk)
      if (!key) continue
      this.offered.push(file)
      yield { type: 'publickey', username, key }
    }
    return undefined
  }

  /** The agent with the keys to offer. One that does not answer is a problem to tell only if nothing else works. */
  async #agent(settings: SshSettings, named: ParsedKey[]) {
    const variable = settings.identityAgent?.startsWith('$') ? settings.identityAgent.slice(1) : undefined
    const socket = variable
      ? process.env[variable.replace(/^\{(.*)\}$/, '$1')]
      : (settings.identityAgent ?? process.env.SSH_AUTH_SOCK)
    if (socket === 'none') return undefined
    if (!socket) {
      this.problems.push('no ssh-agent is running (SSH_AUTH_SOCK is not set)')
      return undefined
    }
    const agent = ssh2.createAgent(socket)
    const all = await new Promise<ParsedKey[] | undefined>(resolve =>
      agent.getIdentities((error, keys) => resolve(error ? undefined : keys)),
    )
    if (!all) {
      this.problems.push(`the ssh-agent at ${socket} does not answer`)
      return undefined
    }
    const isNamed = (key: ParsedKey) => named.some(samePublic(key))
    const keys = [...all.filter(isNamed), ...all.filter(key => !settings.identitiesOnly && !isNamed(key))]
    if (keys.length === 0) {
      this.problems.push(`the ssh-agent holds no key${all.length > 0 ? ' that IdentitiesOnly allows' : ''}`)
      return undefined
    }
    this.offered.push(`${countText(keys.length, 'key')} of the ssh-agent`)
    // The same agent, showing these keys in this order.
    const chosen: Agent = Object.assign(Object.create(agent), {
      getIdentities: (done: (error: undefined, keys: ParsedKey[]) => void) => done(undefined, keys),
    })
    return { agent: chosen, keys }
  }

  async #privateKey(
    file: string,
    byAgent: ParsedKey[],
    onAsk: (asking: boolean) => void,
  ): Promise<ParsedKey | undefined> {
    const known = publicKeyOf(file)
    if (known && byAgent.some(samePublic(known))) return undefined // the agent has offered it
    let text: string | undefined
    try {
      text = readIfExists(file)
    } catch (error) {
      this.problems.push(`${file} cannot be read (${codeOf(error)})`)
      return undefined
    }
    if (text === undefined) return undefined // the usual names need not exist
    const plain = parse(text)
    if (!(plain instanceof Error)) return plain.isPrivateKey() ? plain : undefined
    if (!/passphrase/i.test(plain.message)) {
      this.problems.push(`${file} is not a usable key: ${plain.message}`)
      return undefined
    }
    if (!interactive()) {
      this.problems.push(`${file} needs its passphrase, and there is no terminal to ask on`)
      return undefined
    }
    onAsk(true)
    try {
      for (let attempt = 0; attempt < 3; attempt++) {
        const passphrase = await askSecret({
          message: `Passphrase of ${file}${attempt > 0 ? ' (that was not it)' : ''}`,
          flag: 'the key to an ssh-agent with ssh-add',
        })
        if (passphrase === '') break // Enter passes over this key, as in ssh
        registerSecret(passphrase)
        const key = parse(text, passphrase)
        if (!(key instanceof Error)) return key
      }
    } finally {
      onAsk(false)
    }
    this.problems.push(`${file} was not unlocked`)
    return undefined
  }
}

/** The public key of a key file: from FILE.pub, or from the file itself where it is not encrypted. */
function publicKeyOf(file: string): ParsedKey | undefined {
  for (const path of [`${file}.pub`, file]) {
    let text: string | undefined
    try {
      text = readIfExists(path)
    } catch {
      continue
    }
    const key = text === undefined ? undefined : parse(text)
    if (key && !(key instanceof Error)) return key
  }
  return undefined
}
