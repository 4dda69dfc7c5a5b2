import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ApplyPlan } from '../../lib/flux/apply.ts'
import { GIT_REPOSITORY, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import { type Kubectl, type KubeObject, refOf } from '../../lib/kubectl/kubectl.ts'
import { ACCOUNT_SECRETS } from '../../lib/platform/accounts.ts'
import type { Config } from '../../lib/platform/config.ts'
import { clusterVariables, VARIABLES, variablesOf } from '../../lib/platform/variables.ts'
import { ROOT } from '../../lib/script/files.ts'

/**
 * The namespaces that Flux needs: its own, and those of the Secrets. They
 * are created only when they are missing: their labels belong to Flux's manifest and to flux2/.
 */
export function namespaces(): KubeObject[] {
  return ['flux-system', 'oas', 'oas-apps', 'velero'].map(name => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name },
  }))
}

/**
 * The Secrets with what `.flux.env` says: the variables, from which Flux substitutes, and the accounts for mail and
 * backups. Pure.
 */
export function settingsSecrets(config: Config, podRanges: readonly string[] = []): KubeObject[] {
  return [
    secret(VARIABLES.namespace, VARIABLES.name, clusterVariables(config, podRanges)),
    ...ACCOUNT_SECRETS.map(({ namespace, name, values }) => secret(namespace, name, values(config))),
  ]
}

/** All that they say, for a comparison. */
export function settingsOf(secrets: readonly (KubeObject | undefined)[]): Record<string, string> {
  return Object.assign({}, ...secrets.map(variablesOf))
}

/** A Secret that Flux watches: it reconciles at once what reads it, instead of at the next interval. */
function secret(namespace: string, name: string, values: Record<string, string>): KubeObject {
  const data = Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { 'reconcile.fluxcd.io/watch': 'Enabled' } },
    type: 'Opaque',
    data: Object.fromEntries(data),
  }
}

/** The GitRepository `openappstack`, which Flux follows, logging in by a Secret if it has one. Pure. */
export function gitRepository(config: Config, login?: string): KubeObject {
  return {
    ...GIT_REPOSITORY,
    metadata: { name: 'openappstack', namespace: 'flux-system' },
    spec: {
      interval: '5m',
      timeout: '60s',
      url: config.git_url,
      ref: { branch: config.git_branch },
      ...(login ? { secretRef: { name: login } } : {}),
      // Flux needs the manifests alone: the artifact stays small, and a change of a script reconciles nothing.
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

/**
 * The Kustomization `notifications`, by which Flux tells Alertmanager of failures, where this manifest of Flux has the
 * controller and the kinds for it.
 */
export async function notifications(manifest: readonly KubeObject[]): Promise<KubeObject[]> {
  if (
    !manifest.some(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'notification-controller',
    )
  )
    return []
  const { load } = await import('js-yaml')
  return [load(readFileSync(join(ROOT, 'flux2/cluster/optional/notifications.yaml'), 'utf8')) as KubeObject]
}

/** Plans the creation of the missing objects; existing ones are left unchanged. */
export async function planCreate(kubectl: Kubectl, objects: readonly KubeObject[]): Promise<ApplyPlan[]> {
  return Promise.all(
    objects.map(
      async (object): Promise<ApplyPlan> => ({
        object,
        action: (await kubectl.get(refOf(object))) ? 'keep' : 'create',
      }),
    ),
  )
}
