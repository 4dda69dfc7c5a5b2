/**
 * What migrate-data runs on a server, as root. Everything that belongs to a volume lies in the folder
 * `.migration/NAME` beside it: on the same file system, so that a rename puts the copy in place.
 */

/** The folder beside the volumes. */
export const MIGRATION = '.migration'

/**
 * The folders of a job. `copied`, `placing` and `done` are one file, which holds the path of the source and is
 * renamed as the work goes on: the copy is complete and proven, it is being put in place, it is there.
 */
const PLACES = `
places() {
  source=$1 target=$2
  work=\${target%/*}/${MIGRATION}/\${target##*/}
  new=$work/new copied=$work/copied placing=$work/placing done=$work/done
}
is() { [ -e "$1" ] && [ "$(cat -- "$1")" = "$source" ]; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
# Mounts of a volume show the path of its folder as their root, in whichever container they are (proc(5)).
mounted() { cat /proc/[0-9]*/mountinfo 2>/dev/null | NAME="/\${target##*/}/" awk 'index($4 "/", ENVIRON["NAME"]) { found = 1 } END { exit !found }'; }
`

/** Arguments: source, target, source, target, … */
export const SURVEY = `${PLACES}
kind() { if [ -L "$1" ]; then echo link; elif [ -d "$1" ]; then echo folder; else echo missing; fi; }
size() { du -sxB1 -- "$1" 2>/dev/null | cut -f1; }
files() { (cd -- "$1" 2>/dev/null && find . -mindepth 1 -printf x) | wc -c; }
said() { [ ! -e "$2" ] || printf '%s\\t%s\\n' "$1" "$(base64 -w0 < "$2")"; }
while [ $# -gt 0 ]; do
  places "$1" "$2"
  shift 2
  echo job
  printf 'source\\t%s\\nsize\\t%s\\nfiles\\t%s\\n' "$(kind "$source")" "$(size "$source")" "$(files "$source")"
  state=$(kind "$target")
  [ "$state" = folder ] || [ ! -e "$placing" ] || state=gap
  printf 'target\\t%s\\ntargetSize\\t%s\\ntargetFiles\\t%s\\n' "$state" "$(size "$target")" "$(files "$target")"
  printf 'remains\\t%s\\n' "$([ -e "$copied" ] || [ -e "$placing" ] || size "$new")"
  printf 'free\\t%s\\n' "$(df -PB1 -- "\${target%/*}" | awk 'NR == 2 { print $4 }')"
  df --output=itotal,iavail -- "\${target%/*}" | awk 'NR == 2 && $1 > 0 { print "freeFiles\\t" $2 }'
  a=$(realpath -m -- "$source")/ b=$(realpath -m -- "$target")/
  case $a in "$b"*) echo nested ;; *) case $b in "$a"*) echo nested ;; esac ;; esac
  ! mounted || echo mounted
  # Without the copy itself the file of before says nothing.
  [ ! -e "$new" ] || said copied "$copied"
  said copied "$placing"
  said done "$done"
done
`

/**
 * Copies one volume to beside its target, and proves that the copy is complete. What is not proven is started again:
 * cp gives a file its time last, so that one that was cut off looks newer than its source.
 * Arguments: source, target, \`checksums\` or nothing.
 */
