/**
 * Long work in short transactions: how many rows the next one takes, and how long to wait before it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The target duration of a transaction, for which concurrent writers wait. */
const goalMs = 5

/** How many rows the first transaction takes, and the fewest that any takes. */
const firstRows = 100
const minRows = 10

/** For each millisecond of work, so many of rest: a waiter that looks now and then finds the lock free. */
const restPerWork = 2

export interface Batches {
  /** How many rows the next transaction takes at most. */
  size: number
  readonly maxRows: number
}

export const make = (maxRows: number): Batches => ({ size: Math.min(firstRows, maxRows), maxRows })

const next = (size: number, tookMs: number): number =>
  tookMs > goalMs ? Math.floor(size / 2) : tookMs < goalMs / 2 ? size * 2 : size

/** Runs one transaction, then rests. */
export const run = <A, E, R>(batches: Batches, transaction: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const [took, value] = yield* Effect.timed(transaction)
    const tookMs = Duration.toMillis(took)
    batches.size = Math.min(batches.maxRows, Math.max(minRows, next(batches.size, tookMs)))
    yield* tookMs > 0 ? Effect.sleep(Duration.millis(tookMs * restPerWork)) : Effect.yieldNow
    return value
  })
