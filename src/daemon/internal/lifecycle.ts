/**
 * Ends the daemon when it is stopped, idle, too large, or no longer the daemon of its home.
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

/** Why the daemon ends. */
export type Reason = "stop" | "idle" | "memory" | "removed"

export interface LifecycleOptions {
  /** How long the daemon may be idle. */
  readonly idleTimeout: Duration.Duration
  /** Upper bound of its resident memory, in bytes. */
  readonly maxMemory: number
  /** Interval of the checks. */
  readonly interval: Duration.Duration
  /** Active sessions at a time of the monotonic clock, in milliseconds. With any, the daemon is not idle. */
  readonly activeSessions: (now: number) => number
  /** Whether this process is still the daemon of its home. */
  readonly ownsHome: () => boolean
}

export class Lifecycle extends Context.Service<
  Lifecycle,
  {
    /** Resets the idle time. */
    readonly touch: Effect.Effect<void>
    readonly stop: Effect.Effect<void>
    /** Waits for the end. */
    readonly ended: Effect.Effect<Reason>
    readonly isEnding: () => boolean
    /** Milliseconds since the last request. */
    readonly idleMs: Effect.Effect<number>
  }
>()("athena-hooks/daemon/Lifecycle") {}

/** Resident memory in bytes; replaced in tests. */
export const CurrentMemory: Context.Reference<() => number> = Context.Reference("athena-hooks/daemon/CurrentMemory", {
  defaultValue: () => () => process.memoryUsage.rss()
})

/** Consecutive checks above the memory bound, each followed by a garbage collection. */
const maxLargeChecks = 3

/** Collects garbage; replaced in tests. */
export const CollectGarbage: Context.Reference<() => void> = Context.Reference("athena-hooks/daemon/CollectGarbage", {
  defaultValue: () => () => {
    v8.setFlagsFromString("--expose-gc")
    vm.runInNewContext("gc")()
  }
})

/** Idle time is the time that the machine was awake: the monotonic clock neither jumps nor advances during sleep. */
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
      /** Large payloads are transient and leave much garbage. */
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
