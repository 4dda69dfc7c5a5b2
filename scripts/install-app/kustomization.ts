import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'

/** The Flux Kustomization of an application, from flux2/cluster/apps/. */
export async function appKustomization(name: string): Promise<KubeObject> {
  const { load } = await import('js-yaml')
  return load(readFileSync(join(ROOT, 'flux2', 'cluster', 'apps', `${name}.yaml`), 'utf8')) as KubeObject
}
