/** Pods that are not placed, not begun, not ended, or left behind. */

import { type Condition, condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { claimsOfPod } from '../../kubectl/volumes.ts'
import { durationText } from '../../script/duration.ts'
import { evictionCause, isEvicted } from '../eviction.ts'
import type { Finding, Rule } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import { imageTrouble } from './images.ts'
import { placing } from './placing.ts'
import { eventsOf, oncePerWorkload, podsOf, since, workloadOf } from './workload-facts.ts'

/** A pod's age since it was created or, once it is scheduled, since then. */
const ageOf = (pod: KubeObject, index: Index) =>
  since(index, condition(pod, 'PodScheduled')?.lastTransitionTime, pod.metadata.creationTimestamp)

/** Pods without a node. */
const unplaced: Rule = index =>
  oncePerWorkload(
    podsOf(index).flatMap(pod => {
      if (pod.spec?.nodeName || pod.status?.phase !== 'Pending') return []
      const finding = whyUnplaced(pod, condition(pod, 'PodScheduled'), index)
      return finding ? [{ ...finding, of: workloadOf(pod, index) }] : []
    }),
  )

function whyUnplaced(pod: KubeObject, scheduled: Condition | undefined, index: Index): Finding | undefined {
  const age = ageOf(pod, index)
  const subject = refOf(pod)
  const unbound = claimsOfPod(pod).filter(
    name => index.get('PersistentVolumeClaim', pod.metadata.namespace, name)?.status?.phase !== 'Bound',
  )
  const message = String(scheduled?.message ?? '')
  const forClaim = /persistentvolumeclaim|PersistentVolumeClaims|binding volumes/.test(message) || !scheduled
  if (unbound.length > 0 && forClaim && !index.blind('PersistentVolumeClaim')) {
    if (age < 10) return undefined
    return {
      rule: 'pod-waits-for-claim',
      verdict: 'broken',
      subject,
      cause: `waits for its volume: PersistentVolumeClaim ${unbound[0]} is not bound`,
      evidence: message ? [short(message)] : [],
      remedy: {
        text: 'see why the claim is not bound',
        command: `kubectl -n ${pod.metadata.namespace} describe pvc ${unbound[0]}`,
      },
      symptom: true,
      causedBy: unbound.map(name => refTo('PersistentVolumeClaim', pod.metadata.namespace, name)),
    }
  }
  if (scheduled?.status === 'False' && scheduled.reason !== 'SchedulingGated')
    return age < 10 ? undefined : placing(pod, message, index)
  if (scheduled || age < 30) return undefined
  const scheduler = pod.spec?.schedulerName ?? 'default-scheduler'
  return {
    rule: 'scheduler-silent',
    verdict: 'broken',
    subject,
    cause: `${scheduler} has not handled it for ${durationText(age * 1000)}`,
    evidence: [],
    remedy:
      scheduler === 'default-scheduler'
        ? {
            text: 'the scheduler runs in the k3s service of the server: restart that',
            command: 'npx tsx scripts/ssh.ts --sudo -- systemctl restart k3s',
          }
        : { text: `install ${scheduler}, or omit spec.schedulerName` },
  }
}

/** What a kubelet says when it cannot set a placed pod up. */
const notSetUp: Rule = index =>
  oncePerWorkload(
    podsOf(index).flatMap(pod => {
      if (!pod.spec?.nodeName || pod.status?.phase !== 'Pending') return []
      const finding = mount(pod, index) ?? sandbox(pod, index) ?? notBegun(pod, index)
      // What is wrong with a node is told once, however many pods suffer.
      return finding
        ? [
            {
              ...finding,
              of: (finding.subject.kind !== 'Pod' && index.find(finding.subject)) || workloadOf(pod, index),
            },
          ]
        : []
    }),
  )

/** Missing Secrets and ConfigMaps are told by needs.ts. */
const ELSEWHERE = /(secret|configmap) "[^"]*" not found|references non-existent|object .* not registered/i

