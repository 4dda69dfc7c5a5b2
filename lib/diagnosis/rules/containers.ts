/** Containers that do not start, do not stay, or are not ready. */

import { isOver } from '../../kubectl/claims.ts'
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { settingsPlace } from './configured.ts'
import { missingSubPath } from './given.ts'
import { IMAGE_REASONS, imageTrouble } from './images.ts'
import { busError, processorLacks } from './known-words.ts'
import { lastLinesOf } from './last-words.ts'
import { probeMistake, unserved } from './probes.ts'
import { logsOf, type Trouble, unfinishedInit, unready } from './readiness.ts'
import { MOUNTED, startTrouble } from './starting.ts'
import { adviceIn, lackingProgram, namedIn, probeAnswer, programFix, tellingLine } from './telling-lines.ts'
import { understood } from './understood.ts'
import {
  type Container,
  containersOf,
  describing,
  eventsOfContainer,
  isOfOldRevision,
  oncePerWorkload,
  podsOf,
  since,
  timesAnHour,
  timesSeen,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** The trouble of each pod: that of its first container which has some, since the others may wait for it. */
const containerTroubles: Rule = index =>
  oncePerWorkload(
    podsOf(index).flatMap(pod => {
      if (isOver(pod)) return []
      for (const container of containersOf(pod)) {
        const of = workloadOf(pod, index)
        const trouble = ofNames(troubleOf(pod, container, index), of)
        if (!trouble) continue
        // What was wrong before a correction is told with the pod that stands in its way.
        const old = isOfOldRevision(pod, of) ? ({ symptom: true } as const) : {}
        return [{ ...finding(pod, container, trouble), ...old, of }]
      }
      return []
    }),
  )

/** Meanings about what a program reads, not about how it is run. */
const OF_SETTINGS = /^container-(setting|file|names|service|address|certificate)/

/** The trouble of a pod of CoreDNS is that of everybody: no name is resolved. */
function ofNames(trouble: Trouble | undefined, { metadata }: KubeObject): Trouble | undefined {
  if (!trouble || metadata.namespace !== 'kube-system' || metadata.name !== 'coredns') return trouble
  return {
    ...trouble,
    rule: 'cluster-dns-down',
    cause: `no name is resolved in the cluster: ${trouble.cause}`,
    fix: /^(pod-crash-looping|pod-not-ready)$/.test(trouble.rule)
      ? /: /.test(trouble.cause) && !/\bloop\b|resolv|nameserver|probe/i.test(trouble.cause)
        ? 'correct what it says in the ConfigMaps coredns and coredns-custom in kube-system'
        : 'read its log: for `Loop … detected` correct /etc/resolv.conf of the server, which leads back to CoreDNS (or give k3s another one by --resolv-conf)'
      : OF_SETTINGS.test(trouble.rule)
        ? trouble.fix.replace('in the manifest of Deployment coredns', 'in ConfigMap kube-system/coredns')
        : trouble.fix,
    symptom: undefined,
    causedBy: undefined,
  }
}

function finding(pod: KubeObject, { status }: Container, trouble: Trouble): Finding {
  const { rule, cause, fix, command, causedBy, symptom, verdict = 'broken', evidence = [] } = trouble
  const waiting = status.state?.waiting
  const seen = waiting?.reason ? [`${waiting.reason}: ${short(waiting.message ?? '')}`] : []
  return tell(pod, {
    rule,
    verdict,
    cause,
    evidence: [...seen, ...evidence],
    text: fix,
    ...(command ? { command } : {}),
    ...(symptom ? { symptom } : {}),
    ...(causedBy ? { causedBy } : {}),
  })
}

function troubleOf(pod: KubeObject, container: Container, index: Index): Trouble | undefined {
  const { status } = container
  const { waiting, running, terminated } = status.state ?? {}
  const reason = String(waiting?.reason ?? '')
  const message = String(waiting?.message ?? '')
  const age = since(index, pod.status?.startTime, pod.metadata.creationTimestamp)
  const where = whereToChange(workloadOf(pod, index), index)
  if (IMAGE_REASONS.test(reason)) {
    // The first refusal may be a hiccup of the network; the second leads to the back-off.
    if (reason === 'ErrImagePull' && age < 30) return undefined
    // Velero puts this container into what it restores: https://velero.io/docs/v1.18/file-system-backup/#customize-restore-helper-container
    const place = /^rest(ic|ore)-wait$/.test(container.name)
      ? 'in ConfigMap velero/fs-restore-action-config, then delete the Restore and restore again'
      : where
    return imageTrouble(pod, container.spec?.image ?? status.image ?? '', reason, message, place, index)
  }
  if (reason === 'CrashLoopBackOff') return settles(status, age) ? undefined : crash(pod, container, index)
  if (/^(Run|Create)Container(Config)?Error$|^(PostStart|PreStart)HookError$/.test(reason)) {
    if (age < 10 || waitsForObject(message)) return undefined
    // A kubelet that was started again has forgotten its words; the event has them.
    const [failed] = message ? [] : eventsOfContainer(index, pod, container.name, /^Failed$/)
    return notStarted(pod, container, `${reason}: ${message || (failed?.message ?? '')}`, where, index)
  }
  if (terminated && terminated.exitCode !== 0 && !settles(status, age)) return crash(pod, container, index)
  if (!running) return undefined
  if (container.init) return unfinishedInit(pod, container, index)
  return (
    (status.ready === false ? unready(pod, container, index) : undefined) ??
    restarting(pod, container, index) ??
    endangered(pod, container, index)
  )
}

/** A container that the runtime cannot start, in its words. */
function notStarted(
  pod: KubeObject,
  container: Container,
  message: string,
  where: string,
  index: Index,
): Trouble {
  const title = `${container.init ? 'init container' : 'container'} ${container.name}`
  const known = startTrouble(message)
  const lack = known && MOUNTED.test(message) ? missingSubPath(pod, container, index) : undefined
  const words = short(message, 200)
  return {
    rule: known?.rule ?? 'pod-cannot-start',
    cause: `${title} cannot be started${known ? `: ${lack?.cause ?? known.cause}` : ''}${words ? `: ${words}` : ''}`,
    fix: (lack ?? known)?.fix(where) ?? `correct its command, mounts or security context ${where}`,
    command: known?.command ?? describing(pod),
  }
}

/** Whether an end or two are part of a start: an application waits for its database so. */
function settles(status: Container['status'], age: number): boolean {
  return (status.restartCount ?? 0) < 3 && age < 180
}

/** A Secret or ConfigMap that is not there: the rules in needs.ts tell it. */
function waitsForObject(message: string): boolean {
  return /(secret|configmap) "[^"]*" not found|couldn't find key/i.test(message)
}

