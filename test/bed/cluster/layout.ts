import { join } from 'node:path'
import { type Cluster, clusterNamed, clustersFolder } from '../../../lib/script/cluster.ts'

/** The sandbox's cluster folder and the content of its state folder, `clusters/NAME/.state/`. */
export interface Layout {
  cluster: Cluster
  /** Everything the sandbox keeps; `reset` removes it. */
  state: string
  /** Ports and programs of the last `up`. */
  stateFile: string
  pki: string
  logs: string
  etcd: string
  /** Artifacts of the source-controller. */
  artifacts: string
  /** TMPDIR and HOME of the programs. */
  temporary: string
  /** What is served to Flux: `openappstack.git` and `charts/`. */
  served: string
}

/** The places of the sandbox of this name. */
export function layoutOf(name: string): Layout {
  const cluster = clusterNamed(name)
  return layoutIn(cluster, join(cluster.folder, '.state'))
}

/**
 * The places of the servers of this name. They have no cluster folder, since a script creates it;
 * a folder whose name begins with a dot does not count as one.
 */
export function serversLayoutOf(name: string): Layout {
  return layoutIn(clusterNamed(name), join(clustersFolder(), '.servers', name))
}

function layoutIn(cluster: Cluster, state: string): Layout {
  return {
    cluster,
    state,
    stateFile: join(state, 'state.json'),
    pki: join(state, 'pki'),
    logs: join(state, 'logs'),
    etcd: join(state, 'etcd'),
    artifacts: join(state, 'artifacts'),
    temporary: join(state, 'tmp'),
    served: join(state, 'served'),
  }
}
