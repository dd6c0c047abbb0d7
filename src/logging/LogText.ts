/**
 * Formats the lines of the logs for a terminal.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Sanitize from "../internal/sanitize.ts"

/** A line of `athena.log`, or of `shim.log`, which has an event and a reason. Other lines are shown as they are. */
const Entry = Schema.Struct({
  time: Schema.Union([Schema.String, Schema.Finite]),
  level: Schema.optional(Schema.String),
  message: Schema.optional(Schema.Unknown),
  annotations: Schema.optional(Schema.Record(Schema.String, Schema.Unknown)),
  spans: Schema.optional(Schema.Record(Schema.String, Schema.Unknown)),
  cause: Schema.optional(Schema.String),
  event: Schema.optional(Schema.Unknown),
  reason: Schema.optional(Schema.Unknown)
})

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Entry))

export interface Line {
  /** The line as stored. */
  readonly raw: string
  /** `undefined` if the line is damaged. */
  readonly entry: typeof Entry.Type | undefined
}

export const parse = (raw: string): Line => ({ raw, entry: Option.getOrUndefined(decode(raw)) })

const levels = ["trace", "debug", "info", "warn", "error", "fatal"]

/** Lines of the shim have no level; all of them are problems. */
const levelOf = ({ entry }: Line): string => (entry?.level ?? "WARN").toUpperCase()

/** Whether the line has a level or a higher one. Damaged lines pass. */
export const isAtLeast = (line: Line, level: string): boolean => {
  const found = levels.indexOf(levelOf(line).toLowerCase())
  return found < 0 || found >= levels.indexOf(level)
}

const timeOf = ({ entry }: Line): DateTime.DateTime | undefined =>
  entry === undefined ? undefined : Option.getOrUndefined(DateTime.make(entry.time))

/** A line without a time has the time of the previous one. */
const timed = (lines: ReadonlyArray<Line>) => {
  let at = Number.NEGATIVE_INFINITY
  return lines.map((line) => {
    const own = timeOf(line)
    if (own !== undefined) at = DateTime.toEpochMillis(own)
    return { line, at }
  })
}

/** Merges two logs by time; lines of one log retain their order. */
export const merge = (a: ReadonlyArray<Line>, b: ReadonlyArray<Line>): ReadonlyArray<Line> =>
  [...timed(a), ...timed(b)].toSorted((x, y) => (x.at < y.at ? -1 : x.at > y.at ? 1 : 0)).map(({ line }) => line)

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** The line as JSON that is safe for a terminal; `undefined` if it is no JSON object. */
export const json = ({ raw }: Line): string | undefined => {
  const value = Option.getOrUndefined(decodeJson(raw))
  // JSON has control characters only inside strings, where each has an escape.
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Sanitize.escape(JSON.stringify(value))
    : undefined
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

/** Quoted if its end would be ambiguous. */
const valueOf = (value: unknown): string => {
  const text = textOf(value)
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : text
}

const pairs = (record: Readonly<Record<string, unknown>> | undefined): ReadonlyArray<string> =>
  Object.entries(record ?? {}).map(([key, value]) => `${key}=${valueOf(value)}`)

/** One line: time, level, message, and the rest as `key=value`. */
export const format = (line: Line): string => {
  const { entry } = line
  if (entry === undefined) return Sanitize.escape(line.raw)
  const isShim = entry.message === undefined && entry.reason !== undefined
  const time = timeOf(line)
  return Sanitize.escape(
    [
      time === undefined ? textOf(entry.time) : DateTime.formatIso(time),
      levelOf(line).padEnd(5),
      isShim ? `responded without the daemon: ${textOf(entry.reason)}` : textOf(entry.message ?? ""),
      ...pairs(entry.event === undefined ? undefined : { event: entry.event }),
      ...pairs(entry.annotations),
      ...pairs(entry.spans),
      ...pairs(entry.cause === undefined ? undefined : { cause: entry.cause })
    ].join(" ")
  )
}
