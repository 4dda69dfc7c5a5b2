import { statfsSync } from 'node:fs'
import { standing } from '../../lib/flux/flux.ts'
import type { FluxKinds } from '../../lib/flux/flux-versions.ts'
import { type KubeObject, refOf, refText } from '../../lib/kubectl/kubectl.ts'
import { kustomizationsOf, releasesOf, unreadyReason } from '../../lib/rollout/standing.ts'
import { EXIT, ExpectedError, throwAll } from '../../lib/script/errors.ts'
import {
  absenceText,
  missingOauthKeys,
  type SecretName,
  secretPlaceOf,
} from '../../lib/secret-backup/secret-backup.ts'
import { OAS_SECRETS, type UpgradeFacts } from './facts.ts'
import { oldPrograms } from './programs.ts'
import type { UpgradeState } from './state.ts'

/** The branch that the platform's GitRepository follows. Throws when there is none, or when it follows no branch. */
export function branchOf(git: KubeObject | undefined): string {
  if (!git)
    throw new ExpectedError(
      'GitRepository flux-system/openappstack does not exist: Flux does not install this platform here',
      'is it the right cluster? npx tsx scripts/status.ts',
    )
  const { branch, ...other } = (git.spec?.ref ?? {}) as Record<string, string>
  const fixed = Object.keys(other)
  if (fixed.length > 0)
    throw new ExpectedError(
      `${refText(refOf(git))} follows a ${fixed.join(' and ')}, not a branch alone`,
      'set spec.ref to the branch of 0.6 first (kubectl -n flux-system edit gitrepository openappstack), and wait until it is Ready',
    )
  return branch ?? 'master' // the default of source-controller
}

/** Whether the HelmRelease of the secrets is as 0.6 has it: then the secrets are the original ones. Pure. */
function isUntouched({ owner }: UpgradeFacts): boolean {
  return owner !== undefined && !owner.metadata.deletionTimestamp && standing(owner).state === 'ready'
}

/**
 * Where an upgrade begins: `new` with a backup of the cluster; `begun` with what was written down then; or
 * `by hand` with the backup that the user names. Throws when a new backup would be one of a cluster that has lost
 * its secrets already, or when another upgrade is unfinished. Pure.
 */
export function beginning(
  facts: UpgradeFacts,
  state: UpgradeState | undefined,
  wanted: { target: string; backup?: string },
): 'new' | 'begun' | 'by hand' {
  if (state) {
    const refused = (what: string, fix: string) => new ExpectedError(what, fix, { exitCode: EXIT.refused })
    if (state.target !== wanted.target)
      throw refused(
        `an upgrade to the branch ${state.target} was started at ${state.startedAt}`,
        `continue it: --branch ${state.target}; or end it: --rollback`,
      )
    if (wanted.backup !== undefined)
      throw refused(
        `this upgrade was started at ${state.startedAt} with the backup ${state.backup}: no other one is used`,
        'leave out --backup',
      )
    return 'begun'
  }
  if (wanted.backup !== undefined) return 'by hand'
  if (isUntouched(facts)) return 'new'
  const { owner } = facts
  throw new ExpectedError(
    owner
      ? `HelmRelease ${OAS_SECRETS} is not ready (${owner.metadata.deletionTimestamp ? 'it is being deleted' : standing(owner).message.split('\n')[0]}): a backup made now may lack secrets`
      : `HelmRelease ${OAS_SECRETS} does not exist: this is not a cluster of 0.6, or its secrets were removed already`,
    'an upgrade that was started by hand continues with its backup: --backup DIR (restore-secrets shows what differs)',
    { exitCode: EXIT.refused },
  )
}

/** Throws everything of the platform that is not ready, all at once: an upgrade starts from a healthy cluster. */
export function checkHealth(facts: UpgradeFacts): void {
  if (facts.scope.length === 0)
    throw new ExpectedError(
      'no Kustomization comes from GitRepository flux-system/openappstack',
      'is it the right cluster? npx tsx scripts/status.ts',
    )
  throwAll(
    facts.scope.flatMap(name => {
      const why = unreadyReason(name, facts.index)
      return why
        ? [
            new ExpectedError(
              `Kustomization ${name} ${why}`,
              'repair it before the upgrade; a suspended one: flux resume',
            ),
          ]
        : []
    }),
  )
}

