import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { causeLines, headline } from '../../lib/diagnosis/show.ts'
import { type Gap, Index, type Snapshot } from '../../lib/diagnosis/snapshot.ts'
import { readStatus } from '../../lib/diagnosis/status.ts'
import { isOver } from '../../lib/kubectl/claims.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { showsVariable } from '../../lib/platform/variables.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { messageOf } from '../../lib/script/errors.ts'
import { ROOT, readIfExists } from '../../lib/script/files.ts'
import { scrub, scrubbedJson } from '../../lib/script/scrub.ts'

/** A file of a bundle. */
export interface BundleFile {
  path: string
  /** What it is, for the index; files of one folder share one entry. */
  what: string
  text: string
}

/** The content of a bundle, and what it lacks. */
export interface Contents {
  files: BundleFile[]
  /** What could not be read. */
  gaps: Gap[]
  /** Omitted on purpose, or missing. */
  leftOut: Gap[]
}

/** Collects the files of a bundle; a failure becomes a gap. Every text is scrubbed when it is added. */
export class Collector implements Contents {
  readonly files: BundleFile[] = []
  readonly gaps: Gap[] = []
  readonly leftOut: Gap[] = []

  add(path: string, what: string, text: string): void {
    this.files.push({ path, what, text: scrub(text) })
  }

  addJson(path: string, what: string, value: unknown): void {
    this.files.push({ path, what, text: `${scrubbedJson(value)}\n` })
  }

  /** Does a part of the work; its failure becomes a gap. An abort of the signal is thrown. */
  async attempt<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) throw signal.reason
      this.gaps.push({ what, why: messageOf(error) })
      return undefined
    }
  }
}

/** Adds the facts, findings and the status. Returns the facts that it added, if there are any. */
export async function addFacts(
  collector: Collector,
  kubectl: Kubectl,
  config: Snapshot['config'],
  signal: AbortSignal,
): Promise<Snapshot | undefined> {
  const snapshot = await collector.attempt('the facts', signal, () => gather(kubectl, { config }))
  if (!snapshot) return undefined
  const index = new Index(snapshot)
  const diagnosis = diagnose(snapshot, RULES, { index })
  const status = await collector.attempt('the status', signal, async () => readStatus(index, diagnosis))
  if (status) collector.addJson('status.json', 'what `status --json` shows', { sections: status })
  const { objects, omitted } = boundedFacts(snapshot.objects)
  collector.leftOut.push(...omitted)
  const facts = { ...snapshot, objects }
  collector.addJson('facts.json', 'the objects without values; read it with `diagnose --from`', facts)
  for (const gap of diagnosis.gaps) collector.gaps.push(gap)
  const findings = [headline(diagnosis), ...diagnosis.causes.flatMap(cause => ['', ...causeLines(cause)])]
  collector.add('findings.txt', 'what is wrong, and what to do about it', `${findings.join('\n')}\n`)
  const causes = diagnosis.causes.map(cause => ({
    ...cause,
    explains: cause.explains.slice(0, MOST_OF_A_KIND),
  }))
  collector.addJson('findings.json', 'the same for programs', { ...diagnosis, causes })
  return facts
}

/** Objects of a kind that are taken along: a bundle is sent by mail. */
const MOST_OF_A_KIND = 2000

/** So many objects of each kind; of more, those that have ended are left out first. Pure. */
export function boundedFacts(all: Snapshot['objects']): { objects: Snapshot['objects']; omitted: Gap[] } {
  const counts = new Map<string, number>()
  const kept = new Set<KubeObject>()
  for (const object of [...all.filter(each => !isOver(each)), ...all.filter(isOver)]) {
    const count = (counts.get(object.kind) ?? 0) + 1
    counts.set(object.kind, count)
    if (count <= MOST_OF_A_KIND) kept.add(object)
  }
  const omitted = [...counts]
    .filter(([, count]) => count > MOST_OF_A_KIND)
    .map(([kind, count]) => ({
      what: `${count - MOST_OF_A_KIND} of ${count} objects of kind ${kind}`,
      why: 'too many',
    }))
  return { objects: all.filter(object => kept.has(object)), omitted }
}

/** The versions of everything: of the toolkit, of Kubernetes, of charts and images. Pure. */
export function versionsOf(snapshot: Snapshot | undefined): { toolkit: string; [what: string]: unknown } {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const local = { toolkit: version as string, node: process.version, platform: process.platform }
  if (!snapshot) return local
  const index = new Index(snapshot)
  const images = index
    .all('Pod')
    .flatMap(pod => [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])])
    .map(({ image }) => String(image))
  return {
    ...local,
    kubernetes: snapshot.kubernetes,
    kubelets: Object.fromEntries(
      index.all('Node').map(node => [node.metadata.name, node.status?.nodeInfo?.kubeletVersion]),
    ),
    charts: Object.fromEntries(
      index
        .all('HelmRelease')
        .map(({ metadata, spec, status }) => [
          `${metadata.namespace}/${metadata.name}`,
          { wanted: spec?.chart?.spec?.version, installed: status?.history?.[0]?.chartVersion },
        ]),
    ),
    sources: Object.fromEntries(
      index
        .all('GitRepository')
        .map(({ metadata, status }) => [
          `${metadata.namespace}/${metadata.name}`,
          status?.artifact?.revision,
        ]),
    ),
    images: [...new Set(images)].sort(),
  }
}

/** Transcripts of the newest runs that are put into a bundle. */
const RUNS = 50

/** Adds from the cluster folder the configuration without its secrets, and the journal. */
export function addFolder(collector: Collector, cluster: Cluster): void {
  const text = readIfExists(cluster.env)
  if (text !== undefined)
    collector.add('flux.env.txt', 'the configuration without its secrets', withoutSecrets(text))
  const folder = cluster.journal
  const names = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(folder).sort() : []
  const runs = names.filter(name => name.endsWith('.md'))
  for (const name of runs.slice(-RUNS))
    collector.add(`journal/${name}`, 'transcripts of runs', readFileSync(join(folder, name), 'utf8'))
  if (runs.length > RUNS)
    collector.leftOut.push({ what: `${runs.length - RUNS} older transcripts`, why: 'too many' })
  addReport(collector, join(cluster.folder, 'reports'))
  collector.leftOut.push({
    what: 'the kubeconfig, SSH keys, copies of secrets and backups of the cluster folder',
    why: 'secret',
  })
}

/** Bytes of a report that is taken along. */
const LARGEST_REPORT = 8 << 20

/** Adds the newest report, as a page and as facts. */
function addReport(collector: Collector, folder: string): void {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return
  const names = readdirSync(folder).sort()
  for (const ending of ['.html', '.md', '.json']) {
    const newest = names.filter(name => name.endsWith(ending)).at(-1)
    if (newest === undefined || statSync(join(folder, newest)).size > LARGEST_REPORT) continue
    const text = readFileSync(join(folder, newest), 'utf8')
    collector.add(`report/${newest}`, 'the last report of `report`', text)
  }
}

/** A `.flux.env` in which only known, non-secret variables have their value. Pure. */
export function withoutSecrets(text: string): string {
  return text
    .split('\n')
    .map(line => {
      if (/^\s*(#|$)/.test(line)) return line.includes('=') ? '# (left out)' : line
      const name = /^\s*(\w+)\s*=/.exec(line)?.[1]
      if (name === undefined) return '(a line without a variable)'
      return showsVariable(name) ? line : `${name}=***`
    })
    .join('\n')
}
