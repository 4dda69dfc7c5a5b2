/**
 * Has Flux' own helm-controller render a chart with other values, without installing anything: a HelmRelease of the
 * same name for Helm, whose ServiceAccount may read and nothing else. Helm stores what it has rendered before it
 * writes the first object, and the API server refuses that object.
 * Source: https://github.com/helm/helm/blob/v4.2.4/pkg/action/install.go (RunWithContext)
 */

import { randomBytes } from 'node:crypto'
import { condition, HELM_CHART, HELM_RELEASE } from '../../lib/flux/flux.ts'
import { type HelmRevision, releaseName, storedRelease } from '../../lib/flux/stored-release.ts'
import { type Kubectl, type KubeObject, type Ref, refOf } from '../../lib/kubectl/kubectl.ts'
import { CHECK_LABEL, sourcesOf } from '../../lib/platform/overrides.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import type { ValuesLayer } from './layers.ts'
import { valuesText } from './values.ts'

const RBAC = 'rbac.authorization.k8s.io/v1'

/** Milliseconds after which a check is a leftover of a run that was killed: none takes half as long. */
const STALE = 3 * 60_000

/** What the account of a check must not be able to do, whatever rights the cluster gives to every account. */
const FORBIDDEN = ['create', 'update', 'patch', 'delete'].flatMap(verb => [
  { verb, group: 'apps', resource: 'deployments' },
  { verb, group: 'apps', resource: 'statefulsets' },
  { verb, group: '', resource: 'configmaps' },
  { verb, group: '', resource: 'persistentvolumeclaims' },
])

/** What a check needs besides the release. */
export interface CheckOptions {
  /** The values of every source, as they would be. */
  layers: readonly ValuesLayer[]
  signal: AbortSignal
  /** Milliseconds that rendering may take. */
  deadline?: number
}

/**
 * What Helm renders of a release with these values. Throws an ExpectedError that quotes Helm when the values do not
 * fit the chart's schema or its templates. Removes everything that it has created, and what a killed run has left.
 */
export async function rendered(
  kubectl: Kubectl,
  release: KubeObject,
  { layers, signal, deadline = 90_000 }: CheckOptions,
): Promise<HelmRevision> {
  await removeStale(kubectl)
  const name = `oas-check-${randomBytes(4).toString('hex')}`
  const objects = await checkObjects(kubectl, release, name, layers)
  const { namespace } = release.metadata
  try {
    for (const object of objects.slice(0, -1)) await kubectl.create(object)
    await refuseRights(kubectl, name, [namespace!, release.spec?.targetNamespace ?? namespace])
    await kubectl.create(objects.at(-1)!)
    return await until(() => look(kubectl, { namespace: namespace!, name }), {
      deadline,
      every: 300,
      patience: 10_000,
      describe: last => last ?? 'helm-controller has not answered',
      fix: 'run `npx tsx scripts/diagnose.ts`, or omit the check: --skip-check',
      signal,
    })
  } finally {
    await remove(kubectl, objects)
  }
}

/** Whether Helm has rendered it, or refused to. */
async function look(
  kubectl: Kubectl,
  { namespace, name }: { namespace: string; name: string },
): Promise<{ done: HelmRevision } | { last: string }> {
  // While Helm still tries to install, the check cannot be removed.
  const labelSelector = 'owner=helm,status!=pending-install'
  const [stored] = await kubectl.list('v1', 'Secret', { namespace: name, labelSelector })
  if (stored) return { done: storedRelease(stored) }
  const check = await kubectl.get({ ...HELM_RELEASE, namespace, name })
  const ready = check && condition(check, 'Ready')
  if (
    ready?.status === 'False' &&
    ['InstallFailed', 'ValuesError', 'ArtifactFailed'].includes(ready.reason ?? '')
  ) {
    // Stored a moment after the list was read.
    const [late] = await kubectl.list('v1', 'Secret', { namespace: name, labelSelector })
    if (late) return { done: storedRelease(late) }
    throw new ExpectedError(
      `Helm refuses these values: ${refusalText(ready.message ?? '', name)}`,
      'correct the value; nothing was changed',
    )
  }
  return { last: ready?.message ?? 'helm-controller has not answered' }
}

/** A message of Helm without what is only about the check. Pure. */
export function refusalText(message: string, name: string): string {
  return message
    .replace(/^Helm install failed for release \S+ with chart (\S+): /, '$1: ')
    .replaceAll(name, 'the check')
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
    .join(' ')
    .slice(0, 600)
}

