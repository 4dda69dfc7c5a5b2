import { isIPv6 } from 'node:net'

/**
 * Where k3s keeps its files on a server. From github.com/k3s-io/k3s: pkg/datadir/datadir.go (DefaultDataDir, GlobalConfig),
 * pkg/configfilearg/defaultparser.go (config.yaml), pkg/server/server.go (token, node-token), pkg/agent/config/config.go
 * (agent/images), install.sh (programs and unit); and https://docs.k3s.io/datastore/backup-restore.
 */
export const K3S = {
  binary: '/usr/local/bin/k3s',
  config: '/etc/rancher/k3s/config.yaml',
  kubeconfig: '/etc/rancher/k3s/k3s.yaml',
  data: '/var/lib/rancher/k3s',
  token: '/var/lib/rancher/k3s/server/token',
  /** What agents join with (https://docs.k3s.io/cli/token). */
  nodeToken: '/var/lib/rancher/k3s/server/node-token',
  datastore: '/var/lib/rancher/k3s/server/db',
  images: '/var/lib/rancher/k3s/agent/images',
  killall: '/usr/local/bin/k3s-killall.sh',
  uninstall: '/usr/local/bin/k3s-uninstall.sh',
  service: 'k3s.service',
  unit: '/etc/systemd/system/k3s.service',
  /** On an agent: the token that it joins with, which config.yaml refers to. */
  agentToken: '/etc/rancher/k3s/agent-token',
} as const

/** Where the persistent volumes of the applications are on a server (docs 0.7.0, "File structure"). */
export const LOCAL_STORAGE = '/var/lib/OpenAppStack/local-storage'

/** The programs beside k3s that install-cluster puts on a server. krew is a plugin of kubectl: hence its name. */
export const TOOLS = {
  flux: '/usr/local/bin/flux',
  helm: '/usr/local/bin/helm',
  velero: '/usr/local/bin/velero',
  krew: '/usr/local/bin/kubectl-krew',
} as const

/** `{"paths": […]}` on a server: the programs there that install-cluster wrote. Others are somebody else's. */
export const TOOLS_RECORD = '/etc/openappstack/tools.json'

/** Where kubectl's relatives (helm, flux, velero) look for their access to the cluster when root runs them. */
export const ROOT_KUBECONFIG = '/root/.kube/config'

/** Downloads on a server, until they are installed. */
export const DOWNLOADS = '/var/cache/openappstack'

/** What is saved on a server before an upgrade: a folder each, `k3s-TIME-VERSION`. */
export const SAVED = '/var/backups/openappstack'

/** What a host of a cluster is: k3s runs as one or the other. */
export type Role = 'server' | 'agent'

/** The service, unit, environment file and uninstaller of a role (github.com/k3s-io/k3s install.sh, setup_env). */
export function filesOf(role: Role) {
  const name = role === 'server' ? 'k3s' : 'k3s-agent'
  return {
    service: `${name}.service`,
    unit: `/etc/systemd/system/${name}.service`,
    env: `/etc/systemd/system/${name}.service.env`,
    uninstall: `/usr/local/bin/${name}-uninstall.sh`,
  }
}

/** The URL of the API server at an address or name. */
export function apiUrl(host: string, port = '6443'): string {
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`
}
