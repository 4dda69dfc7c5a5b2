import { GIT_REPOSITORY, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { Config } from '../../lib/platform/config.ts'
import { clusterVariables } from '../../lib/platform/config.ts'

/**
 * The namespaces that Flux needs: its own, and those of the Secrets. They
 * are created only when they are missing: their labels belong to Flux's manifest and to flux2/.
 */
export function namespaces(): KubeObject[] {
  return ['flux-system', 'oas', 'oas-apps'].map(name => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  }))
}

/** The Secret `oas-cluster-variables`, from which Flux substitutes the values of `.flux.env`. Pure. */
export function variablesSecret(config: Config): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'oas-cluster-variables',
      namespace: 'flux-system',
      // Flux reconciles at once what reads a Secret with this label, instead of at the next interval.
      labels: { 'reconcile.fluxcd.io/watch': 'Enabled' },
    },
    type: 'Opaque',
    data: Object.fromEntries(
      Object.entries(clusterVariables(config)).map(([key, value]) => [
        key,
        Buffer.from(value).toString('base64'),
      ]),
    ),
  }
}

/** The GitRepository `openappstack`, which Flux follows. Pure. */
export function gitRepository(config: Config): KubeObject {
  return {
    ...GIT_REPOSITORY,
    metadata: { name: 'openappstack', namespace: 'flux-system' },
    spec: {
      interval: '5m',
      timeout: '60s',
      url: config.git_url,
      ref: { branch: config.git_branch },
      // Flux needs only the manifests: the artifact stays small, and a change of a script reconciles nothing.
      ignore: '/*\n!/flux2\n',
    },
  }
}

/** The Kustomization `openappstack`, which applies those of the core. Pure. */
export function rootKustomization(): KubeObject {
  return {
    ...KUSTOMIZATION,
    metadata: { name: 'openappstack', namespace: 'flux-system' },
    spec: {
      interval: '10m',
      retryInterval: '1m',
      timeout: '2m',
      path: './flux2/cluster/base',
      prune: true,
      sourceRef: { kind: 'GitRepository', name: 'openappstack' },
    },
  }
}