const SIGNALS: Record<number, string> = {
  126: 'its command is not executable',
  127: 'its command does not exist',
  132: 'an instruction that its processor does not have',
  134: 'it has aborted itself',
  135: 'a bus error: memory that is not there',
  137: 'killed',
  139: 'a segmentation fault',
  143: 'asked to end',
}

/** A container that keeps crashing, by its last end. */
function crash(pod: KubeObject, container: Container, index: Index): Trouble {
  const { name, init, status } = container
  const last = status.lastState?.terminated ?? status.state?.terminated ?? {}
  const title = `${init ? 'init container' : 'container'} ${name}`
  const where = whereToChange(workloadOf(pod, index), index)
  const lines = lastLinesOf(pod, name, index)
  const words = [String(last.message ?? ''), lines].filter(Boolean)
  const evidence = [
    endText(container, index),
    ...words.map(text => short(text.trim().split('\n').at(-1) ?? '')),
  ]
  const command = logsOf(pod, name)
  if (last.reason === 'OOMKilled') return outOfMemory(pod, container, index)
  if (/^(StartError|ContainerCannotRun)$/.test(last.reason ?? ''))
    return { ...notStarted(pod, container, String(last.message ?? ''), where, index), evidence }
  const probes = eventsOfContainer(index, pod, name, /^(Killing|Unhealthy)$/).filter(isOfLiveness)
  const probed = probes.find(({ reason }) => reason === 'Unhealthy') ?? probes[0]
  const mistaken = probed && probeMistake(container, String(probed.message ?? ''), pod)
  if (mistaken && !init)
    return {
      rule: 'pod-liveness-failing',
      cause: `${title} keeps being killed: ${mistaken.cause}`,
      fix: `${mistaken.fix} ${where}`,
      command: describing(pod),
      evidence: [short(probed.message ?? ''), ...evidence],
    }
  const lacking = lackingProgram(words, last.exitCode)
  const known = understood(pod, container, words, index)
  // A script may go on without a program, and fail by something else.
  if (lacking && (last.exitCode === 127 || !(known || probed)))
    return withoutProgram(container, lacking, where, { command, evidence })
  // What is not of a connection is what a command has written.
  const [, which, written] =
    /\b(liveness|startup) probe failed: (?!Get |HTTP |dial |command |rpc |service |timeout)([\s\S]+)/i.exec(
      probed?.message ?? '',
    ) ?? []
  const refused = unserved(
    pod,
    container,
    probes.flatMap(({ reason, message }) => (reason === 'Unhealthy' ? String(message ?? '') : [])),
  )
  // What ends as it is asked to has started; what has to be killed may still be on its way to its port.
  const isOrderly = last.exitCode === 0 || last.exitCode === 143
  if (refused && !init && !known && (isOrderly || !refused.declared))
    return {
      rule: 'pod-liveness-failing',
      cause: `${title} keeps being killed: ${refused.cause}`,
      fix: `${refused.fix(where)}; if it only starts slowly, give it a startupProbe`,
      command,
      evidence: [short(probed?.message ?? ''), ...evidence],
    }
  if (probed && !init && !known)
    return {
      rule: 'pod-liveness-failing',
      cause: `${title} keeps being killed: ${written ? `the command of its ${which!.toLowerCase()} probe fails: ${probeAnswer(written)}` : 'it does not answer its liveness or startup probe'}`,
      fix: `read what it does; if it is only slow, give the probe more time ${where}${written ? ', or correct that command there' : ''}`,
      command,
      evidence: [short(probed.message ?? ''), ...evidence],
    }
  if (known)
    return {
      rule: known.rule,
      cause: `${title} keeps crashing: ${known.cause}`,
      fix: known.fix,
      command: known.command ?? command,
      evidence,
      ...(known.by ? { symptom: true, causedBy: known.by } : {}),
    }
  const rule = init ? 'pod-init-failing' : 'pod-crash-looping'
  if (last.exitCode === 0)
    return {
      rule,
      cause: `${title} ends by itself (exit code 0), and is restarted each time`,
      fix: `a container of a ${workloadOf(pod, index).kind} has to keep running: correct its command ${where}, or make it a Job`,
      command,
      evidence,
    }
  const meaning = SIGNALS[last.exitCode] ? ` (${SIGNALS[last.exitCode]})` : ''
  const how = last.exitCode === undefined ? '' : ` with exit code ${last.exitCode}${meaning}`
  const said = tellingLine(...words)
  const advice = adviceIn(...words)
  const named = namedIn(said)
  return {
    rule,
    cause: `${title} keeps crashing${how}${said ? `: ${said}` : ''}`,
    fix:
      last.exitCode === 135 && !said
        ? busError(where)
        : last.exitCode === 132
          ? processorLacks(where)
          : `${said ? 'correct what it says' : 'read why it ends, then correct its configuration'} ${settingsPlace(pod, name, words, index)}${named ? `; ${named}` : ''}${advice && advice !== said ? `; it advises: ${advice}` : ''}`,
    command,
    evidence,
  }
}

