/**
 * Stores the measurements of many processes in a folder, so that a report can cover a session, a day, or every hook
 * that ran.
 *
 * A process appends one record to a log file when it ends, which takes a fraction of a millisecond and needs no lock. A
 * reader merges the records into `profile.db`, an SQLite file with one row per hour, session and operation. Age and row
 * count bound that file; size bounds the log. Recording never fails and never blocks the program: it counts the records
 * it could not write.
 *
 * Each process also times a small calibration kernel, which measures the current speed of the machine. `compare`
 * divides by it, so that a session in a slow hour is comparable with one in a fast hour.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Options from "../internal/options.ts"
import * as Sqlite from "../sql/Sqlite.ts"
import * as Report from "./ProfileReport.ts"
import { Profiler } from "./Profiler.ts"
import * as Store from "./internal/historyStore.ts"
import * as ProfileRecord from "./ProfileRecord.ts"
import { CurrentReadings } from "./internal/processReadings.ts"
import * as ProfileLog from "./internal/profileLog.ts"

/**
 * The history could not be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProfileHistoryError extends Schema.TaggedError<ProfileHistoryError>(
  "athena-hooks/profiler/ProfileHistoryError"
)("ProfileHistoryError", { cause: Schema.Defect() }) {
  override get message(): string {
    return "the history of profiles can't be read; move profile.db in its folder away to begin a new one"
  }
}

/**
 * Options of the history. One beyond its bounds is a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProfileHistoryOptions {
  /**
   * The folder of `profile.db` and of the log, which holds at most 16 MiB. If the folder does not exist, nothing is
   * recorded and the history is empty.
   */
  readonly folder: string
  /** The maximum age of a row. At least 1 hour; 30 days when absent. */
  readonly maxAge?: Duration.Input | undefined
  /** The maximum number of rows; the newest remain. From 1 to 1,000,000; 20,000 when absent. A row takes about 1 KB. */
  readonly maxRows?: number | undefined
}

/**
 * Service that stores and reads profiles.
 *
 * @category services
 * @since 0.1.0
 */
export class ProfileHistory extends Context.Service<
  ProfileHistory,
  {
    /**
     * Records the measurements of a process. Call it once: a second call with the same report counts twice. It never
     * fails.
     */
    readonly record: (report: Report.ProfileReport, session?: string) => Effect.Effect<void>
    /** Returns the merged measurements of a session, of a time range, or of all processes. */
    readonly read: (filter?: Report.HistoryFilter) => Effect.Effect<Report.History, ProfileHistoryError>
    /** The number of profiles that this process could not write. */
    readonly lost: Effect.Effect<number>
  }
>()("athena-hooks/profiler/ProfileHistory") {}

const check = Options.reader("ProfileHistory")

/** Throws an `InvalidOption`. */
const resolve = ({ folder, maxAge, maxRows }: ProfileHistoryOptions) => ({
  folder,
  maxAgeMs: check.duration("maxAge", maxAge ?? Duration.days(30), 3_600_000, Infinity),
  maxRows: check.whole("maxRows", maxRows ?? 20_000, 1, 1_000_000)
})

type Settings = ReturnType<typeof resolve>

