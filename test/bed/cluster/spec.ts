import { join } from 'node:path'
import type { Layout } from './layout.ts'

/** The ports that every sandbox listens on, all on 127.0.0.1. */
export const COMMON_PORTS = [
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
  'podNetwork',
] as const

/** The domain of single sign-on (`--login`): browsers find whatever ends in .localhost on this machine. */
export const LOGIN_HOST = 'oas.localhost'

/** The ports of single sign-on (`--login`). */
export const LOGIN_PORTS = [
  'ingress',
  'database',
  'hydraPublic',
  'hydraAdmin',
  'kratosPublic',
  'kratosAdmin',
  'panel',
  'hooks',
] as const

/** Those, and the ports of what it runs only when it is asked to. */
export const PORTS = [
  ...COMMON_PORTS,
  'pebble',
  'pebbleManagement',
  'dns',
  'dnsManagement',
  'certManager',
  'web',
  'webTls',
  'webHealth',
  'loki',
  ...LOGIN_PORTS,
  'loginHealth',
  'maester',
  'events',
  'webhooks',
  'notificationHealth',
  'alertmanager',
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
  /** Configuration files that it reads: path and text. They are written before it starts. */
  files?: Record<string, string>
  /** It answers this with 200 when it works. A client certificate is offered where it is https. */
  health: string
  /** The status of that answer, where it is not 200. */
  healthStatus?: number
  /** The ports on which it listens; they must be free before it starts. */
  ports: PortName[]
}

/** What a sandbox runs when it is asked to; where that are programs, their paths. */
export interface Extras {
  /** The API server writes an audit log. */
  audit?: true
  /** cert-manager's controllers, and an ACME server to get certificates from. */
  certificates?: Record<'cert-manager' | 'pebble' | 'pebble-challtestsrv', string>
  /** A stand-in for Loki, and the way to it from the API server. */
  loki?: true
  /** Single sign-on, and the way to it from the API server. */
  login?: Record<'hydra' | 'kratos', string>
  /** hydra-maester, which registers the OAuth2Clients of the cluster at that hydra. */
  maester?: Record<'hydra-maester', string>
  /** Flux's notification-controller, to which the other controllers tell their events. */
  notifications?: Record<'notification-controller', string>
}

/** The folders, ports and programs with which the processes are started. */
export interface Setting {
  layout: Layout
  ports: Ports
  /** The folder of the programs. */
  bin: string
  extras: Extras
}

/** The one address the sandbox uses: nothing of it can be reached from another machine. */
export const LOOPBACK = '127.0.0.1'

/** The kubeconfig of a program of the sandbox. */
export function kubeconfigOf(layout: Layout, client: string): string {
  return join(layout.pki, `${client}.kubeconfig`)
}
