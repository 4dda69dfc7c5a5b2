import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'
import { flagsOf } from '../../lib/script/spec.ts'
import { scriptSpecs } from '../../scripts/help/specs.ts'
import { type Known, problemsOf, UNKNOWN } from './commands/check.ts'
import { commandsOf } from './commands/shell.ts'
import { type Piece, piecesOfPage, piecesOfSource } from './commands/texts.ts'

const scripts = await scriptSpecs()
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const below = (folder: string, extension: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith(extension))
    .map(file => join(folder, file))

/** What `bash -n` has against a piece of shell: it is read, not run. */
function syntaxError(shell: string): string | undefined {
  const { status, stderr } = spawnSync('bash', ['-n'], { input: shell, encoding: 'utf8' })
  return status === 0 ? undefined : stderr.trim()
}

/** Everything that is wrong with the commands of a file, by line. */
function problemsIn(file: string, pieces: readonly Piece[], known: Known): string[] {
  return pieces.flatMap(({ line, shell, block }) => {
    const syntax = block ? syntaxError(shell) : undefined
    const problems = syntax ? [syntax] : problemsOf(shell, known)
    return problems.map(problem => `${file}:${line}: ${problem}`)
  })
}

const pages = ['README.md', ...below('runbooks', '.md')]
const piecesOf = new Map(
  pages.map(file => {
    const pieces = piecesOfPage(read(file))
    // What is left of Helm 2 is removed with its own commands.
    const old = file.endsWith('upgrade-0.3.md')
    const helm2 = ({ shell }: Piece) => shell.replaceAll(/\bhelm (?=delete|ls)/g, 'helm2 ')
    return [file, old ? pieces.map(piece => ({ ...piece, shell: helm2(piece) })) : pieces]
  }),
)

for (const [file, pieces] of piecesOf)
  test(`${file}: every command exists and parses`, () => {
    assert.ok(pieces.length > 0, 'it names no command at all')
    assert.equal(problemsIn(file, pieces, { scripts }), [])
  })

