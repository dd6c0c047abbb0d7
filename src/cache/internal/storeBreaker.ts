/**
 * Keeps a store from ever failing or holding up the cache: every operation has a limit, and after some failures in a
 * row readers leave the store alone for a while.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as Scope from "effect/Scope"
import { CacheStoreError } from "../CacheStore.ts"
import * as Time from "./time.ts"

export interface StoreBreaker {
  /** The answer of the store to a reader, or none. */
  readonly run: <A>(operation: string, effect: Effect.Effect<A, CacheStoreError>) => Effect.Effect<Option.Option<A>>
  /** As `run`, for what a reader writes: a store that can be read may be locked, or full. */
  readonly put: <A>(operation: string, effect: Effect.Effect<A, CacheStoreError>) => Effect.Effect<Option.Option<A>>
  /**
   * As `run`, also while readers leave the store alone: for what writers have to say, where a store that is only busy
   * must not be given up, and whose failures say nothing about reading.
   */
  readonly insist: <A>(operation: string, effect: Effect.Effect<A, CacheStoreError>) => Effect.Effect<Option.Option<A>>
  /** Whether the last operation of a reader went well. */
  readonly healthy: () => boolean
  readonly failures: () => number
}

export const make = (options: {
  readonly limit: Duration.Input
  readonly failures: number
  readonly openFor: Duration.Input
}): Effect.Effect<StoreBreaker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make({
      tripPolicy: CircuitBreaker.consecutive(options.failures),
      openDuration: options.openFor
    })
    let healthy = true
    let failures = 0

    const limited = <A>(operation: string, effect: Effect.Effect<A, CacheStoreError>) =>
      effect.pipe(
        Effect.timeoutOrElse({
          duration: options.limit,
          orElse: () => Effect.fail(new CacheStoreError({ operation, cause: new Error("over the limit") }))
        }),
        Effect.catchDefect((cause) => Effect.fail(new CacheStoreError({ operation, cause }))),
        Effect.tapError(() =>
          Effect.sync(() => {
            failures++
          })
        )
      )

    const run: StoreBreaker["run"] = (operation, effect) =>
      Time.evenly(limited(operation, effect), breaker.execute({ key: "read" })).pipe(
        Effect.option,
        Effect.tap((answer) =>
          Effect.sync(() => {
            healthy = Option.isSome(answer)
          })
        )
      )

    const put: StoreBreaker["put"] = (operation, effect) =>
      Effect.option(Time.evenly(limited(operation, effect), breaker.execute({ key: "write" })))

    const insist: StoreBreaker["insist"] = (operation, effect) => Effect.option(limited(operation, effect))

    return {
      run,
      put,
      insist,
      healthy: () => healthy,
      failures: () => failures
    }
  }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
