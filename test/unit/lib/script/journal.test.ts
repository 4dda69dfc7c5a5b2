import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type JournalEntry,
  journalMarkdown,
  outcomeText,
  readJournal,
  writeJournal,
} from '../../../../lib/script/journal.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import { temporaryFolder } from '../../helpers.ts'

const entry: JournalEntry = {
  script: 'install-app',
  cluster: 'oas.example.org',
  command: 'npx tsx scripts/install-app.ts wekan',
  startedAt: '2026-01-02T03:04:05.678Z',
  plan: ['create Kustomization wekan'],
  steps: [
    { title: 'Secrets', startedAt: 'x', outcome: 'done', seconds: 1.25, note: '3 values generated' },
    { title: 'Wait', equivalent: 'flux get hr -A', startedAt: 'x', outcome: 'running' },
  ],
}

test('the Markdown tells the plan, each step with its command, and how it ended', () => {
  assert.is(
    journalMarkdown(entry),
    `# install-app on oas.example.org

- command: \`npx tsx scripts/install-app.ts wekan\`
- started: 2026-01-02T03:04:05.678Z
- ended: not yet, or killed
- exit code: none

## Plan

- create Kustomization wekan

## Steps

1. Secrets: done, 1.3 s
   3 values generated
2. Wait: running
   by hand: \`flux get hr -A\`
`,
  )
  const ended = journalMarkdown({ ...entry, exitCode: 0, error: { message: 'broken', fix: 'mend it' } })
  assert.match(ended, '- exit code: 0\n')
  assert.match(ended, '## Error\n\n- what: broken\n- fix: mend it\n')
})

test('what others wrote does not become Markdown of the journal', () => {
  const hostile = 'x\n# head ![i](http://a/) <b>\x1b[2J'
  const text = journalMarkdown({
    ...entry,
    command: `a \`${hostile}`,
    plan: [hostile],
    steps: [{ title: hostile, note: hostile, equivalent: hostile, startedAt: 'x', outcome: 'done' }],
    error: { message: hostile, fix: hostile },
  })
  assert.is(text.split('\n# head').length, 1)
  assert.is(text.split('!\\[i\\](http://a/) \\<b>').length, 6)
  assert.not.match(text, '\x1b')
})

test('both files are private, hold no secret, and the JSON stays a document', () => {
  registerSecret('journal "secret"')
  registerSecret('918273')
  const folder = join(temporaryFolder(), 'journal')
  const error = { message: 'the value journal "secret" is wrong', fix: 'x' }
  const steps = [{ ...entry.steps[0]!, seconds: 0.918273, note: 'pin 918273, login: password=hunter2' }]
  writeJournal(folder, { ...entry, steps, error })
  const name = '2026-01-02T03-04-05.678Z-install-app'
  assert.equal(readdirSync(folder), [`${name}.json`, `${name}.md`])
  for (const file of readdirSync(folder)) {
    assert.is(statSync(join(folder, file)).mode & 0o777, 0o600)
    assert.not.match(readFileSync(join(folder, file), 'utf8'), /secret|pin 918273|hunter2/)
  }
  assert.is(statSync(folder).mode & 0o777, 0o700)
  const json = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))
  assert.is(json.error.message, 'the value *** is wrong')
  assert.is(json.steps[0].seconds, 0.918273)
})

test('a secret with characters that Markdown escapes is in neither file', () => {
  const secret = 'hunter|2<xyz[9]\\ab`c'
  registerSecret(secret)
  const folder = temporaryFolder()
  const text = `the value ${secret} is wrong`
  const steps = [{ title: text, note: text, equivalent: text, startedAt: 'x', outcome: 'failed' as const }]
  const error = { message: text, fix: text }
  writeJournal(folder, { ...entry, command: text, plan: [text], steps, error })
  for (const file of readdirSync(folder)) {
    const written = readFileSync(join(folder, file), 'utf8')
    assert.is(written.split('the value *** is wrong').length - 1, 7, written)
    assert.not.match(written, /hunter|xyz/)
  }
})

test('a run writes one pair of files, the last state of it', () => {
  const folder = temporaryFolder()
  writeJournal(folder, entry)
  writeJournal(folder, { ...entry, exitCode: 130 })
  assert.is(readdirSync(folder).length, 2)
  assert.match(readFileSync(join(folder, readdirSync(folder)[1]!), 'utf8'), 'exit code: 130')
})

test('the newest runs are read back, without files that are none', () => {
  const folder = temporaryFolder()
  assert.equal(readJournal(join(folder, 'none'), 9), [])
  for (const day of ['02', '03', '04'])
    writeJournal(folder, { ...entry, startedAt: `2026-01-${day}T00:00:00.000Z` })
  for (const [name, text] of [
    ['2026-02-01T00-x.json', 'null'],
    ['2026-02-02T00-x.json', '{'],
    ['2026-02-03T00-x.json', '{"script":1}'],
  ])
    writeFileSync(join(folder, name!), text!)
  const started = readJournal(folder, 2).map(({ startedAt }) => startedAt.slice(0, 10))
  assert.equal(started, ['2026-01-04', '2026-01-03'])
})

test('how a run ended', () => {
  assert.is(outcomeText({}), 'not ended, or killed')
  assert.is(outcomeText({ exitCode: 0 }), 'done')
  assert.is(outcomeText({ exitCode: 3 }), 'exit code 3')
  assert.is(outcomeText({ exitCode: 1, error: { message: 'no', fix: 'x' } }), 'exit code 1: no')
})

test.run()
