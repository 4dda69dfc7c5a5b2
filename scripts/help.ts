/**
 * Lists all scripts by what they are for, one line each, and makes a shell complete their names, flags, clusters and
 * applications. Both come from what the scripts say of themselves.
 *
 * Usage: npx tsx scripts/help.ts [--completion bash|zsh|fish]
 * Needs: nothing. Changes nothing.
 */
import { UsageError } from '../lib/script/errors.ts'
import { suggestion } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

await script({
  name: 'help',
  group: 'watch',
  summary: 'List all scripts by what they are for; complete their names and flags in a shell.',
  flags: {
    completion: {
      type: 'string',
      value: 'SHELL',
      choices: SHELLS,
      help: 'print what makes this shell complete the scripts: bash, zsh or fish',
    },
  },
  examples: [
    ['npx tsx scripts/help.ts', 'Every script, by what it is for'],
    [
      'npx tsx scripts/help.ts --completion bash > ~/.openappstack-completion',
      'A file for ~/.bashrc to read',
    ],
    ["npx tsx scripts/help.ts --json | jq -r '.result[].scripts[].name'", 'For other programs'],
  ],
  cluster: 'none',
  changes: false,
  async run(run) {
    const { completion } = run.flags
    const shell = SHELLS.find(name => name === completion)
    if (completion !== undefined && !shell)
      throw new UsageError(`--completion ${JSON.stringify(completion)}`, suggestion(completion, SHELLS))
    const { grouped, scriptSpecs } = await import('./help/specs.ts')
    const specs = await scriptSpecs()
    if (shell) {
      const { completionOf } = await import('./help/completion.ts')
      run.result = { completion: completionOf(shell, specs.values()) }
      run.log.print(completionOf(shell, specs.values()).trimEnd())
      return
    }
    const groups = grouped(specs.values())
    run.result = groups
    run.log.print(
      table(
        groups.flatMap(({ group, scripts }) => [
          [group],
          ...scripts.map(each => [`  ${each.name}`, each.does]),
        ]),
      ),
    )
    run.log.info('\nEvery script has --help. Something is wrong: npx tsx scripts/diagnose.ts')
  },
})
