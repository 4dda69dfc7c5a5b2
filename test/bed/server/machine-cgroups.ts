import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, ExpectedError } from '../../../lib/script/errors.ts'
import { readIfExists } from '../../../lib/script/files.ts'
import { sleep } from '../../../lib/script/wait.ts'

/** A mounted hierarchy of cgroups. */
export interface Hierarchy {
  path: string
  version: 1 | 2
}

/** The hierarchies below /sys/fs/cgroup: one of version 2, or one for each controller, or both. */
export function hierarchies(mounts = readFileSync('/proc/self/mountinfo', 'utf8')): Hierarchy[] {
  return mounts.split('\n').flatMap((line): Hierarchy[] => {
    const [before = '', after = ''] = line.split(' - ')
    const path = before.split(' ')[4] ?? ''
    const type = after.split(' ')[0]
    if (!path.startsWith('/sys/fs/cgroup') || (type !== 'cgroup' && type !== 'cgroup2')) return []
    return [{ path, version: type === 'cgroup' ? 1 : 2 }]
  })
}

/**
 * Makes empty cgroups of this name in every hierarchy, in place of older ones: what a kubelet left behind there
 * before a reboot would keep its node from becoming ready. Returns the files that take a process in.
 */
export async function makeCgroups(name: string, memory?: number): Promise<string[]> {
  await removeCgroups(name)
  return hierarchies().map(({ path, version }) => {
    const cgroup = join(path, name)
    const own = (file: string) => join(cgroup, file)
    if (version === 2) {
      // What is not enabled here cannot be limited below.
      const here = readFileSync(join(path, 'cgroup.controllers'), 'utf8').trim().split(' ')
      for (const controller of ['cpu', 'cpuset', 'io', 'memory', 'pids'])
        if (here.includes(controller)) writeFileSync(join(path, 'cgroup.subtree_control'), `+${controller}`)
      mkdirSync(cgroup)
      if (memory !== undefined && existsSync(own('memory.max'))) writeFileSync(own('memory.max'), `${memory}`)
    } else {
      mkdirSync(cgroup)
      if (existsSync(own('cpuset.cpus'))) {
        // Empty at first: no process could enter, and neither those that are created inside.
        for (const file of ['cpuset.cpus', 'cpuset.mems'])
          writeFileSync(own(file), readFileSync(join(path, file)))
        writeFileSync(own('cgroup.clone_children'), '1')
      }
      if (memory !== undefined && existsSync(own('memory.limit_in_bytes')))
        writeFileSync(own('memory.limit_in_bytes'), `${memory}`)
    }
    return own('cgroup.procs')
  })
}

/** Ends every process in the cgroups of this name, and removes them with all that is below. */
export async function removeCgroups(name: string): Promise<void> {
  for (const { path } of hierarchies()) {
    const cgroup = join(path, name)
    for (let attempt = 0; existsSync(cgroup); attempt++) {
      if (removeTree(cgroup)) break
      if (attempt > 200)
        throw new ExpectedError(
          `the cgroup ${cgroup} cannot be removed: a process in it does not stop`,
          'restart the machine: it hangs in the kernel',
        )
      await sleep(25)
    }
  }
}

/** The bytes of memory that the processes in the cgroups of this name use; undefined where that is not counted. */
export function memoryOf(name: string): number | undefined {
  for (const { path } of hierarchies())
    for (const file of ['memory.usage_in_bytes', 'memory.current']) {
      const text = readIfExists(join(path, name, file))
      if (text !== undefined) return Number(text)
    }
  return undefined
}

/** Removes a cgroup and kills the processes in it. Returns whether it is removed. */
function removeTree(cgroup: string): boolean {
  let gone = true
  for (const entry of list(cgroup)) if (!removeTree(join(cgroup, entry))) gone = false
  for (const pid of processesIn(cgroup))
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  if (!gone) return false
  try {
    rmdirSync(cgroup)
    return true
  } catch (error) {
    return codeOf(error) === 'ENOENT'
  }
}

function list(cgroup: string): string[] {
  try {
    return readdirSync(cgroup, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name)
  } catch {
    return [] // gone meanwhile
  }
}

function processesIn(cgroup: string): number[] {
  try {
    return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
