/** Jobs and CronJobs that do not run, or never succeed. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, type Ref, refOf } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { isOfOthers } from '../allowed/object.ts'
import { each, type Finding, type Rule, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { periodOf } from './backups.ts'
import { whyEnded } from './creation.ts'
import { recognise } from './failure.ts'
import { refusals } from './refusals.ts'
import { containersOf, describing, eventsOf, releaseOf, since, suffersFrom } from './workload-facts.ts'

const resumed = ({ kind, metadata }: KubeObject) =>
  `kubectl -n ${metadata.namespace} patch ${kind.toLowerCase()} ${metadata.name} -p '{"spec":{"suspend":false}}'`

/** Jobs and CronJobs that are suspended: their work is not done. */
const suspended: Rule = index =>
  ['Job', 'CronJob'].flatMap(kind =>
    index.all(kind).flatMap((object): Finding[] => {
      const age = since(index, object.metadata.creationTimestamp)
      const none = object.spec?.parallelism === 0
      if ((object.spec?.suspend !== true && !none) || age < 600 || object.status?.completionTime) return []
      // A chart may bring one that is switched off.
      const meant = releaseOf(object, index) !== undefined
      if (meant) return []
      const last = object.status?.lastSuccessfulTime ?? object.status?.lastScheduleTime
      const queued = index.ownedBy(object).filter(isOfOthers)
      return [
        tell(object, {
          rule: kind === 'Job' ? 'job-suspended' : 'cronjob-suspended',
          cause: `${none ? 'has a parallelism of 0' : 'is suspended'}: ${kind === 'Job' ? 'it does not start' : 'it makes no Job'}`,
          evidence: [last ? `the last run was at ${last}` : `created ${durationText(age * 1000)} ago`],
          text: none ? 'give it a parallelism of 1 or more' : 'resume it when the reason is over',
          command: none
            ? `kubectl -n ${object.metadata.namespace} patch job ${object.metadata.name} -p '{"spec":{"parallelism":1}}'`
            : resumed(object),
          // A queue lets it go on, and says of an object of its own why it does not.
          ...suffersFrom(queued.map(refOf)),
        }),
      ]
    }),
  )

/** CronJobs that never succeed, or do not run. */
const cron = each('CronJob', (object, index) => {
  if (object.spec?.suspend === true) return undefined
  const { namespace, creationTimestamp } = object.metadata
  const known = periodOf(String(object.spec?.schedule ?? ''))
  const period = known ?? 3600
  const { lastSuccessfulTime, lastScheduleTime } = object.status ?? {}
  const jobs = jobsOf(object, index)
  const failed = jobs.filter(job => condition(job, 'Failed')?.status === 'True')
  const finding = (
    rule: string,
    cause: string,
    text: string,
    command: string,
    causedBy: Ref[] = [],
  ): Finding[] => [tell(object, { rule, cause, text, command, causedBy })]
  const [invalid] = eventsOf(index, object, /^(UnparseableSchedule|UnknownTimeZone|InvalidSchedule)/)
  if (invalid)
    return finding(
      'cronjob-schedule-invalid',
      `its schedule ${JSON.stringify(object.spec?.schedule)} or time zone is not valid: it never runs`,
      'correct spec.schedule or spec.timeZone',
      describing(object),
    )
  if (isNeverDue(String(object.spec?.schedule ?? '')))
    return finding(
      'cronjob-schedule-invalid',
      `its schedule ${JSON.stringify(object.spec?.schedule)} names a day that none of its months has: it never runs`,
      'correct spec.schedule',
      describing(object),
    )
  const last = failed.at(-1)
  if (last && !lastSuccessfulTime && !jobs.some(job => job.status?.succeeded)) {
    const why = whyEnded(last, index)
    return finding(
      'cronjob-never-succeeds',
      `it has never succeeded: ${failed.length === 1 ? 'its last Job has failed' : `its last ${failed.length} Jobs have failed`}${why ? `: ${why.cause}` : ''}`,
      why?.fix ?? 'read why, and correct it',
      `kubectl -n ${namespace} logs job/${last.metadata.name} --all-containers`,
    ).map(found => ({ ...found, evidence: lastEnd(last, index) }))
  }
  const [denied] = eventsOf(index, object, /^FailedCreate$/, Math.max(2 * period, 3600))
  if (denied && since(index, lastScheduleTime, creationTimestamp) > period) {
    const message = String(denied.message ?? '')
    const known = recognise(refusals, object, message)
    return finding(
      'cronjob-not-running',
      `its Jobs are refused: ${known?.cause ?? short(message)}`,
      known?.fix ?? 'correct what it names in its jobTemplate',
      describing(object),
      [...(known?.causedBy ?? [])],
    ).map(found => (known?.symptom ? { ...found, symptom: true } : found))
  }
  const [replaced] = eventsOf(index, object, /^SuccessfulDelete$/)
  const unfinished = since(index, lastSuccessfulTime, creationTimestamp)
  const isReplaced = object.spec?.concurrencyPolicy === 'Replace' && replaced && failed.length === 0
  if (isReplaced && unfinished > 2 * period)
    return finding(
      'cronjob-never-succeeds',
      `none of its Jobs has completed for ${durationText(unfinished * 1000)}: each is replaced by the next one (concurrencyPolicy Replace)`,
      'give it more time between two runs, or set concurrencyPolicy to Forbid; and see why one takes that long',
      describing(object),
    )
  const [missed] = eventsOf(index, object, /^(TooManyMissedTimes|FailedNeedsStart|MissSchedule)$/, 86_400)
  const [blocked] = eventsOf(index, object, /^JobAlreadyActive$/, 86_400)
  const quiet = since(index, lastScheduleTime, creationTimestamp)
  const running = jobs.find(job => job.status?.active)
  // Why that one does not end is told by itself.
  if (running && besideWork(running, index)) return undefined
  if (running && (blocked || object.spec?.concurrencyPolicy === 'Forbid') && quiet > 2 * period)
    return finding(
      'cronjob-blocked',
      `it has not run for ${durationText(quiet * 1000)}: Job ${running.metadata.name} still runs, and concurrencyPolicy ${object.spec?.concurrencyPolicy} lets no second one begin`,
      'see what that Job waits for, then delete it; activeDeadlineSeconds in its template ends such a one by itself',
      `kubectl -n ${namespace} logs job/${running.metadata.name} --all-containers`,
    )
  if (known && quiet > Math.max(2 * known, 600) + 60)
    return finding(
      'cronjob-not-running',
      `it has not run for ${durationText(quiet * 1000)}, although its schedule is ${JSON.stringify(object.spec?.schedule)}`,
      missed
        ? 'set spec.startingDeadlineSeconds to more than 10 s and less than the time between two runs, and check the clock of the server'
        : 'see its events: the controller may be away',
      describing(object),
    )
  return undefined
})

