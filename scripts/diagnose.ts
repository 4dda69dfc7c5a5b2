/**
 * Reads everything once and names what is wrong: one cause, one remedy, and what follows from it. It replaces the
 * round of `flux get …`, `kubectl get …` and `kubectl describe …` of the docs' troubleshooting chapter.
 *
 * Usage: npx tsx scripts/diagnose.ts [--fix]
 * Needs: a cluster folder with a kubeconfig. Changes nothing without --fix.
 * Safe to run again: it reads the cluster every time.
 */
import { diagnosisFlags, offline } from '../lib/diagnosis/flags.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'diagnose',
  group: 'repair',
  summary:
    'Name what is wrong with the platform: the cause, the remedy, and what follows from it; exit code 3 for findings.',
  flags: diagnosisFlags,
  examples: [
    ['npx tsx scripts/diagnose.ts', 'What is wrong, and what to do about it'],
    ['npx tsx scripts/diagnose.ts --fix', 'Do it, remedy by remedy, after a question each'],
    ['npx tsx scripts/diagnose.ts --output facts.json', 'Keep the facts, for somebody else'],
    ['npx tsx scripts/diagnose.ts --from facts.json', 'Judge the facts that somebody else has kept'],
    ["npx tsx scripts/diagnose.ts --json | jq '.result.causes[].cause'", 'For other programs'],
  ],
  cluster: 'existing',
  offline,
  changes: true,
  async run(run) {
    const engine = await import('../lib/diagnosis/session.ts')
    const session = await engine.open(run)
    const snapshot = await engine.takeSnapshot(session)
    engine.keep(session, snapshot)

    const first = engine.judge(session, snapshot)
    run.result = first.diagnosis
    engine.show(first.diagnosis, run.log)

    const again = async () => engine.judge(session, await engine.takeSnapshot(session))
    const last = await engine.offerRemedies(session, first, again)
    run.result = last.diagnosis
    if (last !== first) engine.show(last.diagnosis, run.log)
    engine.conclude(last.diagnosis)
  },
})
