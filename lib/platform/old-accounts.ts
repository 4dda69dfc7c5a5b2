/** Accounts of another user backend: what kratos takes of them. */
import { problemsOf, type Traits } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'

const standard = (bytes: Buffer) => bytes.toString('base64')
const raw = (bytes: Buffer) => standard(bytes).replaceAll('=', '')
const isNumber = (text: string | undefined): text is string => /^\d{1,9}$/.test(text ?? '')
const BASE64 = /^[A-Za-z0-9+/]+=*$/

/** What is wrong with traits, in words. Pure. */
export function traitProblems(traits: Traits): string[] {
  const texts = {
    username: `${JSON.stringify(traits.username)} is not a valid user name: use a-z, 0-9, dot, dash and underscore, at most 64`,
    email: `${JSON.stringify(traits.email)} is not a valid e-mail address`,
    name: 'the name is longer than 256 characters, or has characters that cannot be seen',
  }
  return problemsOf(traits).map(problem => texts[problem])
}

/**
 * A stored hash in the form that kratos imports; undefined for what it cannot. Taken as it is: bcrypt, argon2 and the
 * PHC form of PBKDF2 and scrypt. Converted, the salts being text but for passlib's:
 * - Django: `pbkdf2_sha256$ROUNDS$SALT$BASE64`, `scrypt$N$SALT$R$P$BASE64`, `argon2$…`, `bcrypt$…`
 * - Werkzeug: `pbkdf2:sha256:ROUNDS$SALT$HEX` and `scrypt:N:R:P$SALT$HEX`
 * - passlib: `$pbkdf2-sha256$ROUNDS$SALT$HASH`, in a base64 with a dot for the plus
 * (ory/kratos, hash/hash_comparator.go; django, contrib/auth/hashers.py; werkzeug, security.py; passlib,
 * utils/binary.py, ab64_encode). Pure.
 */
export function importableHash(text: string): string | undefined {
  if (text.length > 1024) return undefined
  if (/^\$2[abzy]?\$\d\d\$[./A-Za-z0-9]{53}$/.test(text)) return text
  if (/^\$argon2(id|i)\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(text)) return text
  if (/^\$pbkdf2-sha(1|256|512)\$i=\d+,l=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(text)) return text
  if (/^\$scrypt\$ln=\d+,r=\d+,p=\d+\$[A-Za-z0-9+/]+=*\$[A-Za-z0-9+/]+=*$/.test(text)) return text
  const framework = /^(?:argon2(?=\$argon2)|bcrypt\$(?=\$2))/.exec(text)?.[0]
  if (framework) return importableHash(text.slice(framework.length))
  return fromPasslib(text) ?? fromDjango(text) ?? fromWerkzeug(text)
}

function fromPasslib(text: string): string | undefined {
  const [empty, method = '', rounds, salt = '', hash = '', ...more] = text.split('$')
  const digest = /^pbkdf2(?:-sha(256|512))?$/.exec(method)
  const isText = [salt, hash].every(part => /^[A-Za-z0-9./]+$/.test(part))
  if (empty !== '' || more.length > 0 || !digest || !isNumber(rounds) || !isText) return undefined
  const bytes = (part: string) => Buffer.from(part.replaceAll('.', '+'), 'base64')
  return pbkdf2(digest[1] ?? '1', rounds, bytes(salt), bytes(hash))
}

function fromDjango(text: string): string | undefined {
  const [method = '', rounds, salt = '', ...parts] = text.split('$')
  const hash = parts.at(-1) ?? ''
  if (!isNumber(rounds) || !BASE64.test(hash)) return undefined
  const digest = /^pbkdf2_sha(1|256|512)$/.exec(method)?.[1]
  if (digest && parts.length === 1)
    return pbkdf2(digest, rounds, Buffer.from(salt), Buffer.from(hash, 'base64'))
  const [block, parallel] = parts
  if (method !== 'scrypt' || parts.length !== 3 || !isNumber(block) || !isNumber(parallel)) return undefined
  return scrypt([rounds, block, parallel], salt, Buffer.from(hash, 'base64'))
}

function fromWerkzeug(text: string): string | undefined {
  const [method = '', salt = '', hex = '', ...more] = text.split('$')
  if (more.length > 0 || !/^([0-9a-f]{2})+$/.test(hex)) return undefined
  const hash = Buffer.from(hex, 'hex')
  const [, digest, rounds] = /^pbkdf2:sha(1|256|512):(\d{1,9})$/.exec(method) ?? []
  if (digest && rounds) return pbkdf2(digest, rounds, Buffer.from(salt), hash)
  const [, cost, block, parallel] = /^scrypt:(\d{1,9}):(\d{1,4}):(\d{1,4})$/.exec(method) ?? []
  return cost && block && parallel ? scrypt([cost, block, parallel], salt, hash) : undefined
}

function pbkdf2(digest: string, rounds: string, salt: Buffer, hash: Buffer): string | undefined {
  if (salt.length === 0) return undefined
  return `$pbkdf2-sha${digest}$i=${rounds},l=${hash.length}$${raw(salt)}$${raw(hash)}`
}

function scrypt(
  [cost, block, parallel]: readonly [string, string, string],
  salt: string,
  hash: Buffer,
): string | undefined {
  if (salt === '') return undefined
  return `$scrypt$ln=${cost},r=${block},p=${parallel}$${standard(Buffer.from(salt))}$${standard(hash)}`
}
