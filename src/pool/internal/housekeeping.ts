/**
 * What the pool does on its own while nobody asks: retire what is old or idle, ping what is silent, report what is
 * held too long.
 */
import * as Effect from "effect/Effect"
import type * as Pool from "effect/Pool"
import type { SqlError } from "effect/sql/SqlError"
import type { Holder } from "./leakDetection.ts"
import type { PoolCore } from "./poolCore.ts"
import type { PooledConnection } from "./pooledConnection.ts"

type Item = Pool.PoolItem<PooledConnection, SqlError>

/** The shortest sleep between two rounds, in milliseconds. */
const minSleepMs = 5

const reportLeak = (core: PoolCore, holder: Holder, now: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    holder.reported = true
    return Effect.logWarning("ConnectionPool: possible connection leak").pipe(
      Effect.annotateLogs({
        pool: core.settings.name,
        heldMs: Math.round(now - holder.acquiredAt),
        acquiredBy: holder.describe()
      })
    )
  })

/** Looks after one connection in use. */
const detectLeaks = (core: PoolCore, connection: PooledConnection, now: number): Effect.Effect<void> => {
  const { leakDetectionThresholdMs } = core.settings
  const late = connection.holders.unreported.filter(({ acquiredAt }) => now - acquiredAt >= leakDetectionThresholdMs)
  return Effect.forEach(late, (holder) => reportLeak(core, holder, now), { discard: true })
}

/** Looks after one idle connection; `spare` says whether the pool has more than it must keep. */
const maintainIdle = (
  core: PoolCore,
  connection: PooledConnection,
  now: number,
  spare: boolean
): Effect.Effect<"kept" | "retired"> => {
  const { idleTimeoutMs, keepaliveMs } = core.settings
  const retired = (reason: "lifetime" | "idle") => Effect.as(core.evict(connection, reason), "retired" as const)
  if (now >= connection.idleExpiresAt) return retired("lifetime")
  if (spare && now - connection.lastUsedAt >= idleTimeoutMs) return retired("idle")
  if (now - connection.lastResponseAt < keepaliveMs) return Effect.succeed("kept")
  return Effect.map(core.validate(connection), (good) => (good ? "kept" : "retired"))
}

const connectionsOf = (pool: Pool.Pool<PooledConnection, SqlError>): Array<[Item, PooledConnection]> => {
  const found: Array<[Item, PooledConnection]> = []
  for (const item of pool.state.items) {
    if (item.exit._tag === "Success" && !pool.state.invalidated.has(item)) found.push([item, item.exit.value])
  }
  // The longest idle goes first.
  return found.toSorted(([, a], [, b]) => a.lastUsedAt - b.lastUsedAt)
}

const runOnce = (core: PoolCore): Effect.Effect<void> =>
  Effect.gen(function* () {
    const now = core.now()
    const connections = connectionsOf(core.pool)
    let count = connections.length
    for (const [item, connection] of connections) {
      if (item.refCount > 0) yield* detectLeaks(core, connection, now)
      else if ((yield* maintainIdle(core, connection, now, count > core.settings.min)) === "retired") count--
    }
  })

/** When something is due next, in milliseconds from now; a connection that opens meanwhile is not due before. */
const nextDue = (core: PoolCore): number => {
  const { idleTimeoutMs, keepaliveMs, lifetimeJitter, leakDetectionThresholdMs, maxLifetimeMs, min } = core.settings
  const now = core.now()
  const shortestLifetimeMs = Math.max(maxLifetimeMs * (1 - lifetimeJitter), Math.min(maxLifetimeMs, 1_000))
  let due = Math.max(Math.min(idleTimeoutMs, keepaliveMs, leakDetectionThresholdMs, shortestLifetimeMs), minIdleSleepMs)
  const connections = connectionsOf(core.pool)
  const spare = connections.length > min
  for (const [item, connection] of connections) {
    for (const { acquiredAt } of connection.holders.unreported)
      due = Math.min(due, acquiredAt + leakDetectionThresholdMs - now)
    if (item.refCount > 0) continue
    due = Math.min(due, connection.idleExpiresAt - now, connection.lastResponseAt + keepaliveMs - now)
    if (spare) due = Math.min(due, connection.lastUsedAt + idleTimeoutMs - now)
  }
  return Math.max(minSleepMs, Math.min(due, maxSleepMs))
}

/** The shortest sleep before something can be due that is not there yet, in milliseconds. */
const minIdleSleepMs = 50

/** The longest sleep between two rounds, in milliseconds, for a pool that never has anything to do. */
const maxSleepMs = 60_000

/** Runs for ever. */
export const run = (core: PoolCore): Effect.Effect<never> =>
  Effect.suspend(() => Effect.delay(runOnce(core), nextDue(core))).pipe(Effect.forever)
