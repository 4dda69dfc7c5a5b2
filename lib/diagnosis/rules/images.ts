/** Why an image is not pulled, by what containerd and the registry say. */
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'
import { startTrouble } from './starting.ts'
import { eventsOf } from './workload-facts.ts'

/** A trouble with an image. */
export interface ImageTrouble {
  rule: string
  cause: string
  fix: string
  causedBy?: readonly Ref[]
}

/** The waiting reasons of a container without its image. */
export const IMAGE_REASONS =
  /^(ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|ImageInspectError|RegistryUnavailable|SignatureValidationFailed)$/

interface Kind {
  rule: string
  pattern: RegExp
  cause: (image: string, registry: string) => string
  fix: (registry: string, where: string, image: string) => string
}

/** Source: https://github.com/bitnami/containers/issues/83267 */
const BITNAMI = /^(docker\.io\/)?bitnami\//

/** In this order: what a registry refuses says `not found` or `denied` beside the reason. */
const KINDS: readonly Kind[] = [
  {
    rule: 'image-rate-limited',
    pattern: /pull QPS exceeded/,
    cause: image => `the kubelet has reached its rate limit for image pulls (registry-qps): ${image} waits`,
    fix: () =>
      'wait: it tries again; raise registry-qps of the kubelet (kubelet-arg of k3s) if many pods start at once',
  },
  {
    rule: 'image-rate-limited',
    pattern: /toomanyrequests|\b429\b/i,
    cause: (image, registry) => `${registry} refuses to hand out ${image}: too many pulls`,
    fix: registry =>
      `wait: the limit passes by itself within hours, and the kubelet tries again; an account at ${registry} (imagePullSecrets) has a higher one`,
  },
  {
    rule: 'image-disk-full',
    pattern: /no space left on device/i,
    cause: image => `the disk of the node has no space for the image ${image}`,
    fix: () => 'make room on the disk of the server: npx tsx scripts/ssh.ts -- df -h',
  },
  {
    rule: 'image-registry-untrusted',
    pattern: /server gave HTTP response to HTTPS/i,
    cause: (image, registry) => `${registry}, where ${image} lies, speaks plain HTTP, and is asked by HTTPS`,
    fix: registry =>
      `name it with endpoint http://${registry} in /etc/rancher/k3s/registries.yaml of each server, and restart k3s; better, give it a certificate`,
  },
  {
    rule: 'image-registry-untrusted',
    pattern: /x509:|certificate (signed by|has expired|is not)/i,
    cause: (image, registry) => `the certificate of ${registry}, where ${image} lies, is not accepted`,
    fix: registry =>
      `check the certificate that ${registry} shows, the clock of the server, and /etc/rancher/k3s/registries.yaml`,
  },
  {
    rule: 'image-registry-failing',
    pattern: /unexpected status[^\n]{0,200}\b5\d\d\b/i,
    cause: (image, registry) => `${registry} fails itself when asked for ${image}`,
    fix: registry =>
      `wait until ${registry} works again, and see its status page; or pull from a mirror (/etc/rancher/k3s/registries.yaml)`,
  },
  {
    rule: 'image-registry-unreachable',
    pattern:
      /no such host|dial tcp|i\/o timeout|connection refused|connection reset|network is unreachable|no route to host|TLS handshake timeout|deadline exceeded|Client\.Timeout|server misbehaving|\b50[0234]\b|\bEOF\b/i,
    cause: (image, registry) => `the server cannot reach ${registry}, where ${image} lies`,
    fix: registry =>
      `check DNS and the way out of the server: npx tsx scripts/ssh.ts -- curl -sS https://${registry}/v2/ (a name that does not exist is a mistake in the image)`,
  },
  {
    rule: 'image-layer-refused',
    pattern: /httpReadSeeker: [^\n]{0,400}\b40[134]\b/i,
    cause: (image, registry) => `the storage behind ${registry} refuses a layer of ${image}`,
    fix: registry =>
      `see whether a proxy or firewall lets the server through to what ${registry} redirects to, and whether the clock of the server is right; then it is pulled again by itself`,
  },
  {
    rule: 'image-login-expired',
    pattern: /token (is |has |was )?expired|expired token|ExpiredToken/i,
    cause: (image, registry) => `${registry} does not accept the login for ${image} any more: it has expired`,
    fix: (_registry, where) =>
      `renew what its pull secret holds (imagePullSecrets ${where}), and have that done regularly: a token of Amazon's registries lasts 12 hours`,
  },
  {
    rule: 'image-unauthorized',
    pattern:
      /unauthorized|\b401\b|\b403\b|forbidden|authorization failed|insufficient_scope|access denied|no basic auth credentials/i,
    cause: (image, registry) => `${registry} requires a login for ${image}, or does not have it`,
    fix: (_registry, where) =>
      `check the name of the image; for a private one add a pull secret ${where} (imagePullSecrets)`,
  },
  {
    rule: 'image-wrong-architecture',
    pattern: /no match(ing manifest)? for (platform|linux)|exec format error/i,
    cause: image => `the image ${image} is not built for the processor of the node`,
    fix: (_registry, where) => `use an image for the architecture of the node ${where}`,
  },
  {
    rule: 'image-disk-failing',
    pattern: /input\/output error|structure needs cleaning/i,
    cause: image => `the disk of the node fails when ${image} is unpacked`,
    fix: () =>
      'check the disk of the server (dmesg, its SMART state) and its file system: npx tsx scripts/ssh.ts --sudo -- journalctl -k -n 50 --no-pager',
  },
  {
    rule: 'image-no-container',
    pattern: /mismatched image rootfs and manifest layers|vnd\.cncf\.helm|unknown media type/i,
    cause: image => `${image} is not the image of a container, but a chart or another artifact`,
    fix: (_registry, where) => `name the image ${where}: a chart is installed by a HelmRelease`,
  },
  {
    rule: 'image-user-ids',
    pattern: /lchown [^\n]{0,300}(invalid argument|operation not permitted)/i,
    cause: image => `the node cannot give files of ${image} their owners: its runtime has too few user ids`,
    fix: (_registry, where) =>
      `give the user of the runtime more ids on the server (/etc/subuid, /etc/subgid), or use an image with smaller ones ${where}`,
  },
  {
    rule: 'image-damaged',
    pattern:
      /content size of zero|unexpected media type|failed to (unpack|extract|verify)|digest mismatch|failed size validation|unexpected commit (digest|size)|short read/i,
    cause: (image, registry) =>
      `what ${registry}, or a mirror or proxy on the way, hands out as ${image} is not that image`,
    fix: registry =>
      `check what answers for ${registry} (/etc/rancher/k3s/registries.yaml, a proxy), remove the half image on the server (k3s crictl rmi), and have it pulled again`,
  },
  {
    rule: 'image-unsigned',
    pattern: /signature/i,
    cause: image => `the node accepts only signed images, and no signature of ${image} is valid`,
    fix: (_registry, where) =>
      `name an image that is signed ${where}, or correct the policy of signatures on the node`,
  },
  {
    rule: 'image-not-found',
    pattern: /not found|manifest unknown|name unknown|does not exist/i,
    cause: (image, registry) => `${registry} has no image ${image}`,
    fix: (_registry, where, image) =>
      BITNAMI.test(image)
        ? `Bitnami has moved its older images: name docker.io/bitnamilegacy in place of docker.io/bitnami ${where}, and plan another source of updates`
        : `correct the name or the tag of the image ${where}`,
  },
]

