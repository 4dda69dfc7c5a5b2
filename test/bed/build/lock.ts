import { createHash } from 'node:crypto'
import { createConnection, createServer, type Server } from 'node:net'
import { userInfo } from 'node:os'
import { codeOf, EXIT, ExpectedError } from '../../../lib/script/errors.ts'
import { sleep } from '../../../lib/script/wait.ts'

/** How long we wait for another holder. The longest work under a lock is a build from nothing. */
const PATIENCE = 90 * 60_000

/**
 * Runs `work` while no other process on this machine uses `path`. The lock is a listening socket in
 * Linux' abstract namespace (unix(7)): the kernel gives it up when its holder ends, however that happens, so
 * that no lock can be left behind. A connection to it receives the holder's pid.
 */
export async function withLock<T>(
  path: string,
  options: { waiting: (holder: string) => void; signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  const hash = createHash('sha256').update(`${userInfo().uid} ${path}`).digest('hex')
  const address = `\0openappstack-${hash.slice(0, 32)}`
  const end = performance.now() + PATIENCE
  let told = false
  let lock: Server | undefined
  for (;;) {
    lock = await listen(address)
    if (lock) break
    if (!told) options.waiting(await holderOf(address))
    told = true
    if (performance.now() > end)
      throw new ExpectedError(
        `${await holderOf(address)} has been using ${path} for too long`,
        'stop that process, then run this again',
        { exitCode: EXIT.locked },
      )
    await sleep(250, options.signal)
  }
  try {
    return await work()
  } finally {
    lock.close()
  }
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.on('error', () => {}).end(String(process.pid)))
    server.once('error', error => (codeOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)))
    server.listen(address, () => resolve(server.unref()))
  })
}

function holderOf(address: string): Promise<string> {
  return new Promise(resolve => {
    const unknown = 'another process'
    let pid = ''
    createConnection(address)
      .setTimeout(1000, () => resolve(unknown))
      .on('data', data => {
        pid += data
      })
      .on('error', () => resolve(unknown))
      .on('end', () => resolve(pid ? `process ${pid}` : unknown))
  })
}
