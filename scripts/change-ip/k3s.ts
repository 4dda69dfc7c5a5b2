import { K3S } from '../../lib/k3s/k3s.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { mentions } from './address.ts'

/** A file by its path. */
export interface NamedText {
  path: string
  text: string
}

/** What a server of k3s has to be told about its address. */
export interface WantedAddress {
  address: string
  /** Whether k3s has to be told which of the server's addresses is the node's. */
  nodeIp: boolean
}

/**
 * Completes the configuration of k3s for an address: `tls-san` names it, so that the certificate of the API server
 * is valid for it, and where wanted `node-ip` does. `configs` are config.yaml and the files of config.yaml.d in the
 * order in which k3s reads them, `unit` is the text of its unit with all drop-ins and environment files. Returns the
 * files that change. Pure.
 *
 * The rules: of a key in several files the last one counts, unless it ends with `+`; flags of the unit win over all
 * files, also for lists (https://docs.k3s.io/installation/configuration#configuration-file). The listener of k3s adds
 * what tls-san names to its certificate when it starts; other addresses it refuses to add
 * (https://docs.k3s.io/cli/server#listeners, --tls-san-security). Without node-ip the node has the address of the
 * interface that leads to the default gateway (https://docs.k3s.io/cli/agent#networking).
 */
export async function withAddress(
  configs: readonly NamedText[],
  unit: string,
  wanted: WantedAddress,
): Promise<NamedText[]> {
  const files = configs.map(file => ({ ...file }))
  const changed = new Set<NamedText>()
  for (const [key, needed] of [
    ['tls-san', true],
    ['node-ip', wanted.nodeIp],
  ] as const) {
    if (!needed) continue
    const flag = unit.match(new RegExp(`--${key}(?![\\w-])[\\s\\S]*`))?.[0]
    if (flag !== undefined) {
      // What else the unit says of this address has been replaced already; a list may lack it all the same.
      if (mentions(flag, wanted.address)) continue
      throw new ExpectedError(
        `the unit of k3s has its own --${key}, and the address ${wanted.address} is not in it`,
        `add it there (systemctl edit --full k3s), or move the flag to ${K3S.config}`,
      )
    }
    const documents = await Promise.all(files.map(parse))
    const found = documents.findLastIndex(doc => keyIn(doc, key) !== undefined)
    const doc = documents[found]
    const name = doc && keyIn(doc, key)
    if (doc && name) {
      // node-ip that is another address, an inner one for instance, is somebody's decision.
      if (key === 'node-ip') continue
      // A file that has the key without `+` puts aside what stood before it.
      const counting = documents.slice(
        Math.max(
          0,
          documents.findLastIndex(each => each.has(key)),
        ),
      )
      const values = counting.map(each => JSON.stringify(each.toJS()?.[keyIn(each, key) ?? ''] ?? ''))
      if (values.some(value => mentions(value, wanted.address))) continue
      const file = files[found]!
      file.text = await append(file, doc.get(name, true), wanted.address)
      changed.add(file)
      continue
    }
    let main = files.find(({ path }) => path === K3S.config)
    if (!main) {
      main = { path: K3S.config, text: '' }
      files.unshift(main)
    }
    const start = main.text === '' || main.text.endsWith('\n') ? main.text : `${main.text}\n`
    main.text = `${start}${key}:${key === 'tls-san' ? `\n  - ${scalar(wanted.address)}` : ` ${scalar(wanted.address)}`}\n`
    changed.add(main)
  }
  return [...changed]
}

type Doc = Awaited<ReturnType<typeof parse>>

async function parse({ path, text }: NamedText) {
  const { parseDocument, isMap } = await import('yaml')
  const doc = parseDocument(text, { prettyErrors: false, logLevel: 'error' })
  if (doc.errors.length === 0 && (doc.contents === null || isMap(doc.contents))) return doc
  throw new ExpectedError(`${path} on the server is not valid YAML`, 'correct it: k3s does not start with it')
}

/** The key as it stands in a file: `tls-san` or `tls-san+`. */
function keyIn(doc: Doc, key: string): string | undefined {
  return [key, `${key}+`].find(name => doc.has(name))
}

/** An address as YAML takes it for text: colons may mean something in it. */
function scalar(address: string): string {
  return address.includes(':') ? JSON.stringify(address) : address
}

/** The text of a file with one more value in a list, which may also be one word with commas; nothing else changes. */
async function append({ path, text }: NamedText, list: unknown, address: string): Promise<string> {
  const { isScalar, isSeq } = await import('yaml')
  const last: unknown = isSeq(list) ? list.items.at(-1) : list
  if (!isScalar(last) || !last.range)
    throw new ExpectedError(
      `tls-san in ${path} on the server is not a list of names`,
      `correct it, and add ${address} to it`,
    )
  const [start, end] = last.range
  const insert = (at: number, what: string) => text.slice(0, at) + what + text.slice(at)
  if (!isSeq(list)) return insert(last.type === 'PLAIN' ? end : end - 1, `,${address}`)
  if (list.flow) return insert(end, `, ${scalar(address)}`)
  const lineStart = text.lastIndexOf('\n', start) + 1
  const lineEnd = text.indexOf('\n', end)
  return insert(lineEnd < 0 ? text.length : lineEnd, `\n${text.slice(lineStart, start)}${scalar(address)}`)
}
