import {
  type AdminMetadata,
  type Identity,
  isReserved,
} from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { ExpectedError, throwAll } from '../../lib/script/errors.ts'
import { type AccountPlan, changePlan, guardLastAdmin } from './actions.ts'
import { grantWords, type Person } from './people.ts'

/** What makes the platform's users those of a file; users that the file does not name stay. Pure. */
export function importPlan(wanted: readonly Person[], people: readonly Identity[]): AccountPlan {
  const byName = new Map(people.map(person => [person.traits.username, person]))
  const byEmail = new Map(people.map(person => [person.traits.email.toLowerCase(), person.traits.username]))
  const problems: ExpectedError[] = []
  const actions = wanted.flatMap(({ traits, admin, apps, hash }): AccountPlan['actions'] => {
    const { username, email } = traits
    const owner = byEmail.get(email.toLowerCase())
    if (owner !== undefined && owner !== username)
      problems.push(
        new ExpectedError(`${username}: ${email} is the address of ${owner}`, 'use another address'),
      )
    const identity = byName.get(username)
    if (!identity) {
      if (isReserved(username, admin))
        problems.push(
          new ExpectedError(
            `${username}: the name is reserved, applications or the server use it themselves`,
            'choose another name',
          ),
        )
      const metadata: AdminMetadata = { admin: admin ?? false, apps: apps ?? {} }
      const access = metadata.admin ? 'administrator' : grantWords(metadata) || 'no applications'
      const line = `create ${username} (${email}): ${access}${hash ? ', with the password of before' : ''}`
      return [{ line, action: { does: 'create', traits, metadata, hash } }]
    }
    if (identity.metadata_admin?.deleted) {
      problems.push(
        new ExpectedError(`${username} was deleted; the name is reserved`, 'use restore or free-name first'),
      )
      return []
    }
    if (admin === false) {
      try {
        guardLastAdmin(identity, people)
      } catch (error) {
        problems.push(error as ExpectedError)
      }
    }
    return changePlan(identity, {
      traits: { ...identity.traits, email, ...(traits.name === undefined ? {} : { name: traits.name }) },
      metadata_admin: {
        ...identity.metadata_admin,
        ...(admin === undefined ? {} : { admin }),
        ...(apps === undefined ? {} : { apps }),
      },
    }).actions
  })
  throwAll(problems)
  return { actions }
}
