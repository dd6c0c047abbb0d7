/**
 * A load that is under way, which everyone who asks for the same thing meanwhile waits for.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Traced } from "../QueryCache.ts"
import type { QueryError } from "../../query/Query.ts"
import type { Watcher } from "./fences.ts"

/** What a load came to. */
export interface Landing {
  readonly traced: Traced<any>
  /** Whether nothing changed between the beginning of the load and its end, so that it serves those who came late. */
  readonly good: boolean
}

export interface Flight extends Watcher {
  readonly key: string
  /** Something changed: what is loaded must not be kept, and nobody may join any more. */
  fenced: boolean
  waiters: number
  /** Whether more than the first have waited. */
  joined: boolean
  /** Goes on when nobody waits any more. */
  background: boolean
  /** What may be served should the load be late or fail; completed as soon as that is known. */
  readonly stale: Deferred.Deferred<Traced<any> | undefined>
  readonly done: Deferred.Deferred<Landing, QueryError>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** Waits, and takes the load down when the last one leaves. */
export const waiting = <A, E>(
  flight: Flight,
  wait: Effect.Effect<A, E>,
  abandoned: (flight: Flight) => void
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    flight.waiters++
    return Effect.onExit(wait, () =>
      Effect.sync(() => {
        flight.waiters--
        if (flight.waiters > 0 || flight.background || Deferred.isDoneUnsafe(flight.done)) return
        abandoned(flight)
        flight.fiber?.interruptUnsafe()
      })
    )
  })
