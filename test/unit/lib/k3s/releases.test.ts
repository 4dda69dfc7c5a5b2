import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fluxRelease } from '../../../../lib/flux/flux-install.ts'
import {
  ARCHITECTURES,
  artifactsOf,
  checksumIn,
  loadReleases,
  mirrored,
  parseReleases,
  RELEASES,
  releasesFor,
} from '../../../../lib/k3s/releases.ts'

const releases = await loadReleases()

test('every release has an https URL and a checksum, or where to find it, for every architecture', () => {
  for (const arch of ARCHITECTURES) {
    const artifacts = artifactsOf(releases, arch)
    assert.equal(Object.keys(artifacts), [...RELEASES])
    for (const { name, url, sha256, checksums, file } of Object.values(artifacts)) {
      assert.match(url, /^https:\/\//)
      assert.not.match(url + checksums, /[{}+]/, name)
      assert.ok(sha256 ?? checksums)
      assert.not.match(file, /[/%]/)
    }
  }
})

test('URLs, files and members are those of upstream', () => {
  const { k3s, installer, images, flux, helm, velero, krew } = artifactsOf(releases, 'arm64')
  assert.is(k3s.url, 'https://github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/k3s-arm64')
  assert.is(
    k3s.checksums,
    'https://github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/sha256sum-arm64.txt',
  )
  assert.is(installer.url, 'https://raw.githubusercontent.com/k3s-io/k3s/v1.36.4%2Bk3s1/install.sh')
  assert.is(images.file, 'k3s-airgap-images-arm64.tar.zst')
  assert.is(flux.file, 'flux_2.9.5_linux_arm64.tar.gz')
  assert.is(helm.member, 'linux-arm64/helm')
  assert.is(velero.member, 'velero-v1.18.3-linux-arm64/velero')
  assert.is(krew.member, './krew-linux_arm64')
})

test('Flux has one version', async () => {
  assert.is(artifactsOf(releases, 'amd64').flux.version, (await fluxRelease()).version)
})

test('another version of k3s is held against its own checksums; the installer stays', () => {
  const { k3s, images, installer } = artifactsOf(releases, 'amd64', { k3sVersion: 'v1.35.8+k3s1' })
  for (const artifact of [k3s, images]) {
    assert.is(artifact.sha256, undefined)
    assert.match(artifact.url, 'v1.35.8%2Bk3s1')
    assert.match(artifact.checksums!, 'v1.35.8%2Bk3s1/sha256sum-amd64.txt')
  }
  assert.is(installer.version, releases.entries.k3s.version)
  assert.ok(artifactsOf(releases, 'amd64', { k3sVersion: 'v1.36.4+k3s1' }).k3s.sha256)
})

test("a cluster's own list is taken in place of ours", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-releases-'))
  try {
    assert.is((await releasesFor({ folder })).file, releases.file)
    const text = readFileSync(releases.file, 'utf8').replace('v1.36.4+k3s1', 'v1.36.5+k3s1')
    writeFileSync(join(folder, 'releases.yaml'), text)
    const own = await releasesFor({ folder })
    assert.equal([own.file, own.entries.installer.version], [join(folder, 'releases.yaml'), 'v1.36.5+k3s1'])
    writeFileSync(join(folder, 'releases.yaml'), 'k3s: [')
    assert.ok(existsSync(own.file))
    await releasesFor({ folder }).then(
      () => assert.unreachable(),
      error => assert.match(error.message, 'is not a list of releases'),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('what is no list of releases is refused with the reason', () => {
  const entry = { version: 'v1.0.0', url: 'https://a.example/b', sha256: 'a'.repeat(64) }
  const list = Object.fromEntries(RELEASES.map(name => [name, entry]))
  parseReleases(list, 'v2')
  for (const [change, why] of [
    [{ helm: undefined }, 'helm has no url'],
    [{ helm: { ...entry, version: undefined } }, 'helm has no version'],
    [{ helm: { ...entry, sha256: undefined } }, 'neither sha256 nor checksums'],
    [{ helm: { ...entry, sha256: 'abc' } }, 'not a SHA-256 checksum'],
  ] as const)
    assert.throws(() => parseReleases({ ...list, ...change }, 'v2'), new RegExp(why))
  assert.throws(() => parseReleases('x', 'v2'), /map/)
})

test('a mirror has the host as a folder', () => {
  const url = 'https://github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/k3s'
  assert.is(mirrored(url, undefined), url)
  assert.is(
    mirrored(url, 'https://mirror.example.org/r/'),
    'https://mirror.example.org/r/github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/k3s',
  )
})

test('checksums are found in the forms in which releases list them', () => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)]
  const list = `${a}  k3s-airgap-images-amd64.tar.zst\r\n${b} *./dist/k3s\n`
  assert.is(checksumIn(list, 'k3s'), b)
  assert.is(checksumIn(list, 'k3s-airgap-images-amd64.tar.zst'), a)
  assert.is(checksumIn(list, 'images-amd64.tar.zst'), undefined)
  assert.is(checksumIn('not found', 'k3s'), undefined)
})

test.run()
