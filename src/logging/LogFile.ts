/**
 * The log of the daemon, in rotated files of a bounded size.
 *
 * A line is a JSON object: `time` (ISO, UTC), `level`, `message`, and if present `annotations`, `spans` (in
 * milliseconds) and `cause` (as text). `Redacted` values are `<redacted>`,
 * and secrets in texts are `[redacted]`. Lines are queued in memory and written
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
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { reader } from "../internal/options.ts"
import * as LogEntry from "./internal/logEntry.ts"
import * as LogWriter from "./LogWriter.ts"

/**
 * Name of the newest file.
 *
 * @category constants
 * @since 0.1.0
 */
export const filename = "athena.log"

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
  /** Whether existing loggers remain. `false` when absent. */
  readonly mergeWithExisting?: boolean | undefined
}

/** Maximum number of queued lines. */
const maxQueued = 1_000

const flushInterval = "250 millis"

const read = reader("LogFile")

const settingsOf = ({ files, folder, maxBytes }: LogFileOptions): LogWriter.WriterSettings => ({
  folder,
  name: filename,
  maxBytes: read.whole("maxBytes", maxBytes ?? 1_048_576, 65_536, 1_073_741_824),
  files: read.whole("files", files ?? 4, 1, 100)
})

/** A value can't be formatted, such as an object whose getter throws. */
const unformattable = "the logged value can't be formatted"

const unformattableEntry = ({ date, logLevel }: Logger.Options<unknown>): LogEntry.Entry => ({
  level: logLevel.toUpperCase(),
  timestamp: date.toISOString(),
  message: unformattable,
  cause: undefined,
  annotations: {},
  spans: {}
})

/**
 * Constructs a logger that writes into the files. Closing its scope writes the queued lines. An option out of its
 * bounds is a defect that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: LogFileOptions
): Effect.Effect<Logger.Logger<unknown, void>, never, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const append = yield* LogWriter.make(settingsOf(options))
    const queued: Array<string> = []
    let dropped = 0

    /** Uninterruptible: written lines must not be written again. */
    const flush = Effect.gen(function* () {
      if (queued.length === 0 && dropped === 0) return
      const reported = dropped
      const notice = reported === 0 ? [] : [LogEntry.dropped(DateTime.formatIso(yield* DateTime.now), reported)]
      const lines = [...queued, ...notice]
      const written = yield* append(lines)
      // Lines that arrived meanwhile are behind the written ones.
      queued.splice(0, Math.min(written, lines.length - notice.length))
      if (written === lines.length) dropped -= reported
    }).pipe(Effect.uninterruptible)

    yield* Effect.addFinalizer(() => flush)
    yield* Effect.delay(flush, flushInterval).pipe(Effect.forever, Effect.forkScoped)

    return Logger.make((options) => {
      if (queued.length >= maxQueued) dropped++
      else {
        const line = Result.try(() => LogEntry.encode(Logger.formatStructured.log(options)))
        queued.push(Result.getOrElse(line, () => LogEntry.encode(unformattableEntry(options))))
      }
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
export const layer = (options: LogFileOptions): Layer.Layer<never, never, FileSystem.FileSystem | Path.Path> =>
  Logger.layer([make(options)], { mergeWithExisting: options.mergeWithExisting ?? false })
