/**
 * Waits for another process's lock without holding the thread: SQLite's own wait would keep every other hook waiting.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import type { QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import { isLocked, retryWhileLocked } from "../internal/lockRetry.ts"

/** How long SQLite itself may hold the thread for a lock. */
export const busyTimeout = Duration.millis(1)

/** The same executor, tried again while the database is locked: by one at a time, for each attempt holds the thread. */
export const layer: Layer.Layer<QueryExecutor, never, QueryExecutor> = Layer.effect(
  QueryExecutor,
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const turn = yield* Semaphore.make(1)
    const patient = <A>(effect: Effect.Effect<A, QueryError>): Effect.Effect<A, QueryError> =>
      Effect.catchIf(effect, isLocked, () => turn.withPermit(retryWhileLocked(effect)))
    return QueryExecutor.of({
      query: (query, input) => patient(executor.query(query, input)),
      mutate: (mutation, input) => patient(executor.mutate(mutation, input))
    })
  })
)
