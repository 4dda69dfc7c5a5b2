/** Where k3s keeps its files on a server (https://docs.k3s.io/installation/configuration, …/datastore/backup-restore). */
export const K3S = {
  binary: '/usr/local/bin/k3s',
  config: '/etc/rancher/k3s/config.yaml',
  kubeconfig: '/etc/rancher/k3s/k3s.yaml',
  data: '/var/lib/rancher/k3s',
  token: '/var/lib/rancher/k3s/server/token',
  datastore: '/var/lib/rancher/k3s/server/db',
  images: '/var/lib/rancher/k3s/agent/images',
  killall: '/usr/local/bin/k3s-killall.sh',
  uninstall: '/usr/local/bin/k3s-uninstall.sh',
  service: 'k3s.service',
  unit: '/etc/systemd/system/k3s.service',
} as const

/** Where the persistent volumes of the applications are on a server (docs 0.7.0, "File structure"). */
export const LOCAL_STORAGE = '/var/lib/OpenAppStack/local-storage'
