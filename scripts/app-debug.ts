/**
 * Follows one application from the Git repository down to the node, marks every link, and names the one cause
 * with its remedy. It replaces the docs' `flux get kustomizations -A`, `flux get helmreleases -A` and `flux
 * reconcile …`.
 *
 * Usage: npx tsx scripts/app-debug.ts [APP] [--fix]
 * Needs: a cluster folder with a kubeconfig. Changes nothing without --fix.
 * Safe to run again: it looks anew every time.
 */
import { diagnosisFlags, offline } from '../lib/diagnosis/flags.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'app-debug',
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
    ['npx tsx scripts/app-debug.ts wekan --from facts.json', 'By what somebody else has seen and saved'],
    ["npx tsx scripts/app-debug.ts wekan --json | jq '.result.causes'", 'For other programs'],
  ],
  cluster: 'existing',
  offline,
  changes: true,
  async run(run) {
    const [
      { diagnosisSession },
      { gather },
      { Index },
      { show },
      { appChainOf, chainRows, concernsApp, inOrder },
    ] = await Promise.all([
      import('../lib/diagnosis/session.ts'),
      import('../lib/diagnosis/gather.ts'),
      import('../lib/diagnosis/snapshot.ts'),
      import('../lib/diagnosis/show.ts'),
      import('./app-debug/chain.ts'),
    ])
    const { lastWords } = await import('./app-debug/last-words.ts')
    const { table } = await import('../lib/script/log.ts')
    const name = run.args[0] ?? (await choose())
    let said: { container: string; text: string }[] = []

    await diagnosisSession(run, {
      async look(kubectl, options) {
        const snapshot = await gather(kubectl, options)
        const chain = chainNamed(new Index(snapshot))
        said = chain ? await lastWords(kubectl, snapshot, chain) : []
        return snapshot
      },
      only(cause, index) {
        const chain = chainNamed(index)
        return !chain || concernsApp(cause, chain)
      },
      show(look, log) {
        const index = new Index(look.snapshot)
        const { causes } = look.diagnosis
        const names = name === undefined ? index.all('Kustomization').map(each => each.metadata.name) : [name]
        for (const each of index.blind('Kustomization') ? [] : names) {
          const chain = appChainOf(each, index)
          if (name === undefined && inOrder(chain, index, causes)) {
            log.ok(each)
            continue
          }
          log.print(each)
          const rows = chainRows(chain, index, causes)
          // Of many chains only what is not in order.
          const shown = name === undefined ? rows.filter(([mark]) => mark !== '✓') : rows
          log.print(coloured(table(shown.map(([mark, ...row]) => [`  ${mark}`, ...row]))))
          log.print('')
        }
        show(look.diagnosis, log)
        for (const { container, text } of said) log.print(`\nlast words of ${container}: ${text}`)
      },
    })

    /** The chain of what was asked for; none when all was, or when it is not known what there is. */
    function chainNamed(index: InstanceType<typeof Index>) {
      return name === undefined || index.blind('Kustomization') || index.blind('HelmRelease')
        ? undefined
        : appChainOf(name, index)
    }

    function coloured(text: string): string {
      const { green, red, yellow } = run.log.colour
      return text
        .replaceAll(/^( *)✓/gm, `$1${green('✓')}`)
        .replaceAll(/^( *)✗/gm, `$1${red('✗')}`)
        .replaceAll(/^( *)([!…])/gm, `$1${yellow('$2')}`)
    }

    /** Asks of what, where somebody is there to answer; everything otherwise. */
    async function choose(): Promise<string | undefined> {
      const { askSelect, interactive } = await import('../lib/script/prompt.ts')
      if (offline(run.flags) || !interactive()) return undefined
      const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
      const { targetNames } = await import('../lib/logs/target.ts')
      const names = await targetNames(await Kubectl.connect(run.cluster.kubeconfig, run.signal))
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
