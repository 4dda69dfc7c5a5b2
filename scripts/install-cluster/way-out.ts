import { error, listed, type PreflightFinding, quotedAnswer, warning } from '../../lib/preflight/findings.ts'
import { linesOf, readFacts, shell, type ValuesOf } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'

/** The registry of k3s' own images and of many charts; it answers without a login. */
const REGISTRY = 'https://registry-1.docker.io/v2/'

/** What a server is asked about its way to the names and images that its pods need. */
export const WAY_OUT = {
  /** Search domains of resolv.conf in which a wildcard record answers for every name. */
  wildcardDomains: shell(
    `for domain in $(sed -n 's/^search[[:space:]]//p' /etc/resolv.conf | tail -n 1); do
  case $domain in . | *[!A-Za-z0-9.-]*) continue ;; esac
  if timeout 5 getent ahosts "oas-no-such-host.github.com.\${domain%.}." >/dev/null; then echo "\${domain%.}"; fi
done`,
    [],
    linesOf,
  ),
  /** What curl says of the registry, with the proxies of k3s; undefined where it is reached, or not needed. */
  registryProblem: shell(
    `command -v curl >/dev/null && [ ! -e /etc/rancher/k3s/registries.yaml ] || exit 0
registry=$1
set -- $(grep -Eihs '^(HTTPS?|NO)_PROXY=' /etc/default/k3s /etc/systemd/system/k3s.service.env | tr -d "'\\"")
env "$@" curl -sS -o /dev/null --connect-timeout 5 --max-time 10 "$registry" 2>&1`,
    [REGISTRY],
    answer => (answer.code === 0 ? undefined : (linesOf(answer)[0] ?? `exit code ${answer.code}`)),
  ),
}

/** Asks a server about its way out; `images` come with the installation where it has none to a registry. */
export async function checkWayOut(ssh: Ssh, { images }: { images: boolean }): Promise<PreflightFinding[]> {
  const said = await readFacts(ssh, WAY_OUT, { sudo: true, title: 'trying the way out' })
  return wayOutProblems({ ...said, registryProblem: images ? undefined : said.registryProblem })
}

/** What is wrong with it. Pure. */
export function wayOutProblems({
  wildcardDomains,
  registryProblem,
}: ValuesOf<typeof WAY_OUT>): PreflightFinding[] {
  const found: PreflightFinding[] = []
  if (wildcardDomains.length > 0)
    found.push(
      error(
        `the search domain ${listed(wildcardDomains.map(quotedAnswer))} in /etc/resolv.conf of the server meets a wildcard record: pods would find every outside name there`,
        'remove it from the search line of /etc/resolv.conf (and from the configuration of the network, which writes that file)',
      ),
    )
  if (registryProblem !== undefined)
    found.push(
      warning(
        `the server does not reach the registry registry-1.docker.io: ${quotedAnswer(registryProblem)}`,
        'let HTTPS through to it; behind a proxy, write HTTPS_PROXY and NO_PROXY to /etc/default/k3s; over IPv6 alone or without internet, give the images with --airgap DIR or name a mirror in /etc/rancher/k3s/registries.yaml',
      ),
    )
  return found
}
