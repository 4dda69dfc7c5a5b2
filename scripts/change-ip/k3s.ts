import { K3S } from '../../lib/k3s/k3s.ts'
import { effectiveSettings, namesIn, type SettingsSources } from '../../lib/k3s/settings.ts'
import type { NamedText } from '../../lib/k3s/unit.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { mentions } from './address.ts'

/** What a server of k3s has to be told about its address. */
export interface WantedAddress {
  address: string
  /** Whether k3s has to be told which of the server's addresses is the node's. */
  nodeIp: boolean
}

/**
 * Completes the configuration of k3s for an address: `tls-san` names it, so that the certificate of the API server
 * is valid for it, and where wanted `node-ip` does. Returns the files of the configuration that change. Pure.
 *
 * Names add up from the unit and the last file that sets them as a whole with those behind it whose key ends with `+`
 * (github.com/k3s-io/k3s pkg/configfilearg/parser.go, readConfigFile): a name more goes into the last of these files.
 * The listener of k3s adds what tls-san names to its certificate when it starts; other addresses it refuses to add
 * (https://docs.k3s.io/cli/server#listeners, --tls-san-security). Without node-ip the node has the address of the
 * interface that leads to the default gateway (https://docs.k3s.io/cli/agent#networking).
 */
export async function withAddress(sources: SettingsSources, wanted: WantedAddress): Promise<NamedText[]> {
  const files = sources.configs.map(({ path, text }) => ({ path, text }))
  const changed = new Set<NamedText>()
  for (const [key, needed] of [
    ['tls-san', true],
    ['node-ip', wanted.nodeIp],
  ] as const) {
    if (!needed) continue
    const names = namesIn(await effectiveSettings({ ...sources, configs: files }), key)
    if (names.some(name => mentions(name, wanted.address))) continue
    // node-ip that is another address, an inner one for instance, is somebody's decision.
    if (key === 'node-ip' && names.length > 0) continue
    const documents = await Promise.all(files.map(parse))
    const found = documents.findLastIndex(doc => keyIn(doc, key) !== undefined)
    const name = found < 0 ? undefined : keyIn(documents[found]!, key)
    if (name !== undefined) {
      const file = files[found]!
      file.text = await append(file, documents[found]!.get(name, true), wanted.address)
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

/** The key as it stands in a file: `tls-san+`, or `tls-san`, which it adds to. */
function keyIn(doc: Doc, key: string): string | undefined {
  return [`${key}+`, key].find(name => doc.has(name))
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
