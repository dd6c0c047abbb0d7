/**
 * Keeps the memory from growing for ever: the oldest events go when they are too old, and when there are too many.
 *
 * Events are deleted in short transactions with pauses between them, so that a hook which writes at the same time waits
 * for one of them at most; they take a few milliseconds each. What sessions were shown of what is gone goes as well, and
 * so do old sessions that have no event left. Projects and goals stay. Then, in steps as short, the full-text index is
 * merged where much was deleted, and free pages go back to the disk.
 *
 * Everything here can be interrupted, or killed, between any two steps: what was deleted is deleted, and the next run
 * goes on. Two that prune at once do no harm. Events that wait in a spool are not looked at.
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `ATHENA_KEEP_DAYS` | how old an event may get, in whole days from 1 to 36500, or `forever` | 365; on Postgres `forever` |
 * | `ATHENA_MAX_MB` | how large the embedded database may get, in megabytes from 16 to 1000000, or `unlimited` | 1024 |
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import { retryWhileLocked } from "../internal/lockRetry.ts"
import * as SqliteSpace from "../sql/SqliteSpace.ts"
import * as FullTextMerge from "./internal/fullTextMerge.ts"
import * as Batches from "./internal/batches.ts"
import * as Queries from "./queries/Retention.ts"

/**
 * The policy can't be used. The message names the option.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>("athena-hooks/memory/Retention/InvalidPolicy")(
  "InvalidPolicy",
  { detail: Schema.String }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * How old an event gets by default: 365 days.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMaxAge: Duration.Duration = Duration.days(365)

/**
 * How large the embedded database gets by default, in bytes: 1 GiB.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultMaxBytes: number = 1024 * 1_048_576

/** The part of `maxBytes` that is left when there was too much, so that it is not too much again at once. */
const sizeTarget = 0.9

const day = 86_400_000

/** The shortest age, and the smallest size. */
const minMaxAge = Duration.millis(day)
const minBytes = 16 * 1_048_576

/**
 * What retention preserves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** How old an event may get, see `PolicyOptions`; infinite where age does not matter. */
  readonly maxAge: Duration.Duration
  /** How much of the embedded database may be in use, in bytes; infinite where size does not matter. */
  readonly maxBytes: number
}

/**
 * Options of a policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  /**
   * How old an event may get: 1 day or more, `Infinity` for ever. It is counted from the earliest of now, the clock of the
   * Postgres server, and a day after the newest event; events in the future count as now. A clock that is set far ahead
   * does not delete everything: where no event is stored for 30 days, those after the gap move the time only when they are
   * of 7 different days. 365 days when absent.
   */
  readonly maxAge?: Duration.Input | undefined
  /**
   * How much of the embedded database may be in use, in bytes: 16 MiB or more, `Infinity` without a limit. Where it is
   * more, the oldest events go until it is 90 % of this. A Postgres server is not measured. 1 GiB when absent.
   */
  readonly maxBytes?: number | undefined
}

/**
 * Constructs a policy.
 *
 * **Example**
 *
 * ```ts
 * import * as Retention from "athena-hooks/memory/Retention"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function* () {
 *   const policy = yield* Retention.policy({ maxAge: "90 days" })
 *   const { events } = yield* Retention.prune(policy)
 *   yield* Effect.log(`${events} events are gone`)
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const policy = (options: PolicyOptions = {}): Effect.Effect<Policy, InvalidPolicy> => {
  const maxAge = Duration.fromInput(options.maxAge ?? defaultMaxAge)
  const maxBytes = options.maxBytes ?? defaultMaxBytes
  if (Option.isNone(maxAge) || Duration.isLessThan(maxAge.value, minMaxAge)) {
    return Effect.fail(new InvalidPolicy({ detail: "Retention: maxAge must be a duration of 1 day or more" }))
  }
  if (!(maxBytes >= minBytes)) {
    return Effect.fail(new InvalidPolicy({ detail: `Retention: maxBytes must be ${minBytes} bytes or more` }))
  }
  return Effect.succeed({ maxAge: maxAge.value, maxBytes })
}

/** A whole number in a variable, or the word for no bound. */
const bound = (name: string, unit: string, minimum: number, maximum: number, none: string) =>
  Effect.flatMap(Config.option(Config.String(name)), (value) => {
    const text = Option.getOrElse(value, () => "").trim()
    if (text === "") return Effect.succeedNone
    if (text === none) return Effect.succeedSome(Number.POSITIVE_INFINITY)
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    return number >= minimum && number <= maximum
      ? Effect.succeedSome(number)
      : Effect.fail(
          new Database.InvalidSettings({
            detail: `${name} must be a whole number of ${unit} from ${minimum} to ${maximum}, or ${none}`
          })
        )
  })

