/** The data that is backed up on servers, and what backup.test.ts runs: an application called wekan. */
import { join } from 'node:path'
import { load } from 'js-yaml'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../lib/script/files.ts'
import { readObjects } from '../bed/build/data.ts'
import { DATA_IMAGES } from '../bed/server/data-images.ts'

/** A password that needs care in every shell and every SQL. */
const PASSWORD = `r'o\\ot "p"w`
const namespace = 'oas-apps'
const labels = { release: 'wekan' }

/** What Flux installs the application from: this checkout, with the objects of the application as its values. */
export function installed(gitUrl: string): KubeObject[] {
  const flux = { namespace: 'flux-system' }
  const source = { kind: 'GitRepository', name: 'openappstack' }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace, name: 'wekan-values' },
      data: { 'values.yaml': JSON.stringify({ objects: workloads() }) },
    },
    {
      ...{ apiVersion: 'source.toolkit.fluxcd.io/v1', kind: source.kind },
      metadata: { ...flux, name: source.name },
      spec: { interval: '1h', url: gitUrl, ref: { branch: 'main' } },
    },
    {
      ...{ apiVersion: 'kustomize.toolkit.fluxcd.io/v1', kind: 'Kustomization' },
      metadata: { ...flux, name: 'wekan' },
      spec: {
        ...{ interval: '1h', retryInterval: '10s', timeout: '10m', wait: true, prune: true },
        ...{ sourceRef: source, path: './test/server/backup-app' },
      },
    },
  ]
}

/** What our releases give the chart of a database: the hooks that dump it before a backup, and its arguments. */
function valuesOf(file: string) {
  const config = readObjects(join(ROOT, file)).find(({ kind }) => kind === 'ConfigMap')!
  return load(config.data['values.yaml']) as {
    podAnnotations: Record<string, string>
    settings?: { arguments?: string[] }
  }
}

/** One workload with one volume, as the charts restrict it. */
function workload(
  name: string,
  { container, annotations, security }: { container: object; annotations?: object; security?: object },
): KubeObject[] {
  const app = { ...labels, app: name }
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace, name, labels },
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'local-path',
        resources: { requests: { storage: '1Gi' } },
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { namespace, name, labels },
      spec: {
        strategy: { type: 'Recreate' },
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: app, annotations },
          spec: {
            securityContext: security,
            terminationGracePeriodSeconds: 10,
            containers: [container],
            volumes: [
              { name: 'data', persistentVolumeClaim: { claimName: name } },
              { name: 'run', emptyDir: {} },
              { name: 'tmp', emptyDir: {} },
            ],
          },
        },
      },
    } as KubeObject,
  ]
}

const restricted = {
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
}
const as = (id: number) => ({ runAsUser: id, runAsGroup: id, fsGroup: id })

/** The workloads: files, MariaDB and PostgreSQL, with the hooks and arguments of our releases. */
function workloads(): KubeObject[] {
  const mariadb = valuesOf('flux2/apps/wordpress/values-mariadb.yaml')
  const postgres = valuesOf('flux2/core/single-sign-on/database/values.yaml')
  return [
    ...workload('wekan-files', {
      container: {
        name: 'files',
        image: DATA_IMAGES.files,
        command: ['sleep', '1000000'],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    }),
    ...workload('wekan-mariadb', {
      annotations: mariadb.podAnnotations,
      security: as(999),
      container: {
        name: 'mariadb',
        image: DATA_IMAGES.mariadb,
        args: mariadb.settings?.arguments,
        env: [{ name: 'MARIADB_ROOT_PASSWORD', value: PASSWORD }],
        securityContext: restricted,
        volumeMounts: [
          { name: 'data', mountPath: '/var/lib/mysql' },
          { name: 'run', mountPath: '/run/mysqld' },
          { name: 'tmp', mountPath: '/tmp' },
        ],
        readinessProbe: {
          exec: {
            command: ['bash', '-c', 'MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --user=root -e "select 1"'],
          },
          periodSeconds: 2,
          timeoutSeconds: 10,
        },
      },
    }),
    ...workload('wekan-postgres', {
      annotations: postgres.podAnnotations,
      security: as(998),
      container: {
        name: 'postgres',
        image: DATA_IMAGES.postgres,
        env: [{ name: 'POSTGRES_PASSWORD', value: PASSWORD }],
        securityContext: restricted,
        volumeMounts: [
          { name: 'data', mountPath: '/var/lib/postgresql/data' },
          { name: 'run', mountPath: '/var/run' },
          { name: 'tmp', mountPath: '/tmp' },
        ],
        readinessProbe: {
          exec: { command: ['psql', '-U', 'postgres', '-c', 'select 1'] },
          periodSeconds: 2,
          timeoutSeconds: 10,
        },
      },
    }),
  ]
}

/** Writes what is hard to keep into a folder, /data unless told: 100,000 small files among it. For `sh -s`, as root. */
export const WRITE_FILES = `set -e
cd "\${1:-/data}"
mkdir -p many deep 'with space' empty -- '-n'
i=0
while [ $i -lt 100 ]; do
  mkdir many/$i; j=0
  while [ $j -lt 1000 ]; do echo $i/$j > many/$i/$j; j=$((j+1)); done
  i=$((i+1))
done
dd if=/dev/urandom of=large bs=1M count=256 2>/dev/null
dd if=/dev/zero of=sparse bs=1 count=0 seek=1G 2>/dev/null
echo middle | dd of=sparse bs=1 seek=512M conv=notrunc 2>/dev/null
long=$(printf '%0255d' 7)
echo long > "$long"
d=deep; i=0; while [ $i -lt 12 ]; do d=$d/$(printf '%0100d' $i); mkdir $d; i=$((i+1)); done; echo deep > $d/file
printf x > 'line
break'; printf x > "quote ' and \\" and \\\\"; printf x > 'Grüße 漢字 🦊'; printf x > '*'; printf x > ' '; printf x > './-n/-rf'
echo owner > owner; chown 1000:33 owner; chmod 0640 owner
echo secret > none; chmod 0000 none
echo run > run; chmod 0755 run
mkdir sticky; chmod 1777 sticky; mkdir own; chown 33:33 own; chmod 2750 own
ln -s owner link; ln -s /nowhere dangling; ln owner hard
mkfifo pipe
touch -d '2001-02-03 04:05:06' old
: > nothing
echo the-marker-that-nobody-may-read > marker
sync
`

/**
 * Lists what is below a folder, for GNU find: kind, owner, mode, size, target, the time of files. Without what kopia does
 * not keep, the pipe and the times of folders (each gets that of the newest entry below it: snapshot/snapshotfs/repofs.go
 * of project-velero/kopia), the file that grows during the backup, and the mark that Velero leaves in a restored volume.
 */
export const LIST_FILES = `cd "$1" || exit 1
find . -mindepth 1 \\( -name growing -o -path ./.velero \\) -prune -o -type f -printf '%P|f|%U|%G|%m|%s|%Ts\\0' -o -type l -printf '%P|l|%U|%G|%l\\0' -o -mindepth 1 -type d -printf '%P|d|%U|%G|%m\\0' | sort -z | tr '\\0\\n' '\\n?'
find . -type f ! -name growing ! -path './.velero/*' -print0 | sort -z | xargs -0 sha256sum -z | sha256sum
`
