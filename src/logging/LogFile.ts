/**
 * The log of a process that stays, in files of a bounded size.
 *
 * A line is a JSON object: `time` (ISO, UTC), `level`, `message`, and where there are any `annotations`, `spans` (in
 * milliseconds) and `cause` (as text). It is one line whatever was logged; `Redacted` values are `<redacted>`. Lines wait
 * in memory and are written together. When the file is full it becomes `athena.log.1`, that one `athena.log.2`, and so on;
 * the oldest is dropped. Another process may write the same files at the same time.
 *
 * Logging never fails and never waits for the disk. Where the disk is full, or the folder can't be made, lines wait for
 * the next attempt; those for which there is no room are counted, and a line says how many there were.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as LogLine from "./internal/logEntry.ts"
import * as LogWriter from "./LogWriter.ts"

/**
 * An option can't be used. The message names it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLogFile extends Schema.TaggedError<InvalidLogFile>("athena-hooks/logging/LogFile/InvalidLogFile")(
  "InvalidLogFile",
  { detail: Schema.String }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The name of the newest file.
 *
 * @category constants
 * @since 0.1.0
 */
export const filename = "athena.log"

/**
 * How many files there are by default, the newest with them: 4.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultFiles = 4

/**
 * Options of the log.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogFileOptions {
  /** The folder of the files. It is made, for its owner alone, where it is not there. */
  readonly folder: string
  /** How large a file gets, in bytes, from 64 KiB to 1 GiB. 1 MiB when absent. */
  readonly maxBytes?: number | undefined
  /** How many files there are, from 1 to 100. 4 when absent. */
  readonly files?: number | undefined
  /** How long a line gets, in bytes, from 512 to 65,536; what is longer is cut and marked with `"cut":true`. 8 KiB when absent. */
  readonly maxLineBytes?: number | undefined
  /** How many lines wait to be written, from 1 to 1,000,000. 1,000 when absent. */
  readonly maxQueued?: number | undefined
  /** How often lines are written, from 10 ms to 1 hour. 250 ms when absent. */
  readonly flushInterval?: Duration.Input | undefined
  /** Whether the loggers that are there stay. `false` when absent. */
  readonly mergeWithExisting?: boolean | undefined
}

const count = (name: string, value: number | undefined, absent: number, minimum: number, maximum: number) => {
  const number = value ?? absent
  return Number.isInteger(number) && number >= minimum && number <= maximum
    ? Effect.succeed(number)
    : Effect.fail(
        new InvalidLogFile({ detail: `LogFile: ${name} must be a whole number from ${minimum} to ${maximum}` })
      )
}

const settingsOf = Effect.fnUntraced(function* (options: LogFileOptions) {
  const flushEvery = Duration.fromInput(options.flushInterval ?? "250 millis")
  if (!Option.exists(flushEvery, Duration.between({ minimum: Duration.millis(10), maximum: Duration.hours(1) }))) {
    return yield* new InvalidLogFile({ detail: "LogFile: flushEvery must be a time from 10 ms to 1 hour" })
  }
  return {
    folder: options.folder,
    name: filename,
    maxBytes: yield* count("maxBytes", options.maxBytes, 1_048_576, 65_536, 1_073_741_824),
    files: yield* count("files", options.files, defaultFiles, 1, 100),
    maxLineBytes: yield* count("maxLineBytes", options.maxLineBytes, 8_192, 512, 65_536),
    maxWaiting: yield* count("maxWaiting", options.maxQueued, 1_000, 1, 1_000_000),
    flushEvery: Option.getOrThrow(flushEvery)
  }
})

/** Something can't be put into words, such as an object whose getter throws. */
const unspeakable = "what was logged can't be written down"

/**
 * Constructs a logger that writes into the files until the scope closes, and then what is left.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: LogFileOptions
): Effect.Effect<Logger.Logger<unknown, void>, InvalidLogFile, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const settings = yield* settingsOf(options)
    const append = yield* LogWriter.make(settings)
    const waiting: Array<string> = []
    let dropped = 0

    /** One at a time, and to its end: what was written in part must not be written again. */
    const flush = Effect.gen(function* () {
      if (waiting.length === 0 && dropped === 0) return
      const told = dropped
      const notice = told === 0 ? [] : [LogLine.dropped(DateTime.formatIso(yield* DateTime.now), told)]
      const lines = [...waiting, ...notice]
      const written = yield* append(lines)
      // Lines came in meanwhile, behind those that were written.
      waiting.splice(0, Math.min(written, lines.length - notice.length))
      if (written === lines.length) dropped -= told
    }).pipe(Effect.uninterruptible)

    yield* Effect.addFinalizer(() => flush)
    yield* Effect.sleep(settings.flushEvery).pipe(Effect.andThen(flush), Effect.forever, Effect.forkScoped)

    return Logger.make((options) => {
      if (waiting.length >= settings.maxWaiting) {
        dropped++
        return
      }
      const line = Result.try(() => LogLine.encode(Logger.formatStructured.log(options), settings.maxLineBytes))
      waiting.push(
        Result.getOrElse(line, () =>
          LogLine.encode(
            {
              level: options.logLevel.toUpperCase(),
              timestamp: options.date.toISOString(),
              message: unspeakable,
              cause: undefined,
              annotations: {},
              spans: {}
            },
            settings.maxLineBytes
          )
        )
      )
    })
  })

/**
 * Provides a logger that writes into the files.
 *
 * **Example**
 *
 * ```ts
 * import * as LogFile from "athena-hooks/logging/LogFile"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.logInfo("started").pipe(
 *   Effect.annotateLogs({ port: 21_234 }),
 *   Effect.provide(LogFile.layer({ folder: "logs", maxBytes: 4 * 1_048_576 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: LogFileOptions): Layer.Layer<never, InvalidLogFile, FileSystem.FileSystem | Path.Path> =>
  Logger.layer([make(options)], { mergeWithExisting: options.mergeWithExisting ?? false })
