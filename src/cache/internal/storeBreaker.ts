/**
 * Isolates the cache from its store: every operation has a timeout, and after consecutive failures a breaker stops the
 * operations of readers for a reset timeout.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as Scope from "effect/Scope"
import * as CacheClock from "./cacheClock.ts"
import type { Settings } from "./settings.ts"
import { CacheStoreError } from "./storeModel.ts"

type Operation = <A>(name: string, effect: Effect.Effect<A, CacheStoreError>) => Effect.Effect<Option.Option<A>>

export interface StoreBreaker {
  /** Runs an operation of a reader; none if it failed or the breaker is open. */
  readonly read: Operation
  /** As `read`, for writes of readers, with its own breaker: a readable store may be locked or full. */
  readonly write: Operation
  /**
   * Runs an operation past the breakers, for announcements and invalidations: they must reach a busy store, and their
   * failures say nothing about reading.
   */
  readonly attempt: Operation
  readonly isHealthy: () => boolean
  readonly failures: () => number
}

export const make = (settings: Settings): Effect.Effect<StoreBreaker, never, Scope.Scope> =>
  Effect.gen(function* (): Effect.fn.Return<StoreBreaker, never, Scope.Scope | CircuitBreaker.CircuitBreakerStore> {
    const breaker = yield* CircuitBreaker.make({
      tripPolicy: CircuitBreaker.consecutive(settings.storeBreakerFailures),
      openDuration: settings.storeBreakerResetMs
    })
    let healthy = true
    let failures = 0

    const limited = <A>(operation: string, effect: Effect.Effect<A, CacheStoreError>) =>
      effect.pipe(
        Effect.timeoutOrElse({
          duration: settings.storeTimeoutMs,
          orElse: () => Effect.fail(new CacheStoreError({ operation, cause: new Error("storeTimeout exceeded") }))
        }),
        Effect.catchDefect((cause) => Effect.fail(new CacheStoreError({ operation, cause }))),
        Effect.tapError(() =>
          Effect.sync(() => {
            failures++
          })
        )
      )

    const through =
      (key: string): Operation =>
      (name, effect) =>
        Effect.option(CacheClock.withMonotonicClock(limited(name, effect), breaker.execute({ key })))
    const read = through("read")

    return {
      read: (name, effect) =>
        Effect.tap(read(name, effect), (result) =>
          Effect.sync(() => {
            healthy = Option.isSome(result)
          })
        ),
      write: through("write"),
      attempt: (name, effect) => Effect.option(limited(name, effect)),
      isHealthy: () => healthy,
      failures: () => failures
    }
  }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
