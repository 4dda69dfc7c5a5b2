/** The grants of users for an application: kept with its data, revoked when the data goes. */
import { changeUser } from '../../flux2/core/single-sign-on/userpanel/panel/accounts.ts'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { accountServices, everybody } from './sign-on.ts'

/** Milliseconds for an answer of kratos: without single sign-on an application is removed all the same. */
const PATIENCE = 5000

/** The users who have a grant for an application, by the name of its client. Pure. */
export function holdersOf(app: string, people: readonly Identity[]): Identity[] {
  return people.filter(({ metadata_admin }) => Object.hasOwn(metadata_admin?.apps ?? {}, app))
}

/** The users who have a grant; undefined when single sign-on does not answer. */
export async function readHolders(kubectl: Kubectl, app: string): Promise<Identity[] | undefined> {
  const people = await everybody(accountServices(kubectl, PATIENCE).kratos).catch(() => undefined)
  return people && holdersOf(app, people)
}

/** What happens to the grants, as a line of a plan. Pure. */
export function grantLine(
  app: string,
  holders: readonly Identity[] | undefined,
  deleteData: boolean,
): string {
  if (!holders)
    return `keep the grants of users for ${app}: single sign-on does not answer (npx tsx scripts/users.ts revoke NAME ${app})`
  const names = holders.map(({ traits }) => traits.username)
  const listed = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`
  if (names.length === 0) return `no user has a grant for ${app}`
  return deleteData
    ? `revoke the grant for ${app} of ${listed}`
    : `keep the grant for ${app} of ${listed}: without the application it opens nothing`
}

/** Revokes the grant of everybody who has one now. */
export async function revokeGrants(kubectl: Kubectl, app: string, signal: AbortSignal): Promise<string> {
  const services = accountServices(kubectl)
  const holders = holdersOf(app, await everybody(services.kratos))
  for (const identity of holders) {
    signal.throwIfAborted()
    const { [app]: _revoked, ...apps } = identity.metadata_admin?.apps ?? {}
    await changeUser(services, identity, { metadata_admin: { ...identity.metadata_admin, apps } })
  }
  return holders.length === 0 ? 'unchanged' : `${holders.length} users`
}