/**
 * Reads the policy for a database from the configuration. A Postgres server, which others may share, keeps everything
 * unless `ATHENA_KEEP_DAYS` says otherwise.
 *
 * @category config
 * @since 0.1.0
 */
export const policyConfig = (
  settings: Database.Settings
): Effect.Effect<Policy, Database.InvalidSettings | Config.ConfigError> =>
  Effect.gen(function* () {
    const days = yield* bound("ATHENA_KEEP_DAYS", "days", 1, 36_500, "forever")
    const megabytes = yield* bound("ATHENA_MAX_MB", "megabytes", 16, 1_000_000, "unlimited")
    const isEmbedded = settings._tag === "Embedded"
    const defaultAge = isEmbedded ? defaultMaxAge : Duration.infinity
    return {
      maxAge: Option.match(days, {
        onNone: () => defaultAge,
        onSome: (days) => Duration.times(Duration.days(1), days)
      }),
      maxBytes: Option.match(megabytes, {
        onNone: () => (isEmbedded ? defaultMaxBytes : Number.POSITIVE_INFINITY),
        onSome: (megabytes) => (isEmbedded ? megabytes * 1_048_576 : Number.POSITIVE_INFINITY)
      })
    }
  })

/** Without an event for longer than this, the clock may have jumped instead: then what comes after must prove itself. */
const clockJumpGap = 30 * day

/** On how many days there must be events after such a gap, so that the clock is believed. */
const confirmingDays = 7

/** Gaps that are looked over: what is before more of them is not older than the policy knows. */
const maxSteps = 200

/**
 * The latest time that events prove: that of the newest one which is not in the future, unless there are only a few days
 * with events behind a long gap. A clock that is set far ahead leaves such events, and they prove nothing.
 */
const confirmedTime = Effect.fnUntraced(function* (now: number) {
  const executor = yield* QueryExecutor
  let proven = yield* executor.query(Queries.newest, { before: now + 1 })
  let days = 1
  for (let at = proven, step = 0; at !== null && days < confirmingDays && step < maxSteps; step++, days++) {
    const before: number | null = yield* executor.query(Queries.newest, { before: at - (at % day) })
    if (before === null) break
    if (at - before > clockJumpGap) {
      proven = before
      days = 0
    }
    at = before
  }
  return proven
})

/** From which time ages are counted, and whether this host's clock is more than a day ahead of it. */
const reference = Effect.gen(function* () {
  const own = yield* Clock.currentTimeMillis
  const server = yield* (yield* QueryExecutor).query(Queries.serverNow, {})
  const now = Math.min(own, Math.floor(server ?? own))
  const proven = yield* confirmedTime(now)
  const newest = yield* (yield* QueryExecutor).query(Queries.newest, { before: now + 1 })
  const from = proven === null ? now : Math.min(now, proven + day)
  return { from, doubted: own - now > day || proven !== newest }
})

interface Cutoff {
  /** Before which time events are too old, in milliseconds since 1970. */
  readonly before: number
  readonly from: number
  readonly isClockAhead: boolean
}

/** Nothing where no event is ever too old. */
const cutoffOf = Effect.fnUntraced(function* ({ maxAge }: Policy) {
  if (!Duration.isFinite(maxAge)) return undefined
  const { doubted, from } = yield* reference
  return {
    before: Math.floor(from - Duration.toMillis(maxAge)),
    from,
    isClockAhead: doubted
  } satisfies Cutoff as Cutoff
})