/** The registry of an image's name: a first part that looks like a host, else Docker Hub's. Pure. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  return rest.length > 0 && /[.:]|^localhost$/.test(first) ? first : 'docker.io'
}

/** What is wrong with the image of a waiting container; `where` is the place to correct it. Pure. */
export function imageTrouble(
  pod: KubeObject,
  own: string,
  reason: string,
  message: string,
  where: string,
  index: Index,
): ImageTrouble {
  if (reason === 'InvalidImageName')
    return {
      rule: 'image-name-invalid',
      cause: `${JSON.stringify(own)} is not a valid name of an image`,
      fix: `correct the name of the image ${where}`,
    }
  if (reason === 'ErrImageNeverPull')
    return {
      rule: 'image-not-found',
      cause: `the node does not have the image ${own}, and its imagePullPolicy is Never`,
      fix: `set imagePullPolicy to IfNotPresent ${where}`,
    }
  // The image is there: what does not answer is the runtime.
  const stalled = reason === 'ImageInspectError' ? startTrouble(message) : undefined
  if (stalled)
    return {
      rule: 'pod-cannot-start',
      cause: `${own} is not read: ${stalled.cause}`,
      fix: stalled.fix(where),
    }
  // A back-off repeats the last refusal since Kubernetes 1.31 only; the events have it always.
  const told = [message, ...eventsOf(index, pod, /^Failed$/).map(event => String(event.message ?? ''))]
  // A volume may be an image, too.
  const quoted = (name?: string) => name !== undefined && told.some(text => text.includes(`"${name}"`))
  const volumes = (pod.spec?.volumes ?? []) as { name?: string; image?: { reference?: string } }[]
  const ofVolume = quoted(own) ? undefined : volumes.find(each => quoted(each.image?.reference))
  const image = ofVolume?.image?.reference ?? own
  const registry = registryOf(image)
  const kind = told.flatMap(
    text => KINDS.find(({ pattern }) => pattern.test(withoutName(text, image))) ?? [],
  )[0]
  const reasonGiven = told
    .map(text => text.split(': ').at(-1) ?? '')
    .find(text => text.length > 20 && !text.startsWith('Back-off'))
  if (!kind)
    return {
      rule: 'image-pull-failing',
      cause: `the image ${image} cannot be pulled${reasonGiven ? `: ${short(reasonGiven, 200)}` : ''}`,
      fix: `${reasonGiven ? 'correct what it says; ' : ''}check the name of the image ${where}, and that the server reaches ${registry}`,
    }
  const [absent] = ((pod.spec?.imagePullSecrets ?? []) as { name?: string }[]).filter(
    ({ name }) => name && !index.blind('Secret') && !index.secret(pod.metadata.namespace ?? '', name),
  )
  if (absent && kind.rule === 'image-unauthorized')
    return {
      rule: 'image-pull-secret-missing',
      cause: `${registry} requires a login for ${image}, and its pull Secret ${pod.metadata.namespace}/${absent.name} does not exist`,
      fix: `create Secret ${absent.name}, or correct imagePullSecrets ${where}`,
    }
  const node = kind.rule === 'image-disk-full' ? pod.spec?.nodeName : undefined
  return {
    rule: kind.rule,
    cause: `${ofVolume ? `its volume ${ofVolume.name} is an image: ` : ''}${kind.cause(image, registry)}`,
    fix: kind.fix(registry, where, image),
    ...(node ? { causedBy: [refTo('Node', undefined, node)] } : {}),
  }
}

/** A message without the image's name in it: that may hold any word, and `:403`. */
const withoutName = (text: string, image: string) => (image ? text.replaceAll(image, 'IMAGE') : text)
