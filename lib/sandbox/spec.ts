import { join } from 'node:path'
import type { Layout } from './layout.ts'

/** The ports a sandbox listens on, all on 127.0.0.1. */
export const PORTS = [
  'etcd',
  'etcdPeer',
  'apiServer',
  'controllerManager',
  'scheduler',
  'kwok',
  'server',
  'artifacts',
  'sourceHealth',
  'sourceMetrics',
  'kustomizeHealth',
  'kustomizeMetrics',
  'helmHealth',
  'helmMetrics',
] as const

/** One of the ports a sandbox listens on. */
export type PortName = (typeof PORTS)[number]

/** The port number of every listener. */
export type Ports = Record<PortName, number>

/** One process of the sandbox. */
export interface ProcessSpec {
  name: string
  program: string
  args: string[]
  env?: Record<string, string>
  /** It answers this with 200 when it works. A client certificate is offered where it is https. */
  health: string
  /** What it listens on; these have to be free before it starts. */
  ports: PortName[]
}

/** Where things lie that the processes are given. */
export interface Setting {
  layout: Layout
  ports: Ports
  /** The folder of the programs. */
  bin: string
}

/** The one address the sandbox uses: nothing of it can be reached from another machine. */
export const LOOPBACK = '127.0.0.1'

/** The kubeconfig of a program of the sandbox. */
export function kubeconfigOf(layout: Layout, client: string): string {
  return join(layout.pki, `${client}.kubeconfig`)
}
