import { LOCAL_STORAGE, TOOLS_RECORD } from '../../lib/k3s/k3s.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { DOCKER, FILES, KEPT, LINKS, type PurgePath, TOOL_PATHS, TREES } from './paths.ts'

/** Something that is mounted at or below a path that a purge removes. */
export interface Mount {
  /** The path that is to be removed. */
  below: string
  target: string
  type: string
  source: string
}

/** What is on a server, of all that a purge has to do with. Sizes are in bytes. */
export interface ServerSurvey {
  /** What is there of the paths that are removed. */
  paths: { path: PurgePath; size: number }[]
  /** Paths that are not what their name says: a part of them is a link. */
  elsewhere: { path: string; real: string }[]
  mounts: Mount[]
  /** Programs that install-cluster says to have put there. */
  tools: PurgePath[]
  links: string[]
  kept: { path: string; size: number }[]
  /** The folders of persistent volumes. */
  folders: { name: string; size: number }[]
  datastore: number | undefined
  /** `systemctl is-active` by unit, of the units that exist. */
  units: Map<string, string>
  /** Running containers of Docker; undefined where there is no Docker. */
  containers: number | undefined
}

/**
 * A shell function that says why `$1` must not be removed, a line each; silent when it may. `realpath` differs
 * from the path when any part of it is a link. The kernel's own list of mounts (proc(5): field 5 is the place,
 * the type follows the dash) also has bind mounts, which stay on the same device and which rm would follow.
 */
export const GUARD = `
guard() {
  real=$(realpath -m -- "$1")
  [ "$real" = "$1" ] || printf 'elsewhere\\t%s\\t%s\\n' "$1" "$real"
  awk -v path="$1" 'index($5 "/", path "/") == 1 {
    for (i = 6; $i != "-"; i++);
    printf "mount\\t%s\\t%s\\t%s\\t%s\\n", path, $5, $(i + 1), $(i + 2)
  }' /proc/self/mountinfo
}
there() { [ -e "$1" ] || [ -L "$1" ]; }
`

/** Arguments: the record of the tools, the paths, `--`, what is kept. */
const SURVEY = `${GUARD}
size() { du -sxB1 -- "$1" 2>/dev/null | cut -f1; }
record=$1
shift
kind=path
for path; do
  if [ "$path" = -- ]; then kind=kept; continue; fi
  there "$path" || continue
  printf '%s\\t%s\\t%s\\n' "$kind" "$path" "$(size "$path")"
  [ "$kind" = kept ] || guard "$path"
done
[ ! -d /var/lib/rancher/k3s/server/db ] || printf 'datastore\\t%s\\n' "$(size /var/lib/rancher/k3s/server/db)"
for unit in k3s.service k3s-agent.service docker.service; do
  [ "$(systemctl show -p LoadState --value "$unit")" = not-found ] ||
    printf 'unit\\t%s\\t%s\\n' "$unit" "$(systemctl is-active "$unit")"
done
if command -v docker >/dev/null; then
  printf 'containers\\t%s\\n' "$(timeout 20 docker ps -q 2>/dev/null | wc -l)"
fi
[ ! -s "$record" ] || printf 'tools\\t%s\\n' "$(base64 -w0 < "$record")"
`

/** Which of these links (arguments: link, target, link, target, …) lead where they are expected to. */
const LINKS_THERE = `
while [ $# -gt 0 ]; do
  [ ! -L "$1" ] || [ "$(readlink -- "$1")" != "$2" ] || printf '%s\\n' "$1"
  shift 2
done
`

/** The sizes of the folders in \`$1\`, each ended by NUL: their names may hold anything. */
const FOLDERS = `
[ -d "$1" ] || exit 0
cd -- "$1" && find . -mindepth 1 -maxdepth 1 -print0 | du -sxB1 -0 --files0-from=- 2>/dev/null
exit 0
`

/** Milliseconds for adding up sizes: application data may be millions of files. */
const ADDING_UP = 20 * 60_000

/** Reads what is on a server. Changes nothing. */
export async function surveyServer(ssh: Ssh): Promise<ServerSurvey> {
  const root = { sudo: true, timeout: ADDING_UP }
  const paths = [...TREES, ...FILES, ...TOOL_PATHS, DOCKER]
  const [said, links, folders] = await Promise.all([
    ssh.sh(SURVEY, [TOOLS_RECORD, ...paths, '--', ...KEPT], {
      ...root,
      title: 'looking at what is on the server',
    }),
    ssh.sh(LINKS_THERE, LINKS.flat(), { ...root, title: 'looking at links' }),
    ssh.sh(FOLDERS, [LOCAL_STORAGE], { ...root, title: 'looking at persistent volumes' }),
  ])
  return parseSurvey(said, links, folders)
}

/** What the server says, parsed. Pure. */
export function parseSurvey(said: string, links: string, folders: string): ServerSurvey {
  const rows = said.split('\n').map(line => line.split('\t'))
  const of = (kind: string) => rows.filter(row => row[0] === kind).map(row => row.slice(1))
  const sized = (kind: string) => of(kind).map(([path, size]) => ({ path: path!, size: Number(size) || 0 }))
  const datastore = of('datastore')[0]?.[0]
  const containers = of('containers')[0]?.[0]
  const tools = recordedTools(of('tools')[0]?.[0])
  return {
    paths: (sized('path') as ServerSurvey['paths']).filter(
      ({ path }) => !isTool(path) || tools.includes(path),
    ),
    elsewhere: of('elsewhere').map(([path, real]) => ({ path: path!, real: real! })),
    mounts: of('mount').map(([below, target, type, source]) => ({
      below: below!,
      target: unescaped(target!),
      type: type!,
      source: unescaped(source!),
    })),
    tools,
    links: links.split('\n').filter(Boolean),
    kept: sized('kept'),
    folders: folders.split('\0').flatMap(entry => {
      const [, size, name] = /^(\d+)\t\.\/(.+)$/s.exec(entry) ?? []
      return name === undefined ? [] : [{ name, size: Number(size) }]
    }),
    datastore: datastore === undefined ? undefined : Number(datastore),
    units: new Map(of('unit').map(([unit, state]) => [unit!, state!])),
    containers: containers === undefined ? undefined : Number(containers),
  }
}

const isTool = (path: string) => (TOOL_PATHS as readonly string[]).includes(path)

/** Those of our tools that a record names; a record that cannot be read names none. */
function recordedTools(base64: string | undefined): PurgePath[] {
  if (base64 === undefined) return []
  try {
    const { paths } = JSON.parse(Buffer.from(base64, 'base64').toString())
    return TOOL_PATHS.filter(path => paths.includes(path))
  } catch {
    return []
  }
}

/** A path of /proc/…/mountinfo, in which blanks and their kin are octal. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/**
 * The mounts that have to be looked at by a person before anything may be removed. The others are those that the
 * kubelet and containerd make for pods, which end with them; what stays mounted even then is refused later.
 */
export function foreignMounts(
  { mounts }: Pick<ServerSurvey, 'mounts'>,
  options: { docker: boolean },
): Mount[] {
  return mounts.filter(({ below, target, type }) => {
    if (below === DOCKER) return options.docker && (target === DOCKER || type !== 'overlay')
    if (/^\/var\/lib\/kubelet\/(pods|plugins)\//.test(target)) return false
    return !(/^\/var\/lib\/rancher\/k3s\/agent\/containerd\//.test(target) && /^(overlay|tmpfs)$/.test(type))
  })
}
