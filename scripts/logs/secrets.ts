import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { ACCOUNT_SECRETS } from '../../lib/platform/accounts.ts'
import { loadCatalogue, secretRef, secretValues } from '../../lib/platform/secrets.ts'
import { VARIABLES, variablesOf } from '../../lib/platform/variables.ts'

/** Registers every generated secret and those of the configuration, so that no log shows one. */
export async function registerClusterSecrets(kubectl: Kubectl): Promise<void> {
  const catalogue = await loadCatalogue()
  const settings = [VARIABLES, ...ACCOUNT_SECRETS]
  await Promise.all([
    ...catalogue.map(async entry => secretValues(await kubectl.get(secretRef(entry)))),
    ...settings.map(async secret => variablesOf(await kubectl.get(secretRef(secret)))),
  ])
}