/** The objects of a check, in the order in which they are created; the HelmRelease is the last. */
async function checkObjects(
  kubectl: Kubectl,
  release: KubeObject,
  name: string,
  layers: readonly ValuesLayer[],
): Promise<KubeObject[]> {
  const namespace = release.metadata.namespace!
  const labels = { [CHECK_LABEL]: 'true' }
  const inNamespace = { name, namespace, labels }
  const account = { kind: 'ServiceAccount', name, namespace }
  const sources = sourcesOf(release)
  const values = await Promise.all(
    layers.filter(layer => layer.source).map(async layer => valuesText(layer.values)),
  )
  const { targetNamespace, timeout, postRenderers, serviceAccountName: _, ...rest } = release.spec
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: inNamespace, automountServiceAccountToken: false },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name, labels },
      rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['get', 'list'] }],
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name, labels },
      subjects: [account],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    },
    {
      apiVersion: RBAC,
      kind: 'Role',
      metadata: { name, namespace: name, labels },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['*'] }],
    },
    {
      apiVersion: RBAC,
      kind: 'RoleBinding',
      metadata: { name, namespace: name, labels },
      subjects: [account],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: inNamespace,
      stringData: Object.fromEntries(values.map((text, i) => [`values-${i}.yaml`, text])),
    },
    {
      ...HELM_RELEASE,
      metadata: inNamespace,
      spec: {
        interval: '1h',
        chartRef: await chartOf(kubectl, release, rest),
        releaseName: releaseName(release),
        targetNamespace: targetNamespace ?? namespace,
        storageNamespace: name,
        serviceAccountName: name,
        postRenderers,
        timeout: '1m',
        install: { crds: 'Skip', disableHooks: true, disableWait: true, remediation: { retries: 0 } },
        uninstall: { disableHooks: true, keepHistory: false },
        valuesFrom: sources.map((_source, i) => ({ kind: 'Secret', name, valuesKey: `values-${i}.yaml` })),
        values: release.spec.values,
      },
    },
  ] as KubeObject[]
}

/** The HelmChart that a release uses, so that nothing is downloaded for a check. */
async function chartOf(
  kubectl: Kubectl,
  release: KubeObject,
  spec: Record<string, unknown>,
): Promise<unknown> {
  if (spec.chartRef) return spec.chartRef
  const [namespace, name] = String(release.status?.helmChart ?? '').split('/')
  const ref: Ref | undefined = name ? { ...HELM_CHART, namespace, name } : undefined
  if (ref && (await kubectl.get(ref))) return { kind: ref.kind, name: ref.name, namespace: ref.namespace }
  throw new ExpectedError(
    `the chart of HelmRelease ${release.metadata.namespace}/${release.metadata.name} was not fetched yet`,
    'wait until the release is ready: npx tsx scripts/status.ts --watch',
  )
}

/** Throws when the cluster gives every account rights with which Helm would install what it only has to render. */
async function refuseRights(kubectl: Kubectl, name: string, namespaces: readonly string[]): Promise<void> {
  const user = `system:serviceaccount:${namespaces[0]}:${name}`
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespaces[0]}`, 'system:authenticated']
  const reviews = await Promise.all(
    [...new Set(namespaces)].flatMap(namespace =>
      FORBIDDEN.map(resourceAttributes =>
        kubectl.call<KubeObject>({
          method: 'POST',
          path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
          body: {
            apiVersion: 'authorization.k8s.io/v1',
            kind: 'SubjectAccessReview',
            spec: { user, groups, resourceAttributes: { ...resourceAttributes, namespace } },
          },
        }),
      ),
    ),
  )
  if (reviews.some(({ status }) => status?.allowed === true))
    throw new ExpectedError(
      'the cluster lets every ServiceAccount change applications, so that a check would install them',
      'remove that binding: kubectl get clusterrolebindings -o wide | grep system:serviceaccounts; or give --skip-check',
    )
}

/** Removes the objects of a check. It is suspended before, so that nothing is uninstalled. */
async function remove(kubectl: Kubectl, objects: readonly KubeObject[]): Promise<void> {
  const check = refOf(objects.at(-1)!)
  if (await kubectl.get(check)) {
    await kubectl.patch(check, { spec: { suspend: true } })
    await kubectl.delete(check)
    for (let tries = 0; tries < 50 && (await kubectl.get(check)); tries++) await sleep(200)
  }
  for (const object of objects.slice(0, -1).reverse()) await kubectl.delete(refOf(object))
}

/** Removes what a run has left that was killed. */
async function removeStale(kubectl: Kubectl): Promise<void> {
  const old = Date.now() + kubectl.client.clockOffset - STALE
  const kinds = [
    [HELM_RELEASE.apiVersion, HELM_RELEASE.kind],
    ['v1', 'Secret'],
    ['v1', 'ServiceAccount'],
    [RBAC, 'ClusterRoleBinding'],
    [RBAC, 'ClusterRole'],
    ['v1', 'Namespace'],
  ] as const
  for (const [apiVersion, kind] of kinds)
    for (const object of await kubectl.list(apiVersion, kind, {
      labelSelector: CHECK_LABEL,
      metadataOnly: true,
    }))
      if (Date.parse(object.metadata.creationTimestamp ?? '') < old) {
        const ref = { ...refOf(object), apiVersion, kind }
        if (kind === 'HelmRelease') await kubectl.patch(ref, { spec: { suspend: true } })
        await kubectl.delete(ref)
      }
}
