import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { variablesOf } from '../../lib/platform/configure.ts'
import { loadCatalogue, secretRef, secretValues } from '../../lib/platform/secrets.ts'

/** Registers every generated secret and those of the configuration, so that no log shows one. */
export async function registerClusterSecrets(kubectl: Kubectl): Promise<void> {
  const catalogue = await loadCatalogue()
  const variables = { name: 'oas-cluster-variables', namespace: 'flux-system' }
  await Promise.all([
    ...catalogue.map(async entry => secretValues(await kubectl.get(secretRef(entry)))),
    kubectl.get(secretRef(variables)).then(variablesOf),
  ])
}
