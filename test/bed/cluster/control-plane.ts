import { join } from 'node:path'
import { FEATURE_GATES } from '../../../lib/flux/flux-install.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { auditing } from '../build/audit.ts'
import { extraProcesses } from './extras.ts'
import type { Layout } from './layout.ts'
import { eventsAddress } from './notifications.ts'
import { podNetworkClient } from './pod-ports.ts'
import { kubeconfigOf, LOOPBACK, type PortName, type ProcessSpec, type Setting } from './spec.ts'

const pem = (layout: Layout, file: string) => join(layout.pki, file)

/** etcd: TLS with client certificates on both listeners; no fsync, since a sandbox may lose its last second. */
export function etcd({ layout, ports, bin }: Setting): ProcessSpec {
  const client = `https://${LOOPBACK}:${ports.etcd}`
  const peer = `https://${LOOPBACK}:${ports.etcdPeer}`
  return {
    name: 'etcd',
    program: join(bin, 'etcd'),
    args: [
      '--name=sandbox',
      `--data-dir=${layout.etcd}`,
      '--unsafe-no-fsync',
      // Keeps the history of an API server that is written to all day from growing.
      '--auto-compaction-mode=periodic',
      '--auto-compaction-retention=1h',
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=sandbox=${peer}`,
      '--client-cert-auth',
      `--trusted-ca-file=${pem(layout, 'ca.crt')}`,
      `--cert-file=${pem(layout, 'serving.crt')}`,
      `--key-file=${pem(layout, 'serving.key')}`,
      '--peer-client-cert-auth',
      `--peer-trusted-ca-file=${pem(layout, 'ca.crt')}`,
      `--peer-cert-file=${pem(layout, 'serving.crt')}`,
      `--peer-key-file=${pem(layout, 'serving.key')}`,
      '--log-level=warn',
    ],
    health: `${client}/health`,
    ports: ['etcd', 'etcdPeer'],
  }
}

/** kube-apiserver: no anonymous access, client certificates only. */
export function apiServer(setting: Setting): ProcessSpec {
  const { layout, ports, bin, extras } = setting
  const more = [...(extras.audit ? [auditing(layout)] : []), podNetworkClient(setting)]
  return {
    name: 'kube-apiserver',
    program: join(bin, 'kube-apiserver'),
    args: [
      `--bind-address=${LOOPBACK}`,
      `--secure-port=${ports.apiServer}`,
      `--advertise-address=${LOOPBACK}`,
      // A loopback address is not allowed in an Endpoints object.
      '--endpoint-reconciler-type=none',
      // Nobody resolves the node's name; kwok answers for the logs at its address.
      '--kubelet-preferred-address-types=InternalIP',
      `--etcd-servers=https://${LOOPBACK}:${ports.etcd}`,
      `--etcd-cafile=${pem(layout, 'ca.crt')}`,
      `--etcd-certfile=${pem(layout, 'etcd-client.crt')}`,
      `--etcd-keyfile=${pem(layout, 'etcd-client.key')}`,
      '--anonymous-auth=false',
      '--authorization-mode=RBAC',
      `--client-ca-file=${pem(layout, 'ca.crt')}`,
      `--tls-cert-file=${pem(layout, 'serving.crt')}`,
      `--tls-private-key-file=${pem(layout, 'serving.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${pem(layout, 'service-account.pub')}`,
      `--service-account-signing-key-file=${pem(layout, 'service-account.key')}`,
      '--service-cluster-ip-range=10.43.0.0/16',
      '--allow-privileged=true',
      // The pods behind an admission webhook do not really run here: asking them would fail, or ask a stranger.
      '--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook',
      '--profiling=false',
      // A sandbox is stopped with connections open; nobody waits for them.
      '--shutdown-delay-duration=0s',
      ...more.flatMap(({ args }) => args),
    ],
    files: more.length > 0 ? Object.assign({}, ...more.map(({ files }) => files)) : undefined,
    health: `https://${LOOPBACK}:${ports.apiServer}/readyz`,
    ports: ['apiServer'],
  }
}

/** kube-controller-manager. */
export function controllerManager({ layout, ports, bin }: Setting): ProcessSpec {
  const kubeconfig = kubeconfigOf(layout, 'controller-manager')
  return {
    name: 'kube-controller-manager',
    program: join(bin, 'kube-controller-manager'),
    args: [
      ...kubeServer(layout, ports.controllerManager, kubeconfig),
      `--root-ca-file=${pem(layout, 'ca.crt')}`,
      `--service-account-private-key-file=${pem(layout, 'service-account.key')}`,
      // Its own certificate may do little; each of its controllers has a role of its own.
      '--use-service-account-credentials=true',
      // While kwok is away nobody sends the node's heartbeat. Marked NotReady, the node's pods would lose
      // a readiness that kwok never gives back: so the node may be silent for a year.
      '--node-monitor-grace-period=8760h',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    ],
    health: `https://${LOOPBACK}:${ports.controllerManager}/healthz`,
    ports: ['controllerManager'],
  }
}

