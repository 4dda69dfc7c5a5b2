import { allOf, type Chunks } from '../../lib/age/age.ts'
import { tarMembers } from '../../lib/age/tar.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import type { NamedText } from '../../lib/k3s/unit.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { checkPath } from './archive.ts'

/** The settings of k3s: without them a restored API server may not read its own secrets, or its node gets another name. */
export const CONFIG_PART = 'etc/rancher/k3s'

/**
 * What a k3s server consists of: the datastore and the token that encrypts a part of it, as its documentation
 * says (https://docs.k3s.io/datastore/backup-restore); certificates and keys, which have to be those of the
 * datastore or k3s does not start; its settings and manifests; and the password by which the datastore knows the node,
 * with the id that may be a part of its name (github.com/k3s-io/k3s pkg/agent/config/config.go, nodePasswordFile,
 * ensureNodeID).
 */
export const K3S_PARTS = [
  ...[K3S.datastore, K3S.token, `${K3S.data}/server/tls`, `${K3S.data}/server/cred`].map(path =>
    path.slice(1),
  ),
  `${K3S.data}/server/manifests`.slice(1),
  CONFIG_PART,
  'etc/rancher/node/password',
  'etc/rancher/node/id',
]

/** What a copy of k3s holds. */
export interface CopyContents {
  /** Those of `K3S_PARTS` that it has. */
  parts: string[]
  /** config.yaml and its drop-ins, in the order in which k3s reads them. */
  configs: NamedText[]
}

/** Bytes of one file of the settings at most. */
const MOST_CONFIG = 1 << 20

/**
 * Reads a copy of k3s to its end. Throws an ExpectedError for anything in it that does not belong to k3s, or that is
 * more than a file or a folder: it is unpacked by root.
 */
export async function checkCopy(copy: Chunks, name: string): Promise<CopyContents> {
  const parts = new Set<string>()
  const configs: NamedText[] = []
  for await (const { member, content } of tarMembers(copy)) {
    const path = member.path.replace(/\/$/, '')
    const part = K3S_PARTS.find(each => path === each || path.startsWith(`${each}/`))
    const problem = checkPath(path) ?? (part ? undefined : 'it does not belong to k3s')
    const kind = /^(contiguous-)?file$|^directory$/.test(String(member.type))
      ? undefined
      : `it is a ${member.type}`
    if (problem ?? kind)
      throw new ExpectedError(
        `${name} holds ${JSON.stringify(path)}, which cannot be restored: ${problem ?? kind}`,
        'find out who created this archive; nothing of it was used',
      )
    parts.add(part!)
    const isConfig =
      `/${path}` === K3S.config || /^etc\/rancher\/k3s\/config\.yaml\.d\/[^/]+\.ya?ml$/i.test(path)
    if (isConfig && member.type !== 'directory' && member.size <= MOST_CONFIG)
      configs.push({ path: `/${path}`, text: (await allOf(content)).toString() })
  }
  const rank = ({ path }: NamedText) => (path === K3S.config ? '' : path)
  return { parts: [...parts], configs: configs.sort((a, b) => (rank(a) < rank(b) ? -1 : 1)) }
}
