/** What a container says before it ends, and what it means: from its termination message, and its log in a live run. */
import type { KubeObject, Ref } from '../../kubectl/kubectl.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { refTo } from './failure.ts'

/** The meaning of a container's last words. */
export interface Meaning {
  rule: string
  cause: (text: string) => string
  fix: (where: string) => string
  command?: string
  /** What it suffers from. */
  by?: Ref
}

const DNS = refTo('Deployment', 'kube-system', 'coredns')

/** The first that matches counts; what programs say of their own configuration comes after what the system says. */
const MEANINGS: readonly (Meaning & { pattern: RegExp })[] = [
  {
    rule: 'image-wrong-architecture',
    pattern: /exec format error|no match for platform/i,
    cause: () => 'its image is built for another processor than that of the node (exec format error)',
    fix: where => `use an image for the architecture of the node ${where}`,
    command: 'kubectl get nodes -L kubernetes.io/arch',
  },
  {
    rule: 'node-inotify-limit',
    pattern: /inotify|fsnotify|max_user_(instances|watches)/i,
    cause: () => 'the node has no inotify instances left: it is a limit of the kernel, not of the pod',
    fix: () => 'raise fs.inotify.max_user_instances (and max_user_watches) on the server, in /etc/sysctl.d',
    command: 'npx tsx scripts/ssh.ts --sudo -- sysctl -w fs.inotify.max_user_instances=1024',
  },
  {
    rule: 'container-disk-full',
    pattern: /no space left on device|disk quota exceeded/i,
    cause: () => 'a disk or volume that it writes to is full',
    fix: () => 'make room on the disk of the server, or enlarge the volume',
    command: 'npx tsx scripts/ssh.ts -- df -h',
  },
  {
    rule: 'container-names-unresolved',
    pattern:
      /lookup \S+ on \S+:53|could not resolve host|temporary failure in name resolution|name or service not known|EAI_AGAIN|ENOTFOUND|no such host/i,
    cause: text => `it cannot resolve a name: ${short(text, 160)}`,
    fix: where => `correct the name ${where}; if other names fail too, see coredns`,
    by: DNS,
  },
  {
    rule: 'container-login-refused',
    pattern:
      /(password|SASL|SCRAM|token)? ?authentication failed|access denied for user|WRONGPASS|invalid (username or )?password|bad credentials|NOAUTH/i,
    cause: text => `its password or key is refused: ${short(text, 160)}`,
    fix: where =>
      `make the Secret that it takes the password from agree with the service that refuses it; the Secret is named ${where}`,
  },
  {
    rule: 'container-setting-missing',
    pattern:
      /((environment|env) ?var(iable)?|setting|option|configuration|config)\b[^\n]*\b(missing|required|not set|undefined|not found)|\b[A-Z][A-Z0-9_]{2,} (is |must be )?(not set|required|missing|undefined|set)|missing (required )?(environment|env|setting|config)/,
    cause: text => `a setting is missing: ${short(text, 160)}`,
    fix: where => `set what it names ${where}`,
  },
  {
    rule: 'container-port-taken',
    pattern: /address already in use|EADDRINUSE/i,
    cause: text => `the port that it listens on is in use already: ${short(text, 160)}`,
    fix: where => `let two containers of the pod not listen on the same port; correct it ${where}`,
  },
  {
    rule: 'container-permission-denied',
    pattern: /permission denied|EACCES|operation not permitted|read-only file system|EROFS/i,
    cause: text => `it may not write or read a file: ${short(text, 160)}`,
    fix: where =>
      `correct the owner of the folder on the volume, or fsGroup and runAsUser in its security context ${where}`,
  },
  {
    rule: 'container-rights-missing',
    pattern:
      /is forbidden: User "?[\w:.-]+"? cannot|forbidden: .*cannot (get|list|watch|create|update|patch|delete)/i,
    cause: text => `its ServiceAccount lacks a right: ${short(text, 200)}`,
    fix: () => 'grant the right by a Role and a RoleBinding of its ServiceAccount',
  },
  {
    rule: 'container-out-of-memory',
    pattern: /OutOfMemoryError|heap out of memory|cannot allocate memory|out of memory/i,
    cause: text => `it has not enough memory: ${short(text, 160)}`,
    fix: where => `raise its memory limit ${where}, or the limit that the program sets itself`,
  },
  {
    rule: 'container-service-unreachable',
    pattern:
      /connection refused|ECONNREFUSED|connection timed out|i\/o timeout|ETIMEDOUT|no route to host|connection reset/i,
    cause: text => `a service that it needs does not answer: ${short(text, 160)}`,
    fix: where => `see whether that service runs, and whether its address is right ${where}`,
  },
]

/** The last lines of a container's log, where they were read. */
export function lastLinesOf(pod: KubeObject, container: string, index: Index): string {
  const { namespace, name } = pod.metadata
  return (
    index.snapshot.lastLines?.find(
      each => each.namespace === namespace && each.pod === name && each.container === container,
    )?.text ?? ''
  )
}

/** What the last words of a container mean; undefined where they are not known. Pure. */
export function meaningOf(...texts: readonly string[]): (Meaning & { text: string }) | undefined {
  for (const { pattern, ...meaning } of MEANINGS)
    for (const text of texts) {
      const line = text.split('\n').findLast(each => pattern.test(each))
      if (line) return { ...meaning, text: line.trim() }
    }
  return undefined
}
