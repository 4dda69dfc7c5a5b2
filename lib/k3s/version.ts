import semver from 'semver'
import { UsageError } from '../script/errors.ts'

/** A version of k3s: that of Kubernetes, and the number of k3s' release of it. */
interface K3sVersion {
  kubernetes: semver.SemVer
  release: number
}

/** Parses `v1.36.4+k3s1` or `v1.36.4-rc1+k3s1`; undefined for anything else. */
function parse(version: string): K3sVersion | undefined {
  const [, kubernetes, release] = /^(v\d+\.\d+\.\d+(?:-[0-9a-z.]+)?)\+k3s(\d+)$/.exec(version) ?? []
  const parsed = semver.parse(kubernetes)
  return parsed ? { kubernetes: parsed, release: Number(release) } : undefined
}

/** What is wrong with a version of k3s, or undefined. */
export function checkK3sVersion(version: string): string | undefined {
  return parse(version) ? undefined : 'must be a release of k3s, like v1.36.4+k3s1'
}

/** The version in the output of `k3s --version` (github.com/k3s-io/k3s pkg/cli/cmds/root.go, NewApp); else undefined. Pure. */
export function versionIn(text: string): string | undefined {
  return /^k3s version (v\S+)/m.exec(text)?.[1]
}

/** Negative when `a` is older than `b`, 0 when equal, positive when newer. Throws a UsageError for no version. Pure. */
export function compareK3s(a: string, b: string): number {
  const [one, other] = [a, b].map(version => {
    const parsed = parse(version)
    if (!parsed) throw new UsageError(`${version} is not a version of k3s`, checkK3sVersion(version)!)
    return parsed
  }) as [K3sVersion, K3sVersion]
  // semver leaves +k3sN out of its order.
  return semver.compare(one.kubernetes, other.kubernetes) || one.release - other.release
}
