/** The kinds of a Kubernetes cluster (kubectl api-resources) that an administrator meets: plural, singular, short. */
const BUILT_IN = `
  all
  pods pod po · nodes node no · secrets secret · configmaps configmap cm · namespaces namespace ns
  services service svc · endpoints ep · endpointslices endpointslice · events event ev
  persistentvolumeclaims persistentvolumeclaim pvc · persistentvolumes persistentvolume pv
  deployments deployment deploy · statefulsets statefulset sts · daemonsets daemonset ds
  replicasets replicaset rs · jobs job · cronjobs cronjob cj · ingresses ingress ing
  ingressclasses ingressclass · storageclasses storageclass sc · serviceaccounts serviceaccount sa
  horizontalpodautoscalers horizontalpodautoscaler hpa
  resourcequotas resourcequota quota · limitranges limitrange limits · leases lease
  customresourcedefinitions customresourcedefinition crd crds · apiservices apiservice
  validatingwebhookconfigurations validatingwebhookconfiguration
  mutatingwebhookconfigurations mutatingwebhookconfiguration
  networkpolicies networkpolicy netpol · roles role · rolebindings rolebinding
  clusterroles clusterrole · clusterrolebindings clusterrolebinding
  poddisruptionbudgets poddisruptionbudget pdb · volumeattachments volumeattachment
  ingresses.networking.k8s.io · storageclasses.storage.k8s.io · pods.metrics.k8s.io · events.events.k8s.io
`
/** The kinds that the platform's controllers bring, by the group of their API. */
const BROUGHT: Readonly<Record<string, readonly [plural: string, singular: string][]>> = {
  'source.toolkit.fluxcd.io': [
    ['gitrepositories', 'gitrepository'],
    ['helmrepositories', 'helmrepository'],
    ['helmcharts', 'helmchart'],
    ['ocirepositories', 'ocirepository'],
    ['buckets', 'bucket'],
  ],
  'kustomize.toolkit.fluxcd.io': [['kustomizations', 'kustomization']],
  'helm.toolkit.fluxcd.io': [['helmreleases', 'helmrelease']],
  'image.toolkit.fluxcd.io': [
    ['imagerepositories', 'imagerepository'],
    ['imagepolicies', 'imagepolicy'],
    ['imageupdateautomations', 'imageupdateautomation'],
  ],
  'cert-manager.io': [
    ['certificates', 'certificate'],
    ['certificaterequests', 'certificaterequest'],
    ['issuers', 'issuer'],
    ['clusterissuers', 'clusterissuer'],
  ],
  'acme.cert-manager.io': [
    ['orders', 'order'],
    ['challenges', 'challenge'],
  ],
  'hydra.ory.sh': [['oauth2clients', 'oauth2client']],
  'traefik.io': [
    ['ingressroutes', 'ingressroute'],
    ['middlewares', 'middleware'],
  ],
  'velero.io': [
    ['backups', 'backup'],
    ['restores', 'restore'],
    ['schedules', 'schedule'],
    ['backupstoragelocations', 'backupstoragelocation'],
    ['podvolumebackups', 'podvolumebackup'],
    ['podvolumerestores', 'podvolumerestore'],
    ['backuprepositories', 'backuprepository'],
  ],
}

const names = new Set([
  ...BUILT_IN.split(/[\s·]+/),
  ...Object.entries(BROUGHT).flatMap(([group, kinds]) =>
    kinds.flatMap(([plural, singular]) => [plural, singular, `${plural}.${group}`, `${singular}.${group}`]),
  ),
])

/** Whether this is how kubectl lets a kind be named. */
export function isResource(kind: string): boolean {
  return names.has(kind.toLowerCase())
}
