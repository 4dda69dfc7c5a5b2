/**
 * The user panel: the server time of its first page and of the dashboard, and its memory after that. Starts PostgreSQL,
 * hydra, kratos and the panel as they are deployed. On a Node older than 24 the panel runs with tsx, which costs memory.
 *
 * Usage: npx tsx test/bench/panel.ts [ROUNDS]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { table } from '../../lib/script/table.ts'
import { LoginBed } from '../bed/login/bed.ts'
import { median } from './measure.ts'

const rounds = Number(process.argv[2] ?? 200)
const folder = mkdtempSync(join(tmpdir(), 'oas-bench-panel-'))
const bed = await LoginBed.up(folder, { progress: text => console.error(text), waiting: () => {} })
try {
  const panel = `http://127.0.0.1:${bed.ports.panel}`
  const flow = await fetch(`${panel}/self-service/login/browser`, { redirect: 'manual' })
  const login = new URL(flow.headers.get('location') ?? '')
  const cookie = flow.headers
    .getSetCookie()
    .map(each => each.split(';')[0])
    .join('; ')
  const pages: Record<string, () => Promise<Response>> = {
    'a new login': () => fetch(`${panel}/self-service/login/browser`, { redirect: 'manual' }),
    'the login page': () => fetch(`${panel}${login.pathname}${login.search}`, { headers: { cookie } }),
    'a page that does not exist': () => fetch(`${panel}/nothing`),
  }
  const rows = []
  for (const [name, ask] of Object.entries(pages)) {
    const times: number[] = []
    for (let round = -1; round < rounds; round++) {
      const started = performance.now()
      const response = await ask()
      await response.arrayBuffer()
      if (response.status >= 500) throw new Error(`${name}: ${response.status}`)
      if (round >= 0) times.push(performance.now() - started)
    }
    const sorted = times.toSorted((a, b) => a - b)
    rows.push([name, `${median(times).toFixed(1)} ms`, `${sorted[Math.floor(rounds * 0.95)]!.toFixed(1)} ms`])
  }
  console.log(table([['PAGE', 'MEDIAN', '95 %'], ...rows]))
  console.log(
    `memory: ${Math.round(bed.processes.memory('panel') / 2 ** 20)} MiB, Node ${process.versions.node}`,
  )
} finally {
  await bed.down()
  rmSync(folder, { recursive: true, force: true })
}
