import { readIfExists, writeFileAtomic } from '../files.ts'
import type { Layout } from './layout.ts'
import type { Ports } from './spec.ts'

/** What a sandbox remembers between two runs, `.state/state.json`. */
export interface State {
  ports: Partial<Ports>
  /** The folder of the programs of the last `up`. */
  bin?: string
  /** Flux's install manifest, for `install-core --flux-manifest`. */
  fluxManifest?: string
}

/** The remembered state; an empty one when there is none, or when it cannot be read. */
export function readState(layout: Layout): State {
  const text = readIfExists(layout.stateFile)
  if (text === undefined) return { ports: {} }
  try {
    const { ports, bin, fluxManifest } = JSON.parse(text)
    return { ports: ports ?? {}, bin, fluxManifest }
  } catch {
    return { ports: {} } // everything in it is found out again
  }
}

/** Remembers the state. */
export function writeState(layout: Layout, state: State): void {
  writeFileAtomic(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`)
}
