import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { KubeConfig } from '@kubernetes/client-node'
import { ROOT } from '../script/files.ts'

/** The module of the package that reads kubeconfigs and authenticates; the rest is generated clients. */
const ENTRY = '@kubernetes/client-node/dist/config.js'

/**
 * Where the bundled part of @kubernetes/client-node lies: a cached artefact outside git, named by the
 * package's version. Loading it takes a fifth of the time that the package takes, at every start.
 */
function bundlePath(): string {
  const file = join(ROOT, 'node_modules', '@kubernetes', 'client-node', 'package.json')
  const { version } = JSON.parse(readFileSync(file, 'utf8'))
  return join(ROOT, 'node_modules', '.cache', 'openappstack', `kubeconfig-${version}.mjs`)
}

async function buildBundle(path: string): Promise<void> {
  const { build } = await import('esbuild')
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}`
  await build({
    stdin: { contents: `export { KubeConfig } from '${ENTRY}'`, resolveDir: ROOT },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile: temporary,
    logLevel: 'silent',
    // CommonJS packages in the bundle call require for Node's own modules.
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
  })
  renameSync(temporary, path)
}

/**
 * The KubeConfig class of @kubernetes/client-node: the one lazy door to that package. The first call builds
 * the bundle, a fifth of a second; where it cannot be written, the plain package is used.
 */
export async function loadKubeConfig(): Promise<typeof KubeConfig> {
  const path = bundlePath()
  try {
    if (!existsSync(path)) await buildBundle(path)
    return (await import(pathToFileURL(path).href)).KubeConfig
  } catch {
    return (await import(ENTRY)).KubeConfig
  }
}
