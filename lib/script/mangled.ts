/**
 * Values that the texts of YAML, Flux, Helm and the API server quote, and quote changed: without the first character,
 * as a number in another form, cut off. No list of known secrets finds them there, so they are cut by the form of the
 * text around them. Sources: go.yaml.in/yaml decode.go and parserc.go ("unknown anchor", "cannot unmarshal"),
 * sigs.k8s.io/structured-merge-diff typed ("expected string, got &value.valueUnstructured{Value:…}"),
 * k8s.io/apimachinery util/validation/field errors.go ("Invalid value: …"), encoding/json decode.go, strconv.
 */
const TYPES = /^(string|integer|number|boolean|object|array|null|true|false|map|nil|<nil>)$/

/** What may stay of a quoted value: it tells nothing. */
const isOpen = (value: string) => value.length < 4 || value === '***' || TYPES.test(value)

/**
 * Text in which a parser of YAML complains about what was substituted. Flux writes `envsubst error: variable
 * substitution failed: …` and `envsubst error: YAMLToJSON: …` (fluxcd/pkg kustomize/substitute.go); that a program is
 * called envsubst, as in the log of each container of nginx, is not a complaint.
 */
const PARSER =
  /(?<![\w.])(YAMLToJSON|envsubst( error| failed)?:|envsubst failed|(failed to|cannot|could not)( run)? envsubst|variable substitution failed|unmarshal|yaml: (line|unmarshal|unknown|mapping|did not|could not|found|control|invalid|anchor|document|input|exceeded|cannot))/

