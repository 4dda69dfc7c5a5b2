/** An API group that a program has given up, and the one that it reads now. */
export interface FormerGroup {
  group: string
  now: string
  program: string
}

/** Source of Traefik's: https://doc.traefik.io/traefik/migrate/v2-to-v3-details/#kubernetes-crds-api-group-traefikcontainous */
const FORMER: readonly FormerGroup[] = [
  { group: 'traefik.containo.us', now: 'traefik.io', program: 'Traefik 3' },
  { group: 'certmanager.k8s.io', now: 'cert-manager.io', program: 'cert-manager' },
]

/** What is known of the group of an apiVersion that was given up; undefined for any other. Pure. */
export const formerGroup = (apiVersion = ''): FormerGroup | undefined =>
  FORMER.find(({ group }) => apiVersion.startsWith(`${group}/`))
