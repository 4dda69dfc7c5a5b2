/**
 * The scripts, compiled once for all tests of a run: tsx compiles what it loads in every process again, which is most of
 * the time that a script takes. A test file that is started by hand, and test/host/scripts.test.ts, run them by tsx.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { ROOT } from '../lib/script/files.ts'

/** The variable with the folder of the compiled scripts. */
const FOLDER = 'OAS_TEST_SCRIPTS'
/** Those that read their own source: of all scripts, and of the bed. */
const READING = ['help.ts', 'sandbox.ts']

/** Compiles all scripts for the processes that this one starts. The folder is removed when this process ends. */
export async function compileScripts(): Promise<void> {
  const folder = join(ROOT, 'node_modules', '.cache', 'openappstack', `scripts-${process.pid}`)
  const scripts = readdirSync(join(ROOT, 'scripts')).filter(
    file => file.endsWith('.ts') && !READING.includes(file),
  )
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  await build({
    absWorkingDir: ROOT,
    entryPoints: scripts.map(file => join('scripts', file)),
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    // By which lib/script/files.ts finds the root of the repository.
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(ROOT, 'lib/script/files.ts')).href) },
    logLevel: 'error',
  })
  process.env[FOLDER] = folder
}

/** The arguments of Node that run a script: compiled, if that was done, and otherwise by tsx. */
export function scriptArgs(name: string): string[] {
  const compiled = join(process.env[FOLDER] ?? '', `${name}.mjs`)
  if (process.env[FOLDER] && existsSync(compiled)) return [compiled]
  return ['--import', 'tsx', join(ROOT, 'scripts', `${name}.ts`)]
}
