import { error, listed, type PreflightFinding, quotedAnswer, warning } from '../preflight/findings.ts'
import type { ServerFacts } from './server-facts.ts'

/** What stands between a server and the names and images that its pods need. Pure. */
export function networkProblems({
  wildcardDomains,
  registryProblem,
  k3s,
}: Pick<ServerFacts, 'wildcardDomains' | 'registryProblem' | 'k3s'>): PreflightFinding[] {
  const found: PreflightFinding[] = []
  if (wildcardDomains.length > 0)
    found.push(
      error(
        `the search domain ${listed(wildcardDomains.map(quotedAnswer))} in /etc/resolv.conf of the server meets a wildcard record: pods would find every outside name there`,
        'remove it from the search line of /etc/resolv.conf (and from the configuration of the network, which writes that file)',
      ),
    )
  // A server in use has its images, and may have got them without a network.
  if (registryProblem !== undefined && k3s === undefined)
    found.push(
      warning(
        `the server does not reach the registry registry-1.docker.io: ${quotedAnswer(registryProblem)}`,
        'let HTTPS through to it; behind a proxy, write HTTPS_PROXY and NO_PROXY to /etc/default/k3s; over IPv6 alone or without internet, give the images with --airgap DIR or name a mirror in /etc/rancher/k3s/registries.yaml',
      ),
    )
  return found
}