/** How full the embedded database is; nothing for a server. */
const space: Effect.Effect<SqliteSpace.Space | undefined, SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    sql.onDialectOrElse({
      sqlite: () => retryWhileLocked(SqliteSpace.read),
      orElse: () => Effect.undefined
    })
)

/**
 * What pruning would do now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  /** How many events there are. */
  readonly events: number
  /** When the oldest of them happened. */
  readonly oldest: DateTime.Utc | undefined
  /** How many are too old. */
  readonly expired: number
  /** About how many more go because the database is too large. */
  readonly surplus: number
  /** About how much of the embedded database they use, in bytes. */
  readonly bytes: number | undefined
  /** How full the embedded database is. */
  readonly space: SqliteSpace.Space | undefined
  /** From which time ages are counted, where this host's clock is not believed, see `PolicyOptions`. */
  readonly countedFrom: DateTime.Utc | undefined
}

/** About how many events must go so that the rest takes no more than the target. */
const surplusEvents = (events: number, live: number, maxBytes: number): number =>
  live > maxBytes ? Math.ceil(events * (1 - (maxBytes * sizeTarget) / live)) : 0

/**
 * What pruning would do now. It counts the events, so it takes about 70 ms with 1,000,000 of them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const plan = (policy: Policy): Effect.Effect<Plan, QueryError, QueryExecutor | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const cutoff = yield* cutoffOf(policy)
    const counts = yield* executor.query(Queries.count, { before: cutoff?.before ?? Number.MIN_SAFE_INTEGER })
    const [first] = yield* executor.query(Queries.oldest, {})
    const found = yield* space
    const surplus =
      found === undefined ? 0 : Math.max(0, surplusEvents(counts.events, found.live, policy.maxBytes) - counts.before)
    return {
      events: counts.events,
      oldest: first === undefined ? undefined : Option.getOrUndefined(DateTime.make(first.at)),
      expired: counts.before,
      surplus,
      bytes:
        found === undefined
          ? undefined
          : Math.round((found.live * (counts.before + surplus)) / Math.max(1, counts.events)),
      space: found,
      countedFrom: cutoff?.isClockAhead === true ? DateTime.makeUnsafe(cutoff.from) : undefined
    }
  })

/**
 * What pruning did.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pruned {
  /** How many events were deleted. */
  readonly events: number
  /** How many old sessions without an event were deleted. */
  readonly sessions: number
  /** How many notes that a session was shown a memory were deleted. */
  readonly injections: number
  /** How much went back to the disk, in bytes. */
  readonly bytes: number
}

/** How many events were deleted to keep the memory within its bounds. */
const deletedEvents = Metric.counter("athena_retention_events", {
  description: "How many events were deleted because they were too old or too many",
  incremental: true
})

/** Deletes what is older than a time, project by project, until that is all or it is enough. */
const deleteBefore = <E, R>(batches: Batches.Batches, before: number, isEnough: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    let events = 0
    for (const { at, projectId } of yield* executor.query(Queries.oldest, {})) {
      if (at >= before) break
      for (let isMore = true; isMore;) {
        if (yield* isEnough) return events
        const limit = batches.size
        const deleted = yield* Batches.run(
          batches,
          Effect.tap(executor.mutate(Queries.deleteEvents, { projectId, before, limit }), (deleted) =>
            Metric.update(deletedEvents, deleted)
          )
        )
        events += deleted
        isMore = deleted === limit
      }
    }
    return events
  })

/** Merges the full-text index, a step after the other. */
const mergeIndex = Effect.fnUntraced(function* (batches: Batches.Batches) {
  for (let isFirst = true; yield* retryWhileLocked(Batches.run(batches, FullTextMerge.step(isFirst))); isFirst = false);
})

/**
 * Deletes the oldest events until that is all or it is enough: of a day's, projects lose theirs one after the other; of the
 * days, the oldest comes first.
 */
