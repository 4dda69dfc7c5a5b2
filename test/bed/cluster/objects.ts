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
  const crds = [...readObjects(bed.kwokCrd), ...flux]
  await Promise.all(crds.map(crd => api.apply(server, `${CRDS}/${crd.metadata.name}`, crd)))
  await Promise.all([
    api.apply(server, '/api/v1/nodes/sandbox', NODE),
    ...crds.map(crd => established(api, server, crd.metadata.name)),
  ])
  // Where the API server asks for logs. At every start, since the port may be another one.
  const daemonEndpoints = { kubeletEndpoint: { Port: ports.kwok } }
  await api.apply(server, '/api/v1/nodes/sandbox/status', { ...NODE, status: { daemonEndpoints } })
  const stages = [...readObjects(bed.kwokStages), ...readObjects(join(BED, 'stages'))]
  const played = extras.certificates ? await realCertManager(api, server, bed) : new Set()
  await Promise.all(
    stages
      .filter(({ metadata }) => !played.has(metadata.name))
      .map(stage => api.apply(server, `${STAGES}/${stage.metadata.name}`, stage)),
  )
}

/**
 * Prepares for the real cert-manager: its CRDs, without which it would not start, and nothing of kwok's in its
 * place. The CRDs say that they are the chart's, so that Helm takes them over. Returns the names of the Stages
 * that the real one replaces.
 */
async function realCertManager(api: Api, server: string, bed: Bed): Promise<Set<string>> {
  const crds = readObjects(join(bed.crds, 'cert-manager.yaml'))
  const owner = {
    'meta.helm.sh/release-name': 'cert-manager',
    'meta.helm.sh/release-namespace': 'cert-manager',
  }
  const labels = { 'app.kubernetes.io/managed-by': 'Helm' }
  const stages = readObjects(join(BED, 'stages/cert-manager.yaml')).map(({ metadata }) => metadata.name)
  await Promise.all([
    ...stages.map(name => api.remove(server, `${STAGES}/${name}`)),
    ...crds.map(async crd => {
      const metadata = {
        ...crd.metadata,
        annotations: { ...crd.metadata.annotations, ...owner },
        labels: { ...crd.metadata.labels, ...labels },
      }
      await api.apply(server, `${CRDS}/${metadata.name}`, { ...crd, metadata })
      await established(api, server, metadata.name)
    }),
  ])
  return new Set(stages)
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
