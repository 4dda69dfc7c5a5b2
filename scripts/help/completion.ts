import { APP_NAMES } from '../../lib/platform/apps.ts'
import type { FlagSpec, FlagSpecs } from '../../lib/script/flags.ts'
import { quote } from '../../lib/script/quote.ts'
import { flagsOf, type ScriptSpec } from '../../lib/script/spec.ts'
import { firstClause } from './specs.ts'

/** The shells that names and flags can be completed in. */
export type Shell = 'bash' | 'zsh' | 'fish'

/** What may stand in a place of a command line: one of some words, the name of a cluster, of a file, or anything. */
type Kind = readonly string[] | 'clusters' | 'files' | 'anything'

/** A flag of a script as a shell has to know it. */
interface Known {
  name: string
  help: string
  value?: { name: string; kind: Kind }
}

/** A script as a shell has to know it. */
interface KnownScript {
  name: string
  does: string
  flags: Known[]
  args?: { name: string; kind: Kind }
}

/** What stands for the value of a flag, by what the help calls it. Pure. */
function kindOf(name: string, { value = '', choices }: FlagSpec): Kind {
  if (choices) return choices
  if (name === 'cluster') return 'clusters'
  if (value === 'APP') return APP_NAMES
  return /^(FILE|DIR|FOLDER)$/.test(value) ? 'files' : 'anything'
}

function known(spec: ScriptSpec<FlagSpecs>): KnownScript {
  const flags = Object.entries(flagsOf(spec)).map(([name, flag]) => ({
    name,
    help: flag.help,
    value: flag.type === 'string' ? { name: flag.value ?? 'VALUE', kind: kindOf(name, flag) } : undefined,
  }))
  const { args } = spec
  const apps = args && /\bAPP\b/.test(args.name) ? APP_NAMES : 'files'
  return {
    name: spec.name,
    does: firstClause(spec),
    flags: [...flags, { name: 'help', help: 'show this help' }],
    args: args && { name: args.name, kind: args.choices ?? apps },
  }
}

/**
 * The text that makes a shell complete the scripts behind `npx tsx`: names of scripts, flags, clusters, applications. It asks
 * no program while somebody types; only the names of clusters are read from their folder then. Pure.
 */
export function completionOf(shell: Shell, specs: Iterable<ScriptSpec<FlagSpecs>>): string {
  const scripts = [...specs].map(known)
  return { bash, zsh, fish }[shell](scripts)
}

const head = (shell: Shell) =>
  `# Completion of the OpenAppStack scripts in ${shell}, printed by: npx tsx scripts/help.ts --completion ${shell}`

function bash(scripts: readonly KnownScript[]): string {
  const words = (kind: Kind | undefined) =>
    kind === undefined || kind === 'anything'
      ? ':'
      : kind === 'clusters'
        ? '__oas_clusters'
        : kind === 'files'
          ? 'compopt -o default 2>/dev/null'
          : `__oas_words ${quote(kind.join(' '))}`
  const cases = scripts.map(({ name, flags, args }) => {
    const valued = flags.flatMap(({ name, value }) =>
      value ? [`        --${name}) ${words(value.kind)} ;;`] : [],
    )
    return `    ${name})
      case $prev in
${valued.join('\n')}
        *)
          case $cur in
            -*) __oas_words ${quote(flags.map(flag => `--${flag.name}`).join(' '))} ;;
            *) ${words(args?.kind)} ;;
          esac ;;
      esac ;;`
  })
  return `${head('bash')}
__oas_words() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }
__oas_clusters() {
  local folder=\${OAS_CLUSTERS_DIR:-\${root}clusters}
  __oas_words "$(cd "$folder" 2>/dev/null && for each in */; do [ -d "$each" ] && echo "\${each%/}"; done)"
}
__oas_complete() {
  COMPREPLY=()
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} name= root= at word
  # bash takes --flag=value apart at the equals sign.
  if [ "$cur" = = ]; then cur=; elif [ "$prev" = = ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    case $word in
      --) [ -n "$name" ] && return ;;
      *scripts/*.ts) [ -n "$name" ] || { root=\${word%scripts/*}; name=\${word##*/}; name=\${name%.ts}; } ;;
    esac
  done
  case $name in
    '')
      case $cur in
        scripts/* | s | sc | scr | scri | scrip | script | scripts | '')
          [ "\${COMP_WORDS[COMP_CWORD-1]##*/}" = tsx ] && __oas_words ${quote(scripts.map(({ name }) => `scripts/${name}.ts`).join(' '))} ;;
      esac ;;
${cases.join('\n')}
  esac
}
complete -o bashdefault -o default -F __oas_complete npx tsx
`
}

