import {
  changeUser,
  endSessions,
  type Services,
} from '../../../flux2/core/single-sign-on/userpanel/panel/accounts.ts'
import { generatePassword } from '../../../flux2/core/single-sign-on/userpanel/panel/password.ts'
import {
  type AdminMetadata,
  type Identity,
  newIdentity,
} from '../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { ExpectedError } from '../../../lib/script/errors.ts'
import { registerSecret } from '../../../lib/script/redact.ts'

/** Who is tested with. The subject tells them from everybody else, and applications know them by it again. */
const PEOPLE = {
  administrator: { username: 'oas-test-admin', subject: 'test-cluster-administrator' },
  user: { username: 'oas-test', subject: 'test-cluster-user' },
} as const
/** Which of the two people. */
export type Part = keyof typeof PEOPLE

/** Somebody who was created for the test. */
export interface TestPerson {
  part: Part
  identity: Identity
  username: string
  password: string
}

/**
 * Removes both people, with all of their sessions, whoever left them. Throws an ExpectedError where somebody else has
 * their name.
 */
export async function removeTestPeople(services: Services): Promise<void> {
  for (const { username, subject } of Object.values(PEOPLE)) {
    const identity = await services.kratos.find(username)
    if (!identity) continue
    if (identity.metadata_admin?.subject !== subject)
      throw new ExpectedError(
        `the user ${username} exists, and was not created by test-cluster`,
        `rename or delete this user: npx tsx scripts/users.ts show ${username}`,
      )
    await endSessions(services, identity)
    await services.kratos.remove(identity.id)
  }
}

/** Creates both people with passwords that nobody knows: an administrator, and a user who may open these applications. */
export async function createTestPeople(
  services: Services,
  domain: string,
  clients: readonly string[],
): Promise<Record<Part, TestPerson>> {
  const host = domain.split(':')[0]!
  const create = async (part: Part, metadata: AdminMetadata): Promise<TestPerson> => {
    const { username, subject } = PEOPLE[part]
    const password = generatePassword()
    registerSecret(password)
    const traits = { username, email: `${username}@${host}`, name: `Test of the platform (${part})` }
    const identity = await services.kratos.create(newIdentity(traits, { ...metadata, subject }, password))
    return { part, identity, username, password }
  }
  const apps = Object.fromEntries(clients.map(client => [client, 'user' as const]))
  return {
    administrator: await create('administrator', { admin: true, apps: {} }),
    user: await create('user', { apps }),
  }
}

/** Takes every application away from somebody. */
export async function withdrawGrants(services: Services, person: TestPerson): Promise<void> {
  // The panel has noted at the login what it knows of the person.
  const identity = await services.kratos.identity(person.identity.id)
  await changeUser(services, identity, { metadata_admin: { ...identity.metadata_admin, apps: {} } })
}
