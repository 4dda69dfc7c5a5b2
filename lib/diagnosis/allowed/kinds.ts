/** The API groups of kinds that others have under the same name: theirs are kept apart. */
const GROUPS: Readonly<Record<string, RegExp>> = {
  Schedule: /^velero\.io\//,
  Backup: /^velero\.io\//,
  Restore: /^velero\.io\//,
  HelmChart: /^source\.toolkit\.fluxcd\.io\//,
  Bucket: /^source\.toolkit\.fluxcd\.io\//,
  Node: /^v1$/,
  Service: /^v1$/,
  Job: /^batch\//,
  StatefulSet: /^apps\//,
  DaemonSet: /^apps\//,
  Ingress: /^networking\.k8s\.io\//,
  NetworkPolicy: /^networking\.k8s\.io\//,
  Gateway: /^gateway\.networking\.k8s\.io\//,
  Certificate: /^cert-manager\.io\//,
  IngressRoute: /^traefik\.io\//,
  Middleware: /^traefik\.io\//,
}

/** Whether a kind of an API is one of others that is called as one of ours. Pure. */
export function isForeign(kind: string, apiVersion: unknown): boolean {
  const [group = ''] = String(apiVersion ?? '').split('/')
  return group.includes('.') && GROUPS[kind]?.test(String(apiVersion)) === false
}

/** The kind of an object, with its group where it is one of others that is called as one of ours. Pure. */
export const kindOf = ({ kind, apiVersion }: { kind: string; apiVersion: string }): string =>
  isForeign(kind, apiVersion) ? `${kind}.${apiVersion.split('/')[0]}` : kind