function zsh(scripts: readonly KnownScript[]): string {
  const action = (kind: Kind) =>
    kind === 'anything'
      ? ' '
      : kind === 'clusters'
        ? '__oas_clusters'
        : kind === 'files'
          ? '_files'
          : `(${kind.join(' ')})`
  // What ends the explanation of a flag, or the name of a value, for _arguments.
  const plain = (text: string) => text.replaceAll(/[\\[\]:]/g, '\\$&')
  const cases = scripts.map(({ name, flags, args }) => {
    const lines = flags.map(({ name, help, value }) =>
      value
        ? `*--${name}=[${plain(help)}]:${plain(value.name)}:${action(value.kind)}`
        : `--${name}[${plain(help)}]`,
    )
    if (args) lines.push(`*:${plain(args.name)}:${action(args.kind)}`)
    return `    ${name}) _arguments ${lines.map(quote).join(' \\\n      ')} ;;`
  })
  return `#compdef npx tsx
${head('zsh')}
__oas_clusters() {
  local folder=\${OAS_CLUSTERS_DIR:-\${root}clusters}
  local -a names=($folder/*(N-/:t))
  compadd -a names
}
__oas_complete() {
  local name= root= word at
  for ((at = 2; at < CURRENT; at++)); do
    word=\${(Q)words[at]}
    if [[ $word == *scripts/*.ts ]]; then
      root=\${word%scripts/*} name=\${\${word##*/}%.ts}
      words=("\${(@)words[at,-1]}")
      ((CURRENT -= at - 1))
      break
    fi
  done
  case $name in
    '')
      if [[ \${words[CURRENT-1]:t} == tsx ]]; then
        local -a names=(${scripts.map(({ name, does }) => quote(`scripts/${name}.ts:${does.replaceAll(':', '\\:')}`)).join(' \\\n          ')})
        _describe script names
      else
        _default
      fi ;;
${cases.join('\n')}
    *) _default ;;
  esac
}
if [[ $funcstack[1] == _openappstack ]]; then __oas_complete "$@"; else compdef __oas_complete npx tsx; fi
`
}

function fish(scripts: readonly KnownScript[]): string {
  const choices = (kind: Kind) =>
    kind === 'files'
      ? '-F'
      : kind === 'clusters'
        ? "-f -a '(__oas_clusters)'"
        : kind === 'anything'
          ? '-f'
          : `-f -a ${quote(kind.join(' '))}`
  const lines = scripts.flatMap(({ name, does, flags, args }) => {
    const when = `complete -c $program -n '__oas_is ${name}'`
    return [
      `  complete -c $program -n __oas_begins -f -a scripts/${name}.ts -d ${quote(does)}`,
      ...flags.map(
        ({ name, help, value }) =>
          `  ${when} ${value ? `${choices(value.kind)} -r` : '-f'} -l ${name} -d ${quote(help)}`,
      ),
      ...(args ? [`  ${when} ${choices(args.kind)}`] : []),
    ]
  })
  return `${head('fish')}
function __oas_script
  for word in (commandline -opc)
    if string match -qr 'scripts/[^/]+\\.ts$' -- $word
      echo $word
      return
    end
  end
end
function __oas_is
  string match -q -- "*scripts/$argv[1].ts" (__oas_script)
end
function __oas_begins
  test -z (__oas_script | string collect); and string match -qr '(^|/)tsx$' -- (commandline -opc)[-1]
end
function __oas_clusters
  set -l folder (string replace -r 'scripts/[^/]*$' clusters -- (__oas_script))
  set -q OAS_CLUSTERS_DIR; and set folder $OAS_CLUSTERS_DIR
  for each in $folder/*/
    path basename $each 2>/dev/null; or basename $each
  end
end
for program in npx tsx
${lines.join('\n')}
end
`
}
