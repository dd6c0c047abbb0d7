/**
 * A `ChangeFeed` by `NOTIFY` and `LISTEN`: for caches on several hosts over one Postgres server.
 *
 * A change is told in the transaction that makes it, so that it arrives with the commit and not at all after a rollback.
 * The connection that listens is watched by notifications that are sent to it: one that does not arrive within a
 * heartbeat is a loss, and so is a silence of six heartbeats, in which none could be sent either. For as long a host whose
 * network has gone silent may serve what another one has replaced, and no longer.
 *
 * It needs the optional package `@effect/sql-pg`, and a server that keeps sessions: not PgBouncer in transaction mode.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ChangeFeed, type Change, type FeedEvent } from "./ChangeFeed.ts"

/**
 * Options of the feed. A heartbeat out of its bounds is moved to the nearest bound.
 *
 * @category models
 * @since 0.1.0
 */
export interface PostgresChangeFeedOptions {
  /** The channel; the same for all who are to hear of each other. At most 63 bytes; `athena_hooks` when absent. */
  readonly channel?: string | undefined
  /**
   * How often the connection that listens is tried. From 100 milliseconds to 1 hour; 2 seconds when absent.
   */
  readonly heartbeat?: Duration.Input | undefined
}

/** What one notification may carry, in bytes: the server takes fewer than 8,000. */
const maxPayloadBytes = 7_900

/** On the wire: who tells it, and what; a heartbeat tells nothing. */
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

/** The change as a payload; with less detail where it would be too long. */
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
  // What this version can't read may be of a newer one.
  if (Option.isNone(found) || found.value.everything === true) return "everything"
  const { dependencies, from: sender, tags } = found.value
  return sender === from || dependencies.length + tags.length === 0 ? undefined : { dependencies, tags }
}

/** How long it waits before it tries to listen again. */
const again = Schedule.jittered(Schedule.spaced("500 millis"))

/** How many heartbeats in a row may not be sent: all connections may be out for a while. */
const mostUnsent = 3

/** How many events wait for the cache at most; the rest wait in the connection. */
const bufferSize = 1_024

/**
 * Provides the feed over the `PgClient` of the context, which must be the client that the mutations run on.
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
    Effect.gen(function* () {
      const pg = yield* PgClient.PgClient
      const channel = options.channel ?? "athena_hooks"
      const heartbeat = Duration.clamp(Duration.fromInputUnsafe(options.heartbeat ?? "2 seconds"), {
        minimum: Duration.millis(100),
        maximum: Duration.hours(1)
      })
      const from = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")
      const beat = encodePayload({ from, dependencies: [], tags: [] })

      type Tell = (event: FeedEvent) => Effect.Effect<unknown>

      /** Ends when a heartbeat that was sent has not arrived, or when none could be sent for too long. */
      const watch = (heard: () => number) =>
        Effect.gen(function* () {
          for (let unsent = 0; unsent < mostUnsent;) {
            const before = heard()
            const sent = yield* Effect.option(Effect.timeout(pg.notify(channel, beat), heartbeat))
            yield* Effect.sleep(heartbeat)
            if (heard() > before) unsent = 0
            else if (Option.isSome(sent)) break
            else unsent++
          }
        })

      /** Tells of what arrives, until nothing arrives any more. */
      const receive = (tell: Tell) =>
        Effect.gen(function* () {
          const notifications = yield* pg.listen(channel)
          let heard = 0
          yield* tell({ _tag: "Connected" })
          const arriving = Effect.forever(
            Effect.flatMap(Queue.take(notifications), ({ payload }) => {
              heard++
              const change = changeOf(from, payload)
              return change === undefined ? Effect.void : tell({ _tag: "Changed", change })
            })
          )
          yield* Effect.raceFirst(
            arriving,
            watch(() => heard)
          )
        })

      /** Says at once that the connection is lost, and lets it go behind: on a dead network that may take its time. */
      const listen = (tell: Tell) =>
        Effect.flatMap(Scope.make(), (scope) =>
          receive(tell).pipe(
            Scope.provide(scope),
            Effect.onExit((exit) => Effect.andThen(tell({ _tag: "Lost" }), Effect.forkDetach(Scope.close(scope, exit))))
          )
        )

      const events = Stream.callback<FeedEvent>(
        (queue) =>
          listen((event) => Queue.offer(queue, event)).pipe(
            Effect.tapCause((cause) => Effect.logDebug("the changes of other hosts can't be heard", cause)),
            Effect.exit,
            Effect.repeat(again)
          ),
        { bufferSize, strategy: "suspend" }
      )

      return ChangeFeed.of({
        publish: (change) => Effect.asVoid(pg`SELECT pg_notify(${channel}, ${payloadOf(from, change)})`),
        events
      })
    })
  )
