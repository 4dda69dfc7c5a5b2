/** Containers that are ready, and keep saying that something fails: no object tells of it. */
import { refOf } from '../../kubectl/kubectl.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { keyOf } from '../graph.ts'
import type { Index, Said } from '../snapshot.ts'
import { logsOf } from './readiness.ts'
import { tellingLine } from './telling-lines.ts'
import { understood } from './understood.ts'
import { containersOf, suffersFrom, workloadOf } from './workload-facts.ts'

const OF_CLIENT = /^container-(login-refused|object-missing|rights-refused|database-read-only)$/
const DATABASE =
  /(^|\/)(postgres|postgresql|mysql|mariadb|mongo|mongodb|redis|valkey)(?!-(exporter|express|backup|commander))(:|@|-|$)/

/** A warning: it may well do the rest of its work. */
function complaint({ namespace, pod: name, container, text }: Said, index: Index): [string, Finding][] {
  const pod = index.get('Pod', namespace, name)
  const of = pod && containersOf(pod).find(each => each.name === container)
  if (!of) return []
  const workload = workloadOf(pod, index)
  const known = understood(pod, of, [text], index)
  // What a database says of a login is about whoever wanted in: that one complains itself, or is its own probe.
  if (known && OF_CLIENT.test(known.rule) && DATABASE.test(String(of.spec?.image ?? ''))) return []
  const finding = tell(pod, {
    rule: known?.rule ?? 'container-complains',
    verdict: 'warning',
    cause: `container ${container} is ready, and keeps saying: ${known?.cause ?? tellingLine(text)}`,
    text: known?.fix ?? 'read its log, and correct what it says',
    command: known?.command ?? logsOf(pod, container, ''),
    // One that is not understood may well be about what another finding explains.
    ...(known ? suffersFrom(known.by ?? []) : { symptom: true }),
  })
  return [[`${finding.rule} ${keyOf(refOf(workload))}`, finding]]
}

/** The rule for what ready containers repeat: once of a workload, whose pods mostly say the same. */
export const rules: readonly Rule[] = [
  index => [...new Map((index.snapshot.complaints ?? []).flatMap(said => complaint(said, index))).values()],
]
