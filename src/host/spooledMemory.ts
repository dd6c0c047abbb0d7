/**
 * The memory of a one-shot hook over Postgres: an event is stored in the spool first; the database is queried when a
 * result is needed, or time is left. Loaded by hooks over Postgres only.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as SqlClient from "effect/sql/SqlClient"
import { EventSink, type Sink } from "../hooks/EventSink.ts"
import { monotonicMs } from "../internal/clock.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import { MemoryRecorder, type PlacedEvent, stamp } from "../memory/MemoryRecorder.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import type { QueryError } from "../query/Query.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import * as EventSpool from "./eventSpool.ts"
import * as HostCache from "./sharedCache.ts"

/** Share of the deadline after which the delivery of the spool is given up. */
const settleUntil = 0.8

/** The last failure of the database. */
class LastFailure extends Context.Service<LastFailure, { error: unknown }>()("athena-hooks/cli/LastFailure") {}

/** Opens the database on first use: a hook that only records may not need it. */
const lazyExecutor = <E, R>(database: Layer.Layer<SqlClient.SqlClient, E, R>) =>
  Layer.effect(
    QueryExecutor.QueryExecutor,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const context = yield* Effect.context<R>()
      const last = yield* LastFailure
      let opened: QueryExecutor.QueryExecutor["Service"] | undefined
      const open = yield* Effect.cached(
        Layer.buildWithScope(
          Layer.effectDiscard(MemorySchema.migrate).pipe(
            Layer.provideMerge(QueryExecutor.layer),
            Layer.provideMerge(database)
          ),
          scope
        ).pipe(
          Effect.provide(context),
          Effect.map((built) => (opened = Context.get(built, QueryExecutor.QueryExecutor)))
        )
      )
      const using = <A>(run: (executor: QueryExecutor.QueryExecutor["Service"]) => Effect.Effect<A, QueryError>) =>
        Effect.flatMap(open, run).pipe(
          Effect.tapError((error) =>
            Effect.sync(() => {
              last.error = error
            })
          ),
          // An executor's error type has no problems of the configuration or the schema.
          Effect.catchIf((error) => !isQueryError(error), Effect.die)
        ) as Effect.Effect<A, QueryError>
      return QueryExecutor.fromOperations(
        {
          query: (query, input) => using((executor) => executor.query(query, input)),
          mutate: (mutation, input) => using((executor) => executor.mutate(mutation, input))
        },
        () => opened?.client()
      )
    })
  )

const isQueryError = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  (error._tag === "SqlError" || error._tag === "SchemaError")

const sink = (deadline: Duration.Duration) =>
  Layer.effect(
    EventSink,
    Effect.gen(function* () {
      const recorder = yield* MemoryRecorder
      const last = yield* LastFailure
      const started = yield* monotonicMs
      const keep = (events: ReadonlyArray<PlacedEvent>) =>
        Effect.forEach(events, stamp).pipe(
          Effect.flatMap((stamped) => recorder.recordAll(stamped)),
          Effect.as(true),
          Effect.orElseSucceed(() => false)
        )
      const settle = Effect.gen(function* () {
        const stats = yield* Effect.option(recorder.stats)
        if (Option.isNone(stats) || stats.value.spooled === 0) return undefined
        const left = Duration.toMillis(deadline) * settleUntil - ((yield* monotonicMs) - started)
        yield* recorder.flush({ timeout: Math.max(1, left) })
        return undefined
      }).pipe(
        Effect.catch((error) =>
          Effect.succeed(`what happened waits on this host: ${MemoryError.describe(last.error ?? error)}`)
        )
      )
      return { store: keep, flush: settle } satisfies Sink
    })
  )

/** The memory and the sink of a hook with a deadline. */
export const layer = (settings: Database.Postgres, deadline: Duration.Duration) => {
  const database = Database.layer(settings, { timeout: Duration.times(deadline, 2 / 3) })
  const third = Duration.times(deadline, 1 / 3)
  const recorder = EventSpool.layerFlush({
    deadline: third,
    deliverTimeout: Duration.times(deadline, 2 / 3),
    shutdownTimeout: "50 millis",
    whenFull: "fail"
  })
  const spooling = sink(deadline).pipe(
    Layer.provide(recorder),
    // Without a usable spool, events are written directly into the database.
    Layer.catchCause(() => Layer.succeed(EventSink, undefined))
  )
  return Layer.merge(MemoryBridge.layer, spooling).pipe(
    Layer.provide(HostCache.layer(settings)),
    Layer.provide(lazyExecutor(database)),
    Layer.provide(Layer.sync(LastFailure, () => ({ error: undefined })))
  )
}
