/** A number of bytes for people: `512 B`, `2.3 MiB`, `14 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let size = bytes
  let unit = 0
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit++
  }
  return `${unit > 0 && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`
}

/** An amount of memory in whole MiB; `-` for none, or one that is not known. Pure. */
export function mebibytes(bytes: number | undefined): string {
  return bytes ? `${Math.round(bytes / 2 ** 20)} MiB` : '-'
}
