/** Variables that a container is given twice: the last of them counts, and the program sees nothing of the others. */
import { each, type Rule } from '../finding.ts'
import { describing, whereToChange } from './workload-facts.ts'

/**
 * Workloads with a variable that a later one of the same name, and of another value, overrides.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
 */
const shadowed = each(['Deployment', 'StatefulSet', 'DaemonSet'], (workload, index) => {
  // What an operator writes is its own affair.
  if (workload.metadata.ownerReferences?.length) return undefined
  const containers = (workload.spec?.template?.spec?.containers ?? []) as {
    name?: string
    env?: { name?: string; shadowed?: boolean }[]
  }[]
  const found = containers.flatMap(({ name, env = [] }) =>
    env.flatMap(each => (each.shadowed ? [{ container: name, variable: each.name }] : [])),
  )
  const [first] = found
  if (!first) return undefined
  const names = [...new Set(found.map(({ variable }) => variable))].slice(0, 5).join(', ')
  return {
    rule: 'variable-set-twice',
    verdict: 'warning',
    cause: `container ${first.container} is given ${names} twice, each time with another value: the last one counts`,
    text: `keep the one that is meant, and remove the other ${whereToChange(workload, index)}`,
    command: describing(workload),
  }
})

export const rules: Rule[] = [shadowed]
