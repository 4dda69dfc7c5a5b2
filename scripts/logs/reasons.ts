import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { type RootCause, remedyText } from '../../lib/diagnosis/finding.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { type Kubectl, type Ref, refText } from '../../lib/kubectl/kubectl.ts'
import type { LogContainer } from '../../lib/logs/containers.ts'

/**
 * Why containers do not run: what the kubelet says, with the cause and the remedy of the diagnosis. What the kubelet
 * says alone where the cluster cannot be read.
 */
export async function reasonsOf(
  kubectl: Kubectl,
  silent: ReadonlyMap<LogContainer, string>,
): Promise<Map<LogContainer, string>> {
  const reasons = new Map(silent)
  if (silent.size === 0) return reasons
  let causes: readonly RootCause[] = []
  try {
    causes = diagnose(await gather(kubectl), RULES).causes
  } catch {
    return reasons // the logs are what was asked for
  }
  for (const [container, why] of silent) reasons.set(container, reasonText(container, why, causes))
  return reasons
}

/** What the kubelet says of a container, and what the diagnosis says of its pod. Pure. */
export function reasonText(container: LogContainer, why: string, causes: readonly RootCause[]): string {
  const isPod = ({ kind, namespace, name }: Ref) =>
    kind === 'Pod' && namespace === container.namespace && name === container.pod
  const cause =
    causes.find(({ subject }) => isPod(subject)) ??
    causes.find(({ explains }) => explains.some(({ subject }) => isPod(subject)))
  if (!cause) return why
  const own = isPod(cause.subject) ? '' : `${refText(cause.subject)}: `
  return `${why}; cause: ${own}${cause.cause}; fix: ${remedyText(cause.remedy)}`
}
