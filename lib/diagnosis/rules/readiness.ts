/** Containers that run, but do not get ready or do not come to their end. */

import { condition } from '../../flux/flux.ts'
import { claimsOfPod } from '../../kubectl/claims.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { repairOf } from './configured.ts'
import { refTo } from './failure.ts'
import type { ImageTrouble } from './images.ts'
import { lastLinesOf, meaningOf } from './last-words.ts'
import { blindNetworks } from './network-selectors.ts'
import { probeMistake, unserved } from './probes.ts'
import { adviceIn, probeAnswer, tellingLine } from './telling-lines.ts'
import { understood } from './understood.ts'
import {
  type Container,
  describing,
  eventsOfContainer,
  releaseOf,
  since,
  suffersFrom,
  timesSeen,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** A trouble with a container. */
export interface Trouble extends ImageTrouble {
  verdict?: 'warning'
  symptom?: true
  evidence?: string[]
  command?: string
}

/** The command that reads a container's log; that of its former run unless told. */
export const logsOf = (pod: KubeObject, name: string, previous = ' --previous') =>
  `npx tsx scripts/logs.ts ${pod.metadata.namespace}/${pod.metadata.name} --container ${name}${previous}`

/** An init container that does not come to its end: it waits for something. */
export function unfinishedInit(pod: KubeObject, container: Container, index: Index): Trouble | undefined {
  const age = since(index, container.status.state.running.startedAt)
  if (age < 600) return undefined
  const lines = lastLinesOf(pod, container.name, index)
  const known = understood(pod, container, [lines], index)
  // Velero's waits for the volumes that its node-agent restores.
  const restores = index
    .all('PodVolumeRestore')
    .filter(
      ({ spec }) => spec?.pod?.name === pod.metadata.name && spec.pod.namespace === pod.metadata.namespace,
    )
  const said = known?.cause ?? tellingLine(lines)
  return {
    rule: 'pod-init-unfinished',
    cause: `init container ${container.name} has not completed for ${durationText(age * 1000)}${said ? `: ${said}` : ''}`,
    fix: known?.fix ?? 'read what it waits for: most often a database or a service that does not answer',
    command: logsOf(pod, container.name, ''),
    ...(restores.length > 0
      ? {
          symptom: true,
          causedBy: [...restores, ...index.within('DaemonSet', restores[0]!.metadata.namespace)].map(refOf),
        }
      : known?.by
        ? { symptom: true, causedBy: known.by }
        : waitsForOthers(pod, index)),
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a Probe
const allowance = (probe: any) =>
  (probe?.initialDelaySeconds ?? 0) + (probe?.periodSeconds ?? 10) * (probe?.failureThreshold ?? 3)

/** A container that runs and is not ready, after the time that its probes give it. */
export function unready(pod: KubeObject, container: Container, index: Index): Trouble | undefined {
  const { name, spec, status } = container
  const age = since(index, status.state.running.startedAt)
  const starting = spec?.startupProbe && status.started === false
  const failed = eventsOfContainer(index, pod, name, /^(Unhealthy|ProbeWarning)$/, 600)
  const often = failed.reduce((sum, event) => sum + timesSeen(event), 0)
  const patience = allowance(starting ? spec.startupProbe : spec?.readinessProbe)
  const wasReady = since(index, condition(pod, 'Ready')?.lastTransitionTime) < age - 5
  // Whatever has just started fails its first probes.
  if (!(wasReady && often >= 3) && age < (failed.length > 0 ? patience + 120 : Math.max(patience, 300)))
    return undefined
  const message = String(failed[0]?.message ?? '')
  const seen = failed[0] ? [`${failed[0].reason}: ${short(message)} (${often} times)`] : []
  const lines = lastLinesOf(pod, name, index)
  const said = understood(pod, container, [lines], index)
  const mistaken = probeMistake(container, message, pod)
  // Where the command of a probe says nothing, the program may.
  if (mistaken && !(mistaken.isSilent && said))
    return {
      rule: 'pod-not-ready',
      cause: `container ${name} runs, but ${mistaken.cause}`,
      fix: `${mistaken.fix} ${whereToChange(workloadOf(pod, index), index)}`,
      command: describing(pod),
      evidence: seen,
    }
  const lacking = lackingMembers(pod, index)
  if (lacking)
    return {
      rule: 'pod-not-ready',
      cause: `container ${name} runs, but is not ready: ${lacking.cause}`,
      fix: lacking.fix,
      command: lacking.command,
      evidence: seen,
    }
  // A program that the probe runs may say why; that it does not connect says nothing of what it connects to.
  const own = /: (Get "|dial |HTTP probe|command )/.test(message) ? undefined : meaningOf(message)
  const known =
    said ??
    (own && !/unreachable|address-missing/.test(own.rule)
      ? { ...own, fix: repairOf(own, pod, name, [lines, message], index) }
      : undefined)
  if (known && since(index, condition(pod, 'Ready')?.lastTransitionTime) > 300)
    return {
      rule: known.rule,
      cause: `container ${name} runs, but is not ready: ${known.cause}`,
      fix: known.fix,
      command: known.command ?? logsOf(pod, name, ''),
      evidence: message ? seen : [],
      ...(known.by ? { symptom: true, causedBy: known.by } : waitsForOthers(pod, index)),
    }
  if (/dial tcp [\d.]+:\d+: connect: (no route to host|network is unreachable)/.test(message))
    return {
      rule: 'pod-unreachable',
      cause: 'the kubelet does not reach it: a firewall of the node, or its network for pods, is in between',
      fix: 'let the networks of pods and of Services through the firewall of the server (10.42.0.0/16 and 10.43.0.0/16 with k3s; firewalld: zone trusted); if that is so, restart k3s',
      command: describing(pod),
      evidence: [short(message)],
    }
  const advice = adviceIn(lines)
  const where = whereToChange(workloadOf(pod, index), index)
  const [, which, words = ''] =
    /^(Readiness|Liveness|Startup) probe (?:failed|errored)[^:]*: ([\s\S]+)/.exec(message) ?? []
  const answer = probeAnswer(words)
  const refused = unserved(
    pod,
    container,
    failed.map(each => String(each.message ?? '')).filter(each => each.startsWith(which ?? '')),
  )
  const read =
    'read what it waits for or complains about: most often a database or a service that does not answer'
  const probe = (which ?? '').toLowerCase()
  const isCommand = container.spec?.[`${probe}Probe`]?.exec !== undefined
  return {
    rule: 'pod-not-ready',
    cause: which
      ? `container ${name} runs, but ${refused?.cause ?? `${isCommand ? `the command of its ${probe} probe (${probe}Probe.exec)` : `its ${probe} probe`} fails: ${answer}`}`
      : `container ${name} runs, but is not ready`,
    fix:
      (!/^(Get|HTTP|dial)\b/.test(answer) && adviceOn(answer, where)) ||
      (which === 'Liveness' && /rejecting connections|starting up|in recovery/.test(answer)
        ? `give it a startupProbe, or its liveness probe more time, ${where}: it is still starting, as after a crash, and is killed before it is done`
        : undefined) ||
      `${refused && !refused.declared ? refused.fix(where) : `${read}${refused ? `; if nothing, ${refused.fix(where)}` : ''}`}${advice ? `; it advises: ${advice}` : ''}`,
    command: logsOf(pod, name, ''),
    evidence: seen,
    ...waitsForOthers(pod, index),
  }
}

/**
 * Members of a StatefulSet that were scaled away, and whose claims are still there: what decides by a majority, as etcd
 * does, waits for them.
 */
function lackingMembers(pod: KubeObject, index: Index) {
  const set = workloadOf(pod, index)
  const { replicas = 1 } = set.spec ?? {}
  if (set.kind !== 'StatefulSet') return undefined
  const { namespace, name } = set.metadata
  // The claims of its pods are called TEMPLATE-POD.
  const claims = index.within('PersistentVolumeClaim', namespace).map(({ metadata }) => metadata.name)
  const ordinals = claimsOfPod(pod)
    .filter(own => own.endsWith(`-${pod.metadata.name}`))
    .map(own => own.replace(/-\d{1,10}$/, '-'))
    .flatMap(own => claims.flatMap(claim => (claim.startsWith(own) ? [Number(claim.slice(own.length))] : [])))
  const members = Math.max(0, ...ordinals.filter(Number.isInteger)) + 1
  if (members < 3 || replicas * 2 > members) return undefined
  return {
    cause: `StatefulSet ${name} has ${replicas} of ${members} members, whose claims are still there: these are not a majority`,
    fix: `scale it back to ${members}, ${whereToChange(set, index)}, so that its members find each other again`,
    command: `kubectl -n ${namespace} scale statefulset ${name} --replicas=${members}`,
  }
}

/**
 * What a container that runs may wait for: the other workloads of its release, and the releases that this one
 * depends on. Only if one of them is broken, the container is not a cause of its own.
 */
function waitsForOthers(pod: KubeObject, index: Index): Pick<Trouble, 'symptom' | 'causedBy'> {
  const own = workloadOf(pod, index)
  const networks = blindNetworks(pod, index)
  if (networks.length > 0) return { symptom: true, causedBy: networks.map(refOf) }
  const release = releaseOf(own, index)
  const workloads = ['StatefulSet', 'Deployment']
    .flatMap(kind => index.all(kind))
    .filter(each => each !== own)
  if (!release) return suffersFrom(workloads.filter(each => isPartOf(each, own)).map(refOf))
  const others = workloads.filter(each => releaseOf(each, index) === release)
  const dependencies = (release.spec?.dependsOn ?? []) as { name?: string; namespace?: string }[]
  return {
    symptom: true,
    causedBy: [
      ...others.map(refOf),
      ...dependencies.flatMap(({ name, namespace = release.metadata.namespace }) =>
        name ? [refTo('HelmRelease', namespace, name)] : [],
      ),
    ],
  }
}

const INSTANCE = 'app.kubernetes.io/instance'

/** Whether a workload is a part of another one’s application, as charts label and name them: wordpress-mariadb. */
function isPartOf({ metadata: part }: KubeObject, { metadata: whole }: KubeObject): boolean {
  const instance = whole.labels?.[INSTANCE]
  return (
    part.namespace === whole.namespace &&
    (part.name.startsWith(`${whole.name}-`) ||
      (instance !== undefined && part.labels?.[INSTANCE] === instance))
  )
}
