/**
 * Nextcloud's maintenance mode during a backup: its files and the rows about them belong together, and are copied one
 * after the other. It ends by itself after an hour, in the container, also when whoever started it was killed: by a
 * timer that goes a second after the mode has ended otherwise, and tries again each minute when occ fails.
 */
import type { KubeObject } from '../kubectl/kubectl.ts'
import type { ContainerPlace } from '../kubectl/run-in-container.ts'
import { asOneLine } from '../script/printable.ts'
import type { RunIn } from './contents.ts'

/** Seconds after which it ends by itself. */
const LONGEST_MAINTENANCE = 3600
/** What the scripts end with when it is on already: somebody else has reasons of their own. */
const ON_ALREADY = 3

/** Runs occ as the owner of Nextcloud's settings. The mark in /tmp tells the timer whose turn it is. */
const OCC = `cd "$1" || exit 5
mark=/tmp/openappstack-maintenance
occ() {
  if [ "$(id -u)" = 0 ] && id -u www-data >/dev/null 2>&1
  then su -s /bin/sh www-data -c "php occ --no-interaction $*"
  else php occ --no-interaction "$@"
  fi
}`
const BEGIN = `${OCC}
occ maintenance:mode | grep -q 'currently enabled' && [ ! -e $mark ] && exit ${ON_ALREADY}
turn=$$-$(date +%s)
echo "$turn" > $mark
(
  left=$2
  while [ "$(cat $mark)" = "$turn" ]; do
    [ $left -gt 0 ] || { occ maintenance:mode --off && rm -f $mark; left=60; }
    sleep 1
    left=$((left - 1))
  done
) </dev/null >/dev/null 2>&1 &
occ maintenance:mode --on || { rm -f $mark; exit 1; }`
const END = `${OCC}
occ maintenance:mode --off && rm -f $mark`

/** Where Nextcloud runs, and the folder with its occ. */
export interface NextcloudPlace {
  place: ContainerPlace
  root: string
}

/** The running Nextcloud among pods; undefined without one. Pure. */
export function nextcloudOf(pods: readonly KubeObject[]): NextcloudPlace | undefined {
  for (const { metadata, spec, status } of pods) {
    if (metadata.labels?.['app.kubernetes.io/name'] !== 'nextcloud' || status?.phase !== 'Running') continue
    type Container = { name: string; volumeMounts?: { mountPath: string }[] }
    const container = ((spec?.containers ?? []) as Container[]).find(({ name }) => name === 'nextcloud')
    const root = container?.volumeMounts?.find(({ mountPath }) => /\/html\/?$/.test(mountPath))?.mountPath
    const place = { namespace: metadata.namespace ?? '', pod: metadata.name, container: 'nextcloud' }
    if (container) return { place, root: root ?? '/var/www/html' }
  }
  return undefined
}

/**
 * Begins the maintenance mode. Returns how it is ended, or why it was not begun. `run` has to work for an aborted run,
 * too: ending it is never left out.
 */
export async function beginMaintenance(
  run: RunIn,
  { place, root }: NextcloudPlace,
  seconds = LONGEST_MAINTENANCE,
): Promise<{ end: () => Promise<void> } | { why: string }> {
  try {
    const { code, stdout, stderr } = await run(place, ['sh', '-c', BEGIN, 'sh', root, String(seconds)])
    if (code === ON_ALREADY) return { why: 'it is in maintenance mode already, and stays so' }
    if (code !== 0) return { why: asOneLine(`${stdout} ${stderr}`.trim()).slice(0, 300) }
  } catch (error) {
    return { why: asOneLine((error as Error).message).slice(0, 300) }
  }
  return {
    end: async () => {
      const { code, stderr } = await run(place, ['sh', '-c', END, 'sh', root])
      if (code !== 0) throw new Error(asOneLine(stderr.trim()).slice(0, 300))
    },
  }
}