/** kube-scheduler. */
export function scheduler({ layout, ports, bin }: Setting): ProcessSpec {
  return {
    name: 'kube-scheduler',
    program: join(bin, 'kube-scheduler'),
    args: kubeServer(layout, ports.scheduler, kubeconfigOf(layout, 'scheduler')),
    health: `https://${LOOPBACK}:${ports.scheduler}/healthz`,
    ports: ['scheduler'],
  }
}

function kubeServer(layout: Layout, port: number, kubeconfig: string): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--bind-address=${LOOPBACK}`,
    `--secure-port=${port}`,
    `--client-ca-file=${pem(layout, 'ca.crt')}`,
    `--tls-cert-file=${pem(layout, 'serving.crt')}`,
    `--tls-private-key-file=${pem(layout, 'serving.key')}`,
    // There is one of each: an election would only delay the start.
    '--leader-elect=false',
    '--profiling=false',
  ]
}

/**
 * kwok plays the kubelet and the operators that are not there. It reads its Stages from the API server and
 * not from files: a Stage for a kind whose CRD comes later begins to work then (see stages/crd.yaml), and a
 * test can apply one of its own. So it does with Logs, which name the files that are a pod's logs, and with ClusterExec,
 * by which commands in pods are run on this machine.
 */
export function kwok({ layout, ports, bin }: Setting): ProcessSpec {
  return {
    name: 'kwok',
    program: join(bin, 'kwok'),
    args: [
      `--kubeconfig=${kubeconfigOf(layout, 'kwok')}`,
      '--manage-all-nodes',
      '--enable-crds=Stage,Logs,ClusterExec',
      '--cidr=10.42.0.0/16',
      `--node-ip=${LOOPBACK}`,
      '--node-lease-duration-seconds=40',
      `--server-address=${LOOPBACK}:${ports.kwok}`,
    ],
    health: `http://${LOOPBACK}:${ports.kwok}/healthz`,
    ports: ['kwok'],
  }
}

/** The Flux controllers: the real ones, as processes. Their Deployments in the cluster are played by kwok. */
export function fluxControllers(setting: Setting): ProcessSpec[] {
  const { layout, ports, bin } = setting
  const env = {
    KUBECONFIG: kubeconfigOf(layout, 'flux'),
    RUNTIME_NAMESPACE: 'flux-system',
    TUF_ROOT: join(layout.temporary, 'sigstore'),
  }
  const controller = (name: 'source' | 'kustomize' | 'helm', args: string[], more: PortName[] = []) => ({
    name: `${name}-controller`,
    program: join(bin, `${name}-controller`),
    args: [
      `--health-addr=${LOOPBACK}:${ports[`${name}Health`]}`,
      `--metrics-addr=${LOOPBACK}:${ports[`${name}Metrics`]}`,
      `--events-addr=${eventsAddress(setting)}`,
      '--requeue-dependency=2s',
      '--log-encoding=console',
      ...args,
    ],
    env,
    health: `http://${LOOPBACK}:${ports[`${name}Health`]}/readyz`,
    ports: [`${name}Health`, `${name}Metrics`, ...more] as PortName[],
  })
  return [
    controller(
      'source',
      [
        `--storage-path=${layout.artifacts}`,
        `--storage-addr=${LOOPBACK}:${ports.artifacts}`,
        `--storage-adv-addr=${LOOPBACK}:${ports.artifacts}`,
      ],
      ['artifacts'],
    ),
    controller('kustomize', [FEATURE_GATES]),
    // The default, 10 minutes, would outlast the patience of `down`.
    controller('helm', ['--graceful-shutdown-timeout=5s', FEATURE_GATES]),
  ]
}

/** The Git and chart server: a Node process of ours. */
export function server({ layout, ports }: Setting): ProcessSpec {
  return {
    name: 'server',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/cluster/server.ts'),
      `--port=${ports.server}`,
      `--root=${layout.served}`,
    ],
    health: `http://${LOOPBACK}:${ports.server}/healthz`,
    ports: ['server'],
  }
}

/** All processes in the order in which they are stopped backwards. */
export function allProcesses(setting: Setting): ProcessSpec[] {
  return [
    server(setting),
    etcd(setting),
    apiServer(setting),
    controllerManager(setting),
    scheduler(setting),
    kwok(setting),
    ...fluxControllers(setting),
    ...extraProcesses(setting),
  ]
}
