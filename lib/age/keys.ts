import { readFileSync, statSync } from 'node:fs'
import { codeOf, UsageError } from '../script/errors.ts'
import { readIfExists } from '../script/files.ts'
import type { FlagValues } from '../script/flags.ts'
import type { Log } from '../script/log.ts'
import { askSecret } from '../script/prompt.ts'
import { registerSecret } from '../script/redact.ts'
import { type AgeKeys, allOf, decryptWith, type Recipients } from './age.ts'
import type { ageFlags } from './flags.ts'

type AgeValues = FlagValues<typeof ageFlags>

/** A shorter passphrase does not resist whoever has the file, and time. */
const SHORTEST = 10
const VARIABLE = 'OAS_AGE_PASSPHRASE'
const SECRET = /^AGE-SECRET-KEY-/i

/**
 * To whom the flags say to encrypt; without any of them, to the recipients in the file `remembered`. Throws a
 * UsageError when neither says so: what goes through here is never written unencrypted.
 */
export async function recipientsOf(
  { recipient, passphrase }: Pick<AgeValues, 'recipient' | 'passphrase'>,
  remembered?: string,
): Promise<Recipients> {
  if (passphrase && recipient.length > 0)
    throw new UsageError(
      'an age file is encrypted either with a passphrase or to recipients',
      'give --passphrase or --recipient, not both',
    )
  if (passphrase) return { passphrase: await newPassphrase() }
  if (recipient.length > 0) {
    const lists = recipient.map(value =>
      /^age1|^ssh-/.test(value) || SECRET.test(value)
        ? parseRecipients(value, '--recipient')
        : parseRecipients(readText(value, '--recipient'), value),
    )
    return { recipients: [...new Set((await Promise.all(lists)).flat())] }
  }
  const text = remembered === undefined ? undefined : readIfExists(remembered)
  if (text !== undefined) return { recipients: await parseRecipients(text, remembered!) }
  throw new UsageError(
    'neither a recipient nor a passphrase to encrypt with, and nothing is written without',
    'give --recipient AGE1…, or --passphrase',
  )
}

/** The same; undefined where nothing says to whom: neither a flag, nor the file `remembered`. */
export async function recipientsIfAny(
  flags: Pick<AgeValues, 'recipient' | 'passphrase'>,
  remembered?: string,
): Promise<Recipients | undefined> {
  const isSaid = flags.passphrase || flags.recipient.length > 0
  if (!isSaid && (remembered === undefined || readIfExists(remembered) === undefined)) return undefined
  return recipientsOf(flags, remembered)
}

/** The recipients in a text, one a line, each once; empty lines and # comments are allowed. Throws a UsageError for any other line. */
export async function parseRecipients(text: string, file: string): Promise<string[]> {
  const { Encrypter } = await import('age-encryption')
  const recipients = new Set<string>()
  text.split(/\r?\n/).forEach((raw, i) => {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) return
    const where = text.includes('\n') ? `${file} line ${i + 1}` : file
    if (SECRET.test(line)) {
      registerSecret(line)
      throw new UsageError(
        `${where} is an identity: a secret, which opens what is encrypted`,
        'give the recipient that belongs to it: age1…, its `public key`',
      )
    }
    if (line.startsWith('ssh-'))
      throw new UsageError(`${where}: SSH keys cannot be recipients here`, 'give an age recipient: age1…')
    try {
      new Encrypter().addRecipient(line)
    } catch {
      throw new UsageError(
        `${where} is not an age recipient: a character of it is wrong or missing`,
        'copy it again, whole: age1…',
      )
    }
    recipients.add(line)
  })
  if (recipients.size === 0) throw new UsageError(`${file} names no recipient`, 'put age1… into it')
  return [...recipients]
}

/** What the flags give to open age files with. A passphrase is asked for only when a file needs one. */
export async function ageKeysOf(
  { identity }: Pick<AgeValues, 'identity'>,
  log: Pick<Log, 'warn'>,
): Promise<AgeKeys> {
  const asked = new Map<string, Promise<string>>()
  const passphrase = (what: string) => {
    const answer = asked.get(what) ?? givenPassphrase(what)
    asked.set(what, answer)
    return answer
  }
  const identities: string[] = []
  for (const file of identity) identities.push(...(await readIdentities(file, log, passphrase)))
  return { identities, passphrase: () => passphrase('Passphrase:') }
}

