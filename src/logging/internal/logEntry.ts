/**
 * Encodes a line of the log: one JSON object of a bounded length, whatever was logged.
 */
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Redaction from "../../redaction/Redaction.ts"

/** The output of `Logger.formatStructured`. */
export interface Entry {
  readonly level: string
  readonly timestamp: string
  readonly message: unknown
  readonly cause: string | undefined
  readonly annotations: Record<string, unknown>
  readonly spans: Record<string, number>
}

/** Characters that JSON leaves unescaped but a terminal or line reader interprets. */
const unsafe = /[\u007f-\u009f\u2028\u2029]/g

const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

const stringify = (value: unknown): string => Formatter.formatJson(value).replace(unsafe, escape)

const hasAny = (record: Record<string, unknown>): boolean => Object.keys(record).length > 0

const whole = ({ annotations, cause, level, message, spans, timestamp }: Entry) => ({
  time: timestamp,
  level,
  message,
  ...(hasAny(annotations) ? { annotations } : {}),
  ...(hasAny(spans) ? { spans } : {}),
  ...(cause === undefined ? {} : { cause })
})

const textOf = (value: unknown): string => (typeof value === "string" ? value : stringify(value))

/** Longer lines, in bytes, are truncated. */
const maxLineBytes = 8_192

/** Characters of each text of a truncated line: one needs up to 6 bytes as JSON. */
const maxTextLength = maxLineBytes / 24

const truncated = (value: unknown): string => Redaction.excerpt(textOf(value), maxTextLength)

/** The line with truncated texts, marked `cut`. */
const cut = ({ annotations, cause, level, message, timestamp }: Entry) => ({
  time: timestamp,
  level,
  message: truncated(message),
  ...(hasAny(annotations) ? { annotations: { cut: truncated(annotations) } } : {}),
  ...(cause === undefined ? {} : { cause: truncated(cause) }),
  cut: true
})

const parse = Option.liftThrowable((line: string): unknown => JSON.parse(line))

/**
 * A line without secrets. A secret is recognised best with the names around it; where its replacement breaks the JSON,
 * each text is redacted by itself.
 */
const redacted = (line: string): string => {
  const clean = Redaction.redact(line)
  return clean === line || Option.isSome(parse(clean))
    ? clean
    : JSON.stringify(
        JSON.parse(line, (_, value: unknown) => (typeof value === "string" ? Redaction.redact(value) : value))
      )
}

const fits = (line: string): boolean => Buffer.byteLength(line) <= maxLineBytes

/** Encodes a line without its newline and without secrets. */
export const encode = (entry: Entry): string => {
  const line = stringify(whole(entry))
  const clean = fits(line) ? redacted(line) : line
  return fits(clean) ? clean : redacted(stringify(cut(entry)))
}

/** Reports lines beyond the bound of the queue. */
export const dropped = (timestamp: string, count: number): string =>
  stringify({ time: timestamp, level: "WARN", message: `${count} log lines were dropped`, dropped: count })