test('every flag of the pages, once misspelt, is found', () => {
  let count = 0
  for (const [file, pieces] of piecesOf)
    for (const piece of pieces)
      for (const match of piece.shell.matchAll(/(?<= )--[a-z][\w-]*/g)) {
        const comment = piece.shell
          .slice(0, match.index)
          .split('\n')
          .at(-1)!
          .match(/(^| )# /)
        if (comment) continue
        count++
        const end = match.index + match[0].length
        const wrong = { ...piece, shell: `${piece.shell.slice(0, end)}x${piece.shell.slice(end)}` }
        const found = problemsOf(wrong.shell, { scripts })
        assert.ok(
          found.some(problem => problem.includes(`${match[0]}x`)),
          `${file}:${piece.line}: ${match[0]}x is not found in: ${wrong.shell}`,
        )
      }
  assert.ok(count > 150, `only ${count} flags were found`)
})

test('every flag in the table of a page is one of its script', () => {
  const wrong: string[] = []
  let count = 0
  for (const name of scripts.keys()) {
    const page = existsSync(join(ROOT, `runbooks/${name}.md`)) ? read(`runbooks/${name}.md`) : ''
    const table = /\n## Flags\n([\s\S]*?)(\n## |$)/.exec(page)?.[1] ?? ''
    for (const [, cell] of table.matchAll(/^\| (.*?) \| /gm))
      for (const [, flag, value = ''] of cell!.matchAll(/`(--[\w-]+)( [^`]+)?`/g)) {
        count++
        const given = value && ' VALUE'
        wrong.push(...problemsOf(`npx tsx scripts/${name}.ts ${flag}${given} ${UNKNOWN}`, { scripts }))
      }
  }
  assert.ok(count > 100, `only ${count} flags were found`)
  assert.equal(wrong, [])
})

test('the page of a script names every flag of its own', () => {
  const missing: string[] = []
  for (const [name, spec] of scripts) {
    const page = read(`runbooks/${name}.md`)
    for (const flag of Object.keys(spec.flags))
      if (!new RegExp(`--${flag}(?![\\w-])`).test(page)) missing.push(`${name}: --${flag}`)
  }
  assert.equal(missing, [])
})

test('every command that the scripts tell exists', () => {
  const files = [...below('lib', '.ts'), ...below('scripts', '.ts')]
  const pieces = files.map(file => [file, piecesOfSource(read(file))] as const)
  const count = pieces.reduce((sum, [, found]) => sum + found.length, 0)
  assert.ok(count > 150, `only ${count} commands were found`)
  assert.equal(
    pieces.flatMap(([file, found]) => problemsIn(file, found, { scripts })),
    [],
  )
})

test('every flag in the comments of the sources exists', () => {
  let count = 0
  for (const file of [...below('lib', '.ts'), ...below('scripts', '.ts')])
    for (const [line] of read(file).matchAll(/^ *\/?\*.*npx tsx scripts\/.*$/gm)) {
      const name = /scripts\/([\w.-]+)\.ts/.exec(line)?.[1]
      const spec = scripts.get(name ?? '')
      assert.ok(spec, `${file}: there is no script ${name}`)
      for (const [, flag] of line.matchAll(/[ [(]--([\w-]+)/g)) {
        count++
        assert.ok(Object.hasOwn(flagsOf(spec), flag!), `${file}: ${name} has no flag --${flag}`)
      }
    }
  assert.ok(count > 20, `only ${count} flags were found`)
})

test('a flag and the name that another had before are never the same', () => {
  for (const [name, spec] of scripts) {
    const spellings = Object.entries(flagsOf(spec)).flatMap(([flag, { formerly }]) =>
      [flag, formerly ?? []].flat(),
    )
    assert.is(new Set(spellings).size, spellings.length, name)
  }
})

/** Each with what has to be said of it. */
const WRONG: readonly (readonly [shell: string, problem: string])[] = [
  ['npx tsx scripts/stauts.ts', 'there is no script stauts: did you mean status?'],
  ['npx tsx scripts/status.ts --al', 'unknown flag --al'],
  ['npx tsx scripts/diagnose.ts --save FILE', 'unknown flag --save'],
  ['npx tsx scripts/status.ts nextcloud', 'unexpected argument "nextcloud"'],
  ['npx tsx scripts/secrets.ts --show', '--show needs a value'],
  ['npx tsx scripts/status.ts --json=yes', '--json takes no value'],
  ['npx tsx scripts/install-app.ts nextclod', 'unknown APP "nextclod"'],
  ['npx tsx scripts/restore-secrets.ts A B', 'unexpected argument "B"'],
  ['npx tsx scripts/sandbox.ts start', 'unknown'],
  ['npx tsx scripts/status.ts --json | jq -x .', 'jq has no flag -x'],
  ['npx tsx scripts/ssh.ts -- df --humane', 'df has no flag --humane'],
  ['npx tsx scripts/ssh.ts --sudoo -- df', 'unknown flag --sudoo'],
  ['echo "$(npx tsx scripts/info.ts --yes)"', 'unknown flag --yes'],
  ['kubectl gett pods', 'kubectl has no gett'],
  ['kubectl -n oas gett pods', 'kubectl has no gett'],
  ['kubectl get podds -A', 'podds is no kind of object'],
  ['kubectl get pods,secrts', 'secrts is no kind of object'],
  ['kubectl get kustomizations.kustomize.fluxcd.io', 'is no kind of object'],
  ['kubectl get pods --all-namespace', 'kubectl get has no flag --all-namespace'],
  ['kubectl get pods -o', '-o of kubectl get needs a value'],
  ['kubectl get pods -A=x', '-A takes no value'],
  ['kubectl rollout restrat deployment x', 'kubectl rollout has no restrat'],
  ['kubectl create secret generic x --from-fil=y', 'kubectl create secret generic has no flag --from-fil'],
  ['kubectl apply -f flux2/cluster/apps/nextclod.yaml', 'there is no flux2/cluster/apps/nextclod.yaml'],
  ['flux reconcile helmrelease x -n oas --rest', 'flux reconcile helmrelease has no flag --rest'],
  ['flux reconcile kustomization x --reset', 'flux reconcile kustomization has no flag --reset'],
  ['flux rsume kustomization x', 'flux has no rsume'],
  ['helm delete --purge x', 'helm has no delete'],
  ['velero backup create x --wiat', 'velero backup create has no flag --wiat'],
  ['systemctl restrat k3s', 'systemctl has no restrat'],
  ['journalctl -u k3s -Z', 'journalctl has no flag -Z'],
  ["ssh root@203.0.113.7 'df -h; freee -h'", 'freee is not among the programs'],
  ['sudo -u ann systemctl stpo k3s', 'systemctl has no stpo'],
  ['echo x | xargs -r -n2 kubectl delte pod', 'kubectl has no delte'],
  ['sh -c "kubectl delete podd x"', 'podd is no kind of object'],
  ['age -d -i key.txt FILE | tarr -t', 'tarr is not among the programs'],
  ['kubectl create secret generic x --from-env-file=<(sort --keyy=1 FILE)', 'sort has no flag --keyy'],
  ['cat <<EOF | kubectl apply -g -\nx: 1\nEOF', 'kubectl apply has no flag -g'],
  ['for ns in a b; do kubectl craete namespace $ns; done', 'kubectl has no craete'],
  ['f() { kubectl gte pods; }; f', 'kubectl has no gte'],
]
for (const [shell, problem] of WRONG)
  test(`what is wrong is found in: ${shell}`, () => {
    const found = problemsOf(shell, { scripts })
    assert.is(found.length, 1, found.join('\n'))
    assert.match(found[0]!, problem)
  })

test('what bash does not take for shell is found', () => {
  const piece = { line: 7, shell: "echo 'x", block: true }
  assert.match(problemsIn('page.md', [piece], { scripts })[0]!, /^page\.md:7: bash: .*unexpected EOF/)
})

test('a command line is taken apart as a shell does it', () => {
  const text = [
    `A=1 B="$(date -u)" kubectl -n "a b" get 'x y' \\`,
    `    --to=a\\ b > out 2>&1 <in # a comment 'with a quote`,
    'if test -f x; then y && ! z || { k; }; fi; w & cat <<EOF | l <<<"$(m)"',
    'not a command; $(o) and so on',
    'EOF',
    `last "\\"$v\\"" \${n:-1}`,
  ].join('\n')
  assert.equal(commandsOf(text), [
    ['date', '-u'],
    ['kubectl', '-n', 'a b', 'get', 'x y', '--to=a b'],
    ['test', '-f', 'x'],
    ['y'],
    ['z'],
    ['k'],
    ['w'],
    ['cat'],
    ['m'],
    ['l'],
    ['o'],
    ['last', '"$v"', `\${n:-1}`],
  ])
})

test('commands are found where a page and a program tell them', () => {
  const page = [
    '## Run\n```\na b\n```',
    '## You should see\n```\n✓ x\n   $ kubectl get x  # why\n```',
    'or `flux get all`, `flux is away` and `k \\| l`',
  ].join('\n')
  assert.equal(
    piecesOfPage(page).map(({ line, shell }) => [line, shell]),
    [
      [3, 'a b'],
      [8, 'kubectl get x'],
      [10, 'flux get all'],
    ],
  )
  const source = [
    '// npx tsx scripts/no.ts',
    `f('kubectl get x', \`see it: npx tsx scripts/a.ts --to \${to}, then go on\`)`,
    `g(\`npx tsx scripts/b.ts\${flags}   # why\`)`,
  ].join('\n')
  assert.equal(
    piecesOfSource(source).map(({ line, shell }) => [line, shell]),
    [
      [2, 'kubectl get x'],
      [2, `npx tsx scripts/a.ts --to ${UNKNOWN}`],
      [3, 'npx tsx scripts/b.ts'],
    ],
  )
})

test.run()
