import { inflateRawSync } from 'node:zlib'

/** The text of every file in a ZIP file, by its central directory (PKWARE's APPNOTE, 4.3.12). */
export function zipTexts(file: Buffer): string[] {
  const texts: string[] = []
  const end = file.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]))
  let at = file.readUInt32LE(end + 16)
  while (file.readUInt32LE(at) === 0x02014b50) {
    const [method, size] = [file.readUInt16LE(at + 10), file.readUInt32LE(at + 20)]
    const local = file.readUInt32LE(at + 42)
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28)
    const data = file.subarray(start, start + size)
    texts.push((method === 8 ? inflateRawSync(data) : data).toString('latin1'))
    at += 46 + file.readUInt16LE(at + 28) + file.readUInt16LE(at + 30) + file.readUInt16LE(at + 32)
  }
  return texts
}
