/** Delivers a batch in one transaction, and isolates the events that the database rejects by halving it. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { Mutation } from "../../query/Mutation.ts"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as Fault from "./classifyFailure.ts"

export const deliveryTime = Metric.timer("athena_events_delivery", {
  description: "How long batches of events take to be delivered"
})

/** The database accepts nothing now. Events in no list of the outcome wait. */
export class TargetFailure extends Data.TaggedError("TargetFailure")<{ readonly code: string }> {}

export interface Deliverable<Event> {
  readonly id: string
  readonly session: string
  readonly event: Event
}

/** The outcome of a batch, filled in during the delivery. */
export interface Outcome<Item> {
  readonly delivered: Array<Item>
  /** Events that the database rejects. */
  readonly refused: Array<{ readonly item: Item; readonly code: string }>
  /** Events that failed for an unknown reason. */
  readonly failed: Array<{ readonly item: Item; readonly code: string }>
  /** Sessions with a failed event: their later events wait, to preserve the order. */
  readonly held: Set<string>
}

export const outcome = <Item>(held: Set<string> = new Set()): Outcome<Item> => ({
  delivered: [],
  refused: [],
  failed: [],
  held
})

/** Events that may fail alone for an unknown reason, with no success, before the last event is tried as a probe. */
const failuresBeforeProbe = 8

export interface Target<Event> {
  readonly executor: QueryExecutor["Service"]
  readonly mutation: Mutation<ReadonlyArray<Event>, unknown>
  readonly timeoutMs: number
}

/**
 * Bounds the wait for an exit, because an unresponsive database does not respond to a cancellation either. The effect
 * is interrupted in the background; a commit after the timeout is harmless, because the target stores each id once.
 */
const bounded = <A>(
  effect: Effect.Effect<A, QueryError>,
  ms: number
): Effect.Effect<Exit.Exit<A, QueryError>, TargetFailure> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkDetach(effect)
    const giveUp = Effect.sync(() => fiber.interruptUnsafe())
    const exit = yield* Fiber.await(fiber).pipe(
      Effect.timeoutOption(ms),
      Effect.onInterrupt(() => giveUp)
    )
    if (Option.isSome(exit)) return exit.value
    yield* giveUp
    return yield* new TargetFailure({ code: "timeout" })
  })

export const deliver = <Event, Item extends Deliverable<Event>>(
  target: Target<Event>,
  items: ReadonlyArray<Item>,
  into: Outcome<Item>
): Effect.Effect<void, TargetFailure> => {
  let probed = false

  const attempt = (batch: ReadonlyArray<Item>): Effect.Effect<Fault.FailureClass | undefined, TargetFailure> =>
    bounded(
      target.executor.mutate(
        target.mutation,
        batch.map(({ event }) => event)
      ),
      target.timeoutMs
    ).pipe(
      Effect.flatMap((exit) => {
        if (Exit.isSuccess(exit)) return Effect.undefined
        if (Cause.hasInterruptsOnly(exit.cause)) return Effect.fail(new TargetFailure({ code: "interrupted" }))
        const fault = Fault.of(exit.cause)
        return fault.kind === "database" ? Effect.fail(new TargetFailure({ code: fault.code })) : Effect.succeed(fault)
      })
    )

  /** If the probe fails too, the failures are the database's and not the events'. */
  const probe = (code: string): Effect.Effect<void, TargetFailure> => {
    if (probed || into.failed.length < failuresBeforeProbe || into.delivered.length + into.refused.length > 0) {
      return Effect.void
    }
    probed = true
    return Effect.flatMap(attempt(items.slice(-1)), (fault) => {
      if (fault === undefined) return Effect.void
      into.failed.length = 0
      return Effect.fail(new TargetFailure({ code }))
    })
  }

  const part = (candidates: ReadonlyArray<Item>): Effect.Effect<void, TargetFailure> =>
    Effect.suspend(() => {
      const batch = candidates.filter(({ session }) => !into.held.has(session))
      if (batch.length === 0) return Effect.void
      return Effect.flatMap(attempt(batch), (fault) => {
        if (fault === undefined) {
          into.delivered.push(...batch)
          return Effect.void
        }
        if (batch.length > 1) {
          const half = batch.length >> 1
          return Effect.andThen(part(batch.slice(0, half)), part(batch.slice(half)))
        }
        const item = batch[0]!
        if (fault.kind === "event") {
          into.refused.push({ item, code: fault.code })
          return Effect.void
        }
        into.failed.push({ item, code: fault.code })
        into.held.add(item.session)
        return probe(fault.code)
      })
    })

  return part(items)
}
