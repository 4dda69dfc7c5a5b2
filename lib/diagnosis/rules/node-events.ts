/** What a node says by its events before a condition changes. */
import { condition } from '../../flux/flux.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { eventTime, type Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { asRoot, RESTART_K3S } from './failure.ts'
import { startTrouble } from './starting.ts'
import { eventsOf, timesSeen } from './workload-facts.ts'

/** Starts of a kubelet within an hour that are no longer a reboot and an upgrade. */
const RESTARTS = 4

const nodeEvents: Rule = index =>
  index
    .all('Node')
    .flatMap(node => [
      ...expiring(node, index),
      ...collecting(node, index),
      ...restarting(node, index),
      ...limits(node, index),
      ...failing(node, index),
    ])

function warning(
  node: KubeObject,
  rule: string,
  cause: string,
  seen: KubeObject,
  text: string,
  command: string,
): Finding {
  return tell(node, {
    rule,
    verdict: 'warning',
    cause,
    evidence: [`event ${seen.reason}: ${short(String(seen.message ?? ''))}`],
    text,
    command,
  })
}

/**
 * The certificates inside of k3s, which it renews when it starts within 120 days of their end.
 * Source: https://docs.k3s.io/cli/certificate
 */
function expiring(node: KubeObject, index: Index): Finding[] {
  const [event] = eventsOf(index, node, /^CertificateExpirationWarning$/, 24 * 3600)
  const days = [...String(event?.message ?? '').matchAll(/at (\d{4}-\d\d-\d\d)T/g)]
    .map(match => match[1]!)
    .sort()
  if (!event || !days[0]) return []
  return [
    warning(
      node,
      'k3s-certificates-expire',
      `the certificates of k3s on it end on ${days[0]}: after that nobody gets in`,
      event,
      'restart k3s, which renews them, then fetch the kubeconfig from the server again',
      RESTART_K3S,
    ),
  ]
}

const COLLECTED = /^(ImageGCFailed|FreeDiskSpaceFailed|ContainerGCFailed)$/

/** A kubelet that cannot free enough space, or is not answered. A node with DiskPressure says so itself. */
function collecting(node: KubeObject, index: Index): Finding[] {
  // A kubelet reports any failure of the collection of containers so, once also of a runtime that is being restarted.
  const [event] = eventsOf(index, node, COLLECTED).filter(
    each => each.reason !== 'ContainerGCFailed' || timesSeen(each) >= 3,
  )
  if (!event || condition(node, 'DiskPressure')?.status === 'True') return []
  const stalled = startTrouble(String(event.message ?? ''))
  if (stalled?.command)
    return [warning(node, 'node-problem', stalled.cause, event, stalled.fix(''), stalled.command)]
  return [
    warning(
      node,
      'node-disk-filling',
      'its disk is nearly full, and the kubelet finds no images to remove: it is about to evict pods',
      event,
      'make room: see what is large (logs, /var), and remove unused images with `k3s crictl rmi --prune`',
      asRoot('df -h'),
    ),
  ]
}

/** A server that keeps rebooting, or k3s that ends, and that systemd starts again. */
function restarting(node: KubeObject, index: Index): Finding[] {
  for (const { reason, of, ...told } of STARTS) {
    const starts = eventsOf(index, node, reason).filter(({ message }) => of.test(String(message ?? '')))
    const times = starts.reduce((sum, event) => sum + timesSeen(event), 0)
    if (times < RESTARTS) continue
    const span = eventTime(starts[0]!) - Math.min(...starts.map(eventTime))
    return [
      tell(node, {
        ...told,
        cause: `${told.cause}: ${times} times in ${durationText(Math.max(span, 1000))}`,
        evidence: [`event ${starts[0]!.reason}: ${short(String(starts[0]!.message ?? ''))}`],
      }),
    ]
  }
  return []
}

/** A range for pods that is not there yet: of a node that is not ready for it, that is told with its network. */
const isWithoutRange = ({ reason }: KubeObject, node: KubeObject) =>
  reason === 'CIDRNotAvailable' && condition(node, 'Ready')?.status === 'True'

const STARTS = [
  {
    reason: /^Rebooted$/,
    of: /rebooted/,
    rule: 'node-rebooting',
    cause: 'its server keeps rebooting',
    text: 'read what the kernel says before it ends (power, memory, a watchdog), and correct that',
    command: asRoot('journalctl -b -1 -n 100 --no-pager'),
  },
  {
    reason: /^Starting$/,
    of: /kubelet/i,
    rule: 'k3s-restarting',
    cause: 'k3s keeps restarting on it',
    text: 'read what k3s says before it ends, and correct that',
    command: asRoot('journalctl -u k3s -n 100 --no-pager'),
  },
]

/** What a node keeps warning of in other words: a failure of its own, not a note of its kubelet. */
function failing(node: KubeObject, index: Index): Finding[] {
  const [event] = eventsOf(index, node, /fail|refus|denied|unable|NotAvailable/i, 600).filter(
    each =>
      (each.type === 'Warning' || isWithoutRange(each, node)) &&
      timesSeen(each) >= 3 &&
      !COLLECTED.test(each.reason ?? ''),
  )
  // Of a node that is not ready it is told as the reason of that.
  const isTold =
    event?.reason === 'NodePasswordValidationFailed' && condition(node, 'Ready')?.status !== 'True'
  if (!event || isTold) return []
  const text = `it keeps warning: ${short(String(event.message ?? ''), 250)}`
  const password = /node password/i.test(text)
  return [
    warning(
      node,
      'node-problem',
      text,
      event,
      password
        ? 'if the server was installed again, delete its Secret NAME.node-password.k3s in kube-system, and restart k3s on it'
        : 'correct what it says; the log of k3s on that server tells more',
      password
        ? `kubectl -n kube-system delete secret ${node.metadata.name}.node-password.k3s`
        : asRoot('journalctl -u k3s -n 100 --no-pager'),
    ),
  ]
}

/** Processes that the kernel has killed, and hardware that fails, as node-problem-detector and kubelets say. */
function limits(node: KubeObject, index: Index): Finding[] {
  const [event] = eventsOf(
    index,
    node,
    /^(SystemOOM|OOMKilling|KernelOops|TaskHung|FilesystemIsReadOnly|ReadonlyFilesystem)$/,
    // A container that has reached its own limit: its pod tells it.
  ).filter(({ message }) => !/memory cgroup out of memory/i.test(message ?? ''))
  if (!event) return []
  const memory = /OOM/.test(String(event.reason))
  return [
    warning(
      node,
      memory ? 'node-out-of-memory' : 'node-kernel-problem',
      memory
        ? 'its memory is used up: the kernel kills processes'
        : `its kernel reports a problem: ${short(String(event.message ?? ''), 150)}`,
      event,
      memory ? 'give the server more memory, or remove what it does not need' : 'read the log of the kernel',
      memory ? asRoot('free -m') : asRoot('dmesg --level=err,crit'),
    ),
  ]
}

export const rules: Rule[] = [nodeEvents]
