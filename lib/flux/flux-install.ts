import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../script/files.ts'

/**
 * An additional argument of kustomize- and helm-controller. Without this gate a release whose pod
 * does not start blocks its own correction until Helm's timeout: new values wait for the
 * health check of the old ones.
 * Source: https://fluxcd.io/flux/components/helm/options/#feature-gates
 */
export const FEATURE_GATES = '--feature-gates=CancelHealthCheckOnNewRevision=true'

/** The pinned release of Flux, install/flux.yaml. */
export interface FluxRelease {
  version: string
  url: string
  sha256: string
}

/** The pinned release of Flux. */
export async function fluxRelease(): Promise<FluxRelease> {
  const { load } = await import('js-yaml')
  return load(readFileSync(join(ROOT, 'install', 'flux.yaml'), 'utf8')) as FluxRelease
}
