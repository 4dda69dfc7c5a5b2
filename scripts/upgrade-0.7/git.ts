import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { bodyText } from '../../lib/script/body.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Log } from '../../lib/script/log.ts'

/**
 * The branches in the answer of a Git server to `GET URL/info/refs?service=git-upload-pack`: lines with their
 * length in front (https://git-scm.com/docs/http-protocol, "Smart Server Response"). Undefined for anything
 * else. Pure.
 */
export function branchesIn(answer: string): Set<string> | undefined {
  if (!/^[0-9a-f]{4}# service=git-upload-pack\n/.test(answer)) return undefined
  return new Set([...answer.matchAll(/[0-9a-f]{40,64} refs\/heads\/([^\0\n]+)/g)].map(match => match[1]!))
}

/**
 * Throws an ExpectedError when a branch is not in the repository that a GitRepository names. Where that cannot be
 * asked from here (another protocol, credentials, an address of the cluster's own) it only says so: Flux would
 * keep what it has, and nothing would be removed.
 */
export async function checkBranch(
  git: KubeObject,
  branch: string,
  run: { log: Log; signal: AbortSignal },
): Promise<void> {
  const url = String(git.spec?.url ?? '')
  const unknown = (why: string) =>
    run.log.warn(`whether branch ${branch} is in ${url} could not be asked from here: ${why}`)
  if (!/^https?:/.test(url) || git.spec?.secretRef) return unknown('it needs credentials or another protocol')
  let branches: Set<string> | undefined
  try {
    const address = `${url.replace(/\/$/, '')}/info/refs?service=git-upload-pack`
    const signal = AbortSignal.any([run.signal, AbortSignal.timeout(20_000)])
    const response = await fetch(address, {
      signal,
      headers: { 'user-agent': 'git/2 (openappstack-runbooks)' },
    })
    if (!response.ok) return unknown(`it answers ${response.status}`)
    branches = branchesIn(await bodyText(response))
  } catch (error) {
    run.signal.throwIfAborted()
    return unknown(error instanceof Error ? error.message : String(error))
  }
  if (!branches) return unknown('it does not answer like a Git server')
  if (branches.has(branch)) return
  const like = [...branches].filter(name => name.startsWith(branch.slice(0, 2))).slice(0, 5)
  throw new ExpectedError(
    `the branch ${branch} is not in ${url}`,
    `give the one of 0.7 with --branch${like.length > 0 ? ` (there are ${like.join(', ')})` : ''}; nothing was changed`,
  )
}