export const COPY = `set -eu
umask 077
${PLACES}
places "$1" "$2"
list() {
  cd -- "$1" || exit 1
  find . \\( -type f -printf 'file %m %U:%G %s %p\\0' \\) -o \\( -type l -printf 'link %U:%G %l %p\\0' \\) -o -printf '%y %m %U:%G %p\\0' | LC_ALL=C sort -z
}
count() {
  cd -- "$1" || exit 1
  find . -mindepth 1 -printf '%y %n %i %s\\n' | awk '
    $1 == "f" { if ($2 > 1 && seen[$3]++) links++; else { files++; bytes += $4 } }
    $1 == "d" { folders++ } $1 == "l" { symlinks++ } $1 !~ /[fdl]/ { others++ }
    END { printf "%d %d %d %d %d %.0f\\n", files, links, folders, symlinks, others, bytes }'
}
sums() { cd -- "$1" || exit 1; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum -z --; }
digest() { sha256sum | cut -d' ' -f1; }
same() {
  a=$(list "$source" | digest) b=$(list "$new" | digest)
  x=$(count "$source") y=$(count "$new")
  [ "$x" ] || return 1
  if [ "$a" != "$b" ] || [ "$x" != "$y" ]; then
    list "$source" > "$work/source.list"
    list "$new" > "$work/new.list"
    LC_ALL=C comm -z -3 "$work/source.list" "$work/new.list" | head -z -n 3 | tr '\\0\\n\\t' ';? ' >&2
    printf ' (files, hard links, folders, symlinks, others, bytes: %s, and %s in the copy)\\n' "$x" "$y" >&2
    return 1
  fi
  if [ "$sums" ]; then
    a=$(sums "$source" | digest) b=$(sums "$new" | digest)
    [ "$a" = "$b" ] || { echo 'the checksums differ' >&2; return 1; }
  fi
  # Nothing that every server has compares the rest. A label of SELinux belongs to the place, not to the file.
  if command -v rsync > /dev/null; then
    a=$(rsync -aHAXni --numeric-ids --filter='-x security.selinux' -- "$source/" "$new/") || return 1
    [ ! "$a" ] || { printf 'times, ACLs or extended attributes differ: %s\\n' "$(printf %s "$a" | head -n 3 | tr '\\n' ';')" >&2; return 1; }
  fi
  counts=$x
}
sums=$3
# What an earlier run left may have come to its end meanwhile.
if is "$done" || is "$placing" || { is "$copied" && [ -d "$new" ]; }; then echo there; exit 0; fi
[ ! -e "$placing" ] || { echo "the copy for $target is being put in place" >&2; exit 1; }
[ ! -L "$source" ] && [ -d "$source" ] || { echo "the folder $source does not exist" >&2; exit 1; }
[ -d "\${target%/*}" ] || { echo "the folder \${target%/*} does not exist" >&2; exit 1; }
mkdir -p -- "$work"
chmod 700 -- "\${work%/*}"
rm -f -- "$copied"
rm -rf --one-file-system -- "$new" "$work/source.list" "$work/new.list"
mkdir -- "$new"
# A failed copy would only take up the space that it failed for. What it said stays the last word.
cp -dR --preserve=mode,ownership,timestamps,links,xattr --sparse=auto -- "$source/." "$new/" || { rm -rf --one-file-system -- "$new"; exit 1; }
same || exit 1
rm -f -- "$work/source.list" "$work/new.list"
sync -f -- "$new"
printf '%s' "$source" > "$copied.tmp"
sync -- "$copied.tmp"
mv -T -- "$copied.tmp" "$copied"
echo "$counts"
`

/** Puts the copy in place of the target, which is set aside. Arguments: source, target, seconds to wait. */
export const SWAP = `set -eu
umask 077
${PLACES}
places "$1" "$2"
waited=0
while mounted; do
  [ "$waited" -lt "$3" ] || { echo "$target is mounted by something that runs" >&2; exit 1; }
  sleep 1
  waited=$((waited + 1))
done
if ! is "$placing"; then
  ! is "$done" || exit 0
  is "$copied" && [ -d "$new" ] || { echo "there is no complete copy of $source beside $target" >&2; exit 1; }
  mv -T -- "$copied" "$placing"
fi
if there "$new"; then
  if there "$target"; then
    before=$work/before n=1
    while there "$before"; do n=$((n + 1)); before=$work/before-$n; done
    mv -T -- "$target" "$before"
  fi
  mv -T -- "$new" "$target"
fi
sync -f -- "$target"
# What was empty is nothing to keep.
rmdir -- "$work"/before* 2>/dev/null || :
mv -T -- "$placing" "$done"
find "$work" -mindepth 1 -maxdepth 1 -name 'before*'
`
