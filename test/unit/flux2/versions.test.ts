/** Versions in flux2/ that belong to others: what the tests run, the program on the server, the data on a volume. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadReleases } from '../../../lib/k3s/releases.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { KUSTOMIZATIONS, manifestsOf, valuesIn } from '../../fixtures/manifests.ts'

/** What is looked at in the values of a release. */
interface Values {
  image: { tag: string }
  additionalArguments: string[]
  initContainers: { image: string }[]
  extraInitContainers: { image: string }[]
  helperImage: { tag: string }
  init: { image: { tag: string } }
}

/** The values of each release, by their name without `oas-` and `-values`. */
const values = new Map(
  KUSTOMIZATIONS.flatMap(manifestsOf)
    .filter(({ object }) => (object.stringData ?? object.data)?.['values.yaml'] !== undefined)
    .map(({ object }) => [object.metadata.name.replace(/^oas-(.*)-values$/, '$1'), valuesIn(object)]),
)
const of = (release: string) => values.get(release) as unknown as Values

/** The version of a module from which the tests build a program. */
function built(folder: string, module: string): string {
  const text = readFileSync(join(ROOT, 'test/bed', folder, 'go.mod'), 'utf8')
  return text.split(`${module} `)[1]!.split(/\s/)[0]!
}

test('Traefik and Velero have the versions that the tests run, and velero on the server is as new', async () => {
  assert.is(of('ingress').image.tag.split('@')[0], built('traefik', 'github.com/traefik/traefik/v3'))
  const velero = of('velero')
  assert.is(velero.image.tag, built('velero', 'github.com/vmware-tanzu/velero'))
  const plugin = built('velero', 'github.com/vmware-tanzu/velero-plugin-for-aws')
  assert.match(velero.initContainers[0]!.image, new RegExp(`:${plugin.replaceAll('.', '\\.')}$`))
  assert.is((await loadReleases()).entries.velero.version, velero.image.tag)
})

test('the version of a database is its own, not that of a chart, and one content', () => {
  for (const name of [
    'single-sign-on-database',
    'nextcloud-mariadb',
    'wordpress-mariadb',
    'rocketchat-mongodb',
  ])
    assert.match(of(name).image.tag, /^[1-9][\d.]+\d@sha256:[0-9a-f]{64}$/, name)
  assert.is(of('nextcloud-mariadb').image.tag, of('wordpress-mariadb').image.tag)
})

test('the images that docker-library records and a chart takes are one content each', () => {
  const [setup] = of('wordpress').extraInitContainers
  for (const [image, start] of [
    [of('nextcloud').image.tag, /^[1-9][\d.]+\d-apache@/],
    [of('wordpress').image.tag, /^[1-9][\d.]+\d-apache@/],
    [setup!.image, /^docker\.io\/library\/wordpress:cli-[\d.]+-php[\d.]+@/],
    [of('local-path-provisioner').helperImage.tag, /^[1-9][\d.]+\d@/],
    [of('wekan').init.image.tag, /^[1-9][\d.]+\d@/],
  ] as const) {
    assert.match(image, start)
    assert.match(image, /@sha256:[0-9a-f]{64}$/)
  }
  assert.is(of('wekan').init.image.tag, of('local-path-provisioner').helperImage.tag)
})

test('no header reaches an application under a name that it takes for one of the ingress', () => {
  const { additionalArguments } = of('ingress')
  for (const entry of ['web', 'websecure'])
    assert.ok(additionalArguments.includes(`--entryPoints.${entry}.http.aliasHeadersStrategy=delete`), entry)
})

test('the release notes of every version that is pinned were read: its line in upgrade-0.7 names it', () => {
  const page = readFileSync(join(ROOT, 'runbooks/upgrade-0.7.md'), 'utf8')
  const lines = page.split('\n').flatMap(line => (line.startsWith('| ') ? [`${line.split('|')[1]!}`] : []))
  const releases = KUSTOMIZATIONS.flatMap(manifestsOf).filter(({ object }) => object.kind === 'HelmRelease')
  for (const { object } of releases) {
    const { chart, version } = object.spec.chart.spec
    const tag = of(object.metadata.name)?.image?.tag?.match(/\d[\d.]*/)?.[0] ?? ''
    const named = lines.filter(line => line.includes(` ${chart} ${version}`) && line.includes(tag))
    assert.is(
      named.length,
      1,
      `runbooks/upgrade-0.7.md needs one row that begins "| ${chart} ${version} (${tag})"; it has ${named.length}`,
    )
  }
  assert.ok(releases.length > 15)
})

test.run()