/** A container whose command names a program that its image does not have. */
function withoutProgram(
  { name, init, status }: Container,
  { program, line }: { program: string; line: string },
  where: string,
  more: Pick<Trouble, 'command' | 'evidence'>,
): Trouble {
  const last = status.lastState?.terminated ?? status.state?.terminated ?? {}
  return {
    rule: init ? 'pod-init-failing' : 'pod-crash-looping',
    cause: `${init ? 'init container' : 'container'} ${name} keeps crashing with exit code ${last.exitCode}: its image has no program ${program}: ${short(line, 200)}`,
    fix: programFix(program, where),
    ...more,
  }
}

const isOfLiveness = ({ message }: KubeObject) => /(liveness|startup) probe/i.test(message ?? '')

/** A container that works, although its liveness probe has failed often in the last minutes: it will be killed. */
function endangered(pod: KubeObject, container: Container, index: Index): Trouble | undefined {
  // Until its startup probe has succeeded, that one gives it its time.
  const starts = container.spec?.startupProbe && container.status.started === false
  const failed = starts
    ? []
    : eventsOfContainer(index, pod, container.name, /^Unhealthy$/, 300)
        .filter(isOfLiveness)
        // One in hours is a moment of much work.
        .filter(event => timesAnHour(event) > 30)
  if (failed.reduce((sum, event) => sum + timesSeen(event), 0) < 20) return undefined
  const message = String(failed[0]?.message ?? '')
  const mistaken = probeMistake(container, message, pod)
  const refused = unserved(
    pod,
    container,
    failed.map(each => String(each.message ?? '')),
  )
  const where = whereToChange(workloadOf(pod, index), index)
  return {
    rule: 'pod-liveness-failing',
    verdict: 'warning',
    cause: `container ${container.name} runs, but ${mistaken?.cause ?? `${refused?.cause ?? 'its liveness probe keeps failing'}: it will be killed for that`}`,
    fix:
      mistaken || !refused
        ? `${mistaken?.fix ?? 'correct the livenessProbe, or read what the program does'} ${where}`
        : refused.fix(where),
    command: describing(pod),
    evidence: [short(message)],
  }
}

