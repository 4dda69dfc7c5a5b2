/** Budgets that no number of pods can meet, and budgets and policies that select nothing. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import { type Selector, selectorText, selectsAll } from '../../kubectl/selector.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { isBrought } from './policy-facts.ts'
import { selected } from './selected.ts'
import { podsIn, since } from './workload-facts.ts'

/** Policies and budgets whose selector fits nothing. */
const selectNothing: Rule = index =>
  ['NetworkPolicy', 'PodDisruptionBudget'].flatMap(kind =>
    index.all(kind).flatMap((object): Finding[] => {
      const { namespace, creationTimestamp } = object.metadata
      const selector: Selector = object.spec?.podSelector ?? object.spec?.selector
      if (selectsAll(selector) || index.blind('Pod') || since(index, creationTimestamp) < 600) return []
      if (selected(selector, namespace, index).length > 0) return []
      // A chart may bring a policy for a part that is not installed, and flux2/ one for pods that come and go, as
      // those of a challenge; any other with other pods beside it was mistaken.
      const mistaken = podsIn(namespace, index).length > 0
      if (!mistaken || isBrought(object)) return []
      return [
        tell(object, {
          rule: 'selects-nothing',
          verdict: 'warning',
          cause: `no pod has the labels that it selects (${selectorText(selector)}): it protects nothing`,
          text: 'correct its selector, or delete it',
          command: `kubectl -n ${namespace} get pods --show-labels`,
        }),
      ]
    }),
  )

/** Budgets that no number of healthy pods can meet, and pods of two budgets, which cannot be evicted at all. */
const budgets: Rule = index => {
  const all = [...index.all('PodDisruptionBudget')].sort((a, b) =>
    b.metadata.name.localeCompare(a.metadata.name),
  )
  const firstOf = new Map<KubeObject, KubeObject>()
  for (const budget of all)
    for (const object of selected(budget.spec?.selector, budget.metadata.namespace, index))
      firstOf.set(object, budget)
  return all.flatMap((budget): Finding[] => {
    const { namespace, name, creationTimestamp } = budget.metadata
    const { desiredHealthy = 0, expectedPods = 0 } = budget.status ?? {}
    if (since(index, creationTimestamp) < 600) return []
    const first = selected(budget.spec?.selector, namespace, index)
      .filter(({ kind }) => kind === 'Pod')
      .map(pod => firstOf.get(pod))
    const rival = first.find(other => other && other !== budget)
    if (!rival && (expectedPods === 0 || desiredHealthy <= expectedPods)) return []
    return [
      tell(budget, {
        rule: rival ? 'budget-with-rival' : 'budget-unmeetable',
        verdict: 'warning',
        cause: rival
          ? `it and PodDisruptionBudget ${rival.metadata.name} select the same pods: these cannot be evicted`
          : `it requires ${desiredHealthy} healthy pods of ${expectedPods}: none can ever be evicted`,
        text: rival
          ? 'delete one of them, or correct its selector'
          : 'lower minAvailable below the number of replicas, or raise the replicas',
        command: `kubectl -n ${namespace} describe pdb ${name}`,
      }),
    ]
  })
}

export const rules: Rule[] = [selectNothing, budgets]
