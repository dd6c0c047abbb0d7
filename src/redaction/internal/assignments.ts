/**
 * The detector of assignments: values whose name promises a secret, as in programs, settings and data. It visits each
 * separator once, looks back for the name and ahead for the value, both within bounds.
 */
import { lineEnd, type Report } from "./Detector.ts"
import * as Names from "./names.ts"
import {
  isCode,
  isIdentifier,
  isMixed,
  isPlaceholder,
  isPublicId,
  isRandom,
  isSentence,
  isSentenceWord
} from "./values.ts"

/** Bounds in UTF-16 units: of a name, of a value on one line, and of the part of a value that is classified. */
const maxName = 80
const maxValue = 16_384
const maxLook = 256

/** The lines at the beginning of a block of which one is the secret. */
const maxBlockLines = 4

/** The minimum length of the value of a name that may be the key of a map. */
const minKey = 16

/** The form of a value: quoted, directly after `=`, after a space, or on lines of its own. */
type Form = "quoted" | "tight" | "loose" | "block"

interface Value {
  readonly start: number
  readonly end: number
  readonly form: Form
  /** Finds the end of a value that extends beyond `end`. */
  readonly complete: () => number
  /** Whether the value ends its line. */
  readonly isLast: boolean
}

const blockScalar = /[|>][+-]?\d?[+-]?[ \t]{0,10}\r?\n/y
const heredoc = /<<[-~]?["']?([A-Za-z_]\w{0,30})["']?[ \t]{0,10}\r?\n/y
const opening = /(?:[bBrRuUfFlLN@$]{1,2}(?=["']))?("""|'''|\\{0,7}["'`])/y
const plain = /[^\s"'`]{1,64}/y
const plainRest = /[^\s"'`;]*/y
const space = /[ \t]{0,40}(?:\r?\n[ \t]{0,80}(?=\\?["']))?/y

const at = (expression: RegExp, text: string, index: number): RegExpExecArray | null => {
  expression.lastIndex = index
  return expression.exec(text)
}

const indentOf = (text: string, index: number): number => {
  const from = Math.max(0, index - maxName)
  const start = from + text.slice(from, index).lastIndexOf("\n") + 1
  let indent = start
  while (text[indent] === " " || text[indent] === "\t") indent++
  return indent - start
}

/** The lines that are indented further than the name. */
const blockEnd = (text: string, from: number, indent: number): number => {
  let end = from
  for (let line = from; line < text.length;) {
    const newline = text.indexOf("\n", line)
    const next = newline < 0 ? text.length : newline + 1
    const content = text.slice(line, Math.min(next, line + indent + 1))
    if (content.trim() !== "" && /\S/.test(content.slice(0, indent + 1))) break
    if (text.slice(line, next).trim() !== "") end = newline < 0 ? next : newline
    line = next
  }
  return end
}

/** Whether one of the first lines of a block is a secret. */
const holdsSecret = (lines: string): boolean =>
  lines
    .split("\n", maxBlockLines)
    .map((line) => line.trim())
    .some((line) => /^\S{6,}$/.test(line) && isMixed(line) && !isCode(line))

const heredocEnd = (text: string, from: number, mark: string): number => {
  const end = text.indexOf(`\n${mark}`, from - 1)
  return end < 0 ? text.length : Math.max(end, from)
}

const quotedEnd = (text: string, from: number, quote: string, maxLength: number): number => {
  const isSingleLine = quote !== '"""' && quote !== "'''" && quote !== "`"
  const limit = Math.min(text.length, from + maxLength)
  for (let index = from; index < limit; index++) {
    const character = text[index]
    if (character === "\n" && isSingleLine) return index
    if (text.startsWith(quote, index)) return index
    if (character === "\\" && quote.length === 1) index++
  }
  return limit
}

const isLineEnd = (text: string, index: number): boolean =>
  /^[ \t]*(?:$|\r?\n|\\n|["'`]\s*$|#|\/\/)/.test(text.slice(index, index + 12))

const valueAt = (text: string, head: number, nameStart: number, isTight: boolean): Value | undefined => {
  const start = head + (at(space, text, head)?.[0].length ?? 0)
  const first = text[start]
  if (first === "|" || first === ">" || first === "<") {
    const block = at(blockScalar, text, start) ?? at(heredoc, text, start)
    if (block !== null) {
      const from = start + block[0].length
      if (!holdsSecret(text.slice(from, from + maxLook))) return undefined
      const mark = block[1]
      return {
        start: from,
        end: Math.min(text.length, from + maxLook),
        form: "block",
        complete: () =>
          mark === undefined ? blockEnd(text, from, indentOf(text, nameStart)) : heredocEnd(text, from, mark),
        isLast: true
      }
    }
  }
  const open = at(opening, text, start)
  if (open !== null) {
    const from = start + open[0].length
    return {
      start: from,
      end: quotedEnd(text, from, open[1]!, maxLook),
      form: "quoted",
      complete: () => quotedEnd(text, from, open[1]!, maxValue),
      isLast: false
    }
  }
  const found = at(plain, text, start)
  if (found === null) return undefined
  const before = text[nameStart - 1]
  const isQuery = before === "?" || before === "&"
  const stop = found[0].search(isQuery ? /[&#;]/ : /;|\\[nr](?![\w]{0,3}\\)|\}\}/)
  const all = stop < 0 ? found[0] : found[0].slice(0, stop)
  const value = isCode(all) ? all : all.replace(/[,)\]}>]{1,64}:?$/, "")
  const end = start + value.length
  return {
    start,
    end,
    form: isTight && start === head ? "tight" : "loose",
    complete: () => (end - start >= 60 ? end + at(plainRest, text, end)![0].length : end),
    isLast: isLineEnd(text, end)
  }
}

const scheme = /^(?:bearer|basic|token|digest|apikey|ssws|negotiate)\s{1,3}/i

/** A variable or a parameter that holds a password. */
const isVariable = (value: string): boolean =>
  /^[A-Za-z_$][\w$]*$/.test(value) &&
  (/^(?:\w*_)?(?:\w*pass(?:word|wd|phrase)?\d?|pwd|pw|secret|token|value|val|key|str|string|input|data|text|arg|credentials?|creds)$/i.test(
    value
  ) ||
    (/^[a-z]+(?:[A-Z][a-z]+)+$/.test(value) && isIdentifier(value)))

/** A path of at least two words. */
const isPath = (value: string): boolean => /^(?:\.{0,2}|~)(?:\/[a-zA-Z_.-]+){2,}$/.test(value) && !isRandom(value)

/** A password that a person may have chosen. */
const isPassword = (value: string, { form, isLast }: Value, isSetting: boolean): boolean => {
  if (value.length < 3 || isSentence(value)) return false
  if (form === "quoted")
    return (
      !(isIdentifier(value) && !isMixed(value)) &&
      !(isSentenceWord(value) && !isSetting) &&
      !isPath(value) &&
      !/^[A-Z][a-z]+ [a-zA-Z ]*$/.test(value)
    )
  if (value.length < 4 && !isMixed(value)) return false
  if (form === "tight" && !isCode(value) && value.length >= 4) return isSetting || !isVariable(value)
  if (
    isCode(value) ||
    (isIdentifier(value) && !/[^\w$]/.test(value) && !(isMixed(value) && /\d[a-z]|[a-z]\d/i.test(value)))
  )
    return false
  if (/^\d{1,4}(?::\d{1,4})?:?$/.test(value)) return false
  if (isMixed(value)) return true
  if (form === "tight") return /^[\w.-]+$/.test(value) || isSetting
  return isLast && !isSentenceWord(value) && !/^[A-Z][a-z]+(?:[A-Z][a-z]+)*$/.test(value) && /^[\w-]{4,}$/.test(value)
}

/** A random token. */
const isToken = (value: string, { form }: Value, isSetting: boolean): boolean => {
  if (isSetting && form === "quoted" && value.length >= 8 && /\s/.test(value) && !isSentence(value)) return true
  if (value.length < 6 || /\s/.test(value.trim()) || /^[\d.,:_-]*$/.test(value)) return false
  if (isPublicId(value) && form === "loose") return false
  if (form !== "quoted" && isCode(value)) return false
  if (isIdentifier(value) && !isRandom(value) && !(isSetting && form === "tight" && !isVariable(value))) return false
  if (isRandom(value)) return true
  if (isSetting && form === "tight") return /^[\w+/=.~@!#%^&*-]{6,}$/.test(value) && !isSentenceWord(value)
  return (
    /\d/.test(value) &&
    /[a-z]/i.test(value) &&
    value.length >= 8 &&
    !/^[a-z]+[-_.]?v?\d{1,3}$/i.test(value) &&
    (form !== "loose" || value.length >= 12)
  )
}

const isSecret = (kind: Names.Kind, text: string, value: Value, isSetting: boolean): boolean => {
  const whole = text.replace(scheme, "")
  // A nested assignment has a separator of its own.
  if (/^(?:pass\w{0,6}|pwd|token|secret|key)[=:]/i.test(whole)) return false
  if (isPlaceholder(whole)) return false
  if (/-----BEGIN (?!CERT|PUBLIC)/.test(whole)) return true
  if (value.form === "block") return kind !== "key"
  switch (kind) {
    case "password":
      return isPassword(whole, value, isSetting)
    case "secret":
      return isToken(whole, value, isSetting)
    case "key":
      return (
        whole.length >= minKey &&
        /^[\w+/=.~-]+$/.test(whole) &&
        !isPublicId(whole) &&
        isToken(whole, value, isSetting && value.form === "tight") &&
        (isRandom(whole) || isSetting)
      )
  }
}

const isNameUnit = (unit: number): boolean =>
  (unit >= 97 && unit <= 122) ||
  (unit >= 65 && unit <= 90) ||
  (unit >= 48 && unit <= 57) ||
  unit === 95 ||
  unit === 36 ||
  unit === 45 ||
  unit === 46 ||
  unit >= 0xc0

const isSpace = (unit: number): boolean => unit === 32 || unit === 9

interface Name {
  readonly text: string
  readonly start: number
  readonly isQuoted: boolean
}

/** The name that ends before `end`, maybe quoted or an index: `name`, `"name"`, `\"name\"`, `["name"]`. */
const nameBefore = (text: string, end: number): Name | undefined => {
  let at = end
  const blank = Math.max(0, at - 20)
  while (at > blank && isSpace(text.charCodeAt(at - 1))) at--
  let isQuoted = false
  if (text.charCodeAt(at - 1) === 93) at--
  const unit = text.charCodeAt(at - 1)
  if (unit === 34 || unit === 39 || unit === 96) {
    at--
    isQuoted = true
    for (let escapes = 0; escapes < 3 && text.charCodeAt(at - 1) === 92; escapes++) at--
  }
  let start = at
  while (start > 0 && at - start < maxName && isNameUnit(text.charCodeAt(start - 1))) start--
  return start === at ? undefined : { text: text.slice(start, at), start, isQuoted }
}

/** The name before the type that ends before `end`: `name: Type`, `name string`. */
const nameBeforeType = (text: string, end: number): Name | undefined => {
  const line = text.slice(Math.max(0, end - maxName - 50), end)
  const type =
    /:[ \t]{0,3}[&*]?[A-Za-z_][\w.<>|&[\]']{0,40}[ \t]{0,3}$|[ \t](?:string|text|str|varchar)[ \t]{1,3}$/i.exec(line)
  return type === null ? undefined : nameBefore(text, end - line.length + type.index)
}

const setter = /(?:^|[.>])(?:set|with|add)?_?(?:\w*pass(?:word|wd|phrase)?|\w*secret|\w*token|api_?key)$/i

const quoteAhead = /\s{0,3}\\?["']/y

interface Separator {
  /** Where the separator and its value start. */
  readonly start: number
  readonly head: number
}

/** The separator of a name and a value at a unit, which is one of `=`, `:`, `,` and `(`. */
const separatorAt = (text: string, index: number): Separator | undefined => {
  const next = text[index + 1]
  const before = text[index - 1]
  switch (text[index]) {
    case "=": {
      if (next === "=" || next === "~" || before === "=" || before === "!" || before === "<" || before === ">") return
      let start = index
      while (index - start < 2 && ":?|+".includes(text[start - 1] ?? "x")) start--
      return { start, head: next === ">" ? index + 2 : index + 1 }
    }
    case ":":
      return next === ":" || next === "=" || before === ":" ? undefined : { start: index, head: index + 1 }
    case ",":
      return (before === '"' || before === "'" || before === "`") && at(quoteAhead, text, index + 1) !== null
        ? { start: index, head: index + 1 }
        : undefined
    case "(":
      return next === '"' || next === "'" || next === "`" ? { start: index, head: index + 1 } : undefined
  }
  return undefined
}

/**
 * The number of values that are classified in a text, as `attemptsOf`: beyond it each value of a secret name and the
 * rest of its line count as a secret.
 */
export const checksOf = (length: number): number => 512 + Math.floor(length / 128)

/** Whether the value at a position is too short for one of a name that may be the key of a map. */
const isShort = (text: string, head: number): boolean => {
  let at = head
  while (at < head + 3 && isSpace(text.charCodeAt(at))) at++
  const quote = text.charCodeAt(at)
  if (quote === 92 || quote === 10 || quote === 13) return false
  if (quote === 34 || quote === 39 || quote === 96) at++
  for (let end = at; end < at + minKey; end++) {
    const unit = text.charCodeAt(end)
    if (unit <= 32 || unit === 34 || unit === 39 || end >= text.length) return true
  }
  return false
}

const maxNames = 256

/** Finds the assigned secrets of a text, and returns the number of values classified. */
export const find = (text: string, report: Report): number => {
  const limit = checksOf(text.length)
  const kinds = new Map<string, Names.Kind | undefined>()
  const kindOf = (name: string): Names.Kind | undefined => {
    if (kinds.has(name)) return kinds.get(name)
    const kind = Names.kindOf(name)
    if (kinds.size < maxNames) kinds.set(name, kind)
    return kind
  }
  let checks = 0
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit !== 61 && unit !== 58 && unit !== 44 && unit !== 40) continue
    const separator = separatorAt(text, index)
    if (separator === undefined) continue
    const { head, start } = separator
    let name = nameBefore(text, start)
    let kind = name === undefined ? undefined : kindOf(name.text)
    if (kind === undefined && unit === 61) {
      name = nameBeforeType(text, start)
      kind = name === undefined ? undefined : kindOf(name.text)
    }
    // The colon belongs to a quoted text, as in `print("password:", value)`.
    const around = name === undefined || name.isQuoted ? undefined : text[name.start - 1]
    if (around !== undefined && (around === '"' || around === "'") && around === text[head]) continue
    if (name === undefined || kind === undefined || (unit === 40 && !setter.test(name.text))) continue
    if (kind === "key" && isShort(text, head)) continue
    const value = valueAt(
      text,
      head,
      name.start,
      unit === 61 && text[head - 1] === "=" && !isSpace(text.charCodeAt(start - 1))
    )
    if (value === undefined || value.end === value.start) continue
    if (checks === limit) {
      const end = lineEnd(text, value.start)
      report(value.start, end)
      index = Math.max(end, head) - 1
      continue
    }
    checks++
    const content = text.slice(value.start, Math.min(value.end, value.start + maxLook))
    if (isSecret(kind, content, value, Names.isSetting(name.text))) {
      const prefix = scheme.exec(content)?.[0].length ?? 0
      const end = value.complete()
      report(value.start + prefix, end)
      index = Math.max(end, head) - 1
    }
  }
  return checks
}
