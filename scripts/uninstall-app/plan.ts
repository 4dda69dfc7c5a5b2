/** What removing an application would do, and what stands against it. Pure. */
import { refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { generatedKeysOf } from '../../lib/platform/secrets.ts'
import { countText } from '../../lib/script/count.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { sizeText } from '../../lib/script/size.ts'
import { type AppClaim, type AppSurvey, isHeld, placeOf } from './survey.ts'

/** A claim with its size, in words: what was requested, and what is in use as far as that is known. */
export function claimText({ object, size, used }: AppClaim): string {
  const use = used === undefined ? 'use not known' : `${sizeText(used)} used`
  return `${placeOf(object)} (${size} requested, ${use})`
}

/** Kinds of what Flux removes, each with its number: `1 HelmRelease, 2 Secrets`. */
function appliedText(survey: AppSurvey): string {
  const counts = new Map<string, number>()
  for (const { kind } of survey.applied) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts]
    .sort()
    .map(([kind, count]) => countText(count, kind).replace(/ys$/, 'ies').replace(/sss$/, 'sses'))
    .join(', ')
}

/** The plan, in words. */
export function removalLines(survey: AppSurvey, deleteData: boolean): string[] {
  const { app, kustomization, applied, releases, claims, overrides, secrets } = survey
  const clients = applied.filter(({ kind }) => kind === 'OAuth2Client')
  return [
    ...(kustomization
      ? [`delete Kustomization flux-system/${app} with what it has applied: ${appliedText(survey)}`]
      : []),
    ...releases.map(
      ({ metadata }) => `uninstall HelmRelease ${metadata.namespace}/${metadata.name} with its pods`,
    ),
    ...clients.map(({ namespace, name }) => `delete the single sign-on client ${namespace}/${name}`),
    ...claims.map(
      claim => `${deleteData ? 'DELETE the data in' : 'keep the data in'} volume claim ${claimText(claim)}`,
    ),
    ...secrets.map(entry => {
      const keys = generatedKeysOf(entry).join(', ')
      return `${deleteData ? 'delete' : 'keep'} ${keys} in Secret ${entry.namespace}/${entry.name}`
    }),
    ...overrides.map(name => `keep the override ${name}`),
  ]
}

/** Everything that forbids the removal, each with its remedy. */
export function removalProblems(survey: AppSurvey, deleteData: boolean): ExpectedError[] {
  const { app, kustomization, releases, dependents, claims } = survey
  const refused = (what: string, fix: string) => new ExpectedError(what, fix, { exitCode: EXIT.refused })
  const held = [...(kustomization ? [kustomization] : []), ...releases].filter(isHeld)
  return [
    ...held.map(object =>
      refused(
        `${refText(refOf(object))} is suspended: Flux would leave everything of it running`,
        `resume it: flux resume ${object.kind.toLowerCase()} ${object.metadata.name} -n ${object.metadata.namespace}`,
      ),
    ),
    ...(kustomization && kustomization.spec?.prune === false
      ? [
          refused(
            `Kustomization flux-system/${app} has prune: false, so that nothing of it would be removed`,
            `run \`npx tsx scripts/install-app.ts ${app}\`, which sets it`,
          ),
        ]
      : []),
    ...dependents.map(name =>
      refused(
        `Kustomization ${name} depends on ${app}`,
        `remove it first, or its dependsOn: kubectl -n flux-system edit kustomization ${name}`,
      ),
    ),
    ...(deleteData ? [] : claims.filter(({ lost }) => lost)).map(claim =>
      refused(
        `Helm would delete the volume claim ${claimText(claim)} with its data`,
        'add the annotation helm.sh/resource-policy: keep by an override, or give --delete-data',
      ),
    ),
  ]
}