function mount(pod: KubeObject, index: Index): Finding | undefined {
  const failed = eventsOf(index, pod, /^Failed(Mount|AttachVolume|MapVolume)$/, 600)
  // `timed out waiting for the condition` only sums up what another event tells.
  const event = failed.find(({ message }) => !/^Unable to attach or mount/.test(message ?? '')) ?? failed[0]
  if (!event || ELSEWHERE.test(event.message ?? '') || ageOf(pod, index) < 10) return undefined
  const message = String(event.message ?? '')
  if (/Multi-Attach error/.test(message)) return attachedElsewhere(pod, message, index)
  const [, volume, path] =
    /volume "([^"]+)" *: .*?(?:path "([^"]+)" does not exist|stat (\S+): no such file)/.exec(message) ?? []
  const onDisk = volume && path ? index.get('PersistentVolume', undefined, volume) : undefined
  return {
    rule: onDisk ? 'volume-folder-missing' : 'pod-mount-failed',
    verdict: 'broken',
    subject: onDisk ? refOf(onDisk) : refOf(pod),
    cause: onDisk
      ? `its folder ${path} is not on the server any more`
      : `a volume cannot be mounted: ${short(message, 200)}`,
    evidence: [`${event.reason}: ${short(message)}`],
    remedy: onDisk
      ? {
          text: 'bring the folder back from a backup, or create it empty if the data may be lost',
          command: `npx tsx scripts/ssh.ts --sudo -- ls -l ${path?.replace(/\/[^/]*$/, '')}`,
        }
      : {
          text: 'correct what the message names',
          command: `kubectl -n ${pod.metadata.namespace} describe pod ${pod.metadata.name}`,
        },
  }
}

/** A volume that only one node may mount, and another pod still holds. */
function attachedElsewhere(pod: KubeObject, message: string, index: Index): Finding {
  const names = /used by pod\(s\) ([\w., -]+)/.exec(message)?.[1]?.split(/,\s*/) ?? []
  const holders = names.flatMap(name => index.get('Pod', pod.metadata.namespace, name.trim()) ?? [])
  const ending = holders.filter(
    ({ metadata, spec }) =>
      metadata.deletionTimestamp ||
      condition(index.get('Node', undefined, spec?.nodeName ?? '') ?? pod, 'Ready')?.status === 'Unknown',
  )
  const name = names[0] ?? 'NAME'
  return {
    rule: 'volume-attached-elsewhere',
    verdict: 'broken',
    subject: refOf(pod),
    cause: `its volume is still attached for ${names.join(', ') || 'another node'}, and only one node may have it`,
    evidence: [short(message)],
    remedy:
      ending.length > 0
        ? {
            text: `when that node is gone for good, delete Pod ${name} by force`,
            command: `kubectl -n ${pod.metadata.namespace} delete pod ${name} --force --grace-period=0`,
          }
        : {
            text: 'set strategy Recreate: a rolling update needs the volume on two nodes at once',
            command: `kubectl -n ${pod.metadata.namespace} get pods -o wide`,
          },
    ...(ending.length > 0 ? { symptom: true, causedBy: ending.map(refOf) } : {}),
  }
}

/** Network and sandbox are a matter of the node: its pods only suffer. */
function sandbox(pod: KubeObject, index: Index): Finding | undefined {
  const [event] = eventsOf(index, pod, /^(FailedCreatePodSandBox|NetworkNotReady)$/, 600)
  if (!event || ageOf(pod, index) < 10) return undefined
  const message = String(event.message ?? '')
  const image = /(?:sandbox image|pull image) "([^"]+)"/.exec(message)?.[1]
  const told = image
    ? imageTrouble(pod, image, 'ErrImagePull', message, 'in the configuration of k3s (--pause-image)', index)
    : spaceTrouble(message)
  if (told)
    return {
      rule: told.rule,
      verdict: 'broken',
      subject: refOf(pod),
      cause: image ? `its sandbox cannot be created: ${told.cause}` : told.cause,
      evidence: [`${event.reason}: ${short(message)}`],
      remedy: { text: told.fix, ...(image ? {} : { command: SPACE }) },
    }
  const network =
    /\bcni\b|flannel|network plugin|setup network|network for sandbox|NetworkNotReady|NetworkPluginNotReady/i.test(
      message,
    )
  return {
    rule: network ? 'node-network-failing' : 'pod-sandbox-failed',
    verdict: 'broken',
    subject: network ? refTo('Node', undefined, pod.spec?.nodeName) : refOf(pod),
    cause: network
      ? 'its network for pods does not work'
      : `the node cannot set the pod up: ${short(message, 200)}`,
    evidence: [`${event.reason} of ${pod.metadata.namespace}/${pod.metadata.name}: ${short(message)}`],
    remedy: {
      text: 'k3s sets the network up when it starts: restart it, and read what it says',
      command: 'npx tsx scripts/ssh.ts --sudo -- systemctl restart k3s',
    },
  }
}

