import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { allOf, decryptWith, encryptTo } from '../../../lib/age/age.ts'
import { newIdentity, parseIdentities } from '../../../lib/age/keys.ts'
import type { Cluster } from '../../../lib/script/cluster.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import { registerSecret } from '../../../lib/script/redact.ts'
import type { OldUser, OldUsers } from './people.ts'

type Place = Pick<Cluster, 'folder'>

/** Not .age or .json: a backup refuses such files when its manifest does not name them. */
const NAME = 'users-of-0.6.sealed'
const FORMAT = 'openappstack-users-0.6/1'

const keyFile = ({ folder }: Place) => join(folder, 'upgrade-0.7', 'users.key')

/**
 * Keeps what was read of the users in the folder of the backup until kratos is ready: encrypted to a key elsewhere in
 * the cluster folder, so that a copy of the backup shows no hash. The key is created once. Returns the file, relative
 * to the cluster folder; an earlier file is replaced only by a whole one.
 */
export async function keepUsers(place: Place, backup: string, read: OldUsers): Promise<string> {
  const key = keyFile(place)
  privateFolder(dirname(key))
  let text = readIfExists(key)
  if (text === undefined) {
    text = (await newIdentity()).text
    writeFileAtomic(key, text)
  }
  const recipient = /^# public key: (age1\S+)$/m.exec(text)?.[1]
  if (!recipient) throw damaged(key)
  const file = join(backup, NAME)
  const content = JSON.stringify({ format: FORMAT, ...read })
  writeFileAtomic(file, await allOf(encryptTo({ recipients: [recipient] }, [Buffer.from(content)])))
  return relative(place.folder, file)
}

/** The users that were kept. Throws an ExpectedError when the file or its key is missing or damaged. */
export async function keptUsers(place: Place, path: string): Promise<OldUsers> {
  const file = join(place.folder, path)
  const key = readIfExists(keyFile(place))
  if (key === undefined) throw damaged(keyFile(place))
  const identities = await parseIdentities(key, keyFile(place))
  const keys = { identities, passphrase: () => Promise.reject(damaged(file)) }
  let sealed: Buffer
  try {
    sealed = readFileSync(file)
  } catch {
    throw damaged(file)
  }
  let read: Partial<OldUsers & { format: string }> = {}
  try {
    read = JSON.parse((await allOf(decryptWith(keys, [sealed], file))).toString())
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  const { format, users, left, notes } = read
  if (format !== FORMAT || !Array.isArray(users) || !Array.isArray(left) || !Array.isArray(notes))
    throw damaged(file)
  for (const { hash } of users as OldUser[]) if (hash) registerSecret(hash)
  return { users, left, notes }
}

function damaged(file: string): ExpectedError {
  return new ExpectedError(
    `${file} is missing or damaged: the users of 0.6 cannot be read`,
    'put back a copy of it; or continue without the users: --skip-users, then create them with `npx tsx scripts/users.ts import`',
  )
}