/** How and when a container has ended last: `ended with Error, exit code 1; 5 restarts, the last end 2 min ago`. */
function endText({ status }: Container, index: Index): string {
  const last = status.lastState?.terminated ?? status.state?.terminated ?? {}
  const ago = last.finishedAt
    ? `, the last end ${durationText(since(index, last.finishedAt) * 1000)} ago`
    : ''
  return `ended with ${last.reason ?? 'Error'}, exit code ${last.exitCode}; ${status.restartCount ?? 0} restarts${ago}`
}

function outOfMemory(pod: KubeObject, container: Container, index: Index): Trouble {
  const { name, spec } = container
  const limit = spec?.resources?.limits?.memory
  const workload = workloadOf(pod, index)
  const where = whereToChange(workload, index)
  const template = ((workload.spec?.template?.spec?.containers ?? []) as Container['spec'][]).find(
    each => each.name === name,
  )
  const meant = template?.resources?.limits?.memory
  // What a pod has otherwise than its template was changed when it was created.
  if (limit && template && meant !== limit && !isOfOldRevision(pod, workload))
    return {
      rule: 'pod-out-of-memory',
      cause: `container ${name} is killed when it needs more than its limit of ${limit} of memory; ${workload.kind} ${workload.metadata.name} says ${meant ?? 'none'}`,
      fix: `correct what gives its pods another limit when they are created: ${admissionOf(pod, index)}`,
      command: 'kubectl get mutatingwebhookconfigurations',
      evidence: [endText(container, index)],
    }
  return {
    rule: 'pod-out-of-memory',
    cause: limit
      ? `container ${name} is killed when it needs more than its limit of ${limit} of memory`
      : `container ${name} is killed because the server is out of memory: it has no limit of its own`,
    fix: limit
      ? `raise its memory limit ${where}`
      : 'give the server more memory, or remove what it does not need',
    evidence: [endText(container, index)],
  }
}

/** What may change a pod while it is created: a LimitRange of its namespace, else a webhook. */
function admissionOf({ metadata }: KubeObject, index: Index): string {
  const names = (kind: string, of: readonly KubeObject[]) =>
    of.map(({ metadata: { name } }) => `${kind} ${name}`).join(', ')
  const ranges = names('LimitRange', index.within('LimitRange', metadata.namespace))
  const kind = 'MutatingWebhookConfiguration'
  return ranges || names(kind, index.all(kind)) || 'a LimitRange or a mutating webhook'
}

/** A container that runs at the moment, and has been killed or has ended not long ago. */
function restarting(pod: KubeObject, container: Container, index: Index): Trouble | undefined {
  const { status } = container
  const last = status.lastState?.terminated
  // A container that was lost with its node ends with 255 and Unknown: that says nothing of itself.
  if (!last || last.reason === 'Unknown') return undefined
  const ago = since(index, last.finishedAt)
  const killed = last.reason === 'OOMKilled'
  const restarts = status.restartCount ?? 0
  const often = restarts >= 3
  const byProbe = eventsOfContainer(index, pod, container.name, /^(Killing|Unhealthy)$/, 900).some(
    isOfLiveness,
  )
  // A program may end by itself now and then, as to read its settings again: more often than every hour it is at fault.
  const byItself = last.exitCode === 0 && !byProbe
  const each = since(index, pod.status?.startTime, pod.metadata.creationTimestamp) / restarts
  // So may any program within months; one that crashes now is backed off from.
  const isRare =
    each > 6 * 3600 && eventsOfContainer(index, pod, container.name, /^BackOff$/, 900).length === 0
  if (killed ? ago > 24 * 3600 : !often || ago > 900 || isRare || (byItself && each > 3600)) return undefined
  const trouble = crash(pod, container, index)
  // Between two ends it runs for a moment, and may even be ready.
  const lives = since(index, status.state.running.startedAt) > 60 || (killed && !often)
  return lives && status.ready ? { ...trouble, verdict: 'warning' } : trouble
}

export const rules: Rule[] = [containerTroubles]
