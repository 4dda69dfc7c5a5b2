/**
 * Deletes the pods that a kubelet has evicted, for example from a full disk, and no other failed pods.
 * It replaces the docs' `kubectl get pods | jq | xargs kubectl delete pods`.
 *
 * Usage: npx tsx scripts/delete-evicted-pods.ts [--namespace NS] [--older-than 2h]
 * Needs: a cluster folder with a kubeconfig.
 * Safe to run again: it finds the remaining evicted pods.
 */
import type { Kubectl } from '../lib/kubectl/kubectl.ts'
import { duration } from '../lib/script/duration.ts'
import { Findings, UsageError } from '../lib/script/errors.ts'
import { suggestion } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

await script({
  name: 'delete-evicted-pods',
  group: 'repair',
  summary: 'Delete the pods that were evicted from a full node, and no other; exit code 3 while it is full.',
  flags: {
    namespace: { type: 'string', value: 'NS', help: 'only in this namespace' },
    'older-than': { type: 'string', value: 'AGE', help: 'only those evicted longer ago: 30m, 2h, 3d' },
  },
  examples: [
    ['npx tsx scripts/delete-evicted-pods.ts --dry-run', 'Show their number, namespaces and age'],
    ['npx tsx scripts/delete-evicted-pods.ts', 'Show them, ask, delete them'],
    ['npx tsx scripts/delete-evicted-pods.ts --older-than 3d --yes', 'Keep the latest for an analysis'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { countsText, deleteEvicted, pressures, surveyFailed, surveyRows } = await import(
      './delete-evicted-pods/eviction.ts'
    )
    const { podsText, leftAlone, summary, pressureText } = await import('./delete-evicted-pods/words.ts')
    const { checkRights } = await import('../lib/preflight/preflight.ts')
    const { namespace, 'older-than': age } = run.flags
    const selection = { namespace, olderThan: age === undefined ? undefined : duration('--older-than', age) }
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    await kubectl.serverVersion() // a cluster that does not answer is one problem, not one for each check
    await run.preflight([
      () => checkNamespace(kubectl, namespace),
      () =>
        checkRights(kubectl, [
          ['list', '', 'nodes'],
          ['list', '', 'pods', namespace],
          ['delete', '', 'pods', namespace],
          ['update', 'coordination.k8s.io', 'leases', 'kube-system'],
        ]),
    ])

    const now = () => Date.now() + kubectl.client.clockOffset
    const nodes = pressures(await kubectl.list('v1', 'Node'))
    for (const pressure of nodes)
      run.log[pressure.state === 'over' ? 'ok' : 'warn'](pressureText(pressure, now()))
    const pressed = nodes.some(({ state }) => state === 'on')
    if (pressed)
      run.log.warn(
        'free the full node first (runbooks/delete-evicted-pods.md): deleting evicted pods frees almost nothing, and more pods will be evicted',
      )

    const before = await surveyFailed(kubectl, selection)
    run.result = { nodes, before: summary(before) }
    for (const line of leftAlone(before)) run.log.info(line)
    if (before.evicted === 0) run.log.ok('no evicted pods; nothing was changed.')
    else {
      run.log.print(table(surveyRows(before)))
      const plan = [`delete ${podsText(before.evicted, 'evicted ')} (short of: ${countsText(before.causes)})`]
      if (await run.agree(plan, `Delete ${podsText(before.evicted, 'evicted ')} on ${run.cluster.name}?`)) {
        await lockCluster(kubectl, run)
        await run.step('Delete evicted pods', byHand(namespace), async () => {
          let told = performance.now()
          const { deleted, vanished } = await deleteEvicted(
            kubectl,
            selection,
            done => {
              if (performance.now() - told < 1000) return
              told = performance.now()
              run.log.progress(`${done.deleted} of ${before.evicted} deleted`)
            },
            run.signal,
          )
          const after = await surveyFailed(kubectl, selection)
          run.result = { nodes, before: summary(before), deleted, vanished, after: summary(after) }
          run.log.print(
            after.evicted === 0
              ? 'No evicted pods remain.'
              : `${after.evicted} were evicted in the meantime.`,
          )
          return `${deleted} deleted${vanished > 0 ? `, ${vanished} were already gone` : ''}`
        })
      }
    }
    if (pressed) throw new Findings()
  },
})

/** The same with kubectl and jq. */
function byHand(namespace: string | undefined): string {
  const where = namespace ? `-n ${namespace}` : '-A'
  return `kubectl get pods ${where} --field-selector=status.phase=Failed -o json | jq -r '.items[] | select(.status.reason == "Evicted") | .metadata | "\\(.namespace) \\(.name)"' | xargs -r -n2 sh -c 'kubectl -n $0 delete pod $1'`
}

/** A namespace with a typing error would have no evicted pods. */
async function checkNamespace(kubectl: Kubectl, name: string | undefined): Promise<void> {
  if (name === undefined || (await kubectl.get({ apiVersion: 'v1', kind: 'Namespace', name }))) return
  const known = (await kubectl.list('v1', 'Namespace')).map(({ metadata }) => metadata.name)
  throw new UsageError(`namespace ${JSON.stringify(name)} does not exist`, suggestion(name, known))
}