const deleteOldest = <E, R>(batches: Batches.Batches, isEnough: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    let events = 0
    for (;;) {
      const [first] = yield* executor.query(Queries.oldest, {})
      if (first === undefined) return events
      const deleted = yield* deleteBefore(batches, first.at + day, isEnough)
      // It is enough, or what is left is another's who has it locked.
      if (deleted === 0) return events
      events += deleted
    }
  })

/**
 * The part of what is too much that is deleted before the full-text index is merged, which gives the rest or some of it:
 * deleting alone makes the index larger.
 */
const beforeMerge = 0.6

/** How near to the target is near enough. */
const tolerance = 1.02

const isLarger = (bytes: number) => Effect.map(space, (space) => space !== undefined && space.live > bytes)

/** Deletes the oldest events of a database that is too large. */
const deleteSurplus = (batches: Batches.Batches, { maxBytes }: Policy) =>
  Effect.gen(function* () {
    const target = maxBytes * sizeTarget
    let events = 0
    if (!(yield* isLarger(maxBytes))) return events
    for (;;) {
      const found = yield* space
      if (found === undefined || found.live <= target * tolerance) return events
      const next = found.live - (found.live - target) * beforeMerge
      const deleted = yield* deleteOldest(
        batches,
        Effect.map(isLarger(next), (isLarger) => !isLarger)
      )
      if (deleted === 0) return events
      events += deleted
      yield* mergeIndex(batches)
    }
  })

/** Forgets that memories which are gone were shown. */
const deleteOrphanedInjections = Effect.gen(function* () {
  const executor = yield* QueryExecutor
  const limit = Queries.maxBatch
  let injections = 0
  for (let after = { sessionId: "", memoryId: 0 }; ;) {
    const { orphaned, last } = yield* executor.query(Queries.orphanedInjections, { after, limit })
    if (last === null) return injections
    if (orphaned > 0) injections += yield* executor.mutate(Queries.deleteOrphanedInjections, { after, upTo: last })
    after = last
    yield* Effect.yieldNow
  }
})

/** Before which time there is no event any more: a session that began earlier and has none had all of its own pruned. */
const emptyBefore = (cutoff: number | undefined, isSurplusDeleted: boolean) =>
  Effect.gen(function* () {
    if (!isSurplusDeleted) return cutoff
    const [first] = yield* (yield* QueryExecutor).query(Queries.oldest, {})
    return first === undefined ? cutoff : Math.max(first.at, cutoff ?? first.at)
  })

/** Deletes the sessions from before a time that have no event left. */
const deleteEmptySessions = (before: number | undefined) =>
  Effect.gen(function* () {
    if (before === undefined) return 0
    const executor = yield* QueryExecutor
    const limit = Queries.maxBatch
    let sessions = 0
    for (let after = ""; ;) {
      const { empty, last } = yield* executor.query(Queries.emptySessions, { after, before, limit })
      if (last === null) return sessions
      if (empty > 0) sessions += yield* executor.mutate(Queries.deleteSessions, { after, upTo: last, before })
      after = last
      yield* Effect.yieldNow
    }
  })

/** The part of the events that must have gone for the full-text index, all of it, to be written anew. */
const mergeFrom = 0.05

/** Merges the full-text index where much of it stands for what is gone. */
const mergeAfter = (batches: Batches.Batches, deleted: number) =>
  Effect.gen(function* () {
    if (deleted === 0) return
    const sql = yield* SqlClient.SqlClient
    const rows = yield* retryWhileLocked(sql<{ span: number | null }>`SELECT
      (SELECT max(id) FROM episodic_events) - (SELECT min(id) FROM episodic_events) AS span`)
    if (deleted > (rows[0]?.span ?? 0) * mergeFrom) yield* mergeIndex(batches)
  })

/** What stays free inside the file, for what is written next, in bytes. */
const reserve = 1_048_576

/** How many pages go back to the disk at once. */
const stepPages = 64

