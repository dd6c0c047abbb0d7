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
export type Reason = "asked" | "idle" | "memory" | "removed"

export interface LifecycleOptions {
  /** How long it stays with nothing to do. */
  readonly idle: Duration.Duration
  /** How much memory it may have, in bytes. */
  readonly maxMemory: number
  /** How often it looks. */
  readonly every: Duration.Duration
  /** How many sessions are open at a time of the monotonic clock, in milliseconds: each keeps it from being idle. */
  readonly openSessions: (now: number) => number
  /** Whether it is the process of its home still. */
  readonly isOfHome: () => boolean
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
const patience = 3

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
export const layer = ({ every, idle, isOfHome, maxMemory, openSessions }: LifecycleOptions): Layer.Layer<Lifecycle> =>
  Layer.effect(
    Lifecycle,
    Effect.gen(function* () {
      const memory = yield* CurrentMemory
      const collect = yield* CollectGarbage
      const ended = yield* Deferred.make<Reason>()
      const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)
      let last = yield* now
      const idleMs = Effect.map(now, (at) => at - last)
      /** In how many looks in a row it was too large. Large payloads pass, and leave much behind that is of no use. */
      let largeLooks = 0
      const look = Effect.gen(function* () {
        if (!isOfHome()) yield* Deferred.succeed(ended, "removed")
        const isLarge = memory() > maxMemory
        largeLooks = isLarge ? largeLooks + 1 : 0
        if (largeLooks > patience) yield* Deferred.succeed(ended, "memory")
        else if (isLarge) collect()
        const isIdle = (yield* idleMs) >= Duration.toMillis(idle) && openSessions(yield* now) === 0
        if (isIdle) yield* Deferred.succeed(ended, "idle")
      })
      yield* Effect.forkScoped(Effect.repeat(Effect.delay(look, every), Schedule.forever))
      return {
        touch: Effect.map(now, (at) => {
          last = at
        }),
        stop: Effect.asVoid(Deferred.succeed(ended, "asked")),
        ended: Deferred.await(ended),
        isEnding: () => Deferred.isDoneUnsafe(ended),
        idleMs
      }
    })
  )
