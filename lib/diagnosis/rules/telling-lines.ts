/** Which of the lines that a program has said tells the most, and what such a line names or advises. */
import { short } from '../text.ts'

/** The lines of some texts, one after the other. Pure. */
export const textLines = (texts: readonly string[]): string[] => texts.flatMap(text => text.split('\n'))

/** A line in which a program says what to do about its failure. */
const ADVICE =
  /\bplease\b(?! see)|\bhint: |\b(you (must|should|have to|need to)|(may|might) need to|should be|instead of|try (to|using|setting)|consider)\b|\b(set|use|run|create|change|add|edit|delete|remove|enable|disable) (the|a|an|it|to|--?\w)/i

/** What a program itself advises in its last words; undefined where it does not. Pure. */
export function adviceIn(...texts: readonly string[]): string | undefined {
  const line = textLines(texts).findLast(each => ADVICE.test(each))
  return line && around(line.trim(), ADVICE)
}

/** A line of a file, which looks like the port of a host. */
const LINE =
  /\.(go|[cm]?[jt]s|py|rb|php|java|kt|lua|sh|alloy|c|h|cc|cpp|rs|ya?ml|json|toml|conf|cfg|ini|xml):\d+$/

/** A file of a program: where it has failed, not why. */
const CODE = /\.(go|[cm]?[jt]s|py|rb|php|java|lua|c|h|cc|cpp|rs)$/

/** A program or script at the beginning of a line, which speaks in it: it is not what the line is about. */
const SPEAKER = /^\s*(?:\/[\w.-]{1,60}){0,8}\/(?:s?bin\/[\w.-]{1,60}|[\w.-]{1,60}\.sh): /

/** What words name that can be looked at: an address, a file, a variable; with what to do about it. Pure. */
export function namedIn(words: string | undefined): string | undefined {
  const text = (words ?? '').replace(SPEAKER, '')
  const address = /\bhttps?:\/\/[\w.-]{3,80}(?::\d{2,5})?|\b[\w-]{1,60}(?:\.[\w-]{1,60}){1,6}:\d{2,5}\b/.exec(
    text,
  )?.[0]
  if (address && !LINE.test(address))
    return `see whether ${address} answers, and whether it is the right address`
  const file = /(?<![\w.:/])\/[\w.-]{2,60}(?:\/[\w.-]{1,80}){1,8}/.exec(text)?.[0]
  if (file && !CODE.test(file)) return `see what is mounted for ${file}: a volume, ConfigMap or Secret`
  const variable = /(?<![\w.])[A-Z][A-Z0-9]{1,30}(?:_[A-Z0-9]{1,30}){1,6}\b/.exec(text)?.[0]
  return variable ? `set or correct ${variable}` : undefined
}

/**
 * What shells say of a command that does not exist, after their own name and the number of a line: dash `sh: 1: X: not
 * found`, bash `bash: line 1: X: command not found`, busybox `sh: X: not found`, `env: 'X': No such file or directory`.
 */
