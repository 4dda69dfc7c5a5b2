import { readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'
import type { Extras, Ports } from './spec.ts'

/** What a sandbox remembers between two runs, `.state/state.json`. */
export interface State {
  ports: Partial<Ports>
  /** The folder of the programs of the last `up`. */
  bin?: string
  /** Flux's install manifest, for `install-core --flux-manifest`. */
  fluxManifest?: string
  /** What an `up` was asked to run besides; it stays until `reset`. */
  extras: Extras
}

/** The remembered state; an empty one when there is none, or when it cannot be read. */
export function readSandboxState(layout: Layout): State {
  const text = readIfExists(layout.stateFile)
  if (text === undefined) return { ports: {}, extras: {} }
  try {
    const { ports, bin, fluxManifest, extras } = JSON.parse(text)
    return { ports: ports ?? {}, bin, fluxManifest, extras: extras ?? {} }
  } catch {
    return { ports: {}, extras: {} } // everything in it is found out again
  }
}

/** Remembers the state. */
export function writeSandboxState(layout: Layout, state: State): void {
  writeFileAtomic(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`)
}
