/**
 * The log of the daemon, in rotated files of a bounded size.
 *
 * A line is a JSON object: `time` (ISO, UTC), `level`, `message`, and if present `annotations`, `spans` (in
 * milliseconds) and `cause` (as text). `Redacted` values are `<redacted>`. Lines are queued in memory and written
 * together. A full `athena.log` becomes `athena.log.1`, that one `athena.log.2`, and so on; the oldest is deleted.
 *
 * Logging never fails and never waits for the disk. If the disk is full, or the folder can't be created, queued lines
 * wait for the next attempt; lines beyond the queue's bound are counted, and a line reports their number.
 *
 * **Gotchas**: the files have one writer, the holder of the daemon's lock. A second writer loses no line, but both may
 * rotate the same files.
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
 * An option is invalid; the message names it.
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
 * Name of the newest file.
 *
 * @category constants
 * @since 0.1.0
 */
export const filename = "athena.log"

/**
 * Default number of files, including the newest: 4.
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
  /** The folder of the files. Created, for its owner alone, if absent. */
  readonly folder: string
  /** Maximum size of a file in bytes, from 64 KiB to 1 GiB. 1 MiB when absent. */
  readonly maxBytes?: number | undefined
  /** Number of files, from 1 to 100. 4 when absent. */
  readonly files?: number | undefined
  /**
   * Maximum length of a line in bytes, from 512 to 65,536; a longer one is truncated and marked with `"cut":true`. 8
   * KiB when absent.
   */
  readonly maxLineBytes?: number | undefined
  /** Maximum number of queued lines, from 1 to 1,000,000. 1,000 when absent. */
  readonly maxQueued?: number | undefined
  /** Interval of writes, from 10 ms to 1 hour. 250 ms when absent. */
  readonly flushInterval?: Duration.Input | undefined
  /** Whether existing loggers remain. `false` when absent. */
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
  const flushInterval = Duration.fromInput(options.flushInterval ?? "250 millis")
  if (!Option.exists(flushInterval, Duration.between({ minimum: Duration.millis(10), maximum: Duration.hours(1) }))) {
    return yield* new InvalidLogFile({ detail: "LogFile: flushInterval must be a time from 10 ms to 1 hour" })
  }
  return {
    folder: options.folder,
    name: filename,
    maxBytes: yield* count("maxBytes", options.maxBytes, 1_048_576, 65_536, 1_073_741_824),
    files: yield* count("files", options.files, defaultFiles, 1, 100),
    maxLineBytes: yield* count("maxLineBytes", options.maxLineBytes, 8_192, 512, 65_536),
    maxQueued: yield* count("maxQueued", options.maxQueued, 1_000, 1, 1_000_000),
    flushInterval: Option.getOrThrow(flushInterval)
  }
})

/** A value can't be formatted, such as an object whose getter throws. */
const unformattable = "the logged value can't be formatted"

/**
 * Constructs a logger that writes into the files. Closing its scope writes the queued lines.
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
    const queued: Array<string> = []
    let dropped = 0

    /** Uninterruptible: a partly written group must not be written again. */
    const flush = Effect.gen(function* () {
      if (queued.length === 0 && dropped === 0) return
      const reported = dropped
      const notice = reported === 0 ? [] : [LogLine.dropped(DateTime.formatIso(yield* DateTime.now), reported)]
      const lines = [...queued, ...notice]
      const written = yield* append(lines)
      // Lines that arrived meanwhile are behind the written ones.
      queued.splice(0, Math.min(written, lines.length - notice.length))
      if (written === lines.length) dropped -= reported
    }).pipe(Effect.uninterruptible)

    yield* Effect.addFinalizer(() => flush)
    yield* Effect.sleep(settings.flushInterval).pipe(Effect.andThen(flush), Effect.forever, Effect.forkScoped)

    return Logger.make((options) => {
      if (queued.length >= settings.maxQueued) {
        dropped++
        return
      }
      const line = Result.try(() => LogLine.encode(Logger.formatStructured.log(options), settings.maxLineBytes))
      queued.push(
        Result.getOrElse(line, () =>
          LogLine.encode(
            {
              level: options.logLevel.toUpperCase(),
              timestamp: options.date.toISOString(),
              message: unformattable,
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
