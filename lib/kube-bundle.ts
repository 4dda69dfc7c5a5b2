import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROOT } from './files.ts'

const version = createRequire(import.meta.url)('@kubernetes/client-node/package.json').version as string

/**
 * Where the bundled part of @kubernetes/client-node lies: a cached artefact outside git, named by its
 * version. Loading it takes a fifth of the time that the package takes, at every start of every script.
 */
export const BUNDLE = join(ROOT, 'node_modules', '.cache', 'openappstack', `kubeconfig-${version}.mjs`)

/** The module of the package that reads kubeconfigs and authenticates; the rest is generated clients. */
export const ENTRY = '@kubernetes/client-node/dist/config.js'

/** Builds the bundle. `npm install` runs this file; without the bundle the plain package is used. */
export async function buildBundle(): Promise<void> {
  const { build } = await import('esbuild')
  mkdirSync(dirname(BUNDLE), { recursive: true })
  await build({
    stdin: { contents: `export { KubeConfig } from '${ENTRY}'`, resolveDir: ROOT },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile: BUNDLE,
    // CommonJS packages in the bundle call require for Node's own modules.
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await buildBundle()
  } catch (error) {
    console.warn(`not bundled, scripts start slower: ${error instanceof Error ? error.message : error}`)
  }
}
