import { join } from 'node:path'
import type { Cluster } from '../script/cluster.ts'

/** The recipients that what is saved of a cluster is encrypted to when nothing else is said. */
export const recipientsFile = (cluster: Cluster): string => join(cluster.folder, 'backup-recipients.txt')