const LACKING =
  /^\s*(?:([\w./-]{1,120}): )?(?:exec: )?(?:(?:line )?(\d{1,6}): )?(?:exec: )?['"‘]?([\w./+@-]{1,120})['"’]?: (?:(?:command )?(not found)|No such file or directory)\s*$/i

/** A shell, or a script that one runs. */
const SHELL = /(?:^|\/)(?:ba|da|a|k|z)?sh$|\.sh$/

/** The program that a command names and a shell does not find, with the line that says so. Pure. */
export function lackingProgram(
  texts: readonly string[],
  exitCode?: number,
): { program: string; line: string } | undefined {
  for (const line of textLines(texts).reverse()) {
    const [, speaker = '', number, program, found] = LACKING.exec(line.slice(0, 400)) ?? []
    // Shells end with 127 for that, and with nothing else of these words.
    if (program && (exitCode === 127 || (found && (SHELL.test(speaker) || (speaker && number)))))
      return { program, line: line.trim() }
  }
  return undefined
}

/** What to do about a program that an image does not have; of a file, its interpreter may be what is not there. Pure. */
export const programFix = (program: string, where: string): string =>
  `correct its command ${where}, or use an image that has ${program}${program.includes('/') ? ', and the interpreter that its first line names' : ''}`

/** A line on which a message goes on: behind a bar or as a field of hclog's, an item of a list, a part of a request. */
const GOES_ON = /^\s+\|(?:\s|$)|^ {2}\w{1,30}=|^(?:URL: [A-Z]{3,7} \S|Code: \d{3}\b)/

/**
 * A text in which each message is one line, where programs write them on several: hashicorp/go-hclog puts the lines of
 * a value behind bars, hashicorp/vault/api the request and its status below "Error making API request.", and the errors
 * of others are items below a line that announces them. What is said below may not be told without what is above. Pure.
 */
export function wholeMessages(text: string): string {
  const lines: string[] = []
  let last = -1
  let inList = false
  for (const line of text.split('\n')) {
    const before = lines[last]
    const item = /^\s*\* \S/.test(line)
    const goesOn: boolean =
      before !== undefined && (GOES_ON.test(line) || (item && (inList || /:\s*$/.test(before))))
    if (goesOn) {
      lines.splice(last + 1)
      lines[last] = `${before!.trimEnd()} ${line.replace(/^\s*\|/, '').trim()}`.trimEnd()
    } else lines.push(line)
    if (line.trim() !== '') inList = goesOn && (item || inList)
    if (!goesOn && line.trim() !== '') last = lines.length - 1
  }
  return lines.join('\n')
}

/** A line of a structured log: `time=… level=error msg="…"`, or JSON. */
const STRUCTURED = /^\s*(?:\{\s{0,2}"\w|(?:time|ts|t|level|lvl|severity)=)/

const FIELD = /\b(\w{1,30})(?:=|": ?)("(?:[^"\\]|\\.)*"?|[^\s,{}[\]"]+)/g

/**
 * A field of a log whose values stand without quotes, as that of Ory's programs: up to the next field; of a `map[…]`
 * what its `message` says.
 */
const UNQUOTED =
  /\b(\w{1,30})=(?:map\[message:(.{1,600}?)\](?= \w{1,30}=|$)|((?!map\[)[^"\n]{1,600}?)(?= \w{1,30}=|$))/g

/** The fields of a structured line, as they are written. */
const fieldsOf = (line: string): [name: string, value: string][] =>
  /^\s*\{|="/.test(line)
    ? [...line.matchAll(FIELD)].map(([, name = '', value = '']) => [name, value])
    : [...line.slice(0, 4000).matchAll(UNQUOTED)].map(([, name = '', message, value = '']) => [
        name,
        message ?? value,
      ])

/**
 * What a line of a structured log says, without its time, its level and where in the program it was written: the
 * message and the error, and the files that its fields name. Any other line as it is. Pure.
 */
export function saidBy(line: string): string {
  if (!STRUCTURED.test(line)) return line
  const fields = fieldsOf(line).map(([name, value]) => ({
    name,
    value: value
      .replace(/^"|"$/g, '')
      .replaceAll(/\\[nrt]/g, ' ')
      .replaceAll(/\\(["\\/])/g, '$1')
      .trim(),
  }))
  const texts = (names: RegExp) =>
    fields.filter(({ name, value }) => names.test(name) && value !== '').map(({ value }) => value)
  const errors = texts(/^(error|err|errmsg|error_?message|exception|reason|cause)$/i)
  const [message = ''] = texts(/^(msg|message|event)$/i)
  const said = [...new Set([...(errors.some(each => each.includes(message)) ? [] : [message]), ...errors])]
  const text = said.filter(Boolean).join(': ')
  if (text === '') return line
  const files = fields.filter(
    ({ value }) => /^\/\w/.test(value) && !CODE.test(value) && !LINE.test(value) && !text.includes(value),
  )
  const named = files.map(({ name, value }) => `${name} ${value}`).join(', ')
  return named ? `${text} (${named})` : text
}

/** States of a program in a table or list of them that are not as they have to be: `Sealed  true`, `ready: false`. */
const BAD_STATE =
  /^\s*"?(?:(?:sealed|locked|degraded|failed|stopped|paused|suspended|stale|unhealthy|maintenance)"?\s{0,40}[:=|]?\s{0,40}"?(?:true|yes|on|1)|(?:ready|healthy|initiali[sz]ed|running|available|alive|connected|synced|active|online)"?\s{0,40}[:=|]?\s{0,40}"?(?:false|no|off|0))"?,?\s*$/i

/** What the command of a probe says of a failure: states that are bad, else the lines that speak of it. Pure. */
export function probeAnswer(text: string): string {
  const lines = text.slice(0, 20_000).trim().split('\n')
  const bad = lines.filter(line => BAD_STATE.test(line)).map(line => line.trim().replaceAll(/\s+/g, ' '))
  if (bad.length > 0) return short(bad.slice(0, 4).join(', '), 200)
  const kept = reasons(lines, ASIDE)
  const line = kept.length === 1 ? kept[0]! : failing(kept).at(-1)
  return short(line === undefined ? kept.map(each => each.trim()).join(' ') : saidBy(line.trim()), 200)
}

/** A line, with the next one of them if it announces that. */
export const withNext = (line: string, lines: readonly string[]) =>
  line.trimEnd().endsWith(':')
    ? `${line.trim()} ${lines[lines.indexOf(line) + 1]?.trim() ?? ''}`.trimEnd()
    : line.trim()

/** A line, or of a long one the part in which a pattern is: what says why may stand in its middle. */
export function around(line: string, pattern: RegExp, max = 200): string {
  const at = pattern.exec(line)?.index ?? 0
  if (line.length <= max || at < max / 2) return short(line, max)
  return short(`… ${line.slice(at - max / 4, at + max)}`, max)
}

/** A line by which a program only says that it ends, e.g. "[ERROR] Aborting", "exiting": the reason is above it. */
const ENDING =
  /registration as a \w[\w ]{0,30} failed|unsupported storage engine|init function returned error|^Installing of \w{1,40} failed|\b(abort(ing|ed)?|exit(ing|ed)?|shut(ting)? ?down|terminat(ing|ed)|stopp(ing|ed)|bye|giving up|--help|(initiali[sz]ation|start-?up) (has )?failed)\b/i

/** A line of a stack, of a shell that says each command, or by which npm and Node.js end: it says where, not why. */
export const FRAME =
  /^\++ |^\s*(code|errno|syscall|hostname|address|port): .{1,80},?$|^\s*(at .{1,200}(:(line )?\d+\)?|\))$|#\d+ |File ".{1,200}", line \d|goroutine \d|\S{1,200}\.go:\d|[\w./]{1,80}\(.{0,80}\)$|\.\.\. \d+ more|Node\.js v\d|npm (error|ERR!) (a complete log|code|errno|path|command|lifecycle|signal)\b)/i

/** A line in which a program explains its flags, or only reports what is as it should be; the rests of an object. */
const ASIDE =
  /^\s*(usage:|flags:|(available )?(commands|options):|-{1,2}[a-z][\w-]*(,? |=|$)|[\w-]{1,40} \[flags\]$)|"(s|level|severity|lvl)": ?"(i|d\d?|info|debug|trace|notice)"|\b(level|severity|lvl)=(info|debug|trace|notice)\b|^[ID]\d{4} \d\d:\d\d|\[(note|info|debug|system)\]|^[^a-z]*$/i

/** Lines without what a program says of its flags, which fills the end of its log: down to the next sentence. */
function withoutHelp(lines: readonly string[]): string[] {
  let isHelp = false
  return lines.filter(line => {
    if (/^usage\b/i.test(line)) isHelp = true
    else if (/^[^\s-]/.test(line) && !/^[A-Z][a-z ]{2,30}:$/.test(line)) isHelp = false
    return !isHelp
  })
}

/** Words by which a line speaks of a failure. */
const FAILING =
  /error(?![a-z])|fatal|panic|exception|fail|terminate called|cannot|can't|unable|(was|were|is|could)n['’]t|could not|denied|invalid|critical|refus|missing|illegal|timed? ?out|no such|\bmust\b|\bnot? (permitted|allowed|found|supported|available|such|defined|known|valid)/i

/** Whether a line says that something fails, and not only what it does. Pure. */
export const tellsFailure = (line: string): boolean => FAILING.test(line)

const WARNING = /\bwarn(ing)?\b|^W\d{4} /i

/** A line by which PostgreSQL explains the one above it. */
const EXPLAINING = /\b(DETAIL|STATEMENT|CONTEXT): /

/** The lines of several that say why something fails; those that say that it ends only where there is no other. */
function failing(lines: readonly string[]): string[] {
  const said = lines.filter(each => FAILING.test(each) && !EXPLAINING.test(each))
  const grave = said.filter(each => !WARNING.test(each))
  return grave.length > 0 ? grave : said
}

/** Lines without those of stacks, and whatever else is bare of reasons, as far as any is left. */
function reasons(all: readonly string[], ...others: readonly RegExp[]): string[] {
  const kept = all.filter(line => line.trim() !== '')
  for (const bare of [FRAME, ...others]) {
    const left = kept.filter(line => !bare.test(line))
    if (left.length > 0) kept.splice(0, kept.length, ...left)
  }
  return kept
}

/** The few lines of a log that tell the most, in their order: the last that speak of a failure, and the last. Pure. */
export function tellingTail(log: string, most: number): string[] {
  const all = withoutHelp(wholeMessages(log.trimEnd()).split('\n'))
  // What is said often is one line: times and numbers apart.
  const said = reasons(all, ASIDE)
  const kept = failing(said).length > 0 ? said : reasons(all)
  const lines = [...new Map(kept.map(line => [line.replace(/\d+/g, ''), line])).values()]
  // What came first may have brought about the rest.
  const wrong = failing(lines)
  const chosen = new Set([...wrong.slice(0, 2), ...wrong.slice(3 - most), ...lines.slice(-1)])
  for (const line of [...lines].reverse()) if (chosen.size < most) chosen.add(line)
  return lines.filter(line => chosen.has(line)).map(line => withNext(line, all))
}

/** The line of several that tells the most: the last that speaks of a failure, else the last. Pure. */
export function tellingLine(...texts: readonly string[]): string | undefined {
  const lines = reasons(texts.flatMap(text => wholeMessages(text).split('\n')))
  const says = (list: readonly string[]) => list.findLast(each => !ENDING.test(each)) ?? list.at(-1)
  const line = says(failing(lines)) ?? says(lines)
  return line === undefined ? undefined : short(saidBy(withNext(line, lines)), 200)
}

/** A line with the address of whoever asks a program, where the program is what is asked. */
const WITH_ASKER =
  /(?:\b(?:from|client[:=]|rip=|IP:|remote_(?:addr|ip)"?[=:])|\([\w@.+-]{1,80},)\s?"?\[?(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})\b/i
/** What whoever asks does wrong: scanners ask for any file, people mistake passwords, probes only connect. */
const MISTAKE =
  /password|authenticat|auth[ _]failed|invalid user|forbidden by rule|\(2: No such file or directory\)|handshake error from \S{1,60}: (?:EOF|.{0,120}connection reset by peer)/i
/** What is behind the program, and its front page. */
const NO_MISTAKE = /upstream|while connecting to|dial tcp|index\.\w{1,10}"/i
/** Words that say so without an address; and of a conflict, which every controller tries again. */
const BY_ASKER =
  /data from client|ClientAbort|\[preauth\]|error: kex_exchange_identification|(?:invalid length of|incomplete) startup packet|the object has been modified; please apply/

/** Whether a line is about what others do to a program that is ready, not about itself. */
const isOfAsker = (line: string) =>
  BY_ASKER.test(line) || (WITH_ASKER.test(line) && MISTAKE.test(line) && !NO_MISTAKE.test(line))

/** How often a failure is said that lasts: once or twice, a program has got over it. */
const OFTEN = 3
/** The part of a log, one of so many lines, that nobody overlooks who reads it. */
const MUCH = 5

/**
 * The failures that a log repeats, the most frequent first, and whether much of it consists of them: then they matter
 * whatever they say, and otherwise as far as their words are known. Pure.
 */
export function repeatedFailures(log: string): { lines: string[]; much: boolean } {
  const all = log.split('\n').filter(line => line.trim() !== '')
  const said = reasons(all, ASIDE).filter(
    line => FAILING.test(line) && !WARNING.test(line) && !isOfAsker(line),
  )
  const byForm = new Map<string, string[]>()
  for (const line of said) {
    const form = line.replace(/\b[0-9a-f]{8,}\b|\d+/gi, '')
    byForm.set(form, [...(byForm.get(form) ?? []), line])
  }
  const often = [...byForm.values()].filter(({ length }) => length >= OFTEN)
  const times = often.reduce((sum, { length }) => sum + length, 0)
  return {
    lines: often.sort((a, b) => b.length - a.length).map(lines => lines.at(-1)!),
    much: MUCH * times >= all.length,
  }
}
