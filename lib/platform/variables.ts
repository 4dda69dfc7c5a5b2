import type { KubeObject, Ref } from '../kubectl/kubectl.ts'
import { registerSecret } from '../script/redact.ts'
import { type Config, valuesFor } from './config.ts'
import { CONFIG_KEYS } from './config-keys.ts'

/** The Secret of what `.flux.env` says, from which Flux substitutes. */
export const VARIABLES = {
  apiVersion: 'v1',
  kind: 'Secret',
  namespace: 'flux-system',
  name: 'oas-cluster-variables',
} satisfies Ref

/** The values of `oas-cluster-variables` as the cluster has them; those that are secret are registered as such. */
export function variablesOf(secret: KubeObject | undefined): Record<string, string> {
  const values: Record<string, string> = {}
  for (const [name, encoded] of Object.entries((secret?.data ?? {}) as Record<string, string>)) {
    values[name] = Buffer.from(encoded, 'base64').toString('utf8')
    if (!showsVariable(name)) registerSecret(values[name])
  }
  return values
}

/**
 * What goes into the Secret `oas-cluster-variables`, from which Flux substitutes: no password, no key. `podRanges`
 * are the addresses of the cluster's pods; manifests have those of k3s where they are not known. Pure.
 */
export function clusterVariables(config: Config, podRanges: readonly string[] = []): Record<string, string> {
  return { ...valuesFor(config, 'variable'), [POD_RANGES]: podRanges.join(' ') }
}

/** The variable that no file sets: the cluster knows it. */
const POD_RANGES = 'pod_ranges'

/** Whether the value of a variable may be shown: it is known here and no secret. */
export function showsVariable(name: string): boolean {
  const key = CONFIG_KEYS.find(each => each.name === name)
  return name === POD_RANGES || (key !== undefined && !key.secret)
}
