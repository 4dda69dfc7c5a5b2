/** A bucket for the backups of servers, on our side of their network: what a purge of all of them leaves. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../lib/script/wait.ts'
import { netnsFile } from '../bed/server/machine-network.ts'
import { bucketSettings, s3Access, s3Program } from '../host/servers.ts'
import type { ServerBed } from './harness.ts'

const ADDRESS = '10.77.0.1:9000'

/** A running bucket. */
export interface Bucket {
  url: string
  /** Its files. */
  folder: string
  /** What `.flux.env` says of it. */
  settings: Record<string, string>
  /** Ends it and removes its files. */
  stop: () => void
}

/** Starts one that is called `backups`. */
export async function startBucket(bed: ServerBed): Promise<Bucket> {
  const base = mkdtempSync(join(tmpdir(), 'oas-bucket-'))
  const folder = join(base, 'backups')
  mkdirSync(folder)
  const child = spawn(
    'nsenter',
    [
      ...[`--net=${netnsFile(bed.netns)}`, '--', await s3Program(), '--port', ADDRESS],
      ...['--region', 'ceph', '--quiet', 'posix', base],
    ],
    {
      stdio: 'ignore',
      env: { PATH: process.env.PATH, ROOT_ACCESS_KEY: s3Access.id, ROOT_SECRET_KEY: s3Access.secret },
    },
  )
  const stop = () => {
    child.kill('SIGKILL')
    rmSync(base, { recursive: true, force: true })
  }
  process.on('exit', stop)
  const url = `http://${ADDRESS}`
  const answers = () =>
    bed.run('curl', ['-s', '-o', '/dev/null', url]).then(
      () => ({ done: true }),
      (error: Error) => ({ last: error.message }),
    )
  await until(answers, { deadline: 60_000, describe: String })
  const settings = { backup_s3_enabled: 'true', ...bucketSettings(url) }
  return { url, folder, settings, stop }
}
