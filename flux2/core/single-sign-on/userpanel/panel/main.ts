/**
 * The user panel at https://admin.DOMAIN: login, consent, logout, settings, the dashboard, and the users. It stores
 * nothing: accounts and grants are kratos', sessions of applications are hydra's.
 *
 * Usage: node main.ts, with the environment of config.ts. Its answers to /health/ready tell whether it serves.
 */
import { configOf } from './config.ts'
import { panelOf } from './panel.ts'
import { serve, serveHooks } from './server.ts'

const config = configOf(process.env)
const log = (event: Record<string, unknown>) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), ...event }))
const panel = panelOf(config, log)
const servers = [serve(panel).listen(config.port), serveHooks(panel).listen(config.hooksPort)]
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    const closed = servers.map(server => new Promise(resolve => server.close(resolve)))
    void Promise.all(closed).then(() => process.exit(0))
  })
