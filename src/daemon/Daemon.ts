/**
 * The resident process: what hooks need, opened once and kept.
 *
 * It holds the database, the cache, the recorder of events and the profiler, and answers over HTTP, see `DaemonServer`. It
 * ends when it is asked to, after a time with nothing to do, when it has grown too large, or when its home was removed; what
 * it was told by then is safe on this host, unless it was removed with the home.
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
 * Why a process ended: it was asked to, it had nothing to do, it had grown too large, or its home was removed.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = Lifecycle.Reason

/**
 * Options of the process.
 *
 * @category models
 * @since 0.1.0
 */
export interface DaemonOptions {
  /** Who it is. */
  readonly identity: Pick<Health, "version" | "instance" | "pid" | "startedAt" | "home">
  /** What must be known to ask it. */
  readonly token: Redacted.Redacted
  /** Its port on 127.0.0.1. */
  readonly port: number
  /** A socket that listens on that port already, inherited from the process that started this one; none when absent. */
  readonly listenerFd?: number | undefined
  /** Path of its socket, in a folder that nobody else can read. */
  readonly socket: string
  /** The database. */
  readonly settings: Database.Settings
  /** Tells the database from others: a request that names another one is refused with 409. */
  readonly database: string
  /** What the memory keeps, and for how long. */
  readonly retention: Retention.Policy
  /** What is wrong with how it is set up, for a person; the user is told at each session's start. */
  readonly warning?: string | undefined
  /**
   * How long it stays with nothing to do, once all sessions have ended that it has heard of in the last 3 days. 30 minutes
   * when absent.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /** Whether its home is this process's still, see `DaemonLock.watch`; always when absent. Asked every 5 seconds. */
  readonly ownsHome?: (() => boolean) | undefined
  /** How much memory the program may have, in bytes, before this ends. No limit when absent. */
  readonly maxMemory?: number | undefined
  /** Requests a second that are taken over longer times, from 1; 1,000 when absent. At once, twice as many. */
  readonly requestsPerSecond?: number | undefined
  /** Bytes of payloads that are held at once, from 16 MiB; 64 MiB when absent. */
  readonly payloadBytes?: number | undefined
  readonly hooks?: Omit<HookService.HookServiceOptions, "message" | "onEvent"> | undefined
}

/** How often it looks whether it should end. */
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

/** The driver of Postgres is loaded only where there is such a server. */
const postgresBackend = (settings: Database.Postgres, home: string, retention: Retention.Policy) =>
  Layer.unwrap(
    Effect.map(
      Effect.tryPromise({ try: () => import("../host/postgresBackend.ts"), catch: missingSqlPg }),
      (PostgresBackend) => PostgresBackend.layer(settings, `${home}/${SharedCache.filename}`, retention)
    )
  )

const backend = ({ identity, retention, settings }: DaemonOptions) =>
  settings._tag === "Embedded"
    ? SqliteBackend.layer(settings, retention)
    : LazyExecutor.layer(postgresBackend(settings, identity.home, retention))

const memory = (options: DaemonOptions) =>
  Layer.merge(MemoryBridge.layer, EventSpool.layerRelay(options.identity.home, options.settings)).pipe(
    Layer.provide(backend(options))
  )

const stateOf = ({ warning: caution, database, identity, settings }: DaemonOptions): State => ({
  identity,
  database: settings._tag === "Embedded" ? "embedded" : "postgres",
  databaseHash: database,
  port: null,
  problem: null,
  warning: caution ?? null
})

const hooks = (options: DaemonOptions, state: State, sessions: ActiveSessions.ActiveSessions) =>
  HookService.layer({
    ...options.hooks,
    message: Effect.sync(() => {
      const problem = state.problem ?? state.warning
      return problem === null ? undefined : `athena: ${problem}`
    }),
    onEvent: (event) => Effect.map(Clock.monotonicTimeNanos, (now) => sessions.record(event, Number(now) / 1e6))
  })

/** All of it; what is last is built last and closed first. */
const layer = (options: DaemonOptions) => {
  const state = stateOf(options)
  const sessions = ActiveSessions.make()
  return DaemonServer.layer(options).pipe(
    Layer.provide(hooks(options, state, sessions)),
    Layer.provide(memory(options)),
    Layer.provide(ProfileMetrics.layer),
    Layer.provide([Backend.layerDiagnostics, Profiler.layer({ level: "wall" }), Layer.succeed(DaemonState, state)]),
    Layer.provideMerge(lifecycle(options, sessions))
  )
}

/**
 * Runs the process until there is a reason to end, and gives the reason. One that is interrupted ends in order as well.
 *
 * Fails with `SocketUnusable` where the socket can't be listened on, and where the folder of the memory can't be made. Only one
 * may run in a folder at a time: see `DaemonLock`.
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
