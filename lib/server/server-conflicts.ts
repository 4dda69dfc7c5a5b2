import { LOCAL_STORAGE } from '../k3s/k3s.ts'
import { error, listed, type PreflightFinding, quotedAnswer, warning } from '../preflight/findings.ts'
import type { Listener, ServerFacts } from './server-facts.ts'

/**
 * Ports that k3s, the ingress and the exporter of node metrics take on the server itself
 * (https://docs.k3s.io/installation/requirements#networking, "Inbound Rules" and "Local Ports").
 */
const PORTS: Record<string, string> = {
  'tcp/80': 'the ingress',
  'tcp/443': 'the ingress',
  'tcp/6443': 'the API server',
  'tcp/6444': 'k3s',
  'tcp/9100': 'node-exporter',
  'tcp/10010': 'containerd',
  'tcp/10248': 'the kubelet',
  'tcp/10249': 'kube-proxy',
  'tcp/10250': 'the kubelet',
  'tcp/10256': 'kube-proxy',
  'tcp/10257': 'kube-controller-manager',
  'tcp/10258': 'cloud-controller-manager',
  'tcp/10259': 'kube-scheduler',
  'udp/8472': 'flannel',
}

/** Other Kubernetes and what else would fight with k3s over the network, by the names of their services. */
const KUBERNETES = /^(kubelet|rke2-(server|agent)|k0s(controller|worker)|snap\.microk8s\.\S+|crio)$/
const CONTAINERS = /^(docker|containerd|snap\.docker\.dockerd)$/
const WEB_SERVERS = /^(apache2|httpd|nginx|lighttpd|caddy|haproxy|traefik)$/

/** Whose Kubernetes is on a server: nobody's, ours, or why it is not ours. */
export type Owner = 'nobody' | 'ours' | { problem: string }

/**
 * What is on a server that would be in the way of the platform, or the platform in its. On a server that is
 * `inUse` by it, what listens is the platform itself. Pure.
 */
export function conflicts(facts: ServerFacts, owner: Owner, inUse: boolean): PreflightFinding[] {
  return [
    ...(inUse ? [] : ports(facts)),
    ...software(facts, owner),
    ...remains(facts, owner),
    ...foreignMounts(facts),
  ]
}

function ports({ listeners }: ServerFacts): PreflightFinding[] {
  const taken = new Map<string, Listener>()
  for (const listener of listeners) {
    const key = `${listener.protocol}/${listener.port}`
    const isWeb = listener.port === 80 || listener.port === 443
    // The ingress does not bind its ports but redirects packets that arrive: who listens inwards is not met.
    if (!(isWeb && /^(127\.|::1$)/.test(listener.address)) && key in PORTS) taken.set(key, listener)
  }
  return [...taken].map(([key, { port, protocol, program }]) => {
    const who = program === undefined ? 'the kernel' : quotedAnswer(program)
    return error(
      `port ${port}/${protocol} is in use by ${who}, and ${PORTS[key]} needs it`,
      program === undefined
        ? `find out what it is: ss -lnp 'sport = ${port}'; ip -d link`
        : `stop ${who} and keep it from starting: systemctl disable --now ${serviceOf(who)}`,
    )
  })
}

/** The service that a program mostly belongs to; a name that is not plain is searched by hand. */
function serviceOf(program: string): string {
  if (program === 'dockerd' || program === 'docker-proxy') return 'docker'
  return /^[\w.-]+$/.test(program) && !program.startsWith('-') ? program : 'SERVICE'
}

function software({ services, firewall }: ServerFacts, owner: Owner): PreflightFinding[] {
  const found: PreflightFinding[] = []
  const named = (pattern: RegExp) => services.filter(name => pattern.test(name))
  const stop = (names: string[]) => `systemctl disable --now ${names.join(' ')}`
  const kubernetes = named(KUBERNETES)
  if (kubernetes.length > 0)
    found.push(
      error(
        `another Kubernetes runs on the server (${listed(kubernetes)})`,
        'remove it first, or take another server',
      ),
    )
  const containers = named(CONTAINERS)
  if (containers.length > 0)
    found.push(
      warning(
        `${listed(containers)} runs on the server; k3s brings its own, and both change the firewall`,
        `if nothing needs it: ${stop(containers)}`,
      ),
    )
  const web = named(WEB_SERVERS)
  if (web.length > 0)
    found.push(
      warning(
        `a web server runs on the server (${listed(web)}); ports 80 and 443 go to the platform`,
        `if nothing needs it: ${stop(web)}`,
      ),
    )
  const firewalls = [...(firewall ? ['ufw'] : []), ...named(/^firewalld$/)]
  // https://docs.k3s.io/installation/requirements#operating-systems
  for (const name of firewalls)
    found.push(
      warning(
        `the firewall ${name} is on; it has to let the platform through`,
        name === 'ufw'
          ? 'ufw disable; or: ufw allow 80/tcp; ufw allow 443/tcp; ufw allow 6443/tcp; ufw allow from 10.42.0.0/16; ufw allow from 10.43.0.0/16'
          : 'systemctl disable --now firewalld; or open 80, 443 and 6443/tcp, and trust the sources 10.42.0.0/16 and 10.43.0.0/16',
      ),
    )
  if (typeof owner === 'object')
    found.push(
      error(
        `the server belongs to somebody else's installation: ${owner.problem}`,
        'check the address of the server in inventory.yml; to reuse this server, purge it first',
      ),
    )
  return found
}

/** What an earlier installation left. With a cluster on the server all of it is in use. */
function remains({ k3s, remains: paths, mounts }: ServerFacts, owner: Owner): PreflightFinding[] {
  if (owner !== 'nobody' || k3s !== undefined) return []
  const found: PreflightFinding[] = []
  // The mount point of a disk for the data is there before the first installation.
  const left = paths.filter(path => !mounts.some(({ target }) => target === path || isBelow(target, [path])))
  if (left.length > 0)
    found.push(
      warning(
        `an earlier installation left ${listed(left)}`,
        'if it is not to come back to life, move these folders away: mv DIR DIR.old',
      ),
    )
  const inUse = mounts.filter(({ target }) => isBelow(target, ['/var/lib/kubelet', '/run/k3s']))
  if (inUse.length > 0)
    found.push(
      warning(
        `${listed(inUse.map(({ target }) => quotedAnswer(target)))} is still mounted from an earlier installation`,
        'reboot the server',
      ),
    )
  return found
}

/** Purge, backups and the copying of volumes would go into what is mounted below their folders. */
function foreignMounts({ mounts }: ServerFacts): PreflightFinding[] {
  const foreign = mounts
    .map(({ target }) => target)
    .filter(
      target =>
        (isBelow(target, ['/var/lib/OpenAppStack']) && target !== LOCAL_STORAGE) ||
        (isBelow(target, ['/var/lib/rancher']) &&
          target !== '/var/lib/rancher/k3s' &&
          !isBelow(target, ['/var/lib/rancher/k3s/agent'])),
    )
  if (foreign.length === 0) return []
  return [
    warning(
      `${listed(foreign.map(quotedAnswer))} is mounted below the data of the platform, which backups and purge go through`,
      'mount it elsewhere (/etc/fstab)',
    ),
  ]
}

const isBelow = (path: string, folders: readonly string[]) => folders.some(f => path.startsWith(`${f}/`))