/** Opens the file for one operation. Many short-lived processes share it, so none holds it open. */
const withDatabase = <A>(
  settings: Settings,
  use: (sql: SqlClient.SqlClient) => Effect.Effect<A, SqlError>
): Effect.Effect<A, ProfileHistoryError> =>
  Effect.gen(function* () {
    const filename = `${settings.folder}/profile.db`
    yield* ProfileLog.makePrivate(filename)
    const sql = yield* Sqlite.make({ filename, busyTimeout: "2 seconds" })
    yield* Store.prepare(sql)
    return yield* use(sql)
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.withTracerEnabled(false),
    Effect.mapError((cause) => new ProfileHistoryError({ cause }))
  )

const mergeFile = (folder: string, sql: SqlClient.SqlClient, name: string, now: number) =>
  Effect.gen(function* () {
    const file = yield* ProfileLog.read(folder, name)
    if (typeof file !== "string") yield* Store.merge(sql, file, now)
    return file
  }).pipe(sql.withTransaction)

/**
 * Constructs the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ProfileHistoryOptions): Effect.Effect<ProfileHistory["Service"]> =>
  Effect.suspend(() => fromSettings(resolve(options)))

const fromSettings = (settings: Settings): Effect.Effect<ProfileHistory["Service"]> =>
  Effect.gen(function* () {
    const readings = yield* CurrentReadings
    let lost = 0

    /** Merges the rotated files and counts the unreadable ones. */
    const mergeRotated = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, now: number) {
      let unreadable = 0
      for (const name of yield* ProfileLog.rotatedFiles(settings.folder)) {
        const file = yield* mergeFile(settings.folder, sql, name, now)
        if (typeof file !== "string") yield* ProfileLog.remove(settings.folder, file)
        else if (file === "unreadable") unreadable++
      }
      return unreadable
    })

    // Only a reader that can write to the database rotates the log, and only after merging earlier files, so that files
    // do not pile up.
    const merge = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, now: number) {
      yield* mergeRotated(sql, now)
      yield* sql.withTransaction(ProfileLog.rotate(settings.folder))
      const unreadable = yield* mergeRotated(sql, now)
      yield* Store.trim(sql, now - settings.maxAgeMs, now, settings.maxRows)
      return unreadable
    })

    return ProfileHistory.of({
      record: (report, session) =>
        Effect.sync(() => {
          if (!ProfileRecord.write(settings.folder, report, session, readings.now)) lost++
        }),
      read: (filter = {}) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          !ProfileLog.exists(settings.folder)
            ? Effect.succeed(Store.emptyHistory)
            : withDatabase(settings, (sql) =>
                Effect.gen(function* () {
                  const unreadable = yield* merge(sql, now)
                  const history = yield* Store.read(sql, filter)
                  return { ...history, unreadable: history.unreadable + unreadable }
                })
              )
        ),
      lost: Effect.sync(() => lost)
    })
  })

/**
 * Provides the history in a folder.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfileHistory from "athena-hooks/profiler/ProfileHistory"
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as Layer from "effect/Layer"
 *
 * // Records the program's measurements when it ends.
 * const Profiled = ProfileHistory.layerRecord({ session: "nightly" }).pipe(
 *   Layer.provide(ProfileHistory.layer({ folder: "profiles" })),
 *   Layer.provideMerge(Profiler.layer())
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ProfileHistoryOptions): Layer.Layer<ProfileHistory> =>
  Layer.effect(ProfileHistory, make(options))

/**
 * As `layer`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<ProfileHistoryOptions>
): Layer.Layer<ProfileHistory, Config.ConfigError> =>
  Layer.effect(ProfileHistory, Effect.flatMap(Options.fromConfig(config, resolve), fromSettings))

/**
 * Records the profiler's measurements when the Layer closes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRecord = (
  options: { readonly session?: string | undefined } = {}
): Layer.Layer<never, never, Profiler | ProfileHistory> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const profiler = yield* Profiler
      const history = yield* ProfileHistory
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(profiler.report, (report) => history.record(report, options.session))
      )
    })
  )

/**
 * Compares one operation or statement between two histories.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  /** Kind and name. */
  readonly operation: string
  readonly counts: readonly [number, number]
  /** The measured medians, in milliseconds. */
  readonly medians: readonly [number, number]
  /** The second median divided by the first, both in units of the calibration kernel. The error is at most 6.5 %. */
  readonly ratio: number
  /** Whether the ratio exceeds 10 % in either direction, after correction for machine speed. */
  readonly verdict: "slower" | "faster" | "same"
}

/** The sample size from which a median is reported. */
const minimum = 6

/** Histories of identical code differed by 4 %, and the histogram error adds up to 6.5 %. */
const threshold = 1.1

/**
 * Compares two histories by the median of each operation with at least 6 calls in both. The largest change comes first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compare = (a: Report.History, b: Report.History): ReadonlyArray<Comparison> =>
  Object.entries(a.normalised)
    .flatMap(([what, first]) => {
      const second = b.normalised[what]
      if (second === undefined || first.count < minimum || second.count < minimum) return []
      if (first.p50 === null || second.p50 === null || first.p50 === 0) return []
      const ratio = second.p50 / first.p50
      const verdict = ratio > threshold ? "slower" : ratio < 1 / threshold ? "faster" : "same"
      const medians = [Store.medianOf(a.report, what), Store.medianOf(b.report, what)] as const
      return [{ operation: what, counts: [first.count, second.count], medians, ratio, verdict } satisfies Comparison]
    })
    .toSorted((one, other) => Math.abs(Math.log(other.ratio)) - Math.abs(Math.log(one.ratio)))
