import { variablesOf } from '../configure.ts'
import type { Kubectl } from '../kubectl.ts'
import { loadCatalogue, secretRef, secretValues } from '../secrets.ts'

/** Registers every generated secret and those of the configuration, so that no log shows one. */
export async function registerClusterSecrets(kubectl: Kubectl): Promise<void> {
  const catalogue = await loadCatalogue()
  const variables = { name: 'oas-cluster-variables', namespace: 'flux-system' }
  await Promise.all([
    ...catalogue.map(async entry => secretValues(await kubectl.get(secretRef(entry)))),
    kubectl.get(secretRef(variables)).then(variablesOf),
  ])
}
