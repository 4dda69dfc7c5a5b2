/** Hashes of passwords that another user backend has kept, as kratos imports them. */

const standard = (bytes: Buffer) => bytes.toString('base64')
const raw = (bytes: Buffer) => standard(bytes).replaceAll('=', '')

/**
 * A stored hash in the form that kratos imports; undefined for what it cannot. Taken as it is: bcrypt, argon2 and the
 * PHC form of PBKDF2 and scrypt. Converted: Django's `pbkdf2_sha256$ROUNDS$SALT$BASE64` and Werkzeug's
 * `pbkdf2:sha256:ROUNDS$SALT$HEX` and `scrypt:N:R:P$SALT$HEX`, whose salts are text
 * (ory/kratos, hash/hash_comparator.go; django, contrib/auth/hashers.py; werkzeug, security.py). Pure.
 */
export function importableHash(text: string): string | undefined {
  if (text.length > 1024) return undefined
  if (/^\$2[abzy]?\$\d\d\$[./A-Za-z0-9]{53}$/.test(text)) return text
  if (/^\$argon2(id|i)\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(text)) return text
  if (/^\$pbkdf2-sha(1|256|512)\$i=\d+,l=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(text)) return text
  if (/^\$scrypt\$ln=\d+,r=\d+,p=\d+\$[A-Za-z0-9+/]+=*\$[A-Za-z0-9+/]+=*$/.test(text)) return text
  const [method = '', ...parts] = text.split('$')
  const django = /^pbkdf2_sha(1|256|512)$/.exec(method)
  if (django && parts.length === 3 && /^\d{1,9}$/.test(parts[0]!) && /^[A-Za-z0-9+/]+=*$/.test(parts[2]!))
    return pbkdf2(django[1]!, parts[0]!, parts[1]!, Buffer.from(parts[2]!, 'base64'))
  if (parts.length !== 2 || !/^([0-9a-f]{2})+$/.test(parts[1]!)) return undefined
  const [salt, hash] = [parts[0]!, Buffer.from(parts[1]!, 'hex')]
  const [, digest, rounds] = /^pbkdf2:sha(1|256|512):(\d{1,9})$/.exec(method) ?? []
  if (digest && rounds) return pbkdf2(digest, rounds, salt, hash)
  const [, cost, block, parallel] = /^scrypt:(\d{1,9}):(\d{1,4}):(\d{1,4})$/.exec(method) ?? []
  if (!cost || salt === '') return undefined
  return `$scrypt$ln=${cost},r=${block},p=${parallel}$${standard(Buffer.from(salt))}$${standard(hash)}`
}

function pbkdf2(digest: string, rounds: string, salt: string, hash: Buffer): string | undefined {
  if (salt === '') return undefined
  return `$pbkdf2-sha${digest}$i=${rounds},l=${hash.length}$${raw(Buffer.from(salt))}$${raw(hash)}`
}
