import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'
import { LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** The ports of pods behind which something really listens, and where. */
export function podPorts({ extras, ports }: Setting): Record<number, number> {
  const found: Record<number, number> = {}
  if (extras.loki) found[3100] = ports.loki
  if (extras.login) {
    found[3000] = ports.panel
    found[4433] = ports.kratosPublic
    found[4434] = ports.kratosAdmin
    found[4444] = ports.hydraPublic
    found[4445] = ports.hydraAdmin
  }
  return found
}

/** The file in which a test leads other ports of pods to servers of its own: a JSON object by port. */
export function podRoutes(layout: Layout): string {
  return join(layout.state, 'pod-routes.json')
}

/**
 * The pod network, by which the API server reaches those: a Node process of ours. It runs in every sandbox: without it
 * the API server would ask for the addresses of pods outside of this machine.
 */
export function podNetworkProcess(setting: Setting): ProcessSpec {
  const { layout, ports } = setting
  return {
    name: 'pod-network',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/cluster/pod-network.ts'),
      `--port=${ports.podNetwork}`,
      `--pki=${layout.pki}`,
      `--routes=${podRoutes(layout)}`,
      ...Object.entries(podPorts(setting)).map(([from, to]) => `--forward=${from}=${to}`),
    ],
    health: `https://${LOOPBACK}:${ports.podNetwork}/healthz`,
    ports: ['podNetwork'],
  }
}

/** The arguments and files by which the API server reaches pods, and so Services, over the pod network. */
export function podNetworkClient({ layout, ports }: Setting): {
  args: string[]
  files: Record<string, string>
} {
  const config = join(layout.state, 'egress.yaml')
  return {
    args: [`--egress-selector-config-file=${config}`],
    files: {
      [config]: `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
  - name: cluster
    connection:
      proxyProtocol: HTTPConnect
      transport:
        tcp:
          url: https://${LOOPBACK}:${ports.podNetwork}
          tlsConfig:
            caBundle: ${join(layout.pki, 'ca.crt')}
            clientCert: ${join(layout.pki, 'etcd-client.crt')}
            clientKey: ${join(layout.pki, 'etcd-client.key')}
`,
    },
  }
}
