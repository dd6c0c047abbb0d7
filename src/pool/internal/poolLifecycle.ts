/** Creates a pool, and shuts it down within a bound. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"
import type { Connector } from "./connector.ts"
import * as Housekeeping from "./housekeeping.ts"
import * as Opening from "./connectionFactory.ts"
import { PoolCore } from "./poolCore.ts"
import * as PoolMetrics from "./poolMetrics.ts"
import type { Settings } from "./poolSettings.ts"

/**
 * Fails all waiting callers, drains connections in use for up to `drainTimeout`, then destroys them. A holder that
 * never releases its connection retains only memory.
 */
const shutDown = (core: PoolCore, scope: Scope.Closeable): Effect.Effect<void> =>
  Effect.gen(function* () {
    core.isClosed = true
    for (const request of core.waiting) request.fail(core.errors.closed())
    const closing = core.fork(
      Effect.andThen(
        Scope.close(scope, Exit.void),
        Effect.sync(() => core.deadlines.close())
      )
    )
    // An abandoned statement may still await its cancel after its session has ended.
    const over = core.awaitChange(() => core.sessions.size === 0)
    const drained = Effect.raceFirst(Fiber.await(closing), core.sessions.size === 0 ? Effect.void : over)
    if ((yield* Effect.timeoutOption(drained, core.settings.drainMs))._tag === "Some") return
    for (const connection of core.sessions) connection.session.destroy()
  })

/** Creates a pool for the lifetime of the scope. Connections open in the background. */
export const make = Effect.fnUntraced(function* (settings: Settings, connector: Connector) {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const name = yield* PoolMetrics.uniqueName(settings.name)
  const fork = Effect.runForkWith(context)
  const core = new PoolCore({ settings: { ...settings, name }, connector, clock, fork })
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => shutDown(core, scope))
  const opening = yield* Scope.provide(Opening.make(core), scope)
  core.pool = yield* Pool.makeWithStrategy({
    acquire: opening.acquire,
    min: settings.min,
    max: settings.max,
    concurrency: settings.concurrency,
    strategy: {
      run: () => Housekeeping.run(core),
      onAcquire: () => Effect.void,
      reclaim: (pool) => {
        // The first connections are requested before the pool is returned.
        core.pool = pool
        return opening.reclaim(pool)
      }
    }
  }).pipe(Scope.provide(scope))
  yield* PoolMetrics.register(core)
  return core
})
