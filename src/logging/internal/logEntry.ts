/**
 * A line of the log: one JSON object, whatever was logged, and never longer than it may be.
 */
import * as Formatter from "effect/Formatter"
import { preview } from "../../internal/text.ts"

/** What is logged, as `Logger.formatStructured` gives it. */
export interface Entry {
  readonly level: string
  readonly timestamp: string
  readonly message: unknown
  readonly cause: string | undefined
  readonly annotations: Record<string, unknown>
  readonly spans: Record<string, number>
}

/** What JSON leaves as it is and a terminal, or a reader of lines, takes for the end of a line or for an order. */
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

/** The beginning of a text that takes no more than so many bytes as JSON. */
const fitting = (text: string, maxBytes: number): string => {
  // A character takes a byte at least.
  let cut = preview(text, maxBytes)
  while (cut.length > 1 && Buffer.byteLength(stringify(cut)) > maxBytes) cut = preview(cut, Math.ceil(cut.length / 2))
  return cut
}

/** The parts of the space that a line which is too long gives to its texts; the rest is for what is around them. */
const shares = { message: 0.4, cause: 0.25, annotations: 0.15 }

/** The line with its texts cut, and marked so. */
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

/** The line, without the character that ends it. */
export const encode = (entry: Entry, maxBytes: number): string => {
  const line = stringify(whole(entry))
  return Buffer.byteLength(line) <= maxBytes ? line : stringify(cut(entry, maxBytes))
}

/** Says how many lines did not fit. */
export const dropped = (timestamp: string, count: number): string =>
  stringify({ time: timestamp, level: "WARN", message: `${count} lines of the log did not fit`, dropped: count })