/** The days of the months, of a leap year. */
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether a schedule names only days that its months do not have, as 31 February. Pure. */
export function isNeverDue(schedule: string): boolean {
  const [, , days = '', months = '', weekdays] = schedule.trim().split(/\s+/)
  const lists = /^\d+(,\d+)*$/
  if (weekdays !== '*' || !lists.test(days) || !lists.test(months)) return false
  const longest = Math.max(...months.split(',').map(month => DAYS[Number(month) - 1] ?? 31))
  return days.split(',').every(day => Number(day) > longest)
}

/** The Jobs that a CronJob has made, the oldest first. */
function jobsOf(cronJob: KubeObject, index: Index): KubeObject[] {
  return index
    .all('Job')
    .filter(
      ({ metadata }) =>
        metadata.namespace === cronJob.metadata.namespace &&
        metadata.ownerReferences?.some(
          ({ kind, name }) => kind === 'CronJob' && name === cronJob.metadata.name,
        ),
    )
    .sort((a, b) => since(index, b.metadata.creationTimestamp) - since(index, a.metadata.creationTimestamp))
}

/** How the containers of a failed Job have ended. */
function lastEnd(job: KubeObject, index: Index): string[] {
  return index
    .ownedBy(job)
    .flatMap(pod =>
      ((pod.status?.containerStatuses ?? []) as Status[]).flatMap(({ name, state }) =>
        state?.terminated ? [`container ${name} ended with exit code ${state.terminated.exitCode}`] : [],
      ),
    )
}

/** The container that runs on in a pod of a Job, and the one beside it that has done the work for minutes. */
function besideWork(job: KubeObject, index: Index): { ended: string; goesOn: string } | undefined {
  for (const pod of index.ownedBy(job)) {
    const states = containersOf(pod).filter(({ init }) => !init)
    const ended = states.find(
      ({ status }) =>
        status.state?.terminated?.exitCode === 0 && since(index, status.state.terminated.finishedAt) >= 300,
    )
    const goesOn = ended && states.find(({ status }) => status.state?.running)
    if (goesOn) return { ended: ended.name, goesOn: goesOn.name }
  }
  return undefined
}

/** Jobs that do not come to an end: a container beside the one that has done the work runs on, or the work does. */
const unending: Rule = index => {
  const told = new Map<string, Finding>()
  for (const job of index.all('Job')) {
    if (!job.status?.active || job.status.completionTime) continue
    const owner = job.metadata.ownerReferences?.find(({ kind }) => kind === 'CronJob')?.name
    const subject = (owner && index.get('CronJob', job.metadata.namespace, owner)) || job
    const lasts = since(index, job.status.startTime, job.metadata.creationTimestamp)
    const beside = besideWork(job, index)
    // A CronJob that such a Job keeps from running tells it itself.
    const blocks = subject.spec?.concurrencyPolicy === 'Forbid'
    const endless = !blocks && lasts > 24 * 3600 && job.spec?.activeDeadlineSeconds === undefined
    if (told.has(keyOf(refOf(subject))) || !(beside || endless)) continue
    const { namespace, name } = job.metadata
    told.set(
      keyOf(refOf(subject)),
      tell(subject, {
        rule: 'job-unending',
        verdict: beside ? 'broken' : 'warning',
        cause: beside
          ? `its work is done, but container ${beside.goesOn} runs on after ${beside.ended} has ended: ${subject === job ? 'it' : `Job ${name}`} never completes${blocks ? ', and concurrencyPolicy Forbid lets no second one begin' : ''}`
          : `${subject === job ? '' : `Job ${name} `}has been running for ${durationText(lasts * 1000)}, and has no deadline`.trim(),
        text: beside
          ? `make ${beside.goesOn} an init container with restartPolicy: Always (a sidecar), or have it end with ${beside.ended}`
          : 'read what it does; if it hangs, delete it, and set activeDeadlineSeconds',
        command: `kubectl -n ${namespace} logs job/${name} --all-containers`,
      }),
    )
  }
  return [...told.values()]
}

interface Status {
  name: string
  state?: { terminated?: { exitCode?: number } }
}

export const rules: Rule[] = [suspended, cron, unending]
