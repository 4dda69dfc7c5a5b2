/**
 * Builds what tests run, unless it is in the cache: a step of its own, since it takes long. All programs that are
 * named are built together.
 *
 * Usage: npx tsx test/build.ts NAME…   (sandbox, certificates, login, rules, alerts, node, velero, old-flux, traefik, debian, data-images)
 */
import { UsageError } from '../lib/script/errors.ts'
import { builtSets } from './bed/build/build.ts'
import {
  ALERT_SETS,
  CERTIFICATE_SETS,
  LOGIN_SETS,
  MAESTER_SET,
  NODE_SETS,
  OLD_FLUX,
  type ProgramSet,
  RULE_SETS,
  SANDBOX,
  TRAEFIK,
  VELERO_SET,
} from './bed/build/programs.ts'
import { ensureBed } from './bed/cluster/bed.ts'
import { nodeParts } from './bed/cluster/node.ts'
import { dataImages } from './bed/server/data-images.ts'
import { debianRoot } from './bed/server/root.ts'

const building = {
  progress: (text: string) => console.log(text),
  waiting: (holder: string) => console.log(`waiting for ${holder}, which builds the same`),
}

/** What each name stands for: the programs, and what is then made of them. */
const PARTS: Record<string, { sets: readonly ProgramSet[]; make?: () => Promise<unknown> }> = {
  sandbox: { sets: [SANDBOX], make: () => ensureBed(building) },
  certificates: { sets: CERTIFICATE_SETS },
  login: { sets: [...LOGIN_SETS, MAESTER_SET] },
  rules: { sets: RULE_SETS },
  alerts: { sets: ALERT_SETS },
  node: { sets: [SANDBOX, ...NODE_SETS], make: () => nodeParts(building) },
  velero: { sets: [VELERO_SET] },
  'old-flux': { sets: [OLD_FLUX] },
  traefik: { sets: [TRAEFIK] },
  debian: { sets: [], make: () => debianRoot(building) },
  'data-images': { sets: [VELERO_SET], make: () => dataImages(building) },
}

const wanted = process.argv.slice(2).map(name => {
  const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined
  if (!part) throw new UsageError(`${name} is unknown`, `names are ${Object.keys(PARTS).join(', ')}`)
  return part
})
await builtSets(
  building,
  wanted.flatMap(({ sets }) => sets),
)
for (const { make } of wanted) await make?.()
