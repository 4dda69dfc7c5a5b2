import { readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import type { Layout } from './layout.ts'
import type { Extras, Ports } from './spec.ts'

/** The ports in addresses that objects of the cluster hold: of Git and charts, of Flux's artifacts, of ACME. */
export const KNOWN_PORTS = ['server', 'artifacts', 'pebble'] as const
/** Those of them that are known. */
export type KnownPorts = Partial<Pick<Ports, (typeof KNOWN_PORTS)[number]>>

/** What a sandbox remembers between two runs, `.state/state.json`. */
export interface State {
  ports: Partial<Ports>
  /** The ports in the addresses that objects of the cluster hold, until `up` has updated them. */
  known?: KnownPorts
  /** The folder of the programs of the last `up`. */
  bin?: string
  /** Flux's install manifest, for `install-core --flux-manifest`. */
  fluxManifest?: string
  /** The additional parts; they stay until `reset`. */
  extras: Extras
}

/** The remembered state; an empty one when there is none, or when it cannot be read. */
export function readSandboxState(layout: Layout): State {
  const text = readIfExists(layout.stateFile)
  if (text === undefined) return { ports: {}, extras: {} }
  try {
    const { ports, known, bin, fluxManifest, extras } = JSON.parse(text)
    return { ports: ports ?? {}, known, bin, fluxManifest, extras: extras ?? {} }
  } catch {
    return { ports: {}, extras: {} } // everything in it is found out again
  }
}

/** Remembers the state. */
export function writeSandboxState(layout: Layout, state: State): void {
  writeFileAtomic(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`)
}
