/**
 * Single sign-on of a sandbox, a process of its own (`sandbox.ts up --login`): PostgreSQL, hydra, kratos and the user
 * panel, with the stand-in applications that can be logged in to. Its health port answers when all of that runs.
 * Users live as long as this process.
 *
 * Usage: node --import tsx test/bed/login/server.ts --folder=FOLDER --hydra=FILE --kratos=FILE --ports=NAME=PORT,… --health=PORT
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { privateFolder } from '../../../lib/script/files.ts'
import { LOOPBACK } from '../cluster/spec.ts'
import { serveApplications } from './applications.ts'
import { LoginBed, type LoginPorts } from './bed.ts'

const text = { type: 'string', default: '' } as const
const { values } = parseArgs({
  options: { folder: text, hydra: text, kratos: text, ports: text, health: text },
})
const { folder, hydra, kratos } = values
const pairs = values.ports.split(',').map(pair => pair.split('='))
const ports = Object.fromEntries(pairs.map(([name, port]) => [name, Number(port)])) as LoginPorts

rmSync(folder, { recursive: true, force: true })
const bed = await LoginBed.start(privateFolder(folder), { hydra, kratos }, ports)
await serveApplications(bed)
createServer((_, response) => response.end('ok')).listen(Number(values.health), LOOPBACK)

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    void bed.down().finally(() => process.exit(0))
  })
