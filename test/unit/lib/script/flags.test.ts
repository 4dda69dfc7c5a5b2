import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UsageError } from '../../../../lib/script/errors.ts'
import { nearest, parseFlags, suggestion } from '../../../../lib/script/flags.ts'
import { expectedFrom } from '../../helpers.ts'

const specs = {
  cluster: { type: 'string', value: 'NAME', help: '' },
  set: { type: 'string', multiple: true, help: '' },
  'dry-run': { type: 'boolean', help: '' },
  json: { type: 'boolean', help: '' },
} as const
const parse = (...argv: string[]) => parseFlags(argv, specs)
const refused = (...argv: string[]) => expectedFrom(() => parse(...argv))

test('absent flags are false, undefined and empty', () => {
  assert.equal(parse(), {
    values: { cluster: undefined, set: [], 'dry-run': false, json: false },
    positionals: [],
  })
})

test('values come after a blank or after an equals sign, anywhere between arguments', () => {
  const { values, positionals } = parse('a', '--cluster', '01', '--dry-run', 'b', '--set=x=y', '--set', 'z=')
  assert.equal(values, { cluster: '01', set: ['x=y', 'z='], 'dry-run': true, json: false })
  assert.equal(positionals, ['a', 'b'])
})

test('a value that begins with dashes needs the equals sign', async () => {
  assert.is(parse('--cluster=--x').values.cluster, '--x')
  assert.is(parse('--cluster=').values.cluster, '')
  for (const argv of [['--cluster', '--json'], ['--cluster'], ['--cluster', '--']]) {
    const error = await refused(...argv)
    assert.is(error.message, '--cluster needs a value')
    assert.match(error.fix, '--cluster=VALUE')
  }
})

test('after -- everything is an argument', () => {
  assert.equal(parse('--json', '--', '--cluster', '-x', '--').positionals, ['--cluster', '-x', '--'])
})

test('an unknown flag is named, with the one that was meant', async () => {
  const typo = await refused('--dry-rum')
  assert.instance(typo, UsageError)
  assert.is(typo.message, 'unknown flag --dry-rum')
  assert.is(typo.fix, 'did you mean --dry-run?')
  assert.match((await refused('--dry')).fix, '--dry-run?')
  assert.match((await refused('--Cluster')).fix, '--cluster?')
  assert.ok((await refused(`--${'x'.repeat(100_000)}`)).message.length < 200)
  assert.match(
    (await refused('--nothing-like-it')).fix,
    'expected one of: --cluster, --set, --dry-run, --json',
  )
  assert.is((await refused('-j')).message, 'unknown flag -j')
  assert.is((await refused('--no-json')).message, 'unknown flag --no-json')
})

for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
  test(`--${name} is unknown like any other`, async () => {
    for (const argv of [[`--${name}`], [`--${name}=x`], [`--${name}`, 'x']])
      assert.is((await refused(...argv)).message, `unknown flag --${name}`)
    assert.is(parse('--cluster', name).values.cluster, name)
    assert.equal(parse(name).positionals, [name])
  })

test('a switch takes no value, a single value is given once', async () => {
  assert.is((await refused('--json=false')).message, '--json takes no value')
  assert.is((await refused('--json=')).message, '--json takes no value')
  assert.is((await refused('--cluster=a', '--cluster', 'a')).message, '--cluster was given twice')
  assert.is(parse('--json', '--json').values.json, true)
})

test('the name that a flag had before is still accepted, and suggested to nobody', async () => {
  const renamed = {
    output: { type: 'string', help: '', formerly: 'save' },
    skip: { type: 'string', help: '', multiple: true, formerly: 'leave' },
    'skip-logs': { type: 'boolean', help: '', formerly: 'no-logs' },
  } as const
  const { values } = parseFlags(['--save', 'f', '--leave=a', '--skip', 'b', '--no-logs'], renamed)
  assert.equal(values, { output: 'f', skip: ['a', 'b'], 'skip-logs': true })
  const twice = await expectedFrom(() => parseFlags(['--output', 'f', '--save', 'g'], renamed))
  assert.is(twice.message, '--save was given twice')
  const typo = await expectedFrom(() => parseFlags(['--sav'], renamed))
  assert.is(typo.fix, 'expected one of: --output, --skip, --skip-logs')
})

test('no command line makes it throw anything but a UsageError', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('--', '-', '---', '--=', '--json', '--set', '--cluster', '-h', '--help', '--__proto__=1'),
    fc.string().map(text => `--${text}`),
  )
  fc.assert(
    fc.property(fc.array(word), argv => {
      try {
        parseFlags(argv, specs)
      } catch (error) {
        if (!(error instanceof UsageError)) throw error
      }
    }),
    { numRuns: 500 },
  )
})

test('the nearest word is near, or there is none', () => {
  const apps = ['nextcloud', 'rocketchat', 'wekan', 'wordpress', 'velero']
  assert.is(nearest('nextclod', apps), 'nextcloud')
  assert.is(nearest('wordpres', apps), 'wordpress')
  assert.is(nearest('rocket', apps), 'rocketchat')
  assert.is(nearest('wakan', apps), 'wekan')
  assert.is(nearest('jitsi', apps), undefined)
  assert.is(nearest('', apps), undefined)
  assert.is(suggestion('jitsi', apps), `expected one of: ${apps.join(', ')}`)
})

test.run()
