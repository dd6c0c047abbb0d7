/**
 * What many processes have measured, kept in a folder, so that a report covers a session, a day, or every hook that ran.
 *
 * A process that ends writes one line into a file, which takes a fraction of a millisecond and waits for nobody. Whoever
 * reads the history merges the lines into `profile.db`, an SQLite file with a row an hour, session and operation. It is
 * bounded by age and by rows; the file of lines by size. Recording never fails and never holds a program up: what could
 * not be written is counted.
 *
 * Each process also times a small calibration kernel, which says how fast the machine was: `compare` divides by it, so that
 * a session in a slow hour compares with one in a fast hour.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Sqlite from "../sql/Sqlite.ts"
import * as Report from "./ProfileReport.ts"
import { Profiler } from "./Profiler.ts"
import * as Store from "./internal/historyStore.ts"
import * as Line from "./internal/profileRecord.ts"
import { CurrentReadings } from "./internal/processReadings.ts"
import * as Spool from "./internal/profileLog.ts"

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
 * Options of the history. One that is out of its bounds is a defect of the Layer that names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProfileHistoryOptions {
  /**
   * The folder of `profile.db` and of the lines that are not merged yet, at most 16 MiB. Where it does not exist nothing is
   * recorded, and there is nothing to read.
   */
  readonly folder: string
  /** How long a row is kept. From 1 hour; 30 days when absent. */
  readonly maxAge?: Duration.Input | undefined
  /** How many rows are kept, the newest; from 1 to 1,000,000; 20,000 when absent. A row takes some 1 KB. */
  readonly maxRows?: number | undefined
}

/**
 * Which processes a report covers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  /** From the hour of this moment on, in milliseconds since 1970. */
  readonly since?: number | undefined
  /** Up to and without the hour of this moment, in milliseconds since 1970. */
  readonly before?: number | undefined
  readonly session?: string | undefined
}

/**
 * What several processes measured together.
 *
 * @category models
 * @since 0.1.0
 */
export const History = Schema.Struct({
  processes: Schema.Int,
  sessions: Schema.Int,
  /** Lines, or files of them, that could not be read: of another version, or of a process that was killed while it wrote. */
  broken: Schema.Int,
  /** Lines that made room for newer ones before anybody read them. */
  dropped: Schema.Int,
  /** How long the calibration kernel took in these processes, in milliseconds. */
  kernel: Report.Distribution,
  /** How long calls took in units of the kernel beside them, by kind and name; off by 3.2 % at most. */
  relative: Schema.Record(Schema.String, Report.Distribution),
  report: Report.ProfileReport
})

/**
 * @category models
 * @since 0.1.0
 */
export type History = typeof History.Type

/**
 * Service that keeps profiles and reads them.
 *
 * @category services
 * @since 0.1.0
 */
export class ProfileHistory extends Context.Service<
  ProfileHistory,
  {
    /** Writes down what a process has measured, for once: what is written down again counts again. It never fails. */
    readonly record: (report: Report.ProfileReport, session?: string) => Effect.Effect<void>
    /** What the processes of a session, of a time, or all of them have measured. */
    readonly read: (filter?: Filter) => Effect.Effect<History, ProfileHistoryError>
    /** How many profiles this process could not write. */
    readonly lost: Effect.Effect<number>
  }
>()("athena-hooks/profiler/ProfileHistory") {}

interface Settings {
  readonly folder: string
  readonly maxAgeMs: number
  readonly maxRows: number
}

const resolve = (options: ProfileHistoryOptions): Effect.Effect<Settings> =>
  Effect.sync(() => {
    const { folder, maxRows = 20_000 } = options
    const maxAge = Duration.fromInput(options.maxAge ?? Duration.days(30))
    const maxAgeMs = Option.match(maxAge, { onNone: () => 0, onSome: Duration.toMillis })
    if (!(maxAgeMs >= 3_600_000)) throw new RangeError("ProfileHistory: maxAge must be a duration of an hour or more")
    if (!Number.isInteger(maxRows) || maxRows < 1 || maxRows > 1_000_000) {
      throw new RangeError(`ProfileHistory: maxRows is ${maxRows}; give a whole number from 1 to 1,000,000`)
    }
    return { folder, maxAgeMs, maxRows }
  })

/**
 * Opens the file for one use. It belongs to many processes that live for a moment, and to none of them for long.
 */
