import semver from 'semver'
import { compareK3s } from '../../lib/k3s/version.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'

/**
 * Why a cluster cannot go from one version to another, or undefined: the datastore of a newer Kubernetes is not
 * for an older one, and no minor version may be left out (https://kubernetes.io/releases/version-skew-policy,
 * https://docs.k3s.io/upgrades/manual). Pure. Throws a UsageError for no version.
 */
export function upgradeProblem(from: string, to: string): ExpectedError | undefined {
  if (compareK3s(from, to) > 0)
    return new ExpectedError(
      `k3s ${from} is installed, which is newer than ${to}: a downgrade can lose data`,
      `stay with it: --k3s-version ${from}; going back needs the saved datastore (see the runbook page)`,
      { exitCode: EXIT.refused },
    )
  const [old, now] = [semver.parse(from)!, semver.parse(to)!]
  if (old.major === now.major && now.minor - old.minor <= 1) return undefined
  const next = `v${old.major}.${old.minor + 1}`
  return new ExpectedError(
    `from k3s ${from} to ${to} a minor version of Kubernetes would be left out, which is not supported`,
    `upgrade in steps, first to a release of ${next} (https://github.com/k3s-io/k3s/releases): --k3s-version ${next}.N+k3s1`,
    { exitCode: EXIT.refused },
  )
}
