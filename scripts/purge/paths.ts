import { K3S, ROOT_KUBECONFIG, SAVED, TOOLS } from '../../lib/k3s/k3s.ts'

/**
 * What a purge removes, in this order: the docs' list (0.7.0, "Purge OAS and install from scratch"), without
 * /var/lib/docker. Literal, all of it: no value of a flag, a configuration or a server ever becomes a path here.
 */
export const TREES = [
  '/var/lib/rancher',
  '/var/lib/OpenAppStack',
  '/var/lib/kubelet',
  '/var/lib/cni',
  '/var/lib/etcd',
  '/etc/kubernetes',
  '/etc/rancher',
  '/var/log/OpenAppStack',
  '/var/log/containers',
  '/var/log/pods',
  '/tmp/k3s',
  '/var/cache/openappstack', // downloads
] as const

/** Only with --docker: the docs' list has it, but k3s needs no Docker, and what runs in one is somebody else's. */
export const DOCKER = '/var/lib/docker'

/** The folders that a purge removes with all that is in them. */
export function treesToRemove({ docker }: { docker: boolean }) {
  return [...TREES, ...(docker ? [DOCKER] : [])]
}

/**
 * Where the provisioner of k3s itself keeps volumes, as on a server that somebody else installed
 * (github.com/k3s-io/k3s, pkg/cli/server/server.go: DefaultLocalStoragePath).
 */
export const K3S_STORAGE = `${K3S.data}/storage`

/** What the installer of k3s puts beside those folders (https://docs.k3s.io/installation/uninstall). */
export const FILES = [
  '/etc/systemd/system/k3s.service',
  '/etc/systemd/system/k3s.service.env',
  '/etc/systemd/system/k3s-agent.service',
  '/etc/systemd/system/k3s-agent.service.env',
  K3S.killall,
  K3S.uninstall,
  '/usr/local/bin/k3s-agent-uninstall.sh',
  K3S.binary,
] as const

/** Links that installers make: [link, where it leads]. One that leads elsewhere is somebody else's and stays. */
export const LINKS = [
  // systemd makes it relative since version 257.
  ['/etc/systemd/system/multi-user.target.wants/k3s.service', '../k3s.service'],
  ['/etc/systemd/system/multi-user.target.wants/k3s-agent.service', '../k3s-agent.service'],
  ['/etc/systemd/system/multi-user.target.wants/k3s.service', '/etc/systemd/system/k3s.service'],
  ['/etc/systemd/system/multi-user.target.wants/k3s-agent.service', '/etc/systemd/system/k3s-agent.service'],
  ['/usr/local/bin/kubectl', 'k3s'],
  ['/usr/local/bin/crictl', 'k3s'],
  ['/usr/local/bin/ctr', 'k3s'],
  [ROOT_KUBECONFIG, K3S.kubeconfig],
] as const

/** Programs that install-cluster puts on a server. Only those go that its record there names. */
export const TOOL_PATHS = Object.values(TOOLS)

/** What belongs to the cluster and stays; a purge tells of it. */
export const KEPT = [
  SAVED,
  '/etc/systemd/system/k3s.service.d',
  '/etc/systemd/system/k3s-agent.service.d',
  '/etc/default/k3s',
  '/etc/default/k3s-agent',
] as const

/** A path that a purge may remove. */
export type PurgePath = (typeof TREES | typeof FILES | typeof TOOL_PATHS)[number] | typeof DOCKER

/** Units that are stopped and never start again by themselves. */
export const UNITS = ['k3s.service', 'k3s-agent.service'] as const

/** An installation that somebody's cut connection has left running. */
export const INSTALLER = 'openappstack-install-k3s.service'

/** Units that are stopped while /var/lib/docker is removed. The socket first: it would start the service again. */
export const DOCKER_UNITS = ['docker.socket', 'docker.service'] as const
