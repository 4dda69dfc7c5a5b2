import { GIT_REPOSITORY, inventory, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import {
  CLIENTS,
  isOfOwnSource,
  ownSources,
  SOURCE_ACCOUNT,
  SOURCE_LABEL,
} from '../../lib/flux/own-sources.ts'
import { type Kubectl, type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { inquiry, keepersOf, progressText, tellingWhy } from '../../lib/rollout/obstacles.ts'
import { PATIENCE } from '../../lib/rollout/rollout.ts'
import { countText } from '../../lib/script/count.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import type { Log } from '../../lib/script/log.ts'
import { until } from '../../lib/script/wait.ts'

/** The kinds that add-source creates in the namespace, in the order in which they can go. */
const PARTS = [
  ['v1', 'Secret'],
  ['v1', 'LimitRange'],
  ['v1', 'ResourceQuota'],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['rbac.authorization.k8s.io/v1', 'Role'],
  ['v1', 'ServiceAccount'],
] as const

/** What a source has in the cluster. */
export interface SourceSurvey {
  name: string
  kustomization: KubeObject | undefined
  repository: KubeObject | undefined
  volumes: KubeObject[]
  login: KubeObject[]
  /** What add-source has created in the namespace and goes, too: keys, rights and limits. */
  parts: KubeObject[]
}

/** Reads what a source has. Throws a UsageError for a name that is not that of an own source. */
export async function surveySource(kubectl: Kubectl, name: string): Promise<SourceSurvey> {
  const sources = await ownSources(kubectl)
  const found = sources.find(each => each.name === name)
  if (!found)
    throw new UsageError(
      `${JSON.stringify(name.slice(0, 60))} is not an own source`,
      sources.length > 0
        ? suggestion(
            name,
            sources.map(each => each.name),
          )
        : 'there are no own sources',
    )
  return {
    ...found,
    volumes: await kubectl.list('v1', 'PersistentVolumeClaim', { namespace: name }),
    login: await loginObjects(kubectl, name),
    parts: await partsOf(kubectl, name),
  }
}

async function partsOf(kubectl: Kubectl, namespace: string): Promise<KubeObject[]> {
  const lists = await Promise.all(
    PARTS.map(([apiVersion, kind]) =>
      kubectl.list(apiVersion, kind, { namespace, labelSelector: SOURCE_LABEL, metadataOnly: true }),
    ),
  )
  return lists.flatMap((objects, i) =>
    objects.map(object => ({ ...object, apiVersion: PARTS[i]![0], kind: PARTS[i]![1] })),
  )
}

/**
 * Throws an ExpectedError when somebody has removed the account or its rights: Flux would leave running what the
 * source has applied, or never come to an end. Pure.
 * Source: https://github.com/fluxcd/kustomize-controller/blob/v1.9.5/internal/controller/kustomization_controller.go (finalize)
 */
export function refusePowerless({ name, kustomization, repository, parts }: SourceSurvey): void {
  const lost = ['ServiceAccount', 'Role', 'RoleBinding'].find(kind => !parts.some(part => part.kind === kind))
  if (kustomization && lost)
    throw new ExpectedError(
      `${lost} ${name}/${SOURCE_ACCOUNT} does not exist: Flux cannot remove what it has applied`,
      `restore it, then run this again: npx tsx scripts/add-source.ts ${name} ${repository?.spec?.url ?? 'URL'}`,
      { exitCode: EXIT.refused },
    )
}

/** What goes, and what is kept, in words. Pure. */
export function sourceRemovalLines(
  { name, kustomization, repository, volumes, login, parts }: SourceSurvey,
  deletesData: boolean,
): string[] {
  const applied = kustomization
    ? inventory(kustomization)
        .filter(({ kind }) => kind !== 'PersistentVolumeClaim')
        .map(({ kind, namespace, name: object }) => `${kind} ${namespace ? `${namespace}/` : ''}${object}`)
    : []
  const sizes = volumes.map(
    ({ metadata, spec }) => `${metadata.name} (${spec?.resources?.requests?.storage ?? '?'})`,
  )
  return [
    ...[kustomization, repository, ...login].flatMap(object =>
      object ? [`delete ${refText(refOf(object))}`] : [],
    ),
    ...applied.map(line => `delete ${line}`),
    ...(parts.length > 0
      ? [`delete its account, rights, limits and keys (${countText(parts.length, 'object')})`]
      : []),
    ...(sizes.length === 0 || deletesData
      ? [`delete Namespace ${name}${sizes.length > 0 ? ` with its data: ${sizes.join(', ')}` : ''}`]
      : [`keep Namespace ${name} with its volumes: ${sizes.join(', ')}`]),
  ]
}

/**
 * Has Flux remove what it has applied, as the account of the source, and waits until that is done. Volumes stay: they
 * are marked for it before. Throws what keeps Flux.
 */
export async function removeApplied(
  kubectl: Kubectl,
  { name, volumes }: SourceSurvey,
  wait: { deadline: number; log: Log; signal: AbortSignal; deletesData: boolean },
): Promise<undefined> {
  const { deadline, log, signal, deletesData } = wait
  const ref = { ...KUSTOMIZATION, name, namespace: name }
  if (!deletesData)
    for (const volume of volumes)
      await kubectl.patch(refOf(volume), {
        metadata: { annotations: { 'kustomize.toolkit.fluxcd.io/prune': 'disabled' } },
      })
  if (!(await kubectl.get(ref))) return
  // A suspended one would forget what it has applied, instead of removing it.
  await kubectl.patch(ref, { spec: { suspend: false, prune: true } })
  await kubectl.delete(ref)
  const known = inquiry(kubectl, keepersOf)
  await until(
    async () => {
      const now = await kubectl.get(ref)
      if (!now) return { done: undefined }
      const line = String(now.status?.conditions?.[0]?.message ?? 'it is being deleted')
      const found = await known([now])
      log.progress(progressText(line, found))
      return { last: { line, found } }
    },
    {
      deadline,
      signal,
      patience: PATIENCE,
      ...tellingWhy(
        'kustomize-controller has to run: `npx tsx scripts/diagnose.ts`; then run the same command again',
      ),
    },
  )
}

/** Removes what add-source has created: the namespace, too, unless it keeps volumes. */
export async function removeParts(
  kubectl: Kubectl,
  survey: SourceSurvey,
  deletesData: boolean,
): Promise<string> {
  const { name, login } = survey
  await kubectl.delete({ ...GIT_REPOSITORY, name, namespace: name })
  for (const object of [...login].reverse()) await kubectl.delete(refOf(object))
  const volumes = await kubectl.list('v1', 'PersistentVolumeClaim', { namespace: name })
  if (volumes.length === 0 || deletesData) {
    const namespace = { apiVersion: 'v1', kind: 'Namespace', name }
    const now = await kubectl.get(namespace)
    if (now && !isOfOwnSource(now))
      throw new ExpectedError(
        `Namespace ${name} is no longer labelled ${SOURCE_LABEL}`,
        'check who uses it, then delete it by hand',
      )
    if (now) await kubectl.delete(namespace, { uid: now.metadata.uid })
    return 'with its namespace'
  }
  for (const part of await partsOf(kubectl, name)) await kubectl.delete(refOf(part))
  return `${countText(volumes.length, 'volume')} kept in namespace ${name}`
}

/** The client of single sign-on of a source, and the Secrets with its password; empty without. */
async function loginObjects(kubectl: Kubectl, name: string): Promise<KubeObject[]> {
  const refs = [
    { apiVersion: 'hydra.ory.sh/v1alpha1', kind: 'OAuth2Client', name, namespace: CLIENTS },
    { apiVersion: 'v1', kind: 'Secret', name: `${name}-login`, namespace: CLIENTS },
    { apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: name },
  ]
  const found = await Promise.all(refs.map(ref => kubectl.get(ref)))
  return found.filter(object => object !== undefined).filter(isOfOwnSource)
}