/** Gives what is free back to the disk, but for the reserve. */
const releaseFreePages = (batches: Batches.Batches) =>
  Effect.gen(function* () {
    let bytes = 0
    for (;;) {
      const { free, isIncremental, pageSize } = yield* retryWhileLocked(SqliteSpace.read)
      const pages = Math.min(stepPages, Math.floor((free - reserve) / pageSize))
      if (!isIncremental || pages <= 0) return bytes
      const given = yield* retryWhileLocked(Batches.run(batches, SqliteSpace.incrementalVacuum(pages)))
      // Another process has taken what was free.
      if (given <= 0) return bytes
      bytes += given
    }
  })

/**
 * Deletes what a policy does not keep, and says what that was. A transaction deletes at most 1,000 events, fewer where they
 * take longer than a few milliseconds, and takes a third of the time at most: the rest belongs to others. About 25 us an
 * event in the embedded database, without the pauses.
 *
 * Fails where the database does, such as when another process holds the lock for too long; what was deleted stays so.
 *
 * @category combinators
 * @since 0.1.0
 */
export const prune = (policy: Policy): Effect.Effect<Pruned, QueryError, QueryExecutor | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const batches = Batches.make(Queries.maxBatch)
    const cutoff = yield* cutoffOf(policy)
    if (cutoff?.isClockAhead === true) {
      const from = DateTime.formatIso(DateTime.makeUnsafe(cutoff.from))
      yield* Effect.logWarning(`the clock is far ahead of what was stored before: ages are counted from ${from}`)
    }
    const aged = cutoff === undefined ? 0 : yield* deleteBefore(batches, cutoff.before, Effect.succeed(false))
    const isEmbedded = (yield* space) !== undefined
    if (isEmbedded) yield* mergeAfter(batches, aged)
    const surplusEvents = isEmbedded ? yield* deleteSurplus(batches, policy) : 0
    const injections = yield* deleteOrphanedInjections
    const sessions = yield* deleteEmptySessions(yield* emptyBefore(cutoff?.before, surplusEvents > 0))
    return {
      events: aged + surplusEvents,
      sessions,
      injections,
      bytes: isEmbedded ? yield* releaseFreePages(batches) : 0
    }
  }).pipe(Effect.withSpan("Retention.prune"))

/**
 * How often a process that stays prunes.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  /** How long from one time to the next, give or take a fifth; at least a minute. 6 hours when absent. */
  readonly every?: Duration.Input | undefined
}

const isIdle = ({ bytes, events, injections, sessions }: Pruned): boolean =>
  bytes + events + sessions + injections === 0

const spaced = (duration: Duration.Duration) => Schedule.jittered(Schedule.spaced(duration))

/** How long it waits after an attempt that failed. */
const retryAfter = Duration.minutes(5)

/** Prunes once, and says what it did or why it could not. */
const attempt = (policy: Policy) =>
  prune(policy).pipe(
    Effect.flatMap((pruned) =>
      isIdle(pruned) ? Effect.void : Effect.logInfo("pruned the memory").pipe(Effect.annotateLogs({ ...pruned }))
    ),
    Effect.sandbox,
    Effect.tapError((cause) => Effect.logWarning("the memory could not be pruned", cause)),
    Effect.annotateLogs({ module: "Retention" })
  )

/**
 * Prunes a minute from now, and then again and again. It never fails: what goes wrong is logged, and tried again some
 * minutes later. What was pruned is logged, and counted by the metric `athena_retention_events`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = (
  policy: Policy,
  options: RunOptions = {}
): Effect.Effect<never, never, QueryExecutor | SqlClient.SqlClient> => {
  const every = Duration.max(Duration.fromInputUnsafe(options.every ?? "6 hours"), Duration.minutes(1))
  return Effect.sleep("1 minute").pipe(
    Effect.andThen(Effect.retry(attempt(policy), spaced(Duration.min(every, retryAfter)))),
    Effect.repeat(spaced(every)),
    Effect.orDie,
    Effect.andThen(Effect.never)
  )
}
