/**
 * Words that the messages, the help, the comments and the pages do not use: turns that a reader who is not a native
 * speaker stumbles over, each with the plain words in its place.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../lib/script/files.ts'

interface Rule {
  /** What to write in its place. */
  say: string
  /** A blank stands for any white space, so that a phrase is also found across the end of a line. */
  pattern: RegExp
  /** Has to be found. */
  bad: readonly string[]
  /** Must not be found: the same words in another sense. */
  good?: readonly string[]
}

const RULES: readonly Rule[] = [
  {
    say: 'X is not a Y',
    pattern: /(?<!\bthere )\b(is|are|was|were) no (?!longer\b|more than\b|less than\b)/,
    bad: ['FILE is no kubeconfig', 'these are no names'],
    good: ['there is no StorageClass', 'it is no longer served', 'a node that is not ready'],
  },
  {
    say: 'X does not exist',
    pattern: /\bthere (is|was) no (file|folder|directory)\b/,
    bad: ['there is no file settings.yaml'],
    good: ['there are no files to copy', 'there is no default StorageClass'],
  },
  {
    say: 'X is not a valid Y, X does not belong to Y',
    pattern: /(?<!\bthere )\b(is|are|was|were) none\b|\bnone of (this platform|0\.\d)/,
    bad: ['the port 99999 is none', 'this branch is none of 0.7', 'none of this platform'],
    good: ['undefined where there is none', 'none of them answers'],
  },
  {
    say: 'reconcile, repair; is healthy, is ready; not healthy',
    pattern:
      /\b(bring|brings|bringing|brought|put|puts)( \S+){0,4} in(to)? order\b|([✓✗]`?|\b(is|are|be|was|were|been|not|everything|all|seems)( (now|again|back|not|still|already))?) in order\b(?! (to|of|that|by)\b)/,
    bad: [
      'bring everything in order',
      '4 not in order, 1 cause',
      'every certificate is in order',
      '✓ in order',
    ],
    good: [
      'read it in order to learn why',
      'they are not in order of age',
      'key files, in order; the usual three',
    ],
  },
  {
    say: 'omit --x',
    pattern: /\bleav(e|es|ing)( \S+){1,2} away\b|\bleft away\b/,
    bad: ['leave --from away', 'or leave it away', 'leave the `--server` away'],
    good: ['leave the room', 'moved away', 'leave alone what went away'],
  },
  {
    say: 'has been X for 10 minutes',
    pattern: /\b(is|are|was|were)( \S+){1,3} since (\$\{[^}]*\}|\d+) ?(s|min|minutes|h|hours|d|days)\b/,
    bad: ['revision 2 is pending-upgrade since 20 min', 'it is down since 3 days'],
    good: ['has been pending for 20 min', 'logs of wekan --since 30m'],
  },
  {
    say: 'outage; loop; must be admitted',
    pattern:
      /\bdisturbances?\b(?! (of|between))|\b(go|goes|going) round in a circle\b|\bneeds? the consent\b/,
    bad: [
      'the service has a disturbance',
      'the login goes round in a circle',
      'it needs the consent of a webhook',
    ],
    good: ['faults that do not disturb each other'],
  },
  { say: 'again; reissue, recreate, reinstall', pattern: /\banew\b/, bad: ['issued anew'] },
  {
    say: 'expects, needs, requires',
    pattern:
      /(?<!\b(who|whoever|somebody|nobody|anybody|everybody|administrator|user|reader|caller) )\bwants (?=[\w"'`$<-])/,
    bad: ['--set wants KEY=VALUE', 'a chart wants a newer Kubernetes'],
    good: ['an administrator wants to know', 'for anybody who wants it', 'a wants = b'],
  },
  {
    say: 'check, verify',
    pattern: /\blook(s|ed|ing)? (at it\b|again\b|once more\b)/,
    bad: ['look at it first', 'has Flux look again'],
    good: ['what it looks at', 'look for it', 'it looks like a URL'],
  },
  {
    say: 'it was cordoned, suspended, scaled to 0',
    pattern: /\b(somebody|someone|nobody) (has |had )?told\b|\b(was|were) told to\b/,
    bad: ['somebody has told it to take no pods', 'a node was told to take no pods'],
    good: ['unless told otherwise', 'it is told apart by its uid'],
  },
  {
    say: 'it reports Ready but …; active voice',
    pattern: /\b(is|are|was|were) (said to|to be)\b/,
    bad: ['it is said to be ready', 'what is to be done', 'a field is to be changed'],
    good: ['it has to be empty', 'they need to be ready'],
  },
  { say: 'keeps crashing', pattern: /\bagain and again\b/, bad: ['ends again and again'] },
  {
    say: 'the change touches an immutable field',
    pattern: /\bfields? that cannot be changed\b/,
    bad: ['a field that cannot be changed'],
  },
  {
    say: 'started; unfinished',
    pattern:
      /\b(is|are|was|were|be|been|being|has|have|had|just|already) begun\b|\bbegun (by|at|with|when|on)\b/,
    bad: ['the upgrade was begun', 'an upgrade begun by hand'],
    good: ['const begun = start()'],
  },
  {
    say: 'reissue it, recreate it',
    pattern:
      /\b(have|has|having|had) (it|them|the \w+) (issued|reissued|made|created|removed|applied|done|mended)\b/,
    bad: ['have it issued', 'has the certificate made'],
    good: ['it has created the folder', 'have the right to it'],
  },
  {
    say: 'existing objects; leftovers; later changes',
    pattern: /\bwhat (is|was) (already )?(there|left)\b|\b(came|come|comes) since\b/,
    bad: ['returns what was there', 'Look what is left', 'what came since'],
    good: ['what is wrong there', 'is it left behind'],
  },
  {
    say: 'is created, issued, taken, built',
    pattern:
      /(?<!\b(call|request|change|attempt|decision|connection|choice|mistake)s? )\b(is|are|was|were|be|been|being) (newly )?made\b(?! (of|up|from)\b)/,
    bad: ['the folder is made', 'a user has to be made'],
    good: ['what an image is made of', 'no call was made to a provider'],
  },
  {
    say: 'name it',
    pattern: /\bthe (former|latter)\b|\b(hitherto|thereby)\b/,
    bad: ['the latter is kept', 'thereby lost'],
    good: ['a former release'],
  },
  {
    say: 'this user may not use sudo',
    pattern: /\ballowed to (this|the|that) (user|account|key|group)\b/,
    bad: ['sudo is not allowed to this user'],
    good: ['it is allowed to restart'],
  },
  {
    say: 'X appears twice',
    pattern: /(?<!\bthere )\bis too many\b/,
    bad: ['a/b is too many'],
    good: ['there is too many a slip'],
  },
  {
    say: 'is retried, retries',
    pattern: /\b(new|its|all|their) tries\b|\btries (are|is|were) (used up|exhausted|over)\b/,
    bad: ['it gets new tries', 'all tries are used up'],
    good: ['it tries again', 'const tries = 3'],
  },
]
const PATTERNS = RULES.map(rule => new RegExp(rule.pattern.source.replaceAll(' ', '\\s+'), 'gi'))

