/**
 * The Flux APIs of 0.6's age on a sandbox, as far as their parts can still be had: helm-controller v0.36.0, which
 * serves v2beta1 alone and knows no resetAt, and the v1beta1 schemas of source-controller v0.16.0. Sources and
 * Kustomizations are those of the sandbox's own controllers, served under their old versions, too; that the newer
 * ones are there is hidden from the scripts by `OldFlux.hidesNewer`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from 'js-yaml'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { until } from '../../lib/script/wait.ts'
import { builtPrograms } from '../bed/build/build.ts'
import { OLD_FLUX } from '../bed/build/programs.ts'
import { layoutOf } from '../bed/cluster/layout.ts'
import { kubeconfigOf } from '../bed/cluster/spec.ts'
import { type Meddling, signal } from './faults.ts'
import type { Bed } from './harness.ts'

const HELM = 'github.com/fluxcd/helm-controller'
/** Only its schemas are taken; the program needs libgit2. The sum is the one of sum.golang.org. */
const SOURCE = {
  version: 'github.com/fluxcd/source-controller@v0.16.0',
  sum: 'h1:GUzyh6+NmA8Tx9fhhz/shYo585ICM9lCG0gAWkr/kGA=',
}
const CRD = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' }
const GROUP = '.toolkit.fluxcd.io'

interface CrdVersion {
  name: string
  served: boolean
  storage: boolean
  [field: string]: unknown
}

const go = (cwd: string, ...args: string[]) => execFileSync('go', args, { cwd, encoding: 'utf8' })

/** A CRD out of the sources of a controller. */
const crdIn = (sources: string, group: string, plural: string) =>
  load(readFileSync(join(sources, `config/crd/bases/${group}${GROUP}_${plural}.yaml`), 'utf8')) as KubeObject

/** The sources of the old source-controller. */
function oldSources(): string {
  // Outside of every module: the versions that it wants shall not decide over others.
  const told = go(tmpdir(), 'mod', 'download', '-json', SOURCE.version)
  const { Dir, Sum } = JSON.parse(told) as { Dir: string; Sum: string }
  if (Sum !== SOURCE.sum) throw new Error(`${SOURCE.version} has the sum ${Sum}`)
  return Dir
}

/** Flux with old APIs on a sandbox that has no objects of Flux yet. */
export class OldFlux {
  readonly #controller: ChildProcess

  private constructor(controller: ChildProcess) {
    this.#controller = controller
  }

  /** Puts the old helm-controller in the place of the sandbox's, and serves the old versions of everything. */
  static async start(bed: Bed): Promise<OldFlux> {
    const progress = (text: string) => console.error(text)
    const building = { progress, waiting: (holder: string) => progress(`waiting for ${holder}`) }
    const program = join(await builtPrograms(building, OLD_FLUX), 'helm-controller')
    await signal('helm-controller', 'SIGKILL')
    const sources = oldSources()
    for (const plural of ['gitrepositories', 'helmrepositories', 'helmcharts', 'buckets'])
      await serveBeside(bed, `${plural}.source`, newest => [
        // What helm-controller v0.36.0 asks for: the schema hardly changed until v1.
        { ...newest, name: 'v1beta2' },
        (crdIn(sources, 'source', plural).spec.versions as CrdVersion[])[0]!,
      ])
    // Those of kustomize-controller v0.12 to v0.35 cannot be had any more.
    await serveBeside(bed, 'kustomizations.kustomize', newest => [{ ...newest, name: 'v1beta1' }])
    await replaceHelmReleases(bed)
    bed.kubectl.rediscover()
    return new OldFlux(runController(program))
  }

  /** Ends the old helm-controller. */
  stop(): void {
    this.#controller.kill('SIGKILL')
  }

  /**
   * For a proxy in front of the API server: newer versions of sources and Kustomizations are not there for whoever
   * asks through it, as on a cluster of 0.6. The API server is not asked to serve the old ones alone, since the
   * sandbox's controllers need the new. What was asked for is added to `paths`.
   */
  static hidesNewer(paths: string[]): Meddling {
    return (request, response, pass) => {
      const path = request.url!
      paths.push(`${request.method} ${path}`)
      if (!/^\/apis\/(source|kustomize)\.toolkit\.fluxcd\.io\/(v1|v1beta2)([/?]|$)/.test(path)) return pass()
      response.writeHead(404, { 'content-type': 'text/plain' })
      response.end('404 page not found\n')
    }
  }
}

/** Serves further versions of a CRD of Flux. */
async function serveBeside(
  bed: Bed,
  name: string,
  more: (newest: CrdVersion) => CrdVersion[],
): Promise<void> {
  const ref = { ...CRD, name: `${name}${GROUP}` }
  const found = (await bed.kubectl.get(ref))!
  const stored = (found.spec.versions as CrdVersion[]).find(({ storage }) => storage)!
  const added = more(stored).map(version => ({ ...version, served: true, storage: false }))
  await bed.kubectl.patch(ref, { spec: { versions: [stored, ...added] } })
  const { group, names } = found.spec
  for (const version of added) await isServed(bed, `${group}/${version.name}`, names.plural)
}

/** Waits until the API server serves a version, which takes it a moment. */
async function isServed(bed: Bed, version: string, plural: string): Promise<void> {
  await until(
    async () => {
      const served = await bed.kubectl
        .call<{ resources: { name: string }[] }>({ path: `/apis/${version}` })
        .catch(() => undefined) // no kind of this version is there yet
      return served?.resources.some(({ name }) => name === plural) ? { done: true } : { last: '' }
    },
    { deadline: 180_000, every: 200, describe: () => `${version} ${plural} is not served` },
  )
}

/** Removes the HelmReleases of the sandbox's own controller, and has the API server serve the old ones. */
async function replaceHelmReleases(bed: Bed): Promise<void> {
  const ref = { ...CRD, name: `helmreleases.helm${GROUP}` }
  await bed.kubectl.delete(ref)
  await until(async () => ((await bed.kubectl.get(ref)) ? { last: 'there' } : { done: true }), {
    deadline: 180_000,
    every: 200,
    describe: () => `${ref.name} is still there`,
  })
  const sources = go(OLD_FLUX.folder, 'list', '-m', '-f', '{{.Dir}}', HELM).trim()
  await bed.kubectl.create(crdIn(sources, 'helm', 'helmreleases'))
  await isServed(bed, `helm${GROUP}/v2beta1`, 'helmreleases')
}

function runController(program: string): ChildProcess {
  const layout = layoutOf('sandbox')
  const log = openSync(join(layout.logs, 'old-helm-controller.log'), 'a')
  const args = [
    '--health-addr=127.0.0.1:0',
    '--metrics-addr=127.0.0.1:0',
    '--events-addr=',
    '--requeue-dependency=2s',
    '--log-encoding=console',
  ]
  const controller = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      HOME: layout.temporary,
      KUBECONFIG: kubeconfigOf(layout, 'flux'),
      RUNTIME_NAMESPACE: 'flux-system',
    },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  return controller
}
