/**
 * Encodes a line of the log: one JSON object of a bounded length, whatever was logged.
 */
import * as Formatter from "effect/Formatter"
import { preview } from "../../internal/text.ts"

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

/** The longest prefix that fits as JSON. */
const fitting = (text: string, maxBytes: number): string => {
  // A character needs at least one byte.
  let cut = preview(text, maxBytes)
  while (cut.length > 1 && Buffer.byteLength(stringify(cut)) > maxBytes) cut = preview(cut, Math.ceil(cut.length / 2))
  return cut
}

/** Shares of a truncated line's texts; the rest is for the structure. */
const shares = { message: 0.4, cause: 0.25, annotations: 0.15 }

/** The line with truncated texts, marked `cut`. */
const cut = ({ annotations, cause, level, message, timestamp }: Entry, maxBytes: number) => ({
  time: timestamp,
  level,
  message: fitting(textOf(message), maxBytes * shares.message),
  ...(hasAny(annotations)
    ? { annotations: { cut: fitting(stringify(annotations), maxBytes * shares.annotations) } }
    : {}),
  ...(cause === undefined ? {} : { cause: fitting(cause, maxBytes * shares.cause) }),
  cut: true
})

/** Encodes a line without its newline. */
export const encode = (entry: Entry, maxBytes: number): string => {
  const line = stringify(whole(entry))
  return Buffer.byteLength(line) <= maxBytes ? line : stringify(cut(entry, maxBytes))
}

/** Reports lines beyond the bound of the queue. */
export const dropped = (timestamp: string, count: number): string =>
  stringify({ time: timestamp, level: "WARN", message: `${count} log lines were dropped`, dropped: count })
