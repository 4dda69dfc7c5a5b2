import type { Rule } from '../finding.ts'
import { rules as backups } from './backups.ts'
import { rules as certificates } from './certificates.ts'
import { rules as challenges } from './challenges.ts'
import { rules as claims } from './claims.ts'
import { rules as cluster } from './cluster.ts'
import { rules as containers } from './containers.ts'
import { rules as creation } from './creation.ts'
import { rules as flux } from './flux.ts'
import { rules as hosts } from './hosts.ts'
import { rules as ingresses } from './ingresses.ts'
import { rules as issuers } from './issuers.ts'
import { rules as kustomizations } from './kustomizations.ts'
import { rules as needs } from './needs.ts'
import { rules as nodes } from './nodes.ts'
import { rules as pods } from './pods.ts'
import { rules as releases } from './releases.ts'
import { rules as secrets } from './secrets.ts'
import { rules as services } from './services.ts'
import { rules as sources } from './sources.ts'
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
  ...secrets,
  ...kustomizations,
  ...releases,
  ...nodes,
  ...cluster,
  ...claims,
  ...volumes,
  ...needs,
  ...containers,
  ...pods,
  ...creation,
  ...workloads,
  ...services,
  ...backups,
]
