import { ExpectedError } from '../../../lib/script/errors.ts'
import { sleep } from '../../../lib/script/wait.ts'
import { type Api, DEADLINE } from './api.ts'

const SOURCES = '/apis/source.toolkit.fluxcd.io/v1'
const RELEASES = '/apis/helm.toolkit.fluxcd.io/v2'

/** The fields of a HelmRelease that are used here. */
interface Release {
  metadata: { namespace: string; name: string }
  spec: { chart: { spec: { chart: string; version: string } } }
  status?: { helmChart?: string }
}

/**
 * Has Flux install charts again whose archive changed while their version did not. Source-controller keeps an archive
 * by its version, so its HelmChart is deleted; helm-controller creates it again, and upgrades a release to a chart of
 * the same version only by force.
 * Source: github.com/fluxcd/helm-controller, internal/reconcile/state.go
 */
export async function installReplaced(api: Api, server: string, charts: readonly string[]): Promise<void> {
  if (charts.length === 0) return
  const { status, body } = await api.request(`${server}${RELEASES}/helmreleases`)
  if (status === 404) return // nothing is installed
  const releases = (JSON.parse(body).items as Release[]).filter(({ spec }) =>
    charts.includes(`${spec.chart.spec.chart} ${spec.chart.spec.version}`),
  )
  await Promise.all(releases.map(release => installAgain(api, server, release)))
}

async function installAgain(api: Api, server: string, { metadata, status }: Release): Promise<void> {
  const [namespace, name] = status?.helmChart?.split('/') ?? []
  if (!namespace || !name) return // not installed yet
  const path = `${SOURCES}/namespaces/${namespace}/helmcharts/${name}`
  const ask = (annotations: Record<string, string>) =>
    api.merge(server, `${RELEASES}/namespaces/${metadata.namespace}/helmreleases/${metadata.name}`, {
      metadata: { annotations },
    })
  const { uid } = JSON.parse((await api.request(`${server}${path}`)).body).metadata ?? {}
  await api.remove(server, path)
  await ask({ 'reconcile.fluxcd.io/requestedAt': new Date().toISOString() })
  for (const end = performance.now() + DEADLINE; ; ) {
    const found = JSON.parse((await api.request(`${server}${path}`)).body)
    if (found.metadata?.uid && found.metadata.uid !== uid && found.status?.artifact) break
    if (performance.now() > end)
      throw new ExpectedError(
        `HelmChart ${namespace}/${name} was not fetched again`,
        'run `npx tsx scripts/sandbox.ts status`, then run `up` again',
      )
    await sleep(300)
  }
  const now = new Date().toISOString()
  await ask({ 'reconcile.fluxcd.io/requestedAt': now, 'reconcile.fluxcd.io/forceAt': now })
}
