import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'
import { kubeconfigOf, LOOPBACK, type Ports, type ProcessSpec, type Setting } from './spec.ts'
import { faultsFile } from './web-faults.ts'

/** Hosts below this domain are checked by cert-manager without the proxy: their own addresses and DNS answers count. */
const DIRECT = 'direct.example.org'

/** The additional processes of a sandbox with certificates; none without them. */
export function certificateProcesses(setting: Setting): ProcessSpec[] {
  const programs = setting.extras.certificates
  if (!programs) return []
  return [
    pebble(setting, programs.pebble),
    challtestsrv(setting, programs['pebble-challtestsrv']),
    web(setting),
    certManager(setting, programs['cert-manager']),
  ]
}

/** The directory of the ACME server, `acme_server` of the sandbox's `.flux.env`. */
export function pebbleUrl(ports: Ports): string {
  return `https://${LOOPBACK}:${ports.pebble}/dir`
}

/** The ACME server. It keeps everything in memory: its accounts and its CA end with it. */
function pebble({ layout, ports }: Setting, program: string): ProcessSpec {
  const config = join(layout.state, 'pebble.json')
  const management = `${LOOPBACK}:${ports.pebbleManagement}`
  return {
    name: 'pebble',
    program,
    args: [`-config=${config}`, `-dnsserver=${LOOPBACK}:${ports.dns}`],
    // By default it waits, refuses nonces and forgets authorizations at random, to try clients.
    env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0' },
    files: {
      [config]: `${JSON.stringify({ pebble: pebbleConfig(layout, ports, management) }, null, 2)}\n`,
    },
    health: `https://${management}/roots/0`,
    ports: ['pebble', 'pebbleManagement'],
  }
}

function pebbleConfig(layout: Layout, ports: Ports, management: string): object {
  return {
    listenAddress: `${LOOPBACK}:${ports.pebble}`,
    managementListenAddress: management,
    certificate: join(layout.pki, 'serving.crt'),
    privateKey: join(layout.pki, 'serving.key'),
    httpPort: ports.web,
    tlsPort: ports.webTls,
    // Tests ask for certificates that are refused at once.
    domainBlocklist: ['blocked.example.org'],
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: 'ecdsa',
    // As those of Let's Encrypt.
    profiles: { default: { description: 'ninety days', validityPeriod: 90 * 86_400 } },
  }
}

/** The DNS server that the ACME server asks: every name leads here, unless a test says otherwise. */
function challtestsrv({ ports }: Setting, program: string): ProcessSpec {
  const management = `${LOOPBACK}:${ports.dnsManagement}`
  return {
    name: 'dns',
    program,
    args: [
      `-management=${management}`,
      `-dnsserver=${LOOPBACK}:${ports.dns}`,
      `-defaultIPv4=${LOOPBACK}`,
      '-defaultIPv6=',
      // The other things that it can do.
      ...['-http01=', '-https01=', '-tlsalpn01=', '-doh='],
    ],
    // It has no answer to a plain GET; that it says so is enough.
    health: `http://${management}/`,
    healthStatus: 404,
    ports: ['dns', 'dnsManagement'],
  }
}

/** cert-manager's controllers: the real ones, as a process. Their Deployment in the cluster is played by kwok. */
function certManager({ layout, ports }: Setting, program: string): ProcessSpec {
  const metrics = `${LOOPBACK}:${ports.certManager}`
  return {
    name: 'cert-manager',
    program,
    args: [
      `--kubeconfig=${kubeconfigOf(layout, 'cert-manager')}`,
      `--metrics-listen-address=${metrics}`,
      '--cluster-resource-namespace=cert-manager',
      // As the platform's release has it; the real one gets it from its chart's values.
      '--default-issuer-name=letsencrypt-staging',
      `--acme-http01-solver-nameserver=${LOOPBACK}:${ports.dns}`,
      '--check-retry-period=2s',
    ],
    env: {
      // The check always asks port 80, which is taken or forbidden here.
      HTTP_PROXY: `http://${LOOPBACK}:${ports.web}`,
      NO_PROXY: DIRECT,
      // Whom it trusts as an ACME server.
      SSL_CERT_FILE: join(layout.pki, 'ca.crt'),
    },
    health: `http://${metrics}/metrics`,
    ports: ['certManager'],
  }
}

/** The web server: a Node process of ours. */
function web({ layout, ports }: Setting): ProcessSpec {
  return {
    name: 'web',
    program: process.execPath,
    args: [
      '--import',
      'tsx',
      join(ROOT, 'test/bed/cluster/web.ts'),
      `--http=${ports.web}`,
      `--https=${ports.webTls}`,
      `--health=${ports.webHealth}`,
      `--server=https://${LOOPBACK}:${ports.apiServer}`,
      `--pki=${layout.pki}`,
      `--faults=${faultsFile(layout)}`,
    ],
    health: `http://${LOOPBACK}:${ports.webHealth}/`,
    ports: ['web', 'webTls', 'webHealth'],
  }
}
