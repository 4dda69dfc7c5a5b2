import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { withoutGrants } from '../../lib/platform/sign-on.ts'
import { VARIABLES, variablesOf } from '../../lib/platform/variables.ts'
import { table } from '../../lib/script/table.ts'
import { rowOf, stateOf } from './people.ts'

/** Whether users without grants may open every application: what the panel of the cluster was told. */
export async function hasLegacyAccess(kubectl: Kubectl): Promise<boolean> {
  return variablesOf(await kubectl.get(VARIABLES)).legacy_access !== 'false'
}

/** Users as a table, as a result for other programs, and what to do about those without grants. Pure. */
export function listing(people: readonly Identity[], legacy: boolean) {
  const rows = people.map(person => rowOf(person, legacy))
  const isOpen = legacy && people.some(withoutGrants)
  return {
    text: table([['USER', 'E-MAIL', 'NAME', 'STATE', 'MAY OPEN'], ...rows]),
    result: people.map(person => ({
      ...person.traits,
      state: stateOf(person),
      admin: person.metadata_admin?.admin ?? false,
      apps: person.metadata_admin?.apps,
      ...(withoutGrants(person) ? { opensAll: legacy } : {}),
    })),
    next: isOpen
      ? ['npx tsx scripts/install-core.ts --set legacy_access=false   # users without grants open nothing']
      : [],
  }
}
