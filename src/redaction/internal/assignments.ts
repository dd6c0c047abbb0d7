/**
 * Values whose name says that they are secret: `name = value` in the ways of programs, settings and data.
 */
import type { Detector, Report } from "./Detector.ts"
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

/** The longest name, and the longest value on one line, that are looked at. */
const maxName = 80
const maxValue = 16_384

const nameCharacter = /[A-Za-z0-9_$.\u00c0-\uffff-]/

const pattern = () =>
  new RegExp(
    `(?:${Names.hints.join("|")})[\\w$.-]{0,60}` +
      // The end of a quoted name, or of an index.
      "(\\\\{0,3}[\"'`]?\\]?)[ \\t]{0,20}" +
      // A type between the name and the value.
      "(?::[ \\t]{0,3}[&*]?[A-Za-z_][\\w.<>|&[\\]']{0,40}[ \\t]{0,3}(?==[^=>])|(?:string|text|str|varchar)[ \\t]{1,3}(?==))?" +
      "(=>|:=|\\?\\?=|\\|\\|=|\\?=|\\+=|=(?![=~>])|:(?!:)|,(?=\\s{0,3}\\\\?[\"'])|\\((?=[\"'`]))",
    "gi"
  )

/** How the value stands: in quotes, directly behind `=`, with a space between, or on lines of its own. */
type Form = "quoted" | "tight" | "loose" | "block"

interface Value {
  readonly start: number
  readonly end: number
  readonly form: Form
  /** Where the search goes on. */
  readonly next: number
  /** Whether nothing but the end of the line follows. */
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
  const start = text.lastIndexOf("\n", index - 1) + 1
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

/** How much of the lines of a value is looked at to see whether they are secret. */
const maxLook = 256

const holdsSecret = (lines: string): boolean =>
  lines.split("\n").some((line) => /^\s*\S{6,}\s*$/.test(line) && isMixed(line.trim()) && !isCode(line.trim()))

const heredocEnd = (text: string, from: number, mark: string): number => {
  const end = text.indexOf(`\n${mark}`, from - 1)
  return end < 0 ? text.length : Math.max(end, from)
}

const quotedEnd = (text: string, from: number, quote: string): number => {
  const isSingleLine = quote !== '"""' && quote !== "'''" && quote !== "`"
  const limit = Math.min(text.length, from + maxValue)
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
  const block = at(blockScalar, text, start) ?? at(heredoc, text, start)
  if (block !== null) {
    const from = start + block[0].length
    if (!holdsSecret(text.slice(from, from + maxLook))) return undefined
    const end =
      block[1] === undefined ? blockEnd(text, from, indentOf(text, nameStart)) : heredocEnd(text, from, block[1])
    return { start: from, end, form: "block", next: end, isLast: true }
  }
  const open = at(opening, text, start)
  if (open !== null) {
    const from = start + open[0].length
    const end = quotedEnd(text, from, open[1]!)
    return { start: from, end, form: "quoted", next: end, isLast: false }
  }
  const found = at(plain, text, start)
  if (found === null) return undefined
  const isQuery = /[?&]/.test(text[nameStart - 1] ?? "")
  const stop = found[0].search(isQuery ? /[&#;]/ : /;|\\[nr](?![\w]{0,3}\\)|\}\}/)
  const all = stop < 0 ? found[0] : found[0].slice(0, stop)
  const value = isCode(all) ? all : all.replace(/[,)\]}>]+:?$/, "")
  const end = start + value.length
  return {
    start,
    end,
    form: isTight && start === head ? "tight" : "loose",
    next: Math.max(end, head),
    isLast: isLineEnd(text, end)
  }
}

const scheme = /^(?:bearer|basic|token|digest|apikey|ssws|negotiate)\s{1,3}/i

/** What an argument or a field for a password is filled from. */
const isVariable = (value: string): boolean =>
  /^[A-Za-z_$][\w$]*$/.test(value) &&
  (/^(?:\w*_)?(?:\w*pass(?:word|wd|phrase)?\d?|pwd|pw|secret|token|value|val|key|str|string|input|data|text|arg|credentials?|creds)$/i.test(
    value
  ) ||
    (/^[a-z]+(?:[A-Z][a-z]+)+$/.test(value) && isIdentifier(value)))

/** A password that a person may have chosen. */
const isPassword = (value: string, { form, isLast }: Value, isSetting: boolean): boolean => {
  if (value.length < 3 || isSentence(value)) return false
  if (form === "quoted")
    return (
      !(isIdentifier(value) && !isMixed(value)) &&
      !(isSentenceWord(value) && !isSetting) &&
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

/** What a machine made. */
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
  // Another name and its value, which are looked at by themselves.
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
        whole.length >= 16 &&
        /^[\w+/=.~-]+$/.test(whole) &&
        !isPublicId(whole) &&
        isToken(whole, value, isSetting && value.form === "tight") &&
        (isRandom(whole) || isSetting)
      )
  }
}

const nameStartOf = (text: string, index: number): number => {
  let start = index
  while (start > 0 && index - start < maxName && nameCharacter.test(text[start - 1]!)) start--
  return start
}

let compiled: RegExp | undefined

const find = (text: string, report: Report): void => {
  compiled ??= pattern()
  compiled.lastIndex = 0
  for (let match = compiled.exec(text); match !== null; match = compiled.exec(text)) {
    const head = match.index + match[0].length
    const start = nameStartOf(text, match.index)
    const name = /^[\w$.-]*/.exec(text.slice(match.index, head))![0]
    const full = text.slice(start, match.index) + name
    const [, close = "", separator = ""] = match
    if (separator === "," && close === "") continue
    const kind = Names.kindOf(full.slice(-maxName))
    if (kind === undefined) continue
    if (
      separator === "(" &&
      !/(?:^|[.>])(?:set|with|add)?_?(?:\w*pass(?:word|wd|phrase)?|\w*secret|\w*token|api_?key)$/i.test(full)
    )
      continue
    const isTight = separator.endsWith("=") && text[head - separator.length - 1] !== " "
    const value = valueAt(text, head, start, isTight)
    if (value === undefined) continue
    const content = text.slice(value.start, Math.min(value.end, value.start + maxLook))
    if (isSecret(kind, content, value, Names.isSetting(full))) {
      const prefix = scheme.exec(content)?.[0].length ?? 0
      const isLong = value.end - value.start >= 60 && (value.form === "tight" || value.form === "loose")
      const end = isLong ? value.end + at(plainRest, text, value.end)![0].length : value.end
      report(value.start + prefix, end)
      compiled.lastIndex = Math.max(value.next, end, head)
    } else compiled.lastIndex = head
  }
}

export const detector: Detector = { id: "assignment", hints: Names.hints, find }
