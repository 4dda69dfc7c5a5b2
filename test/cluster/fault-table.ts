/**
 * The table in runbooks/faults.md of all faults that the tests seed on the real programs. Written by
 * `npx tsx test/cluster/fault-table.ts`; test/unit/fault-table.test.ts holds the page against it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROOT, writeFileAtomic } from '../../lib/script/files.ts'
import type { Fault } from './fault-suite.ts'
import { faults as certificates } from './faults/certificates.ts'
import { faults as flux } from './faults/flux.ts'
import { faults as login } from './faults/login.ts'
import { faults as workloads } from './faults/workloads.ts'

/** Every fault, in the order of the table. */
export const FAULTS: readonly Fault[] = [...flux, ...workloads, ...certificates, ...login]

const [BEGIN, END] = ['<!-- faults -->\n', '<!-- end of faults -->\n']

/** The page with the table. */
export const PAGE = join(ROOT, 'runbooks', 'faults.md')

/** The text of the page with the table as it has to be. Throws when the place for it is not marked. */
export function withTable(page: string, faults: readonly Fault[] = FAULTS): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines ${BEGIN.trim()} and ${END.trim()}`)
  return `${page.slice(0, from + BEGIN.length)}${table(faults)}${page.slice(to)}`
}

function table(faults: readonly Fault[]): string {
  const named = faults.filter(({ missed }) => missed === undefined).length
  const healed = faults.filter(({ fix }) => fix).length
  const rows = faults.map(({ layer, name, expect, missed, fix }) => {
    const rules = [...new Set([expect].flat().map(({ rule }) => `\`${rule}\``))].join(', ')
    const what = name[0]!.toUpperCase() + name.slice(1)
    return `| ${layer} | ${what} | ${missed ? `missed: ${missed}` : rules}${fix ? ' ✓' : ''} |`
  })
  return [
    '',
    `Of ${faults.length} faults, the diagnosis names the right cause first for ${named} (${Math.round((100 * named) / faults.length)} %). \`--fix\` heals ${healed}: those with ✓.`,
    '',
    '| layer | fault | rule |',
    '|---|---|---|',
    ...rows,
    '',
  ]
    .map(line => `${line}\n`)
    .join('')
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileAtomic(PAGE, withTable(readFileSync(PAGE, 'utf8')), 0o644)
