import type { RequestOptions } from 'node:https'
import { ExpectedError, messageOf } from '../script/errors.ts'
import { type Access, readKubeconfig } from './kubeconfig.ts'

/** A container of a pod. */
export interface ContainerPlace {
  namespace: string
  pod: string
  container: string
}

/** What a command in a container has said, and how it has ended. */
export interface Executed {
  stdout: string
  stderr: string
  code: number
}

/** What we use of the package `ws`, which has no types of its own. */
interface Socket {
  on(event: 'message', listener: (data: Buffer) => void): void
  on(event: 'close', listener: () => void): void
  on(event: 'error', listener: (error: Error) => void): void
  on(event: 'unexpected-response', listener: (request: unknown, response: Answer) => void): void
  terminate(): void
}
type Answer = { statusCode?: number; on(event: 'data' | 'end', listener: (data: Buffer) => void): void }
type NewSocket = new (
  url: URL,
  protocols: string[],
  options: RequestOptions & { maxPayload: number; handshakeTimeout: number; perMessageDeflate: boolean },
) => Socket

/** Bytes that a command may say: 20,000 users are a tenth of that. */
const LARGEST = 64 << 20
/** Milliseconds until it has to be done, unless told. */
const PATIENCE = 60_000

/** How long a command may take, and what ends it. */
export interface RunLimits {
  signal?: AbortSignal
  /** Milliseconds until it has to be done: 60 s unless told. */
  patience?: number
  /** Takes the output in pieces, as it comes; then the answer has none of it, and it may be of any size. */
  take?: (piece: Buffer) => void
}

/**
 * Runs a command in a container, as `kubectl exec` does: a WebSocket whose messages begin with the number of their
 * channel (k8s.io/kubelet, pkg/cri/streaming/remotecommand/websocket.go). Nothing is sent to the command, and only
 * its arguments are seen by others. Throws an ExpectedError when the connection fails or the command is not started.
 */
export async function runInContainer(
  kubeconfig: string | Access,
  { namespace, pod, container }: ContainerPlace,
  command: readonly string[],
  { signal, patience = PATIENCE, take }: RunLimits = {},
): Promise<Executed> {
  const access = typeof kubeconfig === 'string' ? await readKubeconfig(kubeconfig) : kubeconfig
  const options = await access.options()
  const { default: WebSocket } = (await import('ws' as string)) as { default: NewSocket }
  const url = new URL(
    `${access.server.replace(/^http/, 'ws')}/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec`,
  )
  for (const [name, value] of [
    ['container', container],
    ['stdout', 'true'],
    ['stderr', 'true'],
    ...command.map(word => ['command', word]),
  ])
    url.searchParams.append(name!, value!)
  const failed = (why: string) =>
    new ExpectedError(
      `running a command in pod ${namespace}/${pod} (${container}): ${why}`,
      'is the pod running? Check it with `npx tsx scripts/status.ts`, then run the same command again',
    )
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, ['v5.channel.k8s.io', 'v4.channel.k8s.io'], {
      ...options,
      maxPayload: LARGEST,
      handshakeTimeout: 15_000,
      perMessageDeflate: false,
    })
    const said: Record<number, Buffer[]> = { 1: [], 2: [], 3: [] }
    let size = 0
    const timer = setTimeout(() => end(failed(`no end after ${patience / 1000} s`)), patience)
    const aborted = () => end(signal?.reason)
    const end = (error?: unknown) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      socket.terminate()
      const text = (channel: number) => Buffer.concat(said[channel] ?? []).toString()
      if (error !== undefined) return reject(error)
      const code = exitCodeOf(text(3))
      if (typeof code === 'string') return reject(failed(code))
      resolve({ stdout: text(1), stderr: text(2), code })
    }
    signal?.addEventListener('abort', aborted, { once: true })
    if (signal?.aborted) aborted()
    socket.on('message', data => {
      const [channel = 0] = data
      if (channel === 1 && take) return take(data.subarray(1))
      size += data.length
      if (size > LARGEST) return end(failed(`more than ${LARGEST >> 20} MiB of output`))
      said[channel]?.push(data.subarray(1))
    })
    socket.on('unexpected-response', (_, response) => {
      const body: Buffer[] = []
      response.on('data', data => body.length < 16 && body.push(data))
      response.on('end', () => end(failed(`HTTP ${response.statusCode}: ${statusMessage(body)}`)))
    })
    socket.on('error', error => end(failed(messageOf(error))))
    socket.on('close', () => end())
  })
}

function statusMessage(body: readonly Buffer[]): string {
  const text = Buffer.concat(body).toString('utf8', 0, 4096)
  try {
    return String(JSON.parse(text).message)
  } catch {
    return text.slice(0, 300)
  }
}

/**
 * The exit code in what the last channel says, a Status of Kubernetes; a text when the command did not end by itself,
 * or the connection did before it. Pure.
 */
export function exitCodeOf(status: string): number | string {
  try {
    const { status: outcome, reason, message, details } = JSON.parse(status)
    if (outcome === 'Success') return 0
    const causes: { reason?: string; message?: string }[] = details?.causes ?? []
    const code = Number(causes.find(cause => cause?.reason === 'ExitCode')?.message)
    if (reason === 'NonZeroExitCode' && Number.isInteger(code) && code > 0) return code
    return String(message ?? 'it failed')
  } catch {
    return status === '' ? 'the connection was closed before its end' : 'an answer that is not of Kubernetes'
  }
}
