/**
 * A load that is under way, which everyone who asks for the same thing meanwhile waits for.
 *
 * Reads and loads have a common order. A load serves every read that began before it did: whatever was committed when
 * the read began, the load has seen. A read that began later is served only if nothing has changed since the load
 * began, or else waits for the next load, which it shares with all that wait.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Traced } from "../QueryCache.ts"
import type { QueryError } from "../../query/Query.ts"
import type { CacheEntry } from "./cacheEntry.ts"
import type { Watcher } from "./invalidationTracker.ts"

export interface Flight extends Watcher {
  readonly key: string
  /** The key in the store, where there is a store that is shared and the result can have one. */
  readonly storeKey: string | undefined
  /** Its place in the order of reads and loads. */
  readonly began: number
  /** Nothing that is watched was being written in this process when it began, or has been since. */
  undisturbed: boolean
  waiters: number
  /** How many reads wait for it that began later. */
  joined: number
  /** Goes on when nobody waits any more. */
  background: boolean
  /** What may be served should the load be late or fail; completed as soon as that is known. */
  readonly stale: Deferred.Deferred<CacheEntry | undefined>
  readonly landed: Deferred.Deferred<Traced<any>, QueryError>
  /** Whether nothing had changed since it began when the last read joined. */
  readonly verified: Deferred.Deferred<boolean>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

export const make = (options: {
  readonly key: string
  readonly storeKey: string | undefined
  readonly watched: ReadonlyArray<string>
  readonly began: number
  readonly background: boolean
  readonly disturbed: (flight: Flight) => void
}): Flight => {
  const flight: Flight = {
    key: options.key,
    storeKey: options.storeKey,
    watched: options.watched,
    began: options.began,
    blocked: 0,
    announced: () => options.disturbed(flight),
    changed: () => options.disturbed(flight),
    undisturbed: true,
    waiters: 0,
    joined: 0,
    background: options.background,
    stale: Deferred.makeUnsafe(),
    landed: Deferred.makeUnsafe(),
    verified: Deferred.makeUnsafe(),
    fiber: undefined
  }
  return flight
}

/** Waits, and takes the load down when the last one leaves. */
export const waiting = <A, E>(
  flight: Flight,
  wait: Effect.Effect<A, E>,
  abandoned: (flight: Flight) => void
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    flight.waiters++
    return Effect.onExit(restore(wait), () =>
      Effect.sync(() => {
        flight.waiters--
        abandon(flight, abandoned)
      })
    )
  })

/** Ends a load that nobody waits for and that is not meant to go on. */
export const abandon = (flight: Flight, abandoned: (flight: Flight) => void): void => {
  if (flight.waiters > 0 || flight.background || Deferred.isDoneUnsafe(flight.landed)) return
  abandoned(flight)
  flight.fiber?.interruptUnsafe()
}