const withDatabase = <A>(
  settings: Settings,
  use: (sql: SqlClient.SqlClient) => Effect.Effect<A, SqlError>
): Effect.Effect<A, ProfileHistoryError> =>
  Effect.gen(function* () {
    const filename = `${settings.folder}/profile.db`
    yield* Spool.makePrivate(filename)
    const sql = yield* Sqlite.make({ filename, busyTimeout: "2 seconds" })
    yield* Store.prepare(sql)
    return yield* use(sql)
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.withTracerEnabled(false),
    Effect.mapError((cause) => new ProfileHistoryError({ cause }))
  )

/**
 * Constructs the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (options: ProfileHistoryOptions) => Effect.Effect<ProfileHistory["Service"]> = Effect.fnUntraced(
  function* (options) {
    const settings = yield* resolve(options)
    const readings = yield* CurrentReadings
    let lost = 0

    const mergeFile = (sql: SqlClient.SqlClient, name: string, now: number) =>
      Effect.gen(function* () {
        const file = yield* Spool.read(settings.folder, name)
        if (typeof file !== "string") yield* Store.merge(sql, file, now)
        return file
      }).pipe(sql.withTransaction)

    /** Merges the files that wait for it, and counts those that can't be read. */
    const mergeWaiting = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, now: number) {
      let unreadable = 0
      for (const name of yield* Spool.waiting(settings.folder)) {
        const file = yield* mergeFile(sql, name, now)
        if (typeof file !== "string") yield* Spool.remove(settings.folder, file)
        else if (file === "unreadable") unreadable++
      }
      return unreadable
    })

    // Lines are set aside by who could write to the database, and after those that wait, so that they do not pile up.
    const merge = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, now: number) {
      yield* mergeWaiting(sql, now)
      yield* sql.withTransaction(Spool.take(settings.folder))
      const unreadable = yield* mergeWaiting(sql, now)
      yield* Store.trim(sql, now - settings.maxAgeMs, now, settings.maxRows)
      return unreadable
    })

    return ProfileHistory.of({
      record: (report, session) =>
        Effect.sync(() => {
          if (!Line.write(settings.folder, report, session, readings.now)) lost++
        }),
      read: (filter = {}) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          !Spool.exists(settings.folder)
            ? Effect.succeed(Store.nothing)
            : withDatabase(settings, (sql) =>
                Effect.gen(function* () {
                  const unreadable = yield* merge(sql, now)
                  const history = yield* Store.read(sql, filter)
                  return { ...history, broken: history.broken + unreadable }
                })
              )
        ),
      lost: Effect.sync(() => lost)
    })
  }
)

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
 * // What the program measures is written down when it ends.
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
 * Writes down what the profiler has measured when the Layer ends.
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
 * One operation or statement in two histories.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  /** Kind and name. */
  readonly what: string
  readonly counts: readonly [number, number]
  /** Medians in milliseconds, as they were. */
  readonly medians: readonly [number, number]
  /** Median of the second by that of the first, each in units of the kernel beside it; off by 6.5 % at most. */
  readonly ratio: number
  /** Whether it differs by more than a tenth, with the differences of the machine's speed taken out. */
  readonly verdict: "slower" | "faster" | "same"
}

/** Half of the calls were faster than this, and at least so many calls are needed to say so. */
const minimum = 6

/** Histories of the same code differed by 4 % from each other, and the histograms add up to 6.5 %. */
const threshold = 1.1

/**
 * Compares two histories, by the median of each operation that ran 6 times or more in both; the largest change first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compare = (a: History, b: History): ReadonlyArray<Comparison> =>
  Object.entries(a.relative)
    .flatMap(([what, first]) => {
      const second = b.relative[what]
      if (second === undefined || first.count < minimum || second.count < minimum) return []
      if (first.p50 === null || second.p50 === null || first.p50 === 0) return []
      const ratio = second.p50 / first.p50
      const verdict = ratio > threshold ? "slower" : ratio < 1 / threshold ? "faster" : "same"
      const medians = [Store.medianOf(a.report, what), Store.medianOf(b.report, what)] as const
      return [{ what, counts: [first.count, second.count], medians, ratio, verdict } satisfies Comparison]
    })
    .toSorted((one, other) => Math.abs(Math.log(other.ratio)) - Math.abs(Math.log(one.ratio)))
