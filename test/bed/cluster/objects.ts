import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { until } from '../../../lib/script/wait.ts'
import { readObjects } from '../build/data.ts'
import { BED } from '../build/programs.ts'
import { type Api, DEADLINE } from './api.ts'
import type { Bed } from './bed.ts'
import type { Setting } from './spec.ts'

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const STAGES = '/apis/kwok.x-k8s.io/v1alpha1/stages'

/** The only node. Its size is in test/bed/stages/node.yaml. */
const NODE = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: 'sandbox',
    labels: {
      'kubernetes.io/hostname': 'sandbox',
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': 'amd64',
      'node-role.kubernetes.io/control-plane': 'true',
    },
  },
}

/**
 * Applies what a cluster has before anything is installed on it: the node, kwok's Stages, and the CRDs of
 * Flux, without which its controllers, which are processes here, would not start.
 */
export async function applyObjects(api: Api, server: string, bed: Bed, setting: Setting): Promise<void> {
  const { ports, extras } = setting
  const flux = JSON.parse(readFileSync(bed.fluxCrds, 'utf8')) as KubeObject[]
  const notifications = extras.notifications
    ? readObjects(join(bed.crds, 'notification-controller.yaml'))
    : []
  const crds = [...readObjects(bed.kwokCrd), ...flux, ...notifications]
  await Promise.all(crds.map(crd => api.apply(server, `${CRDS}/${crd.metadata.name}`, crd)))
  await Promise.all([
    api.apply(server, '/api/v1/nodes/sandbox', NODE),
    ...crds.map(crd => established(api, server, crd.metadata.name)),
  ])
  // Where the API server asks for logs. At every start, since the port may be another one.
  const daemonEndpoints = { kubeletEndpoint: { Port: ports.kwok } }
  await api.apply(server, '/api/v1/nodes/sandbox/status', { ...NODE, status: { daemonEndpoints } })
  const stages = [...readObjects(bed.kwokStages), ...readObjects(join(BED, 'stages'))]
  const replaced = await Promise.all([
    ...(extras.certificates ? [realController(api, server, bed, CERT_MANAGER)] : []),
    ...(extras.maester ? [realController(api, server, bed, HYDRA_MAESTER)] : []),
  ])
  const played = new Set(replaced.flat())
  await Promise.all(
    stages
      .filter(({ metadata }) => !played.has(metadata.name))
      .map(stage => api.apply(server, `${STAGES}/${stage.metadata.name}`, stage)),
  )
}

/** A controller that runs in the place of Stages of kwok's. */
interface RealController {
  /** The release of Helm that its CRDs belong to. */
  release: { name: string; namespace: string }
  /** The file of its CRDs. */
  crds: string
  /** The file of stages/ that it replaces as a whole, or those Stages of it. */
  stages: { file: string; only?: readonly string[] }
}

const CERT_MANAGER: RealController = {
  release: { name: 'cert-manager', namespace: 'cert-manager' },
  crds: 'cert-manager.yaml',
  stages: { file: 'cert-manager.yaml' },
}
const HYDRA_MAESTER: RealController = {
  release: { name: 'hydra', namespace: 'oas' },
  crds: 'hydra-maester.yaml',
  stages: { file: 'operators.yaml', only: ['oauth2client-ready'] },
}

/**
 * Prepares for a real controller: its CRDs, without which it would not start, and nothing of kwok's in its
 * place. The CRDs say that they are the chart's, so that Helm takes them over. Returns the names of the Stages
 * that the real one replaces.
 */
async function realController(
  api: Api,
  server: string,
  bed: Bed,
  { release, crds, stages: { file, only } }: RealController,
): Promise<string[]> {
  const owner = {
    'meta.helm.sh/release-name': release.name,
    'meta.helm.sh/release-namespace': release.namespace,
  }
  const labels = { 'app.kubernetes.io/managed-by': 'Helm' }
  const stages = readObjects(join(BED, 'stages', file))
    .map(({ metadata }) => metadata.name)
    .filter(name => only?.includes(name) ?? true)
  await Promise.all([
    ...stages.map(name => api.remove(server, `${STAGES}/${name}`)),
    ...readObjects(join(bed.crds, crds)).map(async crd => {
      const metadata = {
        ...crd.metadata,
        annotations: { ...crd.metadata.annotations, ...owner },
        labels: { ...crd.metadata.labels, ...labels },
      }
      await api.apply(server, `${CRDS}/${metadata.name}`, { ...crd, metadata })
      await established(api, server, metadata.name)
    }),
  ])
  return stages
}

/**
 * Lets cert-manager register its accounts again: a restarted ACME server does not know them, and
 * cert-manager asks only once whether it does.
 */
export async function forgetAccounts(api: Api, server: string, acme: string): Promise<void> {
  const path = '/apis/cert-manager.io/v1'
  const { body } = await api.request(`${server}${path}/clusterissuers`)
  const issuers = (JSON.parse(body).items ?? []) as KubeObject[]
  for (const { metadata } of issuers.filter(({ spec }) => spec.acme?.server === acme))
    await api.merge(server, `${path}/clusterissuers/${metadata.name}/status`, { status: null })
}

/**
 * Waits until a CRD is established, and its kind served: on a busy machine the API server says the one some time
 * before it does the other, and answers 404 in between.
 */
async function established(api: Api, server: string, name: string): Promise<void> {
  await until<string, true>(
    async () => {
      const { spec, status } = JSON.parse((await api.request(`${server}${CRDS}/${name}`)).body) as KubeObject
      const conditions: { type: string; status: string }[] = status?.conditions ?? []
      if (!conditions.some(({ type, status }) => type === 'Established' && status === 'True'))
        return { last: conditions.map(({ type, status }) => `${type} ${status}`).join(', ') }
      const version = (spec.versions as { name: string; served: boolean }[]).find(
        ({ served }) => served,
      )?.name
      const path = `${server}/apis/${spec.group}/${version}`
      const [kinds, objects] = await Promise.all([
        api.request(path),
        api.request(`${path}/${spec.names.plural}?limit=1`),
      ])
      const served = kinds.status === 200 && kinds.body.includes(`"${spec.names.plural}"`)
      return served && objects.status === 200 ? { done: true } : { last: 'established, and not served' }
    },
    {
      deadline: DEADLINE,
      every: 50,
      describe: last => `the CRD ${name} is not served (${last || 'no condition'})`,
    },
  )
}