/** The identities in a file, which may itself be encrypted with a passphrase, as `age -p` does it. */
async function readIdentities(
  file: string,
  log: Pick<Log, 'warn'>,
  passphrase: (what: string) => Promise<string>,
): Promise<string[]> {
  if (SECRET.test(file)) {
    registerSecret(file)
    throw new UsageError(
      '--identity takes a file: arguments are visible to everybody on the machine',
      'put the identity into a file with mode 0600; take this one for known to others',
    )
  }
  let text = readText(file, '--identity', 'latin1')
  if (/^age-encryption\.org\/|^\s*-----BEGIN AGE ENCRYPTED FILE-----/.test(text)) {
    const keys = { identities: [], passphrase: () => passphrase(`Passphrase of ${file}:`) }
    text = (await allOf(decryptWith(keys, [Buffer.from(text, 'latin1')], file))).toString()
  } else if ((statSync(file).mode & 0o077) !== 0)
    log.warn(`${file} can be read by others on this machine: chmod 600 ${file}`)
  return parseIdentities(text, file)
}

/** The identities in a text, one a line; empty lines and # comments are allowed. Never quotes any of it. */
export async function parseIdentities(text: string, file: string): Promise<string[]> {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text))
    throw new UsageError(
      `${file} is an SSH key, and these cannot open age files here`,
      'give the file with AGE-SECRET-KEY-1… in it',
    )
  const { Decrypter } = await import('age-encryption')
  const identities = text.split(/\r?\n/).flatMap((raw, i) => {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) return []
    registerSecret(line)
    try {
      new Decrypter().addIdentity(line)
    } catch {
      throw new UsageError(`${file} line ${i + 1} is not an age identity`, 'take another copy of this file')
    }
    return [line]
  })
  if (identities.length === 0)
    throw new UsageError(`${file} holds no identity`, 'give the file with AGE-SECRET-KEY-1… in it')
  return identities
}

/** A new identity as the text of a file that `age -i` reads, and the recipient that belongs to it. */
export async function newIdentity(): Promise<{ text: string; recipient: string }> {
  const { generateX25519Identity, identityToRecipient } = await import('age-encryption')
  const identity = await generateX25519Identity()
  registerSecret(identity)
  const recipient = await identityToRecipient(identity)
  return {
    recipient,
    text: `# created: ${new Date().toISOString()}\n# public key: ${recipient}\n${identity}\n`,
  }
}

async function newPassphrase(): Promise<string> {
  const check = (text: string) =>
    text.length < SHORTEST ? `at least ${SHORTEST} characters; five random words are good` : undefined
  const given = process.env[VARIABLE]
  if (given) {
    registerSecret(given)
    const problem = check(given)
    if (problem) throw new UsageError(`${VARIABLE} is too short`, `it needs ${problem}`)
    return given
  }
  const flag = `it as ${VARIABLE} in the environment`
  const passphrase = await askSecret({ message: 'New passphrase:', flag, check })
  registerSecret(passphrase)
  // A typing error would lock everybody out, and would be found only when the file is needed.
  await askSecret({
    message: 'The same again:',
    flag,
    check: text => (text === passphrase ? undefined : 'it is another one'),
  })
  return passphrase
}

async function givenPassphrase(message: string): Promise<string> {
  const passphrase =
    process.env[VARIABLE] || (await askSecret({ message, flag: `it as ${VARIABLE} in the environment` }))
  registerSecret(passphrase)
  return passphrase
}

function readText(file: string, flag: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  try {
    return readFileSync(file, encoding)
  } catch (error) {
    if (codeOf(error) === 'EISDIR' || codeOf(error) === 'ENOENT')
      throw new UsageError(
        `${flag} ${JSON.stringify(file)} is not a file`,
        flag === '--recipient'
          ? 'give a recipient, age1…, or a file of them'
          : 'give the file of an identity',
      )
    throw error
  }
}
