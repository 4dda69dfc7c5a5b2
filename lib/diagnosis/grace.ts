import type { Finding } from './finding.ts'

/** Seconds that what passes by itself may last: a release brings a kind, the pod of a webhook starts. */
const PASSING = 90

/**
 * Seconds that a failure may last before it ends a wait, by its rule: some pass by themselves. What is not listed
 * ends no wait, since an installation goes on beside it: it is shown, and told when the wait gives up.
 */
const GRACE: Readonly<Record<string, number>> = {
  'cluster-without-nodes': 60,
  'node-silent': 60,
  'node-not-ready': 60,
  'node-network-failing': 60,
  'node-disk-pressure': 60,
  'node-memory-pressure': 60,
  'node-pid-pressure': 60,
  'node-cordoned': 45,

  'flux-controller-missing': 60,
  'flux-controller-down': 60,
  'flux-controller-silent': 25,
  'source-suspended': 0,
  'kustomization-suspended': 0,
  'release-suspended': 0,
  'deletion-stuck': 60,

  'source-branch-missing': 4,
  'source-certificate': 4,
  'source-unauthorized': 4,
  'source-not-found': 4,
  'source-unreachable': 4,
  'source-failed': 4,
  'source-no-space': 4,
  'source-names-lead-here': 4,
  'source-host-key': 4,
  'source-key-refused': 4,
  'source-proxy': 4,
  'source-too-large': 4,
  'source-secret-missing': 10,
  'source-signature-refused': 4,
  'source-not-charts': 4,
  'chart-not-found': 4,

  'kustomization-path-missing': 4,
  'kustomization-source-missing': 4,
  'kustomization-build-failed': 4,
  'kustomization-refused': 4,
  'kustomization-variable-missing': 4,
  'kustomization-secret-missing': 4,
  'kustomization-failed': 4,
  'variable-name-invalid': 4,
  'substituted-value-unquoted': 4,
  // Whatever is not healthy is given this time to become so.
  'kustomization-unhealthy': 30,
  'kustomization-decryption-failed': 4,
  'rights-missing': 4,
  'object-of-others': 0,
  'port-allocated': 4,
  'claim-not-expandable': 4,
  'release-too-large': 0,
  'denied-by-policy': 4,
  'hook-failed': 45,
  'dependency-circle': 0,
  'dependency-missing': 30,
  'quota-exceeded': 4,
  'field-immutable': 0,
  'retry-due': 60,

  'release-kubernetes-too-old': 0,
  'release-values-missing': 5,
  'release-values-rejected': 0,
  // The values may be those from before an empty Secret was filled: Flux passes it on after it has built again.
  'release-values-empty': 30,
  'release-retries-exhausted': 0,
  'release-locked': 45,
  'release-timeout': 45,
  'release-failed': 45,

  'secret-missing': 10,
  'secret-key-missing': 10,
  'secret-key-empty': 10,
  'configmap-missing': 10,
  'configmap-key-missing': 10,
  'service-account-missing': 15,
  'quota-exhausted': 15,
  'pods-refused': 15,
  'pods-refused-by-quota': 15,
  'pods-refused-by-pod-security': 15,
  'pods-refused-by-webhook': PASSING,

  'image-name-invalid': 0,
  'image-not-found': 8,
  'image-unauthorized': 8,
  'image-registry-untrusted': 8,
  'image-registry-failing': 8,
  'image-registry-unreachable': 8,
  'image-rate-limited': 8,
  'image-disk-full': 8,
  'image-no-container': 8,
  'image-user-ids': 8,
  'image-pull-failing': 8,

  'pod-crash-looping': 5,
  'pod-init-failing': 5,
  'pod-out-of-memory': 5,
  'container-names-unresolved': PASSING,
  'container-service-unreachable': PASSING,
  'pod-liveness-failing': 30,
  'pod-cannot-start': 15,
  'pod-of-old-revision': 15,
  'pod-waits-for-object': 10,
  'pod-mount-failed': 45,
  'pod-sandbox-failed': 45,
  'volume-folder-missing': 45,

  // No node grows by itself; a volume may take a while.
  'pod-unschedulable-resources': 15,
  'pod-unschedulable-affinity': 45,
  'pod-unschedulable-taint': 45,
  'pod-unschedulable': 45,
  'pod-waits-for-node': 45,
  'pod-volume-elsewhere': 45,
  'pod-waits-for-claim': 45,
  'scheduler-silent': 60,
  'kubelet-silent': 60,
  'volume-node-missing': 45,
  'claim-missing': 45,
  'claim-lost': 45,
  'claim-volume-taken': 45,
  'claim-without-class': 45,
  'claim-without-volume': 45,
  'claim-class-missing': 45,
  'claim-not-provisioned': 45,
}

/** Seconds that a failure may last before it ends a wait; Infinity for one that ends none. Pure. */
export function graceOf({ rule, timing }: Pick<Finding, 'rule' | 'timing'>): number {
  if (timing === 'final') return 0
  if (timing === 'passing') return PASSING
  if (timing === 'retried') return Number.POSITIVE_INFINITY
  // What is known of a container's last words does not keep a crash from being one.
  const crash = rule.startsWith('container-') ? GRACE['pod-crash-looping'] : undefined
  return GRACE[rule] ?? crash ?? Number.POSITIVE_INFINITY
}
