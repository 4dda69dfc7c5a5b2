import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { imagesText, runningImages } from '../../../../scripts/status/images.ts'

const digest = (letter: string) => `sha256:${letter.repeat(64)}`
const pod = (image: string, imageID?: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a' },
  spec: { containers: [{ name: 'main', image }], initContainers: [{ name: 'init', image: 'busybox:1' }] },
  status: { containerStatuses: imageID === undefined ? [] : [{ name: 'main', imageID }] },
})
const pods = [
  pod('docker.io/library/a:1', `docker.io/library/a@${digest('a')}`),
  pod('docker.io/library/a:1', `docker.io/library/a@${digest('b')}`),
  pod('docker.io/library/b:1', `docker-pullable://b@${digest('c')}`),
  pod('docker.io/library/c:1', digest('d')), // imported from an archive: no registry knows it
  pod('docker.io/library/d:1'),
]

test('images are told with the digests that kubelets have pulled', () => {
  const images = runningImages(pods)
  assert.equal(
    images.map(({ image, digests }) => [image, digests.length]),
    [
      ['busybox:1', 0],
      ['docker.io/library/a:1', 2],
      ['docker.io/library/b:1', 1],
      ['docker.io/library/c:1', 0],
      ['docker.io/library/d:1', 0],
    ],
  )
  const [first, second, third] = imagesText(images, false).split('\n')
  assert.is(first, '5 images in use; the digests of 2 are known')
  assert.is(second, `docker.io/library/a:1  ${digest('a')}`)
  assert.match(third!, digest('b'))
  assert.match(imagesText(images, true), /busybox:1 +not known/)
  assert.is(imagesText([], false), '0 images in use; the digests of 0 are known')
})

test.run()