/** By which a line of a log begins, and no part of an error that goes on from the line before: a time, or a level. */
const RECORD =
  /^(?:time=\S*\s+|ts=\S*\s+)?(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d|[IWEF]\d{4} \d\d:\d\d:\d\d|level=\w+\s|\{"(?:level|lvl|severity|time|ts|t)":)/

/**
 * The parts of a text that are judged each by itself: the lines of a log, each with those below it that have no time
 * and no level of their own, as the errors of parsers go on below their first line. A text that is not a log is one.
 */
function recordsOf(text: string): string[] {
  const records: string[] = []
  let before = ':'
  for (const line of text.split('\n')) {
    // What was announced, or is still in quotes, belongs to the line before, whatever it looks like.
    const goesOn = /[:=,]\s*$/.test(before.slice(-100)) || isOdd(before, '"') || isOdd(before, '`')
    if (!goesOn && RECORD.test(line.slice(0, 200))) records.push(line)
    else if (records.length === 0) records.push(line)
    else records[records.length - 1] += `\n${line}`
    before = line
  }
  return records
}

const isOdd = (line: string, quote: string) => line.split(quote).length % 2 === 0

/** Words before a quoted token that is a name and no value. */
const NAMED =
  /(?:^|[\s(])(for|source|path|file|field|mode\):|variable|Kustomization|secrets?|configmaps?|from|type|version) ?$/i

/** A text without the values that its parts quote. Linear in the length of the text. Pure. */
export function cutMangled(text: string): string {
  let result = text
  // 31415926535897932384 as YAML's number 3.1415926535897933e+19
  if (result.includes('e+')) result = result.replaceAll(/\b\d\.\d{8,}e\+\d{2,}/g, '***')
  if (result.includes('got &')) result = cutBraces(result, 'got &')
  for (const marker of ['Invalid value: ', 'Unsupported value: ', 'Duplicate value: '])
    if (result.includes(marker)) result = cutAfter(result, marker)
  if (result.includes('parsing "'))
    result = result.replaceAll(/\bparsing (time )?"[^"\n]{4,}"/g, 'parsing $1"***"')
  result = result.replaceAll(/'[^'\n]{4,1000}' (does not match|is not valid)/g, "'***' $1")
  if (!PARSER.test(result)) return result
  return recordsOf(result)
    .map(record =>
      PARSER.test(record)
        ? cutQuoted(record).replaceAll(/\b(number|float|int|integer) -?[\d.e+_x]{4,}/gi, '$1 ***')
        : record,
    )
    .join('\n')
}

/** Cuts `{…}` after a marker, to the last brace of the line. */
function cutBraces(text: string, marker: string): string {
  return cutEach(text, marker, (from, end) => {
    // Before the brace stands the name of a type.
    const open = text.slice(from, Math.min(end, from + 100)).indexOf('{') + from
    if (open < from) return [from, from]
    const close = lastBrace(text, open, end)
    return [open + 1, close ?? end]
  })
}

/** The last closing brace of a line when its braces are in pairs: a value that is cut off, or has one, has no end. */
function lastBrace(text: string, from: number, end: number): number | undefined {
  let open = 0
  let last: number | undefined
  for (let at = from; at < end; at++)
    if (text[at] === '{') open++
    else if (text[at] === '}') {
      open--
      last = at
    }
  return open === 0 ? last : undefined
}

/** Cuts the value after a marker: a quoted one, one with braces, or a word. */
function cutAfter(text: string, marker: string): string {
  return cutEach(text, marker, (from, end) => {
    if (text[from] === '"') {
      let at = from + 1
      while (at < end && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
      const close = Math.min(at, end)
      return isOpen(text.slice(from + 1, close)) ? [from, from] : [from + 1, close]
    }
    let at = from
    while (at < end && !': ,{'.includes(text[at]!)) at++
    if (text[at] === '{' || text.startsWith(' {}', at) || text.startsWith(' {', at)) {
      const close = lastBrace(text, at, end)
      return [from, close === undefined ? end : close + 1]
    }
    return isOpen(text.slice(from, at)) ? [from, from] : [from, at]
  })
}

/** The text with what `range` gives after each marker, up to the end of its line, replaced. The ranges do not overlap. */
function cutEach(
  text: string,
  marker: string,
  range: (from: number, lineEnd: number) => [number, number],
): string {
  let result = ''
  let done = 0
  let lineEnd = -1
  for (let at = text.indexOf(marker); at >= 0; at = text.indexOf(marker, Math.max(at + 1, done))) {
    const start = at + marker.length
    if (lineEnd < start) lineEnd = text.indexOf('\n', start)
    if (lineEnd < 0) lineEnd = text.length
    const [from, to] = range(start, lineEnd)
    if (to <= from) continue
    result += `${text.slice(done, from)}***`
    done = to
  }
  return result + text.slice(done)
}

/** Fields of a line of a log, as `level=error err="…"` or `{"level":"error","error":"…"}`. */
const LOG = /^(level|lvl|severity|msg|message|err|error|time|ts|t|date|caller|source|logger|component)$/i
const LOGGED = /(?:^|\s)(\w{1,10})=$/

/** An escaped quote, while quotes are looked for. */
const ESCAPED = '\ue000'

/** Cuts what stands in quotes, but names; of a line of a log what its fields quote. */
function cutQuoted(text: string): string {
  return cutFields(text.replaceAll('\\"', ESCAPED)).replaceAll(ESCAPED, '\\"')
}

function cutFields(text: string): string {
  let end = 0
  let last = ''
  return text.replaceAll(
    /'[^'\n]*'|"[^"\n]*"|`[^`\n]*`|\ue000[^\ue000\n]*\ue000/g,
    (token: string, at: number) => {
      const before = text.slice(Math.max(end, at - 24), at)
      const field = /^: ?$/.test(before) ? last : (LOGGED.exec(before)?.[1] ?? '')
      end = at + token.length
      const quote = token[0]!
      const value = token.slice(1, -1)
      last = value
      if (isOpen(value) || NAMED.test(before) || (LOG.test(value) && text[end] === ':')) return token
      return LOG.test(field) ? `${quote}${cutFields(value)}${quote}` : `${quote}***${quote}`
    },
  )
}
