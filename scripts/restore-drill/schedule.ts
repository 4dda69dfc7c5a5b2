/** The drill as a CronJob: its script in a ConfigMap, an account with few rights, and a policy that bounds them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { VELERO } from '../../lib/backup/objects.ts'
import type { Kubectl, KubeObject } from '../../lib/kubectl/kubectl.ts'
import { lockCluster } from '../../lib/platform/lock.ts'
import { clusterChecks } from '../../lib/preflight/preflight.ts'
import { ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { ROOT } from '../../lib/script/files.ts'
import type { Run } from '../../lib/script/run.ts'
import { sizeText } from '../../lib/script/size.ts'

/** What all its objects are called. */
const NAME = 'oas-restore-drill-job'
/** Bytes of a ConfigMap at most, with some space for its fields. */
const LARGEST = 1_000_000

/** The script of the job as one file of JavaScript: our modules and the packages that they use. */
export async function bundleJob(): Promise<string> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, 'scripts/restore-drill/job.ts')],
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    write: false,
    logLevel: 'silent',
    // Loaded only where there is a kubeconfig, or something is built: not in a pod.
    external: ['@kubernetes/client-node', 'esbuild', 'bufferutil', 'utf-8-validate'],
    banner: {
      js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
    },
  })
  const text = outputFiles[0]!.text
  if (Buffer.byteLength(text) <= LARGEST) return text
  throw new ExpectedError(
    `the script of the job has ${Buffer.byteLength(text)} bytes, more than a ConfigMap takes`,
    'report this: it is a defect',
  )
}

/** The official image of Node that the platform uses already: the user panel's. */
export function nodeImage(): string {
  const text = readFileSync(join(ROOT, 'flux2/core/single-sign-on/userpanel/deployment.yaml'), 'utf8')
  const image = /image: (\S*\/node:\S+)/.exec(text)?.[1]
  if (!image) throw new Error('the deployment of the user panel has no image of Node')
  return image
}

/** A schedule of cron in five fields. Throws a UsageError for anything else. Pure. */
export function cronOf(text: string): string {
  const fields = text.trim().split(/\s+/)
  if (fields.length === 5 && fields.every(field => /^[\d*,/-]{1,40}$/.test(field))) return fields.join(' ')
  throw new UsageError(
    `--schedule ${JSON.stringify(text)} is not a schedule of cron`,
    "give five fields, as '30 4 1 * *' (the first of each month at 4:30), or `off`",
  )
}

const rule = (group: string, resources: string[], verbs: string[], resourceNames?: string[]) => ({
  apiGroups: [group],
  resources,
  verbs,
  ...(resourceNames ? { resourceNames } : {}),
})
const READ = ['get', 'list']

/** Everything that the job is. `cluster` is only what the verdict calls it. Pure. */
export function scheduleObjects(options: {
  cron: string
  script: string
  image: string
  cluster: string
}): KubeObject[] {
  const { cron, script, image, cluster } = options
  const here = { namespace: VELERO, name: NAME }
  const account = { kind: 'ServiceAccount', ...here }
  const rbac = 'rbac.authorization.k8s.io/v1'
  const roleRef = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: NAME })
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: here },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: here, data: { 'drill.mjs': script } },
    {
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: NAME },
      rules: [
        rule('', ['pods', 'persistentvolumeclaims', 'persistentvolumes'], READ),
        rule('helm.toolkit.fluxcd.io', ['helmreleases'], READ),
        rule('kustomize.toolkit.fluxcd.io', ['kustomizations'], READ),
        // The policy below allows these in the namespaces of drills only.
        rule('', ['namespaces'], ['get', 'create', 'patch', 'delete']),
        rule('networking.k8s.io', ['networkpolicies'], ['create', 'patch']),
        rule('', ['pods/exec'], ['get', 'create']),
      ],
    },
    {
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: NAME },
      roleRef: roleRef('ClusterRole'),
      subjects: [account],
    },
    {
      apiVersion: rbac,
      kind: 'Role',
      metadata: here,
      rules: [
        rule('velero.io', ['backups', 'podvolumebackups', 'podvolumerestores'], READ),
        rule('velero.io', ['backupstoragelocations'], ['get'], ['default']),
        rule('velero.io', ['podvolumerestores'], ['patch']),
        rule('velero.io', ['restores'], [...READ, 'create']),
        rule('', ['secrets'], ['get'], ['velero-repo-credentials']),
        rule('', ['configmaps'], ['delete'], ['oas-restore-drill']),
        rule('', ['configmaps'], ['create']),
      ],
    },
    {
      apiVersion: rbac,
      kind: 'RoleBinding',
      metadata: here,
      roleRef: roleRef('Role'),
      subjects: [account],
    },
    ...policy(),
    cronJob(cron, image, cluster),
  ]
}

