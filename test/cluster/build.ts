/** Builds the programs of the bed, unless they are in the cache: a step of its own, since it takes long. */
import { ensureBed } from '../../lib/sandbox/bed.ts'

await ensureBed({
  progress: text => console.log(text),
  waiting: holder => console.log(`waiting for ${holder}, which builds the same`),
})
