import { createServer } from 'node:net'
import { sleep } from '../../../lib/script/wait.ts'
import { LOOPBACK, PORTS, type Ports } from './spec.ts'

/**
 * New ports come from below the range (32768–60999 on Linux) from which the kernel gives outgoing
 * connections theirs: otherwise one of those could sit on our port when we come back.
 */
const LOWEST = 20_000

/**
 * A sandbox's ports are chosen some seconds before it listens on them. Two that are started at once must not choose
 * the same: each begins at a block of its own, by the number of its process.
 */
const BLOCK = 40
const BLOCKS = 300
/** Of all sandboxes that this process starts, so that two of them never choose the same either. */
let next = process.pid * BLOCK
const candidate = () => LOWEST + (next++ % (BLOCK * BLOCKS))

/**
 * Milliseconds that remembered ports are waited for: a process that was killed keeps its own until the kernel is
 * done with it, and a cluster that moves to another address is lost to whoever works with it.
 */
const LINGER = 5_000

/**
 * A port for every listener: the remembered ones, except those that other programs have taken in the
 * meantime. `ours` are the ports on which processes of this sandbox listen now.
 */
export async function choosePorts(
  remembered: Partial<Ports>,
  ours: ReadonlySet<number> = new Set(),
): Promise<Ports> {
  const ports: Partial<Ports> = {}
  // Every port is held until all are chosen, so that none is given out twice.
  const held: (() => Promise<void>)[] = []
  const free = async (port: number) => {
    const release = await hold(port)
    if (release) held.push(release)
    return release !== undefined
  }
  const end = performance.now() + LINGER
  const freeSoon = async (port: number) => {
    while (!(await free(port))) {
      if (performance.now() > end) return false
      await sleep(50)
    }
    return true
  }
  const kept = new Set([...ours, ...Object.values(remembered)])
  try {
    for (const name of PORTS) {
      let port = remembered[name]
      if (port !== undefined && !ours.has(port) && !(await freeSoon(port))) port = undefined
      while (port === undefined) {
        const found = candidate()
        if (!kept.has(found) && (await free(found))) port = found
      }
      ports[name] = port
    }
  } finally {
    await Promise.all(held.map(release => release()))
  }
  return ports as Ports
}

/** A port of the loopback address for each name, that was free a moment ago. */
export async function freePorts<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  const found = {} as Record<Name, number>
  const held: (() => Promise<void>)[] = []
  for (const name of names)
    while (found[name] === undefined) {
      const port = candidate()
      const release = await hold(port)
      if (release) {
        held.push(release)
        found[name] = port
      }
    }
  await Promise.all(held.map(release => release()))
  return found
}

/** A port of the loopback address that was free a moment ago. */
export const freePort = async (): Promise<number> => (await freePorts(['port'])).port

/** Listens on a port of the loopback address. Returns how to end that, or undefined when it is taken. */
function hold(port: number): Promise<(() => Promise<void>) | undefined> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(undefined))
    probe.listen({ port, host: LOOPBACK, exclusive: true }, () =>
      resolve(() => new Promise(done => probe.close(() => done()))),
    )
  })
}
