/** Makes the Debian root and the programs of a node, unless they are in the cache: a step of its own, since it takes long. */
import { nodeParts } from '../bed/cluster/node.ts'
import { debianRoot } from '../bed/server/root.ts'

const building = {
  progress: (text: string) => console.log(text),
  waiting: (holder: string) => console.log(`waiting for ${holder}, which builds the same`),
}
await debianRoot(building)
await nodeParts(building)
