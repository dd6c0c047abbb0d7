/**
 * A `ChangeFeed` over `NOTIFY` and `LISTEN`, for caches on several hosts over one Postgres server.
 *
 * A mutation publishes its changes in its own transaction, so that they arrive with the commit and never after a rollback.
 * Heartbeat notifications monitor the listening connection: it is lost if one does not arrive within a heartbeat, or if
 * none can be sent for six heartbeats. A partitioned host may serve replaced results for that time and no longer.
 *
 * **Gotchas**
 *
 * Requires the optional package `@effect/sql-pg`, and server sessions: PgBouncer in transaction mode has none.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Options from "../internal/options.ts"
import { randomId } from "../internal/randomId.ts"
import { ChangeFeed, type Change, type FeedEvent } from "./ChangeFeed.ts"

/**
 * Options of the feed. An option beyond its bounds is a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PostgresChangeFeedOptions {
  /** The channel, equal for all caches of a database. From 1 to 63 bytes; `athena_hooks` when absent. */
  readonly channel?: string | undefined
  /** The interval of checks of the listening connection. From 100 milliseconds to 1 hour; 2 seconds when absent. */
  readonly heartbeat?: Duration.Input | undefined
}

/** The maximum payload of a notification, in bytes: the limit of the server is 8,000. */
const maxPayloadBytes = 7_900

/** The payload: its sender and the change; a heartbeat has no change. */
const Payload = Schema.fromJsonString(
  Schema.Struct({
    from: Schema.String,
    dependencies: Schema.Array(
      Schema.Struct({ table: Schema.String, scope: Schema.optionalKey(Schema.Union([Schema.String, Schema.Finite])) })
    ),
    tags: Schema.Array(Schema.String),
    everything: Schema.optionalKey(Schema.Literal(true))
  })
)

const decodePayload = Schema.decodeUnknownOption(Payload)
const encodePayload = Schema.encodeSync(Payload)

const fits = (payload: string): boolean => Buffer.byteLength(payload) <= maxPayloadBytes

/** Encodes a change, with less detail if the payload would be too long. */
const payloadOf = (from: string, change: Change): string => {
  if (change !== "everything") {
    const dependencies = change.dependencies.map(({ scope, table }) =>
      scope === undefined ? { table } : { table, scope }
    )
    const exact = encodePayload({ from, dependencies, tags: change.tags })
    if (fits(exact)) return exact
    const tables = [...new Set(dependencies.map(({ table }) => table))].map((table) => ({ table }))
    const byTable = encodePayload({ from, dependencies: tables, tags: change.tags })
    if (fits(byTable)) return byTable
  }
  return encodePayload({ from, dependencies: [], tags: [], everything: true })
}

const changeOf = (from: string, payload: string): Change | undefined => {
  const found = decodePayload(payload)
  // An undecodable payload may be from a newer version.
  if (Option.isNone(found) || found.value.everything === true) return "everything"
  const { dependencies, from: sender, tags } = found.value
  return sender === from || dependencies.length + tags.length === 0 ? undefined : { dependencies, tags }
}

/** The pause before the next attempt to listen. */
const reconnectSchedule = Schedule.jittered(Schedule.spaced("500 millis"))

/** The maximum number of consecutive unsent heartbeats: all connections of the pool may be in use. */
const maxUnsent = 3

/** The maximum number of buffered events; further ones wait in the connection. */
const bufferSize = 1_024

/**
 * Provides the feed over the `PgClient` of the context, which must be the client of the mutations.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as PostgresChangeFeed from "athena-hooks/cache/PostgresChangeFeed"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Cached = QueryCache.layerFeed({ namespace: "shop" }).pipe(
 *   Layer.provide(PostgresChangeFeed.layer()),
 *   Layer.provide(CacheStore.layerSqlite({ filename: "cache.db" })),
 *   Layer.provide(QueryExecutor.layer),
 *   Layer.provide(ConnectionPool.layer({ url: Redacted.make("postgres://shop@db/shop"), maxConnections: 10 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: PostgresChangeFeedOptions = {}): Layer.Layer<ChangeFeed, never, PgClient.PgClient> =>
  Layer.effect(
    ChangeFeed,
    Effect.suspend(() => make(settingsOf(options)))
  )

/**
 * As `layer`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<PostgresChangeFeedOptions>
): Layer.Layer<ChangeFeed, Config.ConfigError, PgClient.PgClient> =>
  Layer.effect(ChangeFeed, Effect.flatMap(Options.fromConfig(config, settingsOf), make))

const read = Options.reader("PostgresChangeFeed")

const settingsOf = ({ channel = "athena_hooks", heartbeat }: PostgresChangeFeedOptions) => {
  read.whole("channel (length in bytes)", Buffer.byteLength(channel), 1, 63)
  return { channel, heartbeat: Duration.millis(read.duration("heartbeat", heartbeat ?? 2_000, 100, 3_600_000)) }
}

const make = ({ channel, heartbeat }: ReturnType<typeof settingsOf>) =>
  Effect.gen(function* () {
    const pg = yield* PgClient.PgClient
    const from = randomId()
    const beat = encodePayload({ from, dependencies: [], tags: [] })

    type Emit = (event: FeedEvent) => Effect.Effect<unknown>

    /** Ends when a sent heartbeat has not arrived, or none could be sent for too long. */
    const monitor = (received: () => number) =>
      Effect.gen(function* () {
        for (let unsent = 0; unsent < maxUnsent;) {
          const before = received()
          const sent = yield* Effect.option(Effect.timeout(pg.notify(channel, beat), heartbeat))
          yield* Effect.sleep(heartbeat)
          if (received() > before) unsent = 0
          else if (Option.isSome(sent)) break
          else unsent++
        }
      })

    /** Emits received changes until the connection is lost. */
    const receive = (emit: Emit) =>
      Effect.gen(function* () {
        const notifications = yield* pg.listen(channel)
        let received = 0
        yield* emit({ _tag: "Connected" })
        const receiving = Effect.forever(
          Effect.flatMap(Queue.take(notifications), ({ payload }) => {
            received++
            const change = changeOf(from, payload)
            return change === undefined ? Effect.void : emit({ _tag: "Changed", change })
          })
        )
        yield* Effect.raceFirst(
          receiving,
          monitor(() => received)
        )
      })

    /** Emits the loss immediately and closes the connection in the background: a dead network delays that. */
    const listen = (emit: Emit) =>
      Effect.flatMap(Scope.make(), (scope) =>
        receive(emit).pipe(
          Scope.provide(scope),
          Effect.onExit((exit) => Effect.andThen(emit({ _tag: "Lost" }), Effect.forkDetach(Scope.close(scope, exit))))
        )
      )

    const events = Stream.callback<FeedEvent>(
      (queue) =>
        listen((event) => Queue.offer(queue, event)).pipe(
          Effect.tapCause((cause) => Effect.logDebug("the change feed lost its connection; it reconnects", cause)),
          Effect.exit,
          Effect.repeat(reconnectSchedule)
        ),
      { bufferSize, strategy: "suspend" }
    )

    return ChangeFeed.of({
      publish: (change) => Effect.asVoid(pg`SELECT pg_notify(${channel}, ${payloadOf(from, change)})`),
      events
    })
  })
