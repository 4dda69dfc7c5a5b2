import { Api } from './api.ts'
import { allProcesses } from './control-plane.ts'
import { layoutOf } from './layout.ts'
import { logFile, runningProcesses } from './processes.ts'
import type { Ports, Setting } from './spec.ts'
import { readSandboxState } from './state.ts'

/** A process of the sandbox as `status` shows it. */
export interface ProcessStatus {
  name: string
  state: 'works' | 'does not answer' | 'does not run'
  pid?: number
  ports: number[]
  memory?: number
  log: string
}

/** The state of every process. Undefined when there is no such sandbox. */
export async function status(name = 'sandbox'): Promise<ProcessStatus[] | undefined> {
  const layout = layoutOf(name)
  const { ports, bin, extras } = readSandboxState(layout)
  if (bin === undefined) return undefined
  const setting: Setting = { layout, bin, ports: ports as Ports, extras }
  const running = runningProcesses(layout)
  const api = new Api(layout)
  try {
    return await Promise.all(
      allProcesses(setting).map(async spec => {
        const found = running.find(({ name }) => name === spec.name)
        return {
          name: spec.name,
          state: !found ? 'does not run' : (await api.healthy(spec)) ? 'works' : 'does not answer',
          pid: found?.pid,
          ports: spec.ports.map(port => setting.ports[port]),
          memory: found?.memory,
          log: logFile(layout, spec.name),
        } as const
      }),
    )
  } finally {
    api.close()
  }
}
