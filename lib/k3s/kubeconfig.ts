import type { Cluster } from '../script/cluster.ts'
import { ExpectedError } from '../script/errors.ts'
import { privateFolder, readIfExists, writeFileAtomic } from '../script/files.ts'
import { apiUrl, K3S } from './k3s.ts'

/**
 * k3s' own kubeconfig, which is for use on the server, with the address that the server has for others. It names the
 * loopback address, or what `bind-address` says (github.com/k3s-io/k3s pkg/server/server.go, writeKubeConfig;
 * pkg/daemons/config/types.go, BindAddressOrLoopback). Pure; undefined for a text of another form.
 */
export function kubeconfigAt(text: string, host: string): string | undefined {
  const server = /^([ \t]*server:[ \t]*)https:\/\/(?:\[[0-9a-f:.]+\]|[\d.]+|localhost):(\d{1,5})[ \t]*$/im
  return server.test(text)
    ? text.replace(server, (_line, key: string, port: string) => key + apiUrl(host, port))
    : undefined
}

/** The kubeconfig for the cluster folder: k3s' own, with the address of the server. Throws for any other text. */
export function localKubeconfig(remote: string | undefined, address: string): string {
  const text = remote === undefined ? undefined : kubeconfigAt(remote, address)
  if (text) return text
  throw new ExpectedError(
    remote === undefined
      ? `k3s has not written ${K3S.kubeconfig}`
      : `${K3S.kubeconfig} on the server has another form than k3s gives it`,
    'check the file, and the log of k3s: journalctl -u k3s',
  )
}

/** Writes the kubeconfig to the cluster folder. Resolves with whether it changed. */
export function saveKubeconfig(cluster: Cluster, text: string): boolean {
  if (readIfExists(cluster.kubeconfig) === text) return false
  privateFolder(cluster.folder)
  writeFileAtomic(cluster.kubeconfig, text)
  return true
}
