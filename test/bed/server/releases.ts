import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { privateFolder, readIfExists, writeFileAtomic } from '../../../lib/script/files.ts'
import type { Building } from '../build/build.ts'
import type { Layout } from '../cluster/layout.ts'
import { nodeParts } from '../cluster/node.ts'
import { issueServing } from '../cluster/pki.ts'
import type { Machine } from './machine.ts'
import { OUR_ADDRESS } from './machine-network.ts'
import { ensureServed } from './machine-served.ts'

/** Where images come from: the host that is asked → the registry's name in an image's. */
export const REGISTRIES: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'docker.io',
  'ghcr.io': 'ghcr.io',
  'quay.io': 'quay.io',
  'gcr.io': 'gcr.io',
  'registry.k8s.io': 'registry.k8s.io',
}

/** Where releases come from. */
const HOSTS = [
  ...['github.com', 'raw.githubusercontent.com', 'objects.githubusercontent.com', 'get.k3s.io'],
  ...['update.k3s.io', 'get.helm.sh', 'dl.k8s.io'],
]

/** What goes wrong with a download. */
export interface Fault {
  /** Answers with this instead. */
  status?: number
  /** Sends no faster. */
  bytesPerSecond?: number
  /** Closes the connection after so many bytes. */
  cutAfter?: number
  /** Changes a byte. */
  damaged?: boolean
}

/** The internet of a bed's servers. Start the servers with `binds`, `hosts` and `ca`. */
export interface ReleaseServer {
  binds: Record<string, string>
  hosts: Record<string, string>
  ca: string
  /** As install/releases.yaml, with the checksums of the stand-ins: for a cluster's own releases.yaml. */
  list: string
  /** The same with the next version of k3s. */
  newerList: string
  /** The URL to give as a mirror. */
  mirror: string
  /** The folder of all files, as HOST/PATH. */
  files: string
  /** Serves them on our side of the network; to be called when the servers are up. */
  serve(layout: Layout, machine: Machine, onHost: boolean): Promise<void>
  /** Says what goes wrong from now on: beginnings of HOST/PATH → faults. `{}` ends all faults. */
  setFaults(layout: Layout, faults: Readonly<Record<string, Fault>>): void
}

/** The releases and images of the bed, ready to be served: from the cache, or built into it. */
export async function releasesForServers(building: Building, layout: Layout): Promise<ReleaseServer> {
  const { binds, releases, images } = await nodeParts(building)
  const names = [...HOSTS, ...Object.keys(REGISTRIES)]
  const state = join(layout.state, 'releases')
  const ca = await ensureServing(privateFolder(state), [...names, OUR_ADDRESS])
  return {
    binds,
    hosts: Object.fromEntries(names.map(name => [name, OUR_ADDRESS])),
    ca,
    list: join(releases, 'releases.yaml'),
    newerList: join(releases, 'releases-newer.yaml'),
    mirror: `https://${OUR_ADDRESS}`,
    files: join(releases, 'files'),
    serve: (layout, machine, onHost) =>
      ensureServed(layout, machine, {
        name: 'releases',
        file: 'releases-server.ts',
        args: [
          `--address=${OUR_ADDRESS}`,
          `--releases=${releases}`,
          `--images=${images}`,
          `--state=${state}`,
        ],
        health: `https://${OUR_ADDRESS}/healthz`,
        onHost,
      }),
    setFaults(layout, faults) {
      const file = join(layout.state, 'releases', 'faults.json')
      if (Object.keys(faults).length === 0) rmSync(file, { force: true })
      else writeFileAtomic(file, JSON.stringify(faults))
    },
  }
}

const DAY = 86_400_000

/**
 * Makes sure that the folder holds serving.crt, serving.key and ca.crt, which servers trust from their first boot:
 * files that are valid for another month and have all names are kept. Returns the authority's certificate.
 */
async function ensureServing(folder: string, names: readonly string[]): Promise<string> {
  const path = (file: string) => join(folder, file)
  const kept = readIfExists(path('ca.crt'))
  if (kept && isGood(path, kept, names)) return kept
  const issued = await issueServing(names)
  writeFileAtomic(path('serving.key'), issued.key)
  writeFileAtomic(path('serving.crt'), issued.certificate)
  writeFileAtomic(path('ca.crt'), issued.ca)
  return issued.ca
}

function isGood(path: (file: string) => string, ca: string, names: readonly string[]): boolean {
  try {
    const certificate = new X509Certificate(readFileSync(path('serving.crt')))
    return (
      certificate.verify(new X509Certificate(ca).publicKey) &&
      certificate.checkPrivateKey(createPrivateKey(readFileSync(path('serving.key')))) &&
      Date.parse(certificate.validTo) - Date.now() > 30 * DAY &&
      names.every(name => certificate.checkHost(name) ?? certificate.checkIP(name))
    )
  } catch {
    return false // missing, or cut off half-way
  }
}
