import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { countText } from '../../lib/script/count.ts'
import { table } from '../../lib/script/table.ts'

/** An image that pods run, and the digests of what their kubelets pulled under its name; none where they do not tell. */
export interface RunningImage {
  image: string
  digests: string[]
}

/**
 * The images that these pods run. `imageID` is what a runtime has pulled, `NAME@sha256:…` for an image of a registry
 * (k8s.io/cri-api api.proto, ContainerStatus.image_ref). Pure.
 */
export function runningImages(pods: readonly KubeObject[]): RunningImage[] {
  const found = new Map<string, Set<string>>()
  for (const { spec, status } of pods) {
    const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
    for (const { name, image } of [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]) {
      const digests = found.get(image) ?? new Set()
      const pulled = statuses.find(each => each.name === name)?.imageID
      const digest = /@(sha256:[0-9a-f]{64})$/.exec(String(pulled ?? ''))?.[1]
      if (digest) digests.add(digest)
      found.set(image, digests)
    }
  }
  return [...found]
    .map(([image, digests]) => ({ image, digests: [...digests].sort() }))
    .sort((a, b) => a.image.localeCompare(b.image))
}

/** The images in lines: how many, those of which two run under one name, and with `all` every one. Pure. */
export function imagesText(images: readonly RunningImage[], all: boolean): string {
  const known = images.filter(({ digests }) => digests.length > 0)
  const shown = images.filter(({ digests }) => all || digests.length > 1)
  const rows = shown.flatMap(({ image, digests }) =>
    (digests.length > 0 ? digests : ['not known']).map((digest, i) => [i === 0 ? image : '', digest]),
  )
  return [
    `${countText(images.length, 'image')} in use; the digests of ${known.length} are known`,
    ...(rows.length > 0 ? [table(rows)] : []),
  ].join('\n')
}
