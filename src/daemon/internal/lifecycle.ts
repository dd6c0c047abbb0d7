/**
 * How long the process stays: until it is asked to end, has had nothing to do for a while, has grown too large, or can't be
 * found any more.
 */
import * as v8 from "node:v8"
import * as vm from "node:vm"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/** Why the process ends. */
export type Reason = "stop" | "idle" | "memory" | "removed"

export interface LifecycleOptions {
  /** How long it stays with nothing to do. */
  readonly idleTimeout: Duration.Duration
  /** How much memory it may have, in bytes. */
  readonly maxMemory: number
  /** How often it looks. */
  readonly interval: Duration.Duration
  /** How many sessions are open at a time of the monotonic clock, in milliseconds: each keeps it from being idle. */
  readonly activeSessions: (now: number) => number
  /** Whether it is the process of its home still. */
  readonly ownsHome: () => boolean
}

export class Lifecycle extends Context.Service<
  Lifecycle,
  {
    /** There is something to do. */
    readonly touch: Effect.Effect<void>
    readonly stop: Effect.Effect<void>
    /** Waits for a reason to end. */
    readonly ended: Effect.Effect<Reason>
    /** Whether there is a reason to end. */
    readonly isEnding: () => boolean
    /** For how long there has been nothing to do, in milliseconds. */
    readonly idleMs: Effect.Effect<number>
  }
>()("athena-hooks/daemon/Lifecycle") {}

/** The memory of the process, in bytes; to be replaced in tests. */
export const CurrentMemory: Context.Reference<() => number> = Context.Reference("athena-hooks/daemon/CurrentMemory", {
  defaultValue: () => () => process.memoryUsage.rss()
})

/** In how many looks in a row it may be too large, with what is of no use collected after each. */
const maxLargeChecks = 3

/** Frees what nothing refers to any more; to be replaced in tests. */
export const CollectGarbage: Context.Reference<() => void> = Context.Reference("athena-hooks/daemon/CollectGarbage", {
  defaultValue: () => () => {
    v8.setFlagsFromString("--expose-gc")
    vm.runInNewContext("gc")()
  }
})

/**
 * Idle time is what the machine was awake for: the clock that counts it neither jumps nor goes on in a machine that
 * sleeps.
 */
export const layer = ({
  interval: every,
  idleTimeout: idle,
  ownsHome: isOfHome,
  maxMemory,
  activeSessions: openSessions
}: LifecycleOptions): Layer.Layer<Lifecycle> =>
  Layer.effect(
    Lifecycle,
    Effect.gen(function* () {
      const memory = yield* CurrentMemory
      const collectGarbage = yield* CollectGarbage
      const ended = yield* Deferred.make<Reason>()
      const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)
      let last = yield* now
      const idleMs = Effect.map(now, (at) => at - last)
      /** In how many looks in a row it was too large. Large payloads pass, and leave much behind that is of no use. */
      let largeChecks = 0
      const check = Effect.gen(function* () {
        if (!isOfHome()) yield* Deferred.succeed(ended, "removed")
        const isLarge = memory() > maxMemory
        largeChecks = isLarge ? largeChecks + 1 : 0
        if (largeChecks > maxLargeChecks) yield* Deferred.succeed(ended, "memory")
        else if (isLarge) collectGarbage()
        const isIdle = (yield* idleMs) >= Duration.toMillis(idle) && openSessions(yield* now) === 0
        if (isIdle) yield* Deferred.succeed(ended, "idle")
      })
      yield* Effect.forkScoped(Effect.repeat(Effect.delay(check, every), Schedule.forever))
      return {
        touch: Effect.map(now, (at) => {
          last = at
        }),
        stop: Effect.asVoid(Deferred.succeed(ended, "stop")),
        ended: Deferred.await(ended),
        isEnding: () => Deferred.isDoneUnsafe(ended),
        idleMs
      }
    })
  )
