/**
 * The daemon: one long-running process per home that holds the database, the cache, the event recorder and the
 * profiler, and responds to hooks over HTTP (see `DaemonServer`).
 *
 * It ends when it is stopped, after an idle timeout, when its memory exceeds a bound, and when its home is removed.
 * Every accepted event is on this host's disk by then, unless the disk was removed with the home.
 *
 * **When to use**: to run the daemon with other options than `athena serve`.
 *
 * **Gotchas**: one daemon per home may run; take the lock first (`DaemonLock`, `DaemonTakeover`).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import type * as Retention from "../memory/Retention.ts"
import * as ProfileMetrics from "../profiler/ProfileMetrics.ts"
import * as Profiler from "../profiler/Profiler.ts"
import * as LazyExecutor from "../query/LazyExecutor.ts"
import * as Database from "../sql/Database.ts"
import { missingSqlPg } from "../internal/missingPeer.ts"
import * as DaemonServer from "./DaemonServer.ts"
import type { Health } from "./DaemonStatus.ts"
import * as HookService from "./HookService.ts"
import * as SqliteBackend from "../host/sqliteBackend.ts"
import * as EventSpool from "../host/eventSpool.ts"
import * as Backend from "../host/backend.ts"
import * as SharedCache from "../host/sharedCache.ts"
import * as Lifecycle from "./internal/lifecycle.ts"
import * as ActiveSessions from "./internal/activeSessions.ts"
import { DaemonState, type State } from "./internal/statusReport.ts"

/**
 * Why the daemon ended: it was stopped, it was idle, it used too much memory, or its home was removed.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = Lifecycle.Reason

/**
 * Options of the daemon.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonOptions {
  /** Identifies this run of the daemon. */
  readonly identity: Pick<Health, "version" | "instance" | "pid" | "startedAt" | "home">
  /** The token that every request must carry. */
  readonly token: Redacted.Redacted
  /** Its port on 127.0.0.1. */
  readonly port: number
  /** An inherited socket that already listens on `port`. None when absent. */
  readonly listenerFd?: number | undefined
  /** Path of the unix socket, in a folder that only this user can read. */
  readonly socket: string
  /** The database. */
  readonly settings: Database.Settings
  /** Hash that identifies the database. A request that names another one is rejected with 409. */
  readonly database: string
  /** Which events the memory retains, and for how long. */
  readonly retention: Retention.Policy
  /** Whether to derive facts while the daemon is idle, see `Consolidation`. `true` when absent. */
  readonly consolidate?: boolean | undefined
  /** A problem of the configuration, shown to the user at the start of each session. */
  readonly warning?: string | undefined
  /**
   * How long the daemon stays idle, without an active session of the last 3 days, before it ends. 30 minutes when
   * absent.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /**
   * Whether this process still owns its home, see `DaemonLock.watch`. Checked every 5 seconds. Always true when absent.
   */
  readonly ownsHome?: (() => boolean) | undefined
  /** Resident memory in bytes above which the daemon ends. No bound when absent. */
  readonly maxMemory?: number | undefined
  /** Sustained requests per second, from 1. 1,000 when absent. The burst is twice as large. */
  readonly requestsPerSecond?: number | undefined
  /** Bytes of payloads in flight, from 16 MiB. 64 MiB when absent. */
  readonly payloadBytes?: number | undefined
  readonly hooks?: Omit<HookService.HookServiceOptions, "message" | "onEvent"> | undefined
}

const checkInterval = Duration.seconds(5)

const lifecycle = (
  { idleTimeout: idle, ownsHome: isOfHome, maxMemory }: DaemonOptions,
  sessions: ActiveSessions.ActiveSessions
) =>
  Lifecycle.layer({
    interval: checkInterval,
    idleTimeout: Duration.fromInputUnsafe(idle ?? "30 minutes"),
    maxMemory: maxMemory ?? Number.POSITIVE_INFINITY,
    activeSessions: sessions.count,
    ownsHome: isOfHome ?? (() => true)
  })

/** The Postgres driver is loaded only if the database is Postgres. */
const postgresBackend = (settings: Database.Postgres, home: string, jobs: Backend.Jobs) =>
  Layer.unwrap(
    Effect.map(
      Effect.tryPromise({ try: () => import("../host/postgresBackend.ts"), catch: missingSqlPg }),
      (PostgresBackend) => PostgresBackend.layer(settings, `${home}/${SharedCache.filename}`, jobs)
    )
  )

const backend = ({ identity, settings }: DaemonOptions, jobs: Backend.Jobs) =>
  settings._tag === "Embedded"
    ? SqliteBackend.layer(settings, jobs)
    : LazyExecutor.layer(postgresBackend(settings, identity.home, jobs))

const memory = (options: DaemonOptions, jobs: Backend.Jobs) =>
  Layer.merge(MemoryBridge.layer, EventSpool.layerRelay(options.identity.home, options.settings)).pipe(
    Layer.provide(backend(options, jobs))
  )

const stateOf = ({ warning: caution, database, identity, settings }: DaemonOptions): State => ({
  identity,
  database: settings._tag === "Embedded" ? "embedded" : "postgres",
  databaseHash: database,
  port: null,
  problem: null,
  warning: caution ?? null
})

/** The time without an event after which the daemon is idle, in milliseconds. */
const idleAfter = 60_000

const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (now) => Number(now) / 1e6)

/** The time of the last event, in milliseconds of the monotonic clock. */
interface Activity {
  lastEventAt: number
}

const jobsOf = ({ consolidate = true, retention }: DaemonOptions, activity: Activity): Backend.Jobs => ({
  retention,
  isIdle: consolidate ? Effect.map(monotonicMillis, (now) => now - activity.lastEventAt >= idleAfter) : undefined
})

const hooks = (options: DaemonOptions, state: State, sessions: ActiveSessions.ActiveSessions, activity: Activity) =>
  HookService.layer({
    ...options.hooks,
    message: Effect.sync(() => {
      const problem = state.problem ?? state.warning
      return problem === null ? undefined : `athena: ${problem}`
    }),
    onEvent: (event) =>
      Effect.map(monotonicMillis, (now) => {
        activity.lastEventAt = now
        sessions.record(event, now)
      })
  })

/** A Layer closes in reverse order of construction: the server closes first. */
const layer = (options: DaemonOptions) => {
  const state = stateOf(options)
  const sessions = ActiveSessions.make()
  const activity: Activity = { lastEventAt: Number.NEGATIVE_INFINITY }
  return DaemonServer.layer(options).pipe(
    Layer.provide(hooks(options, state, sessions, activity)),
    Layer.provide(memory(options, jobsOf(options, activity))),
    Layer.provide(ProfileMetrics.layer),
    Layer.provide([Backend.layerDiagnostics, Profiler.layer({ level: "wall" }), Layer.succeed(DaemonState, state)]),
    Layer.provideMerge(lifecycle(options, sessions))
  )
}

/**
 * Runs the daemon until it has a reason to end, and returns the reason. Interruption shuts it down in order.
 *
 * Fails with `SocketUnusable` if it can't listen on the socket, and if the folder of the memory can't be created.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = (options: DaemonOptions) =>
  Effect.gen(function* () {
    const { ended } = yield* Lifecycle.Lifecycle
    const { pid, version } = options.identity
    yield* Effect.annotateLogs(Effect.logInfo("ready"), { pid, version })
    const reason = yield* ended
    yield* Effect.annotateLogs(Effect.logInfo("ending"), { reason })
    return reason
  }).pipe(Effect.provide(Layer.suspend(() => layer(options))))
