import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { oldRanges, restrictionIn, withRestriction } from './override.ts'
import { hostObjects } from './routes.ts'
import type { AccessSurvey } from './survey.ts'

/** What a run changes. */
export interface AccessPlan {
  /** In words; empty when nothing changes. */
  lines: string[]
  /** The values.yaml of the override, where everything is restricted or opened, and what takes it back. */
  text: string
  textBefore: string
  /** The objects of the hosts, and what takes them back: the objects before, or nothing. */
  objects: KubeObject[]
  objectsBefore: KubeObject[]
  /** The same by hand. */
  byHand: string
}

const same = (a: readonly string[] | undefined, b: readonly string[]) =>
  JSON.stringify(a) === JSON.stringify(b)

/** What restricting to `given` changes, or opening where it is empty; for these hosts, or for everything. Pure. */
export function accessPlan(
  survey: AccessSurvey,
  {
    given,
    proxies,
    hosts,
  }: { given: readonly string[]; proxies: readonly string[]; hosts: readonly string[] },
): AccessPlan {
  const isOpening = given.length === 0
  const ranges = [...new Set([...given, ...survey.own])]
  const before = new Map(survey.hosts.map(each => [each.host, each]))
  const notes = isOpening
    ? []
    : [
        `always let in: the cluster itself (${survey.own.join(', ')})`,
        'port 80 stays open: authorities ask there, and everything else is redirected',
      ]
  if (hosts.length > 0) {
    const isDone = (host: string) => before.get(host)?.whole && same(before.get(host)?.ranges, ranges)
    const changing = hosts.filter(host => (isOpening ? before.has(host) : !isDone(host)))
    return {
      lines:
        changing.length === 0
          ? []
          : [
              ...changing.flatMap(host =>
                changes(host, before.get(host)?.ranges, isOpening ? undefined : ranges),
              ),
              ...notes,
            ],
      text: '',
      textBefore: '',
      objects: changing.flatMap(host => hostObjects(host, ranges)),
      objectsBefore: survey.hosts
        .filter(each => changing.includes(each.host) && each.ranges.length > 0)
        .flatMap(each => hostObjects(each.host, each.ranges)),
      byHand: 'kubectl -n oas get ingressroutes.traefik.io -l openappstack.net/restrict-access=host',
    }
  }
  const now = restrictionIn(survey.texts)
  const text = withRestriction(survey.texts, isOpening ? undefined : { ranges, proxies })
  const isSame =
    text === survey.texts[2] ||
    (now &&
      !isOpening &&
      same(now.ranges, ranges) &&
      same(now.proxies, proxies) &&
      oldRanges(survey.texts).length === 0)
  const isInstalled = isDeepStrictEqual(survey.installed, now)
  return {
    lines: isSame
      ? isInstalled
        ? []
        : ['wait until Flux has given the ingress what a run before has written']
      : [
          ...changes('every host', now?.ranges, isOpening ? undefined : ranges),
          ...(proxies.length > 0 ? [`trust X-Forwarded-For from ${proxies.join(', ')}`] : []),
          'Secret oas/oas-nginx-override, then HelmRelease oas/ingress',
          ...notes,
        ],
    text,
    textBefore: survey.texts[2]!,
    objects: [],
    objectsBefore: [],
    byHand: 'kubectl -n oas edit secret oas-nginx-override   # see install/overrides/oas-nginx-override.yaml',
  }
}

/**
 * Throws an ExpectedError when what a run would write, or take back, is not what was agreed to: an override or a host
 * was changed since the plan was shown. Pure.
 */
export function refuseOtherPlan(agreed: AccessPlan, now: AccessPlan): void {
  // Not the words, which change when Flux has installed meanwhile what a killed run has written.
  const written = ({ text, textBefore, objects, objectsBefore }: AccessPlan) => [
    text,
    textBefore,
    objects,
    objectsBefore,
  ]
  if (isDeepStrictEqual(written(agreed), written(now))) return
  throw new ExpectedError(
    'the restrictions, or the override oas-nginx-override, were changed meanwhile; nothing was written',
    'run the same command again: it shows a new plan',
  )
}

function changes(
  what: string,
  before: readonly string[] | undefined,
  after: readonly string[] | undefined,
): string[] {
  if (after === undefined) return [`${what}: let everybody in`]
  return [
    `${what}: let in only ${after.join(', ')}`,
    ...(before ?? []).filter(range => !after.includes(range)).map(range => `${what}: no longer ${range}`),
  ]
}

/** What is restricted, as rows of a table. Pure. */
export function accessRows(survey: AccessSurvey): string[][] {
  const everything = restrictionIn(survey.texts)
  const proxies = everything?.proxies.length ? ` (behind ${everything.proxies.join(', ')})` : ''
  return [
    ['every host', everything ? everything.ranges.join(', ') + proxies : 'everybody'],
    ...survey.hosts.map(({ host, ranges }) => [host, ranges.join(', ') || 'everybody']),
  ]
}

/** What somebody who trusts the ranges has to know. Pure. */
export function remarks(survey: AccessSurvey): string[] {
  const old = oldRanges(survey.texts)
  return [
    ...(old.length > 0
      ? [
          `oas-nginx-override has ranges for ingress-nginx (${old.join(', ')}), which Traefik does not read: run this with --allow ${old.join(',')}`,
        ]
      : []),
    ...(isDeepStrictEqual(survey.installed, restrictionIn(survey.texts))
      ? []
      : ['the ingress does not have yet what oas-nginx-override says: npx tsx scripts/app-debug.ts ingress']),
    ...survey.hosts
      .filter(({ whole }) => !whole)
      .map(
        ({ host }) => `${host}: a run was killed before it was done: run it again, or lift it with --open`,
      ),
    ...(survey.plain.length > 0
      ? [`${survey.plain.join(', ')}: without TLS, so port 80 serves it to everybody`]
      : []),
  ]
}
