/** What kubelet's words about a failed probe mean beside the manifest. */
import type { KubeObject } from '../../kubectl/kubectl.ts'
import type { Container } from './workload-facts.ts'

interface Probe {
  httpGet?: { port?: number | string; scheme?: string; path?: string }
  tcpSocket?: { port?: number | string }
  grpc?: { port?: number }
  exec?: { command?: string[] }
  timeoutSeconds?: number
}

/** The probe of a container that a message of the kubelet is about, with its name. */
function probeIn({ spec }: Container, message: string): { name: string; probe: Probe } | undefined {
  const name = /^(?:Container \S+ failed )?(readiness|liveness|startup) probe/i
    .exec(message)?.[1]
    ?.toLowerCase()
  const probe = name && (spec?.[`${name}Probe`] as Probe | undefined)
  return probe ? { name, probe } : undefined
}

/** The ports that the containers of a pod declare: they share one network. */
const declaredPorts = (pod: KubeObject): number[] => [
  ...new Set(
    [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].flatMap(
      ({ ports }: { ports?: { containerPort?: number }[] }) =>
        (ports ?? []).flatMap(({ containerPort }) => containerPort ?? []),
    ),
  ),
]

/** A probe whose connections are refused: nothing listens on its port. */
export interface Unserved {
  cause: string
  /** Whether a container of the pod declares the port. */
  declared: boolean
  /** What to do about it. */
  fix: (where: string) => string
}

/**
 * What it means that each connection of a probe was refused, by the kubelet's messages: nothing listens on the port, as
 * the kernel of the pod itself says. One that times out says nothing of that: undefined. Pure.
 */
export function unserved(
  pod: KubeObject,
  container: Container,
  messages: readonly string[],
): Unserved | undefined {
  const found = probeIn(container, messages[0] ?? '')
  if (!found) return undefined
  const asked = messages.map(message =>
    /dial tcp (\S{1,60}):(\d{1,5}): connect: connection refused/.exec(message),
  )
  const [, address = '', port = ''] = asked[0] ?? []
  if (asked.some(each => each?.[2] !== port) || port === '') return undefined
  const ports = declaredPorts(pod)
  const declared = ports.includes(Number(port))
  const others = declared
    ? ', although a container declares it'
    : `; its containers declare ${ports.length > 0 ? ports.join(', ') : 'no port'}`
  const everywhere = /^(127\.|\[?::1)/.test(address) ? '' : ', on 0.0.0.0 and not on 127.0.0.1'
  return {
    cause: `nothing listens on port ${port} that its ${found.name} probe asks (connection refused)${others}`,
    declared,
    fix: where =>
      declared
        ? `see on which port the program listens: correct the port of the ${found.name} probe ${where}, or have it listen on ${port}${everywhere}`
        : `correct the port of the ${found.name} probe ${where}, or remove the probe; or have the program listen on ${port}${everywhere}`,
  }
}

/** Another path that a probe of the same container asks for: one of the two was mistaken. */
function otherPath({ spec }: Container, path: string): { name: string; path: string } | undefined {
  return ['readiness', 'liveness', 'startup'].flatMap(name => {
    const found = (spec?.[`${name}Probe`] as Probe | undefined)?.httpGet?.path
    return found && found !== path && !found.includes('***') ? [{ name, path: found }] : []
  })[0]
}

/**
 * What is wrong with a probe, as far as its words and the manifest tell: a path that does not exist, a port that no
 * container has, the wrong scheme, a command that fails without a word. Undefined where the program may be at fault.
 * Pure.
 */
export function probeMistake(
  container: Container,
  message: string,
  pod?: KubeObject,
): { cause: string; fix: string; isSilent?: true } | undefined {
  const found = probeIn(container, message)
  if (!found) return undefined
  const { name, probe } = found
  const { port: http } = probe.httpGet ?? {}
  const port = http ?? probe.tcpSocket?.port ?? probe.grpc?.port
  const listed = (container.spec?.ports ?? []) as { name?: string; containerPort?: number }[]
  const has = listed.some(each => each.containerPort === port || each.name === port)
  const status = /statuscode: (\d+)/.exec(message)?.[1]
  const { path = '' } = probe.httpGet ?? {}
  const asked = `the path ${path && !path.includes('***') ? `${path} ` : ''}that its ${name} probe asks for`
  if (status === '404' || status === '405') {
    const other = otherPath(container, path)
    return {
      cause: `${asked} answers ${status}`,
      fix: `correct ${name}Probe.httpGet.path${other ? `: its ${other.name} probe asks for ${other.path}` : ''}`,
    }
  }
  if (status === '401' || status === '403')
    return { cause: `${asked} requires a login (${status})`, fix: `probe a path without a login` }
  if (status === '429')
    return {
      cause: `its ${name} probe is one request too many for the program (429)`,
      fix: `except the probe from the limit of requests, or probe a path without one: ${name}Probe.httpGet.path`,
    }
  if (status?.startsWith('4'))
    return {
      cause: `its ${name} probe is refused (${status}): most often it speaks HTTP to a port for HTTPS, or the program knows only other host names`,
      fix: `set scheme: HTTPS or a Host header in ${name}Probe.httpGet, or have the program accept the address of the pod`,
    }
  if (probe.grpc && /UNIMPLEMENTED/i.test(message))
    return {
      cause: `its ${name} probe asks by gRPC, and the program does not answer health checks (UNIMPLEMENTED)`,
      fix: `set tcpSocket or httpGet in ${name}Probe, or have the program serve grpc.health.v1`,
    }
  if (typeof port === 'string' && !has)
    return {
      cause: `its ${name} probe names the port ${port}, which the container does not have`,
      fix: `correct the port of the ${name} probe, or name that of the container`,
    }
  if (/server gave HTTP response to HTTPS client/.test(message))
    return {
      cause: `its ${name} probe speaks HTTPS, and the container HTTP`,
      fix: `set scheme: HTTP in the ${name} probe`,
    }
  if (/tls: (certificate required|bad certificate|handshake failure)/.test(message))
    return {
      cause: `the port that its ${name} probe asks requires the certificate of a client, and the kubelet has none`,
      fix: `set tcpSocket or exec in the ${name} probe, or probe a port without client certificates`,
    }
  if (/malformed HTTP response/.test(message))
    return {
      cause: `its ${name} probe speaks HTTP, and the container does not`,
      fix: `set scheme: HTTPS, grpc or tcpSocket in the ${name} probe`,
    }
  // Another container of the pod may have it.
  const beside = pod !== undefined && declaredPorts(pod).includes(Number(port))
  if (
    port !== undefined &&
    listed.length > 0 &&
    !has &&
    !beside &&
    /refused|timeout|deadline|Timeout/.test(message)
  )
    return {
      cause: `its ${name} probe asks port ${port}, and the container has ${listed.map(each => each.containerPort).join(', ')}`,
      fix: `correct the port of the ${name} probe`,
    }
  if (probe.exec && /not found|no such file/i.test(message))
    return {
      cause: `the command of its ${name} probe does not exist`,
      fix: `correct the command of the ${name} probe`,
    }
  if (probe.exec && /command timed out|timed out/i.test(message))
    return {
      cause: `the command of its ${name} probe takes longer than ${probe.timeoutSeconds ?? 1} s`,
      fix: `raise timeoutSeconds of the ${name} probe`,
    }
  if (probe.exec && /probe failed: *$/i.test(message.trimEnd()))
    return {
      cause: `the command of its ${name} probe fails without a word`,
      fix: `run the command in the container, and correct it: ${name}Probe.exec`,
      isSilent: true,
    }
  return undefined
}
