/**
 * The sandbox, its programs being built: how long `up` takes for a new one (goal: at most 15 s), for one that
 * runs, and for one that was ended and keeps its state; and how much memory it takes with nothing installed.
 *
 * Usage: npx tsx test/bench/sandbox.ts [ROUNDS]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../../lib/script/files.ts'
import { table } from '../../lib/script/table.ts'
import { status } from '../bed/cluster/status.ts'
import { median, timedScript } from './measure.ts'

const sandbox = async (...args: string[]) =>
  (await timedScript(join(ROOT, 'scripts/sandbox.ts'), args)).clock / 1000
const measured = new Map<string, number[]>()
const note = (name: string, value: number) => measured.set(name, [...(measured.get(name) ?? []), value])

for (let round = 0; round < Number(process.argv[2] ?? 3); round++) {
  const folder = mkdtempSync(join(tmpdir(), 'oas-bench-'))
  process.env.OAS_CLUSTERS_DIR = folder
  try {
    note('up, new (s)', await sandbox('up', '--worktree'))
    note('up, running (s)', await sandbox('up', '--worktree'))
    const processes = (await status()) ?? []
    for (const { name, memory = 0 } of processes) note(`memory of ${name} (MiB)`, memory / 2 ** 20)
    note('memory in all (MiB)', processes.reduce((sum, { memory = 0 }) => sum + memory, 0) / 2 ** 20)
    note('down (s)', await sandbox('down'))
    note('up, with its state (s)', await sandbox('up', '--worktree'))
  } finally {
    await sandbox('down')
    rmSync(folder, { recursive: true, force: true })
  }
}
console.log(table([...measured].map(([name, values]) => [name, median(values).toFixed(1)])))
