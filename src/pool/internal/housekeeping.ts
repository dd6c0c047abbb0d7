/** Housekeeping: evicts old and idle connections, validates silent ones, reports possible leaks. */
import * as Effect from "effect/Effect"
import type * as Pool from "effect/Pool"
import type { SqlError } from "effect/sql/SqlError"
import type { Holder } from "./leakDetection.ts"
import type { PoolCore } from "./poolCore.ts"
import type { PooledConnection } from "./pooledConnection.ts"

type Item = Pool.PoolItem<PooledConnection, SqlError>

/** The shortest sleep between two runs, in milliseconds. */
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

const detectLeaks = (core: PoolCore, connection: PooledConnection, now: number): Effect.Effect<void> => {
  const { leakDetectionThresholdMs } = core.settings
  const leaked = connection.holders.unreported.filter(({ acquiredAt }) => now - acquiredAt >= leakDetectionThresholdMs)
  return Effect.forEach(leaked, (holder) => reportLeak(core, holder, now), { discard: true })
}

/** Evicts or validates one idle connection; `isSurplus` where the pool has more than its minimum. */
const maintainIdle = (
  core: PoolCore,
  connection: PooledConnection,
  now: number,
  isSurplus: boolean
): Effect.Effect<"retained" | "evicted"> => {
  const { idleTimeoutMs, keepaliveMs } = core.settings
  const evicted = (reason: "lifetime" | "idle") => Effect.as(core.evict(connection, reason), "evicted" as const)
  if (now >= connection.idleExpiresAt) return evicted("lifetime")
  if (isSurplus && now - connection.lastUsedAt >= idleTimeoutMs) return evicted("idle")
  if (now - connection.lastResponseAt < keepaliveMs) return Effect.succeed("retained")
  return Effect.map(core.validate(connection), (good) => (good ? "retained" : "evicted"))
}

const connectionsOf = (pool: Pool.Pool<PooledConnection, SqlError>): Array<[Item, PooledConnection]> => {
  const found: Array<[Item, PooledConnection]> = []
  for (const item of pool.state.items) {
    if (item.exit._tag === "Success" && !pool.state.invalidated.has(item)) found.push([item, item.exit.value])
  }
  // Longest idle first.
  return found.toSorted(([, a], [, b]) => a.lastUsedAt - b.lastUsedAt)
}

const runOnce = (core: PoolCore): Effect.Effect<void> =>
  Effect.gen(function* () {
    const now = core.now()
    const connections = connectionsOf(core.pool)
    let count = connections.length
    for (const [item, connection] of connections) {
      if (item.refCount > 0) yield* detectLeaks(core, connection, now)
      else if ((yield* maintainIdle(core, connection, now, count > core.settings.min)) === "evicted") count--
    }
  })

/** The milliseconds until the next run is due; no connection that opens meanwhile is due before. */
const nextDue = (core: PoolCore): number => {
  const { idleTimeoutMs, keepaliveMs, lifetimeJitter, leakDetectionThresholdMs, maxLifetimeMs, min } = core.settings
  const now = core.now()
  const shortestLifetimeMs = Math.max(maxLifetimeMs * (1 - lifetimeJitter), Math.min(maxLifetimeMs, 1_000))
  let due = Math.max(Math.min(idleTimeoutMs, keepaliveMs, leakDetectionThresholdMs, shortestLifetimeMs), minIdleSleepMs)
  const connections = connectionsOf(core.pool)
  const isSurplus = connections.length > min
  for (const [item, connection] of connections) {
    for (const { acquiredAt } of connection.holders.unreported)
      due = Math.min(due, acquiredAt + leakDetectionThresholdMs - now)
    if (item.refCount > 0) continue
    due = Math.min(due, connection.idleExpiresAt - now, connection.lastResponseAt + keepaliveMs - now)
    if (isSurplus) due = Math.min(due, connection.lastUsedAt + idleTimeoutMs - now)
  }
  return Math.max(minSleepMs, Math.min(due, maxSleepMs))
}

/** The shortest sleep when nothing present is due, in milliseconds: the resolution of `idleTimeout`. */
const minIdleSleepMs = 50

/** The longest sleep between two runs, in milliseconds. */
const maxSleepMs = 60_000

export const run = (core: PoolCore): Effect.Effect<never> =>
  Effect.suspend(() => Effect.delay(runOnce(core), nextDue(core))).pipe(Effect.forever)
