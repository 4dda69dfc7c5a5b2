/**
 * `--help` of every script against a program that does nothing. Goal: at most 1.2 times as long.
 *
 * Usage: npx tsx test/bench/help.ts [ROUNDS]
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../lib/script/files.ts'
import { alternate, tellRatios, timedScript } from './measure.ts'

const scripts = readdirSync(join(ROOT, 'scripts')).filter(name => name.endsWith('.ts'))
const medians = await alternate(
  {
    'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
    ...Object.fromEntries(
      scripts.map(name => [`${name} --help`, () => timedScript(join(ROOT, 'scripts', name), ['--help'])]),
    ),
  },
  Number(process.argv[2] ?? 15),
)
tellRatios(medians, 'an empty program')