/** A source without the marks of its comments and the seams of its strings: blanks are in their place. */
function prose(source: string): string {
  return source
    .replace(/^[ \t]*(\/\/|\/?\*+|#+)/gm, mark => ' '.repeat(mark.length))
    .replace(/(['"`])[ ]*\+?[ ]*\n\s*\+?\s*\1/g, seam => seam.replace(/[^\n]/g, ' '))
}

/** Each use of a word that is not used, with its line and what to say. */
function findings(text: string): string[] {
  const plain = prose(text)
  return RULES.flatMap(({ say }, at) =>
    [...plain.matchAll(PATTERNS[at]!)].map(match => {
      const line = plain.slice(0, match.index).split('\n').length
      return `${line}: "${match[0].replace(/\s+/g, ' ')}": say ${say}`
    }),
  )
}

const READ = /\.(ts|md|go|sh|ya?ml|example)$/
const below = (folder: string): string[] =>
  READ.test(folder)
    ? [folder]
    : readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .filter(file => READ.test(file))
        .map(file => join(folder, file))
        .sort()

for (const { say, bad, good = [] } of RULES)
  test(`found, and not more: ${say}`, () => {
    for (const text of bad) assert.ok(findings(text).length > 0, `not found: ${text}`)
    for (const text of good) assert.equal(findings(text), [], text)
  })

test('a phrase is found across the end of a line', () => {
  assert.is(findings('/**\n * It is issued\n * anew, once this is\n   * no longer.\n').length, 1)
  assert.is(findings("f('what is ' +\n  'left')").length, 1)
  assert.match(findings('x\n// this is\n// no way\n')[0]!, /^2: "is no /)
})

for (const folder of ['README.md', 'test/README.md', 'runbooks', 'install', 'lib', 'scripts', 'test/bed'])
  test(`${folder} speaks plainly`, () => {
    const wrong = below(folder).flatMap(file =>
      findings(readFileSync(join(ROOT, file), 'utf8')).map(found => `${file}:${found}`),
    )
    assert.is(wrong.length, 0, `\n${wrong.join('\n')}\n`)
  })

test.run()
