import { GIT_REPOSITORY, KUSTOMIZATION } from '../../lib/flux/flux.ts'
import { CLIENTS, SOURCE_ACCOUNT, SOURCE_LABEL, SOURCE_RIGHTS } from '../../lib/flux/own-sources.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import type { WantedSource } from './flags.ts'
import type { Source } from './kept.ts'

const VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']

/** Secrets and everything else that is not written twice. */
export interface SourceSecrets {
  /** The Secret with the deploy key, if there is one. */
  deployKey: KubeObject | undefined
  /** The password of the client of single sign-on. */
  clientSecret: string | undefined
}

/**
 * The objects of an own source, in the order in which they are applied. Flux applies its manifests as a ServiceAccount
 * that may write ordinary objects in this one namespace: no NetworkPolicy, quota or role, nothing of Flux and Traefik,
 * whose controllers would do with all their rights what such an object says. Pure.
 */
export function sourceObjects(
  wanted: Source,
  { podRanges, domain }: { podRanges: readonly string[]; domain: string },
  secrets: SourceSecrets,
): KubeObject[] {
  const { name, url, ref, path, token, keys, login, keeps } = wanted
  const labels = { [SOURCE_LABEL]: name }
  const named = (apiVersion: string, kind: string, object: string, rest: object): KubeObject => ({
    apiVersion,
    kind,
    metadata: { name: object, namespace: name, labels },
    ...rest,
  })
  const rbac = 'rbac.authorization.k8s.io/v1'
  const secretRef = token || keeps.token || secrets.deployKey ? { secretRef: { name: 'git' } } : {}
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name,
        labels: { ...labels, 'pod-security.kubernetes.io/enforce': 'baseline' },
        annotations: { 'kustomize.toolkit.fluxcd.io/prune': 'disabled' },
      },
    },
    named('v1', 'ServiceAccount', SOURCE_ACCOUNT, {}),
    named(rbac, 'Role', SOURCE_ACCOUNT, {
      rules: SOURCE_RIGHTS.map(([group, resources]) => ({
        apiGroups: [group],
        resources: [...resources],
        verbs: [...VERBS],
      })),
    }),
    named(rbac, 'RoleBinding', SOURCE_ACCOUNT, {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: SOURCE_ACCOUNT },
      subjects: [{ kind: 'ServiceAccount', name: SOURCE_ACCOUNT, namespace: name }],
    }),
    named('networking.k8s.io/v1', 'NetworkPolicy', 'own-source', { spec: networkPolicy(podRanges) }),
    named('v1', 'ResourceQuota', 'own-source', {
      spec: {
        hard: {
          pods: '30',
          'limits.memory': wanted.memory,
          'requests.storage': wanted.storage,
          persistentvolumeclaims: '20',
          'services.loadbalancers': '0',
          'services.nodeports': '0',
        },
      },
    }),
    // Without a default, a pod that says no limit would be refused by the quota.
    named('v1', 'LimitRange', 'own-source', {
      spec: {
        limits: [{ type: 'Container', default: { memory: '256Mi' }, defaultRequest: { memory: '64Mi' } }],
      },
    }),
    ...(secrets.deployKey
      ? [{ ...secrets.deployKey, metadata: { ...secrets.deployKey.metadata, labels } }]
      : []),
    ...(token ? [named('v1', 'Secret', 'git', { type: 'Opaque', data: encoded({ ...token }) })] : []),
    ...(keys
      ? [named('v1', 'Secret', 'git-signers', { type: 'Opaque', data: encoded({ 'signers.asc': keys }) })]
      : []),
    ...(login && secrets.clientSecret ? loginFor(wanted, login.callback, domain, secrets.clientSecret) : []),
    named(GIT_REPOSITORY.apiVersion, GIT_REPOSITORY.kind, name, {
      spec: {
        interval: '5m',
        timeout: '60s',
        url,
        ref,
        ...secretRef,
        ...(keys || keeps.keys
          ? { verify: { mode: 'tag' in ref ? 'Tag' : 'HEAD', secretRef: { name: 'git-signers' } } }
          : {}),
      },
    }),
    named(KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind, name, {
      spec: {
        interval: '10m',
        retryInterval: '2m',
        timeout: '5m',
        prune: true,
        wait: true,
        path,
        serviceAccountName: SOURCE_ACCOUNT,
        sourceRef: { kind: GIT_REPOSITORY.kind, name },
      },
    }),
  ]
}

const encoded = (data: Record<string, string>) =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))

/** Where servers ask their provider about themselves, and get what was handed over at their creation (RFC 3927, 4291). */
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10']

/** Visitors come through the ingress; pods reach each other, names, the ingress and the internet. */
function networkPolicy(podRanges: readonly string[]): object {
  const traefik = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'oas' } },
    podSelector: { matchLabels: { 'app.kubernetes.io/name': 'traefik' } },
  }
  const dns = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
    podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
  }
  const ours = (family: RegExp) => ({
    except: [...podRanges, ...LINK_LOCAL].filter(range => family.test(range)),
  })
  return {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: {} }, traefik] }],
    egress: [
      { to: [{ podSelector: {} }, traefik] },
      {
        to: [dns],
        ports: [
          { port: 53, protocol: 'UDP' },
          { port: 53, protocol: 'TCP' },
        ],
      },
      {
        to: [
          { ipBlock: { cidr: '0.0.0.0/0', ...ours(/^[\d.]+\//) } },
          { ipBlock: { cidr: '::/0', ...ours(/:/) } },
        ],
        ports: [80, 443, 587].map(port => ({ port, protocol: 'TCP' })),
      },
    ],
  }
}

/** The client of single sign-on where hydra-maester serves it, and its password where the application reads it. */
function loginFor({ name }: WantedSource, callback: string, domain: string, password: string): KubeObject[] {
  const labels = { [SOURCE_LABEL]: name }
  const client = { CLIENT_ID: name, CLIENT_SECRET: password }
  const secret = (at: string, namespace: string, data: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: at, namespace, labels },
    type: 'Opaque',
    data: encoded(data),
  })
  return [
    secret('login', name, { ...client, ISSUER: `https://sso.${domain}` }),
    secret(`${name}-login`, CLIENTS, client),
    {
      apiVersion: 'hydra.ory.sh/v1alpha1',
      kind: 'OAuth2Client',
      metadata: { name, namespace: CLIENTS, labels },
      spec: {
        clientName: name,
        secretName: `${name}-login`,
        grantTypes: ['authorization_code', 'refresh_token'],
        responseTypes: ['code'],
        scopeArray: ['openid', 'email', 'profile'],
        tokenEndpointAuthMethod: 'client_secret_post',
        skipConsent: true,
        redirectUris: [callback],
      },
    },
  ]
}
