import type { Rule } from '../finding.ts'
import { rules as appliedTwice } from './applied-twice.ts'
import { rules as autoscaling } from './autoscaling.ts'
import { rules as backupRuns } from './backup-runs.ts'
import { rules as backups } from './backups.ts'
import { rules as budgets } from './budgets.ts'
import { rules as certificates } from './certificates.ts'
import { rules as challenges } from './challenges.ts'
import { rules as claims } from './claims.ts'
import { rules as cluster } from './cluster.ts'
import { rules as complaints } from './complaints.ts'
import { rules as containers } from './containers.ts'
import { rules as creation } from './creation.ts'
import { rules as daemonSets } from './daemon-sets.ts'
import { rules as flux } from './flux.ts'
import { rules as hosts } from './hosts.ts'
import { rules as ingressBackends } from './ingress-backends.ts'
import { rules as ingresses } from './ingresses.ts'
import { rules as issuers } from './issuers.ts'
import { rules as jobs } from './jobs.ts'
import { rules as kustomizations } from './kustomizations.ts'
import { rules as needs } from './needs.ts'
import { rules as networkSelectors } from './network-selectors.ts'
import { rules as nodeEvents } from './node-events.ts'
import { rules as nodes } from './nodes.ts'
import { rules as outwardPolicies } from './outward-policies.ts'
import { rules as overrides } from './overrides.ts'
import { rules as ownSources } from './own-sources.ts'
import { rules as pods } from './pods.ts'
import { rules as policies } from './policies.ts'
import { rules as references } from './references.ts'
import { rules as releases } from './releases.ts'
import { rules as rights } from './rights.ts'
import { rules as routes } from './routes.ts'
import { rules as secrets } from './secrets.ts'
import { rules as services } from './services.ts'
import { rules as sharedCauses } from './shared-causes.ts'
import { rules as signOn } from './sign-on.ts'
import { rules as signOnAddresses } from './sign-on-addresses.ts'
import { rules as sources } from './sources.ts'
import { unexplained } from './unexplained.ts'
import { rules as variables } from './variables.ts'
import { rules as volumes } from './volumes.ts'
import { rules as workloads } from './workloads.ts'

/** Every rule of the toolkit. */
export const RULES: readonly Rule[] = [
  ...issuers,
  ...certificates,
  ...challenges,
  ...ingresses,
  ...hosts,
  ...flux,
  ...sources,
  ...sharedCauses,
  ...secrets,
  ...kustomizations,
  ...appliedTwice,
  ...releases,
  ...nodes,
  ...cluster,
  ...claims,
  ...volumes,
  ...needs,
  ...containers,
  ...pods,
  ...complaints,
  ...creation,
  ...workloads,
  ...services,
  ...ingressBackends,
  ...backups,
  ...backupRuns,
  ...daemonSets,
  ...nodeEvents,
  ...signOn,
  ...signOnAddresses,
  ...routes,
  ...references,
  ...rights,
  ...budgets,
  ...policies,
  ...outwardPolicies,
  ...networkSelectors,
  ...jobs,
  ...autoscaling,
  ...variables,
  ...overrides,
  ...ownSources,
  unexplained, // last: it tells what no other rule has told
]