const SPACE = 'npx tsx scripts/ssh.ts --sudo -- df -h / /run && cat /proc/cgroups'

/** No room on the node, for files or for control groups. */
function spaceTrouble(message: string) {
  if (!/no space left on device/i.test(message)) return undefined
  const groups = /\/sys\/fs\/cgroup|cgroup/.test(message)
  return {
    rule: 'node-no-space',
    cause: groups
      ? 'the node can make no more control groups, or its disk is full (no space left on device)'
      : 'the disk of the node is full (no space left on device)',
    fix: groups
      ? 'see whether the disk is full; else too many control groups are left over: restart the server'
      : 'make room on the disk of the server',
  }
}

/** A placed pod of which the kubelet tells nothing at all. */
function notBegun(pod: KubeObject, index: Index): Finding | undefined {
  const age = ageOf(pod, index)
  if (age < 60 || pod.status?.startTime || pod.status?.containerStatuses) return undefined
  return {
    rule: 'kubelet-silent',
    verdict: 'broken',
    subject: refOf(pod),
    cause: `the kubelet of ${pod.spec?.nodeName} has not started it for ${durationText(age * 1000)}`,
    evidence: [],
    remedy: {
      text: 'see whether k3s runs on the server',
      command: 'npx tsx scripts/ssh.ts --sudo -- systemctl status k3s',
    },
    symptom: true,
  }
}

/** Pods that were deleted and do not end. */
const terminating: Rule = index =>
  index.all('Pod').flatMap((pod): Finding[] => {
    const { namespace, name } = pod.metadata
    // The time of the deletion is that by which it should be over.
    const age = since(index, pod.metadata.deletionTimestamp)
    const { finalizers = [] } = pod.metadata as { finalizers?: string[] }
    if (!pod.metadata.deletionTimestamp || age < (finalizers.length > 0 ? 20 : 60)) return []
    const subject = refOf(pod)
    const lasts = durationText(age * 1000)
    if (finalizers.length > 0)
      return [
        {
          rule: 'pod-stuck-terminating',
          verdict: 'broken',
          subject,
          cause: `has been terminating for ${lasts}: nothing has removed its finalizer ${finalizers.join(', ')}`,
          evidence: [],
          remedy: {
            text: 'see why the program of the finalizer does not run; if it was removed for good, remove the finalizer',
            command: `kubectl -n ${namespace} patch pod ${name} --type merge -p '{"metadata":{"finalizers":null}}'`,
          },
        },
      ]
    return [
      {
        rule: 'pod-stuck-terminating',
        verdict: 'broken',
        subject,
        cause: `has been terminating for ${lasts}: the kubelet of ${pod.spec?.nodeName} does not confirm its end`,
        evidence: [],
        remedy: {
          text: 'only when the server was removed or restarted, so that the pod cannot run any more: delete it by force',
          command: `kubectl -n ${namespace} delete pod ${name} --force --grace-period=0`,
        },
        symptom: true,
      },
    ]
  })

/** Evicted pods that nobody needs: one finding for each namespace. */
const evicted: Rule = index => {
  const byNamespace = new Map<string, KubeObject[]>()
  for (const pod of index.all('Pod'))
    if (isEvicted(pod))
      byNamespace.set(pod.metadata.namespace ?? '', [
        ...(byNamespace.get(pod.metadata.namespace ?? '') ?? []),
        pod,
      ])
  return [...byNamespace].map(([namespace, pods]): Finding => {
    const subject: Ref = { apiVersion: 'v1', kind: 'Namespace', name: namespace }
    const causes = [...new Set(pods.map(evictionCause))].join(', ')
    const args = ['--namespace', namespace]
    return {
      rule: 'evicted-pods-left',
      verdict: 'warning',
      subject,
      cause: `${pods.length} evicted ${pods.length === 1 ? 'pod is' : 'pods are'} left behind`,
      evidence: [`the node was short of: ${causes}`, short(String(pods[0]!.status?.message ?? ''))],
      remedy: {
        text: 'delete them: they only fill every list',
        command: `npx tsx scripts/delete-evicted-pods.ts ${args.join(' ')}`,
        action: { do: 'script', script: 'delete-evicted-pods', args },
      },
    }
  })
}

export const rules: Rule[] = [unplaced, notSetUp, terminating, evicted]
