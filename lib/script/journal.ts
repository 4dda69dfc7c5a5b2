import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { privateFolder, writeFileAtomic } from './files.ts'
import { markdownCode, markdownText } from './printable.ts'
import { scrubbedJson } from './scrub.ts'

/** One step of a run, as the journal keeps it. */
export interface JournalStep {
  title: string
  /** The kubectl, flux or ssh command that does the same by hand. */
  equivalent?: string
  startedAt: string
  seconds?: number
  outcome: 'running' | 'done' | 'unchanged' | 'failed'
  note?: string
}

/** The transcript of one run. */
export interface JournalEntry {
  script: string
  cluster: string
  command: string
  startedAt: string
  finishedAt?: string
  exitCode?: number
  plan: string[]
  steps: JournalStep[]
  error?: { message: string; fix: string }
}

/** The transcript as Markdown, for people; text from elsewhere is escaped in it. */
export function journalMarkdown(entry: JournalEntry): string {
  const lines = [
    `# ${entry.script} on ${entry.cluster}`,
    '',
    `- command: ${markdownCode(entry.command)}`,
    `- started: ${entry.startedAt}`,
    `- ended: ${entry.finishedAt ?? 'not yet, or killed'}`,
    `- exit code: ${entry.exitCode ?? 'none'}`,
  ]
  if (entry.plan.length > 0)
    lines.push('', '## Plan', '', ...entry.plan.map(line => `- ${markdownText(line)}`))
  if (entry.steps.length > 0) lines.push('', '## Steps', '')
  entry.steps.forEach((step, i) => {
    const time = step.seconds === undefined ? '' : `, ${step.seconds.toFixed(1)} s`
    lines.push(`${i + 1}. ${markdownText(step.title)}: ${step.outcome}${time}`)
    if (step.note) lines.push(`   ${markdownText(step.note)}`)
    if (step.equivalent) lines.push(`   by hand: ${markdownCode(step.equivalent)}`)
  })
  if (entry.error)
    lines.push(
      '',
      '## Error',
      '',
      `- what: ${markdownText(entry.error.message)}`,
      `- fix: ${markdownText(entry.error.fix)}`,
    )
  return `${lines.join('\n')}\n`
}

/**
 * Writes the transcript to `folder` as `TIME-SCRIPT.md` and `.json`, without secrets. Called after every step, so
 * that a killed run leaves what it had done.
 */
export function writeJournal(folder: string, entry: JournalEntry): void {
  privateFolder(folder)
  const name = `${entry.startedAt.replaceAll(':', '-')}-${entry.script}`
  const json = scrubbedJson(entry)
  // Of what was scrubbed: a secret that Markdown has escaped would not be recognised.
  writeFileAtomic(join(folder, `${name}.md`), journalMarkdown(JSON.parse(json) as JournalEntry))
  writeFileAtomic(join(folder, `${name}.json`), `${json}\n`)
}

/** Bytes of a transcript that is read: one of a thousand steps has less. */
const LARGEST = 4 << 20

/**
 * The newest runs in a journal's folder, the newest first; those that cannot be read are left out. None where the
 * folder does not exist.
 */
export function readJournal(folder: string, most: number): JournalEntry[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  const names = readdirSync(folder).filter(name => name.endsWith('.json'))
  const entries: JournalEntry[] = []
  for (const name of names.sort().reverse()) {
    if (entries.length >= most) break
    try {
      const file = join(folder, name)
      if (statSync(file).size > LARGEST) continue
      // Proofs and drills are in this folder, too.
      const entry = JSON.parse(readFileSync(file, 'utf8')) as JournalEntry
      if (typeof entry?.script === 'string' && typeof entry.startedAt === 'string') entries.push(entry)
    } catch {} // cut off, or not ours
  }
  return entries
}

/** How a run of the journal ended, in words. Pure. */
export function outcomeText({ exitCode, error }: Pick<JournalEntry, 'exitCode' | 'error'>): string {
  if (exitCode === undefined) return 'not ended, or killed'
  if (exitCode === 0) return 'done'
  return `exit code ${exitCode}${error ? `: ${error.message}` : ''}`
}
