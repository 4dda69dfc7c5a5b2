/** Completion in the real shells: bash always, zsh and fish where they are installed. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { APP_NAMES } from '../../../../lib/platform/apps.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { flagsOf } from '../../../../lib/script/spec.ts'
import { completionOf, type Shell } from '../../../../scripts/help/completion.ts'
import { firstClause, grouped, scriptSpecs } from '../../../../scripts/help/specs.ts'
import { all } from '../../../suite.ts'
import { temporaryFolder } from '../../helpers.ts'

const specs = await scriptSpecs()
const folder = temporaryFolder()
for (const name of ['oas.example.org', 'oas2.example.org', 'sandbox']) mkdirSync(join(folder, name))
const installed = (shell: Shell) => spawnSync(shell, ['-c', ':']).status === 0

/** Completes a command line, the second argument, by the file that is the first. */
const PROGRAMS: Record<Shell, string> = {
  bash: `. "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); __oas_complete; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // zsh completes only on a terminal: its module zpty is one. What it would show goes through compadd.
  // Before its line editor works, ^U would take away what was typed before it.
  zsh: `zmodload zsh/zpty; zpty terminal zsh -f -i
say() { zpty -w terminal "$1"; }
say 'PROMPT=; unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D'
say ". $1"
say 'offer() { compadd() { builtin compadd -A found "$@" 2>/dev/null; printf "OFFER %s\\n" $found; found=(); builtin compadd "$@" }; _main_complete; }; zle -C offer complete-word offer; bindkey "^I" offer'
say 'zle-line-init() { print \${:-REA}DY }; zle -N zle-line-init'
zpty -r terminal text '*READY*'
zpty -w -n terminal "$2"$'\\t'
zpty -w -n terminal $'\\C-u'
say 'print D''ONE'
zpty -r terminal text '*DONE*'
print -r -- $text`,
  fish: 'source $argv[1]; complete -C $argv[2]',
}

/** The words that a shell offers at the end of a command line. */
function offered(shell: Shell, line: string): string[] {
  const file = join(folder, `completion.${shell}`)
  writeFileSync(file, completionOf(shell, specs.values()))
  const { stdout, stderr, status } = spawnSync(
    shell,
    ['-c', PROGRAMS[shell], ...(shell === 'fish' ? [] : [shell]), file, line],
    {
      encoding: 'utf8',
      cwd: ROOT,
      timeout: 30_000,
      env: { PATH: process.env.PATH, HOME: folder, TERM: 'dumb', OAS_CLUSTERS_DIR: folder },
    },
  )
  assert.is(status, 0, `${stderr}${stdout}`)
  if (shell === 'zsh')
    return [...new Set([...stdout.matchAll(/OFFER (\S+)/g)].map(match => match[1]!))].sort()
  return stdout
    .split('\n')
    .map(word => word.split('\t')[0]!)
    .filter(Boolean)
    .sort()
}

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  if (shell !== 'bash' && !all) continue
  if (!installed(shell)) {
    console.log(`  (${shell} is not installed here: its completion is not tried)`)
    continue
  }
  test(`${shell} completes scripts, flags, clusters and applications`, () => {
    assert.equal(offered(shell, 'npx tsx scripts/upgrade-0.'), [
      'scripts/upgrade-0.3.ts',
      'scripts/upgrade-0.6.ts',
      'scripts/upgrade-0.7.ts',
    ])
    const flags = Object.keys(flagsOf(specs.get('status')!)).map(flag => `--${flag}`)
    const bare = (words: string[]) => words.map(word => word.replace(/=$/, '')).sort()
    assert.equal(bare(offered(shell, 'npx tsx scripts/status.ts --')), [...flags, '--help'].sort())
    assert.equal(offered(shell, 'npx tsx scripts/status.ts --cluster oas'), [
      'oas.example.org',
      'oas2.example.org',
    ])
    assert.equal(offered(shell, 'npx tsx scripts/install-app.ts --yes '), [...APP_NAMES].sort())
    assert.equal(offered(shell, 'npx tsx scripts/help.ts --completion z'), ['zsh'])
  })
}

test('every script says its group, and the README lists it there', () => {
  const rows = readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(
    /^\| ([a-z ]*)\| \[([\w.-]+)\]\(runbooks/gm,
  )
  let group = ''
  const told = [...rows].map(([, first, name]) => {
    group = first!.trim() || group
    return `${group}: ${name}`
  })
  const own = grouped(specs.values()).flatMap(({ group, scripts }) =>
    scripts.map(({ name }) => `${group}: ${name}`),
  )
  assert.equal(told.sort(), own.sort())
})

test('a script has a line that says what it does', () => {
  for (const spec of specs.values()) assert.match(firstClause(spec), /^[A-Z].{10,150}[^.;:(]$/, spec.name)
  assert.is(firstClause({ summary: 'Do it; exit code 3.' }), 'Do it')
  assert.is(firstClause({ summary: 'Do it (exit code 3).' }), 'Do it')
})

test.run()
