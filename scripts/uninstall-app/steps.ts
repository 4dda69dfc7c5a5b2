/** Removing an application, its data, and seeing that it is gone. */
import { type Kubectl, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { type CatalogueEntry, generatedKeysOf, secretRef } from '../../lib/platform/secrets.ts'
import { inquiry, keepersOf, progressText, tellingWhy } from '../../lib/rollout/obstacles.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Run } from '../../lib/script/run.ts'
import { until } from '../../lib/script/wait.ts'
import { type AppClaim, type AppSurvey, KEPT_OF, kustomizationRef, surveyApp } from './survey.ts'

/** Milliseconds that the API server may be away. */
const AWAY = 25_000

/** Labels the claims with the application, so that they are found again once nothing else tells whose they are. */
export async function markClaims(kubectl: Kubectl, { app, claims }: AppSurvey): Promise<string> {
  const unmarked = claims.filter(({ object }) => object.metadata.labels?.[KEPT_OF] !== app)
  for (const { object } of unmarked)
    await kubectl.patch(refOf(object), { metadata: { labels: { [KEPT_OF]: app } } })
  return unmarked.length === 0 ? 'unchanged' : `${unmarked.length} volume claims`
}

/**
 * Deletes the Kustomization and waits until everything that it had applied is gone. Throws an ExpectedError that names
 * the leftovers, and what keeps them, at the deadline.
 */
export async function removeApp(
  kubectl: Kubectl,
  { app, applied, releases }: AppSurvey,
  run: Pick<Run, 'log' | 'signal'>,
  deadline: number,
): Promise<undefined> {
  await kubectl.delete(kustomizationRef(app))
  const refs = applied.map(({ kind, namespace, name, group, version }) => ({
    apiVersion: group ? `${group}/${version}` : version,
    kind,
    name,
    ...(namespace ? { namespace } : {}),
  }))
  // A run that was killed has lost the inventory together with the Kustomization.
  for (const release of releases)
    if (!refs.some(ref => refText(ref) === refText(refOf(release)))) refs.push(refOf(release))
  const known = inquiry(kubectl, keepersOf)
  await until(
    async () => {
      const all = await Promise.all([kustomizationRef(app), ...refs].map(ref => kubectl.get(ref)))
      const left = all.filter(object => object !== undefined)
      if (left.length === 0) return { done: undefined }
      const names = left.map(object => refText(refOf(object)))
      const found = await known(left)
      const more = names.length > 4 ? ` and ${names.length - 4} more` : ''
      run.log.progress(progressText(`waiting for ${names.slice(0, 4).join(', ')}${more}`, found))
      return { last: { line: `still there: ${names.join(', ')}`, found } }
    },
    {
      deadline,
      every: 700,
      patience: AWAY,
      signal: run.signal,
      ...tellingWhy(
        'find the cause with `npx tsx scripts/diagnose.ts`, then run the same command again: it continues',
      ),
    },
  )
  return undefined
}

/** Throws an ExpectedError unless the application is gone and its data is as it shall be. */
export async function verifyGone(kubectl: Kubectl, before: AppSurvey): Promise<string> {
  const now = await surveyApp(kubectl, before.app)
  if (now.kustomization || now.releases.length > 0)
    throw new ExpectedError(`${before.app} is still installed`, 'run the same command again: it continues')
  const kept = new Set(now.claims.map(({ object }) => object.metadata.uid))
  const lost = before.claims.filter(({ object, lost }) => !lost && !kept.has(object.metadata.uid))
  if (lost.length > 0)
    throw new ExpectedError(
      `${lost.map(({ object }) => refText(refOf(object))).join(', ')} disappeared during the removal`,
      'restore its data from a backup',
    )
  return `${now.claims.length} volume claims are kept`
}

/** Deletes claims with their data, exactly those that were shown, and waits until they are gone. */
export async function deleteClaims(
  kubectl: Kubectl,
  claims: readonly AppClaim[],
  run: Pick<Run, 'signal'>,
): Promise<string> {
  for (const { object } of claims) await kubectl.delete(refOf(object), { uid: object.metadata.uid })
  await until(
    async () => {
      const found = await Promise.all(claims.map(({ object }) => kubectl.get(refOf(object))))
      const left = found.filter((object, i) => object?.metadata.uid === claims[i]!.object.metadata.uid)
      return left.length === 0
        ? { done: undefined }
        : { last: left.map(object => refText(refOf(object!))).join(', ') }
    },
    {
      deadline: 300_000,
      patience: AWAY,
      describe: last => `still there: ${last}`,
      fix: 'see which pod uses it: kubectl describe pvc NAME -n NAMESPACE; then run the same command again',
      signal: run.signal,
    },
  )
  return `${claims.length} volume claims`
}

/** Deletes the generated values of an application; a Secret that has no other goes with them. */
export async function deleteSecrets(kubectl: Kubectl, entries: readonly CatalogueEntry[]): Promise<string> {
  let count = 0
  for (const entry of entries) {
    const ref = secretRef(entry)
    const secret = await kubectl.get(ref)
    const keys = generatedKeysOf(entry).filter(key => secret?.data?.[key] !== undefined)
    if (!secret || keys.length === 0) continue
    count += keys.length
    if (Object.keys(secret.data).length === keys.length)
      await kubectl.delete(ref, { uid: secret.metadata.uid })
    else {
      const data = Object.fromEntries(keys.map(key => [key, null]))
      await kubectl.patch(ref, { metadata: { resourceVersion: secret.metadata.resourceVersion }, data })
    }
  }
  return count === 0 ? 'unchanged' : `${count} values`
}
