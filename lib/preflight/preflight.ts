import type { Kubectl } from '../kubectl/kubectl.ts'
import type { Config } from '../platform/config.ts'
import { ExpectedError } from '../script/errors.ts'
import type { Run } from '../script/run.ts'
import { error, type PreflightFinding, refuse, warning } from './findings.ts'

/** The oldest Kubernetes that Flux 2.9 runs on (https://fluxcd.io/flux/installation/#prerequisites). */
const OLDEST_KUBERNETES = '1.33.0'

/** Milliseconds that the clocks may differ: certificates and leases tolerate less than minutes. */
const CLOCK_TOLERANCE = 120_000

/** The cluster answers, and its version is new enough for the pinned Flux. */
export async function checkKubernetes(kubectl: Kubectl): Promise<void> {
  const version = await kubectl.serverVersion()
  const { default: semver } = await import('semver')
  const parsed = semver.coerce(version)
  if (!parsed || semver.lt(parsed, OLDEST_KUBERNETES))
    throw new ExpectedError(
      `the cluster runs Kubernetes ${version}; ${OLDEST_KUBERNETES} or newer is needed`,
      'upgrade Kubernetes on the server first',
    )
}

/** This machine's clock and the server's agree. */
export async function checkClock(kubectl: Kubectl): Promise<void> {
  await kubectl.serverVersion()
  const offset = kubectl.client.clockOffset
  if (Math.abs(offset) <= CLOCK_TOLERANCE) return
  const minutes = Math.round(Math.abs(offset) / 60_000)
  throw new ExpectedError(
    `this machine's clock is ${minutes} minutes ${offset > 0 ? 'behind' : 'ahead of'} the cluster's`,
    'correct the clock that is wrong (compare `date -u` here and on the server); certificates fail otherwise',
  )
}

/** Something that a user may do. */
type Right = readonly [verb: string, group: string, resource: string, namespace?: string]

/** The right to take the lock of the cluster. */
const LOCKING: Right = ['update', 'coordination.k8s.io', 'leases', 'kube-system']

/**
 * What every script asks of a cluster before it changes anything, for `run.preflight`: these rights, and that to take
 * the lock. Throws an ExpectedError when the cluster does not answer, which is one problem, not one for each check.
 */
export async function clusterChecks(
  kubectl: Kubectl,
  rights: readonly Right[],
): Promise<(() => Promise<void>)[]> {
  await kubectl.serverVersion()
  return [
    () => checkKubernetes(kubectl),
    () => checkClock(kubectl),
    () => checkRights(kubectl, [...rights, LOCKING]),
  ]
}

/** The kubeconfig's user may do each of these. All missing rights are told at once. */
export async function checkRights(kubectl: Kubectl, rights: readonly Right[]): Promise<void> {
  const allowed = await Promise.all(rights.map(right => kubectl.may(...right)))
  const missing = rights.filter((_, i) => !allowed[i])
  if (missing.length === 0) return
  const list = missing.map(([verb, group, resource, namespace]) => {
    return `${verb} ${resource}${group ? `.${group}` : ''}${namespace ? ` in ${namespace}` : ''}`
  })
  throw new ExpectedError(
    `Forbidden: the kubeconfig's user may not ${list.join(', ')}`,
    'use the kubeconfig of the cluster administrator (on k3s /etc/rancher/k3s/k3s.yaml)',
  )
}

/** Of a run what the checks of the surroundings need, with the flag that leaves them out. */
type SurroundingsRun = Pick<Run, 'log' | 'signal'> & { flags: { 'skip-preflight': boolean } }

/**
 * What is around the cluster is as these hosts need it, for `run.preflight`: DNS and ports, without which no
 * certificate is signed; and as warnings the mail account and the storage for backups, an error where `needsBackup`. Nothing is checked for a server that the internet cannot reach anyway, as the sandbox: its names
 * need not be known to anybody else.
 */
export async function checkSurroundings(
  run: SurroundingsRun,
  config: Config,
  { hosts, needsBackup = false }: { hosts: readonly string[]; needsBackup?: boolean },
): Promise<void> {
  const { ip_address: address = '', domain = '' } = config
  const { isPublic, checkPorts } = await import('./net.ts')
  if (run.flags['skip-preflight'] || !isPublic(address)) return
  const [{ checkDns }, { checkMail }, { checkBackup }] = await Promise.all([
    import('./dns.ts'),
    import('./smtp.ts'),
    import('./s3.ts'),
  ])
  const { signal } = run
  const lesser = async (findings: Promise<PreflightFinding[]>): Promise<PreflightFinding[]> =>
    (await findings).map(finding => ({ ...finding, severity: 'warning' }))
  const looked = await Promise.allSettled([
    checkDns({ hosts, domain, address }, signal).then(({ findings }) => findings),
    checkPorts(address, [80, 443], signal).then(({ findings }) => findings),
    config.outgoing_mail_enabled === 'true' ? lesser(checkMail(config, signal)) : [],
    needsBackup
      ? checkBackup(config, signal)
      : config.backup_s3_enabled === 'true'
        ? lesser(checkBackup(config, signal))
        : [],
  ])
  signal.throwIfAborted()
  const findings = looked.flatMap(result => {
    if (result.status === 'fulfilled') return result.value
    // That it cannot be seen from here, for want of a resolver, does not make it wrong.
    if (result.reason instanceof ExpectedError) return [warning(result.reason.message, result.reason.fix)]
    throw result.reason
  })
  const orGoOn = ({ what, fix }: PreflightFinding) =>
    error(what, `${fix}. To go on all the same: --skip-preflight`)
  refuse(
    findings.map(finding => (finding.severity === 'error' ? orGoOn(finding) : finding)),
    run.log,
  )
}
