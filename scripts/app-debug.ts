/**
 * Follows one application from the Git repository down to the node, marks every link, and names the one cause
 * with its remedy. It replaces the docs' `flux get kustomizations -A`, `flux get helmreleases -A` and `flux
 * reconcile …`.
 *
 * Usage: npx tsx scripts/app-debug.ts [APP] [--fix]
 * Needs: a cluster folder with a kubeconfig. Changes nothing without --fix.
 * Safe to run again: it reads the cluster every time.
 */
import { diagnosisFlags, offline } from '../lib/diagnosis/flags.ts'
import type { Kubectl } from '../lib/kubectl/kubectl.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'app-debug',
  group: 'repair',
  summary:
    'Follow an application from Git to its node and name the one cause and its remedy; exit code 3 for findings.',
  args: {
    name: 'APP',
    help: 'an application, a part of the core, or a HelmRelease (hydra, loki, …); all when none is given',
    max: 1,
  },
  flags: diagnosisFlags,
  examples: [
    ['npx tsx scripts/app-debug.ts nextcloud', 'Every link of Nextcloud, and what is wrong with it'],
    ['npx tsx scripts/app-debug.ts nextcloud --fix', 'Do the remedies, after a question each, and watch'],
    ['npx tsx scripts/app-debug.ts loki', 'One release of the core'],
    ['npx tsx scripts/app-debug.ts wekan --from facts.json', 'By the facts that somebody else has kept'],
    ["npx tsx scripts/app-debug.ts wekan --json | jq '.result.causes'", 'For other programs'],
  ],
  cluster: 'existing',
  offline,
  changes: true,
  async run(run) {
    const engine = await import('../lib/diagnosis/session.ts')
    const { concernsApp } = await import('../lib/diagnosis/app-chain.ts')
    const { chainNamed, chainText, lastLines } = await import('./app-debug/chain.ts')
    const session = await engine.open(run)
    const name = run.args[0] ?? (session.kubectl && (await choose(session.kubectl)))
    const snapshot = await engine.takeSnapshot(session)
    engine.keep(session, snapshot)

    const judged = (facts: typeof snapshot) =>
      engine.judge(session, facts, (cause, index) => {
        const chain = chainNamed(name, index)
        return !chain || concernsApp(cause, chain)
      })
    const present = (seen: ReturnType<typeof judged>) => {
      const index = new engine.Index(seen.snapshot)
      run.result = seen.diagnosis
      for (const part of chainText(name, index, seen.diagnosis.causes)) run.log.print(coloured(part))
      engine.show(seen.diagnosis, run.log)
      for (const line of lastLines(name, index)) run.log.print(`\n${line}`)
    }

    const first = judged(snapshot)
    present(first)
    const last = await engine.offerRemedies(session, first, async () =>
      judged(await engine.takeSnapshot(session)),
    )
    if (last !== first) present(last)
    engine.conclude(last.diagnosis)

    function coloured(text: string): string {
      const { green, red, yellow } = run.log.colour
      return text
        .replaceAll(/^( *)✓/gm, `$1${green('✓')}`)
        .replaceAll(/^( *)✗/gm, `$1${red('✗')}`)
        .replaceAll(/^( *)([!…])/gm, `$1${yellow('$2')}`)
    }

    /** Asks for a name on a terminal; everything otherwise. */
    async function choose(kubectl: Kubectl): Promise<string | undefined> {
      const { askSelect, interactive } = await import('../lib/script/prompt.ts')
      if (!interactive()) return undefined
      const { targetNames } = await import('../lib/logs/target.ts')
      const names = await targetNames(kubectl)
      if (names.length === 0) return undefined
      const everything = 'everything'
      const answer = await askSelect({
        message: 'What does not work?',
        flag: `what does not work: ${names.join(', ')}`,
        choices: [everything, ...names],
      })
      return answer === everything ? undefined : answer
    }
  },
})