/** The account may write, and run commands, in the namespaces of drills alone: rights have no way to say so. */
function policy(): KubeObject[] {
  const user = `system:serviceaccount:${VELERO}:${NAME}`
  const admission = 'admissionregistration.k8s.io/v1'
  const match = (apiGroups: string[], resources: string[], operations: string[]) => ({
    apiGroups,
    apiVersions: ['*'],
    operations,
    resources,
  })
  return [
    {
      apiVersion: admission,
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: NAME },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            match([''], ['namespaces'], ['CREATE', 'UPDATE', 'DELETE']),
            match(['networking.k8s.io'], ['networkpolicies'], ['CREATE', 'UPDATE']),
            match([''], ['pods/exec'], ['CONNECT']),
            match(['velero.io'], ['restores'], ['CREATE']),
            match(['velero.io'], ['podvolumerestores'], ['UPDATE']),
            match([''], ['configmaps'], ['CREATE']),
          ],
        },
        matchConditions: [{ name: 'the-job', expression: `request.userInfo.username == '${user}'` }],
        validations: [
          {
            expression:
              "request.resource.resource in ['restores', 'podvolumerestores', 'configmaps'] || (request.resource.resource == 'namespaces' ? request.name : request.namespace).startsWith('restore-drill-')",
            message: 'a drill works in its own namespaces only',
          },
          {
            expression:
              "request.resource.resource != 'restores' || (has(object.spec.namespaceMapping) && object.spec.includedNamespaces.all(each, each in object.spec.namespaceMapping && object.spec.namespaceMapping[each].startsWith('restore-drill-')))",
            message: 'a drill restores into its own namespaces only',
          },
          {
            expression:
              "request.resource.resource != 'podvolumerestores' || object.spec.pod.namespace.startsWith('restore-drill-')",
            message: 'a drill gives up copies for its own namespaces only',
          },
          {
            expression: "request.resource.resource != 'configmaps' || request.name == 'oas-restore-drill'",
            message: 'a drill writes its own mark only',
          },
        ],
      },
    },
    {
      apiVersion: admission,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name: NAME },
      spec: { policyName: NAME, validationActions: ['Deny'] },
    },
  ]
}

function cronJob(schedule: string, image: string, cluster: string): KubeObject {
  const key = (name: string, from: string) => ({
    name,
    valueFrom: { secretKeyRef: { name: 'oas-backup', key: from, optional: true } },
  })
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { namespace: VELERO, name: NAME },
    spec: {
      schedule,
      concurrencyPolicy: 'Forbid',
      successfulJobsHistoryLimit: 1,
      failedJobsHistoryLimit: 2,
      jobTemplate: {
        spec: {
          // A drill that has failed is looked at, not repeated at once.
          backoffLimit: 0,
          activeDeadlineSeconds: 6 * 3600,
          template: {
            metadata: { labels: { app: NAME } },
            spec: {
              serviceAccountName: NAME,
              restartPolicy: 'Never',
              terminationGracePeriodSeconds: 120,
              securityContext: {
                runAsNonRoot: true,
                runAsUser: 1000,
                seccompProfile: { type: 'RuntimeDefault' },
              },
              containers: [
                {
                  name: 'drill',
                  image,
                  command: ['node', '/script/drill.mjs'],
                  env: [
                    { name: 'CLUSTER', value: cluster },
                    {
                      name: 'ALERTMANAGER',
                      value: 'http://kube-prometheus-stack-alertmanager.oas.svc.cluster.local:9093',
                    },
                    key('AWS_ACCESS_KEY_ID', 'backup_s3_aws_access_key_id'),
                    key('AWS_SECRET_ACCESS_KEY', 'backup_s3_aws_secret_access_key'),
                  ],
                  securityContext: {
                    allowPrivilegeEscalation: false,
                    readOnlyRootFilesystem: true,
                    capabilities: { drop: ['ALL'] },
                  },
                  resources: {
                    requests: { cpu: '20m', memory: '64Mi' },
                    limits: { memory: '256Mi' },
                  },
                  volumeMounts: [{ name: 'script', mountPath: '/script', readOnly: true }],
                },
              ],
              volumes: [{ name: 'script', configMap: { name: NAME } }],
            },
          },
        },
      },
    },
  }
}

/** Plans, asks, and applies all of it; for `off` deletes all of it, the job first. */
export async function scheduleDrill(
  run: Pick<Run, 'abort' | 'agree' | 'cluster' | 'log' | 'next' | 'onEnd' | 'preflight' | 'signal' | 'step'>,
  kubectl: Kubectl,
  when: string,
): Promise<void> {
  const cluster = run.cluster.name
  if (when === 'off') {
    const objects = scheduleObjects({ cron: '', script: '', image: '', cluster })
    await run.preflight(await clusterChecks(kubectl, [['delete', 'batch', 'cronjobs', VELERO]]))
    if (!(await run.agree([`delete CronJob ${VELERO}/${NAME} with its account`], 'End the drills?'))) return
    await lockCluster(kubectl, run)
    return run.step('Delete', `kubectl -n ${VELERO} delete cronjob ${NAME}`, async () => {
      for (const { apiVersion, kind, metadata } of objects.reverse())
        await kubectl.delete({ apiVersion, kind, ...metadata })
      return undefined
    })
  }
  const cron = cronOf(when)
  await run.preflight(
    await clusterChecks(kubectl, [
      ['create', 'batch', 'cronjobs', VELERO],
      ['create', 'rbac.authorization.k8s.io', 'clusterroles'],
      ['create', 'admissionregistration.k8s.io', 'validatingadmissionpolicies'],
    ]),
  )
  const [script, image] = [await bundleJob(), nodeImage()]
  const plan = [
    `create CronJob ${VELERO}/${NAME} (${cron}) with ${image}`,
    `its script (${sizeText(Buffer.byteLength(script))}) in a ConfigMap, and an account that may write in the namespaces of drills only`,
    'what is wrong goes to Alertmanager as RestoreDrillFailed',
  ]
  if (!(await run.agree(plan, 'Let the cluster try its backups?'))) return
  await lockCluster(kubectl, run)
  await run.step('Apply', `kubectl -n ${VELERO} apply -f FILE`, async () => {
    const objects = scheduleObjects({ cron, script, image, cluster })
    for (const object of objects) await kubectl.apply(object)
    return `${objects.length} objects`
  })
  run.next([`kubectl -n ${VELERO} create job --from=cronjob/${NAME} drill-now   # try it at once`])
}
