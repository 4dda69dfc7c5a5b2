/** Builds the programs of the bed, unless they are in the cache: a step of its own, since it takes long. */

import { builtPrograms } from '../bed/build/build.ts'
import { ensureBed } from '../bed/cluster/bed.ts'
import { ensureExtras } from '../bed/cluster/extras.ts'
import { OLD_FLUX } from './old-flux.ts'

const building = {
  progress: (text: string) => console.log(text),
  waiting: (holder: string) => console.log(`waiting for ${holder}, which builds the same`),
}
await ensureBed(building)
await ensureExtras({ certificates: true, loki: true }, {}, building)
await builtPrograms(building, OLD_FLUX)
