import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import { LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** The stand-in for Loki, and the pod network by which the API server reaches it. None without `--loki`. */
export function lokiProcesses(setting: Setting): ProcessSpec[] {
  return setting.extras.loki ? [standIn(setting), podNetwork(setting)] : []
}

/** The stand-in for Loki: a Node process of ours. */
function standIn({ layout, ports }: Setting): ProcessSpec {
  return {
    name: 'loki-stand-in',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/loki/server.ts'),
      `--port=${ports.loki}`,
      `--file=${join(layout.state, 'loki.jsonl')}`,
    ],
    health: `http://${LOOPBACK}:${ports.loki}/ready`,
    ports: ['loki'],
  }
}

/** The pod network: a Node process of ours. */
function podNetwork({ layout, ports }: Setting): ProcessSpec {
  return {
    name: 'pod-network',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/cluster/pod-network.ts'),
      `--port=${ports.podNetwork}`,
      `--loki=${ports.loki}`,
      `--pki=${layout.pki}`,
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
