/**
 * The table in README.md of all faults that the tests seed on the real programs. Written by
 * `npx tsx test/cluster/fault-table.ts`; test/unit/fault-table.test.ts holds README.md against it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROOT, writeFileAtomic } from '../../lib/script/files.ts'
import type { Fault } from './fault-suite.ts'
import { faults as certificates } from './faults/certificates.ts'
import { faults as flux } from './faults/flux.ts'
import { faults as workloads } from './faults/workloads.ts'

/** Every fault, in the order of the table. */
export const FAULTS: readonly Fault[] = [...flux, ...workloads, ...certificates]

const [BEGIN, END] = ['<!-- faults -->\n', '<!-- end of faults -->\n']

/** The text of README.md with the table as it has to be. Throws when the place for it is not marked. */
export function withTable(readme: string, faults: readonly Fault[] = FAULTS): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`README.md lacks the lines ${BEGIN.trim()} and ${END.trim()}`)
  return `${readme.slice(0, from + BEGIN.length)}${table(faults)}${readme.slice(to)}`
}

function table(faults: readonly Fault[]): string {
  const named = faults.filter(({ missed }) => missed === undefined).length
  const healed = faults.filter(({ fix }) => fix).length
  const rows = faults.map(fault => {
    const rules = [...new Set([fault.expect].flat().map(({ rule }) => `\`${rule}\``))].join(', ')
    return `| ${fault.layer} | ${fault.name} | ${fault.missed ? `missed: ${fault.missed}` : rules} | ${fault.fix ? 'yes' : ''} |`
  })
  return [
    '',
    `Of ${faults.length} faults the right cause is named first for ${named} (${Math.round((100 * named) / faults.length)} %); ${healed} are healed by \`--fix\`.`,
    '',
    '| layer | fault | named as | `--fix` |',
    '|---|---|---|---|',
    ...rows,
    '',
  ]
    .map(line => `${line}\n`)
    .join('')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(ROOT, 'README.md')
  writeFileAtomic(file, withTable(readFileSync(file, 'utf8')), 0o644)
}
