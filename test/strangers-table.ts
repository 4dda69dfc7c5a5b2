/**
 * The table in runbooks/diagnose.md of strangers' faults, by suite. Written by `npx tsx test/strangers-table.ts`, which
 * judges them again; test/unit/lib/diagnosis/strangers.test.ts holds the page against it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Diagnosis, diagnose } from '../lib/diagnosis/diagnose.ts'
import { RULES } from '../lib/diagnosis/rules/index.ts'
import { parseSnapshot } from '../lib/diagnosis/snapshot.ts'
import { refText } from '../lib/kubectl/kubectl.ts'
import { ROOT, writeFileAtomic } from '../lib/script/files.ts'
import { type Calm, factsOf, STRANGERS, type Stranger } from './fixtures/strangers.ts'

/** The page with the table. */
export const PAGE = join(ROOT, 'runbooks', 'diagnose.md')

const [BEGIN, END] = ['<!-- strangers -->\n', '<!-- end of strangers -->\n']

const TITLES: Record<string, string> = {
  aiopslab: 'AIOpsLab',
  applications: 'last words of applications',
  'cert-manager': 'messages of cert-manager',
  flux: 'Flux',
  'flux-messages': 'messages of Flux and Helm',
  holmesgpt: 'HolmesGPT',
  itbench: 'ITBench',
  k8sgpt: 'k8sgpt',
  kubernetes: 'messages of Kubernetes and its runtime',
  'kubernetes-demos': 'kubernetes-demos',
  labs: 'public labs',
  network: 'ways of requests',
  nodes: 'states of nodes',
  'pod-states': 'states of pods (bare, of a Job, of a Deployment)',
  popeye: 'Popeye',
  reports: 'public bug reports',
  'reports-platform': 'public bug reports on the platform’s parts',
  sregym: 'SREGym',
  velero: 'messages of Velero',
}

const known = new Map<Calm, Diagnosis>()

/** What is said of a fault, read as from a file: only allowed fields are left. */
export function diagnosed(stranger: Calm): Diagnosis {
  const found =
    known.get(stranger) ?? diagnose(parseSnapshot(JSON.stringify(factsOf(stranger)), stranger.name), RULES)
  known.set(stranger, found)
  return found
}

/** Whether the right cause is named first, with its remedy. */
function isNamed(stranger: Stranger): boolean {
  const [first] = diagnosed(stranger).causes
  const { rule, subject, remedy } = stranger.expect
  return (
    first?.rule === rule &&
    new RegExp(subject).test(refText(first.subject)) &&
    new RegExp(remedy).test(`${first.remedy.text} ${first.remedy.command ?? ''}`)
  )
}

/** The text of the page with the table as it has to be. Throws when the place for it is not marked. */
export function withStrangers(page: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines ${BEGIN.trim()} and ${END.trim()}`)
  const suites = [...new Set(STRANGERS.map(({ suite }) => suite))]
  const rows = suites.map(suite => {
    const cases = STRANGERS.filter(each => each.suite === suite)
    const missed = cases.filter(each => !isNamed(each)).map(({ name }) => name)
    return `| ${TITLES[suite] ?? suite} | ${cases.length - missed.length} of ${cases.length} | ${missed.join(', ') || '–'} |`
  })
  const table = ['', '| suite | right cause first | missed |', '|---|---|---|', ...rows, '']
  return `${page.slice(0, from + BEGIN.length)}${table.map(line => `${line}\n`).join('')}${page.slice(to)}`
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileAtomic(PAGE, withStrangers(readFileSync(PAGE, 'utf8')), 0o644)
