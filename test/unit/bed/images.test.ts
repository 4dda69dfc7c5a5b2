import { basename } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { contentDigest, imageOf, type Layer, PLAYED, recipeFor } from '../../bed/server/images.ts'
import { newerK3s, withSums } from '../../bed/server/release-files.ts'
import { objectsIn, yamlFiles } from '../../fixtures/manifests.ts'

const layer = (file: string): Layer => ({ file, digest: contentDigest(Buffer.from(file)), size: file.length })
const layers = { base: layer('base'), app: layer('app'), coredns: layer('coredns') }

test('images hold the real program where the bed has it', () => {
  const programs = {
    'ghcr.io/fluxcd/helm-controller:v1.6.4': 'helm-controller',
    'docker.io/rancher/local-path-provisioner:v0.0.37': 'local-path-provisioner',
    'docker.io/rancher/mirrored-coredns-coredns:1.14.3': 'coredns',
    'docker.io/rancher/mirrored-pause:3.6': 'app',
    'docker.io/library/nextcloud:34.0.1-apache': 'app',
    'docker.io/somebody/helm-controller:v1': 'app',
  }
  for (const [name, program] of Object.entries(programs)) assert.is(recipeFor(name).program, program, name)
  assert.equal(recipeFor('docker.io/rancher/mirrored-pause:3.6').entrypoint, ['/pause'])
  assert.is(recipeFor('ghcr.io/fluxcd/helm-controller:v1.6.4').user, '65534:65534')
})

test('an image names its layers and itself', () => {
  const name = 'docker.io/library/nextcloud:34'
  const { config, manifest } = imageOf(name, layers)
  const parsed = JSON.parse(manifest.toString())
  assert.is(parsed.config.digest, contentDigest(config))
  assert.is(parsed.config.size, config.length)
  assert.equal(
    parsed.layers.map((part: { digest: string }) => part.digest),
    [layers.base.digest, layers.app.digest],
  )
  const { config: settings, rootfs } = JSON.parse(config.toString())
  assert.ok(settings.Env.includes(`STAND_IN_FOR=${name}`))
  assert.equal(rootfs.diff_ids, [layers.base.digest, layers.app.digest])
  assert.equal(imageOf(name, layers), imageOf(name, layers))
})

/** The first word of each container's `command` in a value, also in YAML that is a text of it. */
function commandsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.includes('command:') ? commandsIn(parsed(value)) : []
  if (typeof value !== 'object' || value === null) return []
  const { command, image } = value as { command?: unknown; image?: unknown }
  const own = Array.isArray(command) && image !== undefined ? [String(command[0])] : []
  return [...own, ...Object.values(value).flatMap(commandsIn)]
}

/** The value of a text in YAML; none for another text. */
function parsed(text: string): unknown {
  try {
    return load(text)
  } catch {
    return undefined
  }
}

test('the stand-in plays every program that the manifests call', () => {
  const commands = yamlFiles('flux2').flatMap(file => objectsIn(file).flatMap(commandsIn))
  for (const program of ['node', 'python3', '/bin/sh']) assert.ok(commands.includes(program), program)
  const names = [...PLAYED.map(path => basename(path)), 'sh']
  assert.equal(
    commands.filter(command => !names.includes(basename(command))),
    [],
  )
})

test('the newer release of k3s is the next patch', () => {
  assert.is(newerK3s('v1.36.4+k3s1'), 'v1.36.5+k3s1')
  assert.is(newerK3s('v1.36.9+k3s2'), 'v1.36.10+k3s2')
})

test("a list of releases gets the stand-ins' checksums, and keeps where upstream's lists are", () => {
  const text = `# kept
k3s:
  version: v1.0.0+k3s1
  sha256:
    amd64: ${'a'.repeat(64)}
    arm64: ${'b'.repeat(64)}
velero:
  checksums: https://example.org/CHECKSUM
`
  const sum = 'c'.repeat(64)
  const list = withSums(text, 'v1.0.1+k3s1', { k3s: sum, velero: sum })
  assert.match(list, /^# kept\n/)
  assert.match(list, 'version: v1.0.1+k3s1')
  assert.match(list, `amd64: ${sum}`)
  assert.not.match(list, 'bbbb')
  assert.not.match(list.split('velero')[1]!, 'sha256')
})

test.run()
