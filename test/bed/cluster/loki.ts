import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'
import { LOOPBACK, type ProcessSpec, type Setting } from './spec.ts'

/** Loki, and the pod network by which the API server reaches it. None when the sandbox has no Loki. */
export function lokiProcesses(setting: Setting): ProcessSpec[] {
  return setting.extras.loki ? [loki(setting, setting.extras.loki.loki), podNetwork(setting)] : []
}

/** Loki as the platform runs it (flux2/core/loki): one process for everything, its data in files, no tenants. */
function loki({ layout, ports }: Setting, program: string): ProcessSpec {
  const config = join(layout.state, 'loki.json')
  return {
    name: 'loki',
    program,
    args: [`-config.file=${config}`, '-target=all'],
    files: { [config]: `${JSON.stringify(lokiConfig(layout, ports.loki, ports.lokiGrpc), null, 2)}\n` },
    health: `http://${LOOPBACK}:${ports.loki}/ready`,
    ports: ['loki', 'lokiGrpc'],
  }
}

function lokiConfig(layout: Layout, port: number, grpcPort: number): object {
  const folder = join(layout.state, 'loki')
  return {
    auth_enabled: false,
    server: {
      http_listen_address: LOOPBACK,
      http_listen_port: port,
      grpc_listen_address: LOOPBACK,
      grpc_listen_port: grpcPort,
      log_level: 'warn',
    },
    common: {
      instance_addr: LOOPBACK,
      path_prefix: folder,
      replication_factor: 1,
      ring: { kvstore: { store: 'inmemory' } },
      storage: {
        filesystem: { chunks_directory: join(folder, 'chunks'), rules_directory: join(folder, 'rules') },
      },
    },
    // Ready at once: there are no others whose departure it would have to wait for.
    ingester: { lifecycler: { min_ready_duration: '0s' } },
    schema_config: {
      configs: [
        {
          from: '2024-04-01',
          store: 'tsdb',
          object_store: 'filesystem',
          schema: 'v13',
          index: { prefix: 'index_', period: '24h' },
        },
      ],
    },
    limits_config: { retention_period: '336h' },
    compactor: { retention_enabled: true, delete_request_store: 'filesystem' },
    analytics: { reporting_enabled: false },
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

/** What makes the API server reach pods, and so Services, by the pod network: its arguments and files. */
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
