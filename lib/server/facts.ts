import { K3S, TOOLS_RECORD } from '../k3s/k3s.ts'
import { versionIn } from '../k3s/version.ts'
import { ExpectedError } from '../script/errors.ts'
import type { ExecOptions, Ssh } from '../ssh/ssh.ts'
import { type Fact, linesOf, mapped, program, readFacts, shell, wholeNumber } from './reader.ts'

/** A file system. */
export interface Disk {
  target: string
  type: string
  /** Bytes. */
  size: number
  free: number
  /** Share of the inodes that is free; undefined where a file system does not count them. */
  freeInodes?: number
}

/** A file or folder, and the bytes that it takes on the disk. */
export interface EntrySize {
  name: string
  size: number
}

/** The first line that a program prints; empty when it fails without one. */
export function firstLine(...command: Fact<string>['command']): Fact<string> {
  return program(command, answer => linesOf(answer)[0]?.trim() ?? '')
}

/** The text of a file; undefined where it does not exist. */
export function fileText(path: string): Fact<string | undefined> {
  return program(['cat', '--', path], ({ text, code }) => (code === 0 ? text : undefined))
}

/**
 * The text of a file of a server, read as root; undefined where it does not exist. Throws an ExpectedError for one that
 * exists and cannot be read.
 */
export async function readServerFile(
  ssh: Ssh,
  path: string,
  options: Pick<ExecOptions, 'most'> = {},
): Promise<string | undefined> {
  const facts = { text: fileText(path), there: existing([path]) }
  const found = await readFacts(ssh, facts, { ...options, sudo: true, title: `reading ${path}` })
  if (found.text === undefined && found.there.length > 0)
    throw new ExpectedError(
      `${path} on ${ssh.name} cannot be read`,
      `see why on the server: sudo cat ${path}`,
    )
  return found.text
}

/** Whether a path exists, of these. */
export function existing<P extends string>(paths: readonly P[]): Fact<P[]> {
  return shell(
    'for path; do if [ -e "$path" ] || [ -L "$path" ]; then printf "%s\\n" "$path"; fi; done',
    paths,
    answer => linesOf(answer) as P[],
  )
}

export const HOSTNAME = firstLine('uname', '-n')
export const MACHINE = firstLine('uname', '-m')
export const CPUS = program(['nproc'], ({ text }) => wholeNumber(text))

/** Addresses of the server itself: the networks of pods are not its own. */
export const ADDRESSES = shell(
  `ip -o addr show scope global | awk '$2 !~ /^(cni|flannel|veth)/ { sub("/.*", "", $4); print $4 }'`,
  [],
  linesOf,
)

/** What the server runs, by os-release(5). */
export const OS = program(['cat', '/etc/os-release'], answer => {
  const fields = new Map(linesOf(answer).map(line => splitAt(line, '=')))
  const field = (name: string) => (fields.get(name) ?? '').trim().replace(/^(["'])(.*)\1$/, '$2')
  return { id: field('ID'), version: field('VERSION_ID'), name: field('PRETTY_NAME') }
})

/** Bytes of memory by the names that the kernel gives them, like `MemTotal`. */
export const MEMORY = program(['cat', '/proc/meminfo'], answer => {
  const fields = new Map(linesOf(answer).map(line => splitAt(line, ':')))
  return (name: string) => wholeNumber(fields.get(name)?.replace(/(?<! ) *kB$/, ''), 1024)
})

/** The file systems that these paths are on, as far as the paths exist. */
export function disks(paths: readonly string[]): Fact<Disk[]> {
  return program(['df', '-B1', '--output=size,avail,itotal,iavail,fstype,target', ...paths], answer => {
    const found = new Map<string, Disk>()
    for (const line of linesOf(answer)) {
      const match = /^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\/.*)$/.exec(line)
      const [size, free, inodes, freeInodes] = (match?.slice(1, 5) ?? []).map(field => wholeNumber(field))
      if (!match || size === undefined || free === undefined) continue
      const [, , , , , type, target] = match as unknown as string[]
      found.set(target!, {
        target: target!,
        type: type!,
        size,
        free,
        freeInodes: inodes && freeInodes !== undefined ? freeInodes / inodes : undefined,
      })
    }
    return [...found.values()]
  })
}

/** The version of the installed k3s; undefined where it is not installed or does not tell one. */
export const K3S_VERSION = program(['timeout', '30', K3S.binary, '--version'], ({ text }) => versionIn(text))

/** The states of services of systemd that exist, by name: `active`, `inactive`, `failed`, … */
export function unitStates(units: readonly string[]): Fact<Map<string, string>> {
  return shell(
    `for unit; do
  [ "$(systemctl show -p LoadState --value "$unit")" = not-found ] || echo "$unit $(systemctl is-active "$unit")"
done`,
    units,
    answer => new Map(linesOf(answer).map(line => splitAt(line, ' '))),
  )
}

/** The paths of the programs that install-cluster wrote; empty for a record that is missing or damaged. */
export const RECORDED_TOOLS = mapped(fileText(TOOLS_RECORD), recordedTools)

/** The paths in the text of such a record. Pure. */
export function recordedTools(text: string | undefined): string[] {
  try {
    const { paths } = JSON.parse(text ?? '{}') as { paths?: unknown }
    return Array.isArray(paths) ? paths.filter(path => typeof path === 'string') : []
  } catch {
    return []
  }
}

/**
 * The entries of a folder that these predicates of find(1) match, with the bytes that they take, whose names may hold
 * anything. Not complete where the folder does not exist or a part of it cannot be read.
 */
export function entrySizes(path: string, predicates: readonly string[] = []) {
  const script = `cd -- "$1" && shift &&
find . -mindepth 1 -maxdepth 1 "$@" -print0 | du -sxB1 -0 --files0-from=-`
  return shell(script, [path, ...predicates], ({ text, code }) => ({
    entries: text.split('\0').flatMap((entry): EntrySize[] => {
      const [, size, name] = /^(\d+)\t\.\/(.+)$/s.exec(entry) ?? []
      return name === undefined ? [] : [{ name, size: Number(size) }]
    }),
    isComplete: code === 0,
  }))
}

/** The two sides of the first separator in a line. Pure. */
export function splitAt(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator)
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + separator.length)]
}
