/**
 * The state of the daemon, and its report.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { QueryStats } from "../../cache/QueryCache.ts"
import type { Stats as RecorderStats } from "../../events/EventRecorder.ts"
import { DiagnosticParts } from "../../host/backend.ts"
import { protocol } from "../../host/paths.ts"
import { MemoryRecorder } from "../../memory/MemoryRecorder.ts"
import { Profiler } from "../../profiler/Profiler.ts"
import { type DaemonStatus, type Health, name } from "../DaemonStatus.ts"
import { HookService } from "../HookService.ts"
import { Lifecycle } from "./lifecycle.ts"

export interface State {
  readonly identity: Pick<Health, "version" | "instance" | "pid" | "startedAt" | "home">
  readonly database: "embedded" | "postgres"
  /** Hash that identifies the database, see `paths.databaseOf`. */
  readonly databaseHash: string
  /** The port on loopback; `null` while it can't listen. */
  port: number | null
  /** The problem of the port, for the user. */
  problem: string | null
  /** A problem of the configuration, for the user. */
  readonly warning: string | null
}

export class DaemonState extends Context.Service<DaemonState, State>()("athena-hooks/daemon/DaemonState") {}

const sumOf = (queries: Readonly<Record<string, QueryStats>>, of: (stats: QueryStats) => number): number =>
  Object.values(queries).reduce((total, stats) => total + of(stats), 0)

const cacheReport = Effect.gen(function* () {
  const { cache } = yield* DiagnosticParts
  if (cache === undefined) return null
  const { memory, queries } = yield* cache.stats
  const hits = sumOf(queries, ({ memoryHits, storeHits, coalesced }) => memoryHits + storeHits + coalesced)
  const others = sumOf(queries, ({ bypassed, misses }) => misses + bypassed)
  return { hits, reads: hits + others, entries: memory.entries, bytes: memory.bytes }
})

const poolReport = Effect.gen(function* () {
  const { pool } = yield* DiagnosticParts
  if (pool === undefined) return null
  const { idle, inUse, max, waiting } = yield* pool
  return { inUse, idle, waiting, max }
})

const prefix = "respond "

const latencyReport = Effect.map(
  Effect.flatMap(Profiler, (profiler) => profiler.report),
  ({ operations }) =>
    operations
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, wall: { count, max, p50, p95, p99 } }) => ({
        event: name.slice(prefix.length),
        count,
        p50,
        p95,
        p99,
        max
      }))
)

/**
 * The increase of a total that all processes share. A decrease means that a new file replaced the old one and counts
 * from 0.
 */
const countFrom = (before: number) => {
  let counted = 0
  let last = before
  return (total: number): number => {
    counted += total < last ? total : total - last
    last = total
    return counted
  }
}

interface Since {
  readonly stored: (total: number) => number
  readonly dropped: (total: number) => number
}

const countSince = (stats: RecorderStats | undefined): Since => ({
  stored: countFrom(stats?.delivered ?? 0),
  dropped: countFrom(stats?.dropped ?? 0)
})

const eventReport = (since: Since) =>
  Effect.gen(function* () {
    const service = yield* (yield* HookService).stats
    const stats = yield* Effect.option((yield* MemoryRecorder).stats)
    if (Option.isNone(stats)) return null
    const { deadLetters, delivered, dropped, lastFailure, spooled, waiting } = stats.value
    return {
      accepted: service.accepted,
      stored: since.stored(delivered),
      waiting: waiting + spooled,
      deadLetters,
      dropped: since.dropped(dropped) + service.dropped,
      lastFailure: lastFailure ?? null
    }
  })

export const health: Effect.Effect<Health, never, DaemonState> = Effect.map(
  DaemonState,
  ({ warning: caution, databaseHash, identity, port, problem }): Health => ({
    name,
    protocol,
    ...identity,
    database: databaseHash,
    port,
    problem: problem ?? caution
  })
)

/** Starts counting, and returns the report. */
export const make = Effect.gen(function* () {
  const startedAt = yield* Clock.monotonicTimeNanos
  const since = countSince(Option.getOrUndefined(yield* Effect.option((yield* MemoryRecorder).stats)))
  return Effect.gen(function* () {
    const lifecycle = yield* Lifecycle
    const { heapUsed, rss } = process.memoryUsage()
    const { accepted: _, dropped: __, ...responses } = yield* (yield* HookService).stats
    return {
      health: yield* health,
      uptimeMs: Number((yield* Clock.monotonicTimeNanos) - startedAt) / 1e6,
      idleMs: yield* lifecycle.idleMs,
      database: (yield* DaemonState).database,
      memory: { rss, heapUsed },
      responses,
      latencies: yield* latencyReport,
      cache: yield* cacheReport,
      events: yield* eventReport(since),
      pool: yield* poolReport
    } satisfies DaemonStatus as DaemonStatus
  })
})