/** What the kubeconfig's user must be allowed to do. */
export const RIGHTS: readonly (readonly [string, string, string, string?])[] = [
  ['patch', 'source.toolkit.fluxcd.io', 'gitrepositories', 'flux-system'],
  ['patch', 'kustomize.toolkit.fluxcd.io', 'kustomizations'],
  ['patch', 'helm.toolkit.fluxcd.io', 'helmreleases'],
  ['create', '', 'secrets'],
  ['patch', '', 'secrets'],
  ['update', 'coordination.k8s.io', 'leases', 'kube-system'],
]

/** Bytes that the backup may take, with the copies of what a rollback replaces: ten Secrets of at most 1 MiB. */
const NEEDED = 64 << 20

/** Throws when the disk of the cluster folder is too full for the backup. */
export function checkDisk(folder: string): void {
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize >= NEEDED) return
  throw new ExpectedError(
    `the disk of ${folder} has ${Math.floor((bavail * bsize) / (1 << 20))} MiB left; the backup needs up to ${NEEDED >> 20}`,
    'free some disk space, then run it again',
  )
}

/** The plan of an upgrade, in lines. Pure. */
export function upgradePlan(
  facts: UpgradeFacts,
  plan: {
    from: string
    target: string
    folder: string
    secrets: readonly KubeObject[]
    absent: readonly SecretName[]
    users: readonly string[]
  },
): string[] {
  const missing = missingOauthKeys(plan.secrets)
  const known = plan.secrets.some(({ metadata }) => metadata.name === 'oas-oauth-variables')
  return [
    `the backup: ${plan.folder}, ${plan.secrets.length} secrets`,
    ...absenceText(plan.absent, []).map(([what, why]) => `  ${what}: ${why}`),
    ...(plan.from === plan.target
      ? []
      : [`GitRepository flux-system/openappstack: branch ${plan.from} → ${plan.target}`]),
    ...(facts.owner
      ? [`Flux removes HelmRelease ${OAS_SECRETS}, and Helm with it the secrets that it owns`]
      : []),
    'put back every secret that is missing then',
    ...(missing.length > 0 || !known
      ? [
          `add to oas-oauth-variables: ${missing.length > 0 ? missing.join(', ') : 'all client secrets, newly generated'}`,
        ]
      : []),
    `reconcile: ${facts.scope.join(', ')}`,
    ...oldPrograms(facts),
    ...plan.users,
    'compare every value with the backup',
  ]
}

/** What of the platform is not as it has to be at the end, in words. Pure. */
export function remainingProblems(facts: UpgradeFacts, owner: 'absent' | 'ready'): string[] {
  const wrong = facts.scope.flatMap(name => {
    const why = unreadyReason(name, facts.index)
    return why ? [`Kustomization ${name} ${why}`] : []
  })
  if (owner === 'absent' && facts.owner) wrong.push(`HelmRelease ${OAS_SECRETS} still exists`)
  if (owner === 'ready' && !isUntouched(facts)) wrong.push(`HelmRelease ${OAS_SECRETS} is not ready`)
  return wrong
}

/** Throws what of a finished upgrade is not ready any more, all at once. */
export function checkFinished(facts: UpgradeFacts): void {
  const fix = 'the upgrade itself was finished; what is wrong now: npx tsx scripts/status.ts'
  throwAll(remainingProblems(facts, 'absent').map(what => new ExpectedError(what, fix)))
}

/** The releases that no Kustomization of the platform has applied, and that are not ready: told, not waited for. */
export function foreign(facts: UpgradeFacts): string[] {
  const { index, scope } = facts
  const ours = new Set(
    kustomizationsOf(scope, index).flatMap(kustomization => releasesOf(kustomization, index).found),
  )
  return index
    .all('HelmRelease')
    .filter(release => !ours.has(release) && standing(release).state !== 'ready')
    .map(({ metadata }) => secretPlaceOf({ namespace: metadata.namespace ?? '', name: metadata.name }))
}

/** The versions in words: `source v1beta1, kustomize v1beta1, helm v2beta1`. Pure. */
export function kindsText(kinds: FluxKinds): string {
  const groups = Object.values(kinds).map(({ apiVersion }) => apiVersion.replace('.toolkit.fluxcd.io/', ' '))
  return [...new Set(groups)].join(', ')
}
