/**
 * Caches of several hosts over one database: a change of one host invalidates the others.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import { inject } from "vitest"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { ChangeFeed, type Change, type FeedEvent } from "../../src/cache/ChangeFeed.ts"
import * as PostgresChangeFeed from "../../src/cache/PostgresChangeFeed.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as Kit from "./QueryCacheKit.ts"

const { rest } = Kit

describe("a cache with a feed", () => {
  const setup = Effect.gen(function* () {
    const events = yield* Queue.unbounded<FeedEvent>()
    const published: Array<Change> = []
    const control = Kit.control()
    const { price, set } = Kit.queries(control)
    const context = yield* Layer.build(
      QueryCache.layerFeed({ jitter: 0 }).pipe(
        Layer.provide(
          Layer.succeed(ChangeFeed, {
            publish: (change) => Effect.sync(() => void published.push(change)),
            events: Stream.fromQueue(events)
          })
        ),
        Layer.provide(QueryExecutor.layer),
        Layer.provideMerge(CacheStore.layerMemory()),
        Layer.provideMerge(Kit.database())
      )
    )
    const cache = Context.get(context, QueryCache.QueryCache)
    const sql = Context.get(context, SqlClient.SqlClient)
    return {
      published,
      cache,
      tell: (event: FeedEvent) => Effect.andThen(Queue.offer(events, event), rest),
      tier: (shop: number) => Effect.map(cache.get(price, { shop }), ({ tier }) => tier),
      set: (value: number) => Context.get(context, QueryExecutor.QueryExecutor).mutate(set, { shop: 1, price: value }),
      sql
    }
  })

  it.effect("stores nothing before the feed connects, and serves nothing from before a loss", () =>
    Effect.gen(function* () {
      const { tier, tell } = yield* setup
      assert.deepStrictEqual([yield* tier(1), yield* tier(1)], ["source", "source"])
      yield* tell({ _tag: "Connected" })
      assert.deepStrictEqual([yield* tier(1), yield* tier(1)], ["source", "memory"])
      yield* tell({ _tag: "Lost" })
      assert.deepStrictEqual([yield* tier(1), yield* tier(1)], ["source", "source"])
      yield* tell({ _tag: "Lost" })
      yield* tell({ _tag: "Connected" })
      assert.deepStrictEqual([yield* tier(1), yield* tier(1)], ["source", "memory"])
    })
  )

  it.effect("subscribes again to a feed that has ended", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      let runs = 0
      const events = Stream.suspend(() =>
        ++runs === 1
          ? Stream.concat(
              Stream.make<[FeedEvent]>({ _tag: "Connected" }),
              Stream.drain(Stream.fromEffect(Deferred.await(ended)))
            )
          : Stream.concat(Stream.make<[FeedEvent]>({ _tag: "Connected" }), Stream.never)
      )
      const context = yield* Layer.build(
        QueryCache.layerFeed({ jitter: 0 }).pipe(
          Layer.provide(Layer.succeed(ChangeFeed, { publish: () => Effect.void, events })),
          Layer.provide(QueryExecutor.layer),
          Layer.provide(CacheStore.layerMemory()),
          Layer.provide(Kit.database())
        )
      )
      const { price } = Kit.queries(Kit.control())
      const tier = Effect.map(Context.get(context, QueryCache.QueryCache).get(price, { shop: 1 }), ({ tier }) => tier)
      yield* rest
      yield* tier
      assert.strictEqual(yield* tier, "memory")
      yield* Deferred.succeed(ended, undefined)
      yield* rest
      assert.deepStrictEqual([yield* tier, yield* tier], ["source", "source"])
      yield* TestClock.adjust("1 second")
      yield* rest
      yield* tier
      assert.strictEqual(yield* tier, "memory")
    })
  )

  it.effect("invalidates the changes of other hosts and nothing else", () =>
    Effect.gen(function* () {
      const { tier, tell } = yield* setup
      yield* tell({ _tag: "Connected" })
      yield* Effect.andThen(tier(1), tier(2))
      yield* tell({ _tag: "Changed", change: { dependencies: [Dependency.make("prices", 1)], tags: [] } })
      assert.deepStrictEqual([yield* tier(1), yield* tier(2)], ["source", "memory"])
      yield* tell({ _tag: "Changed", change: { dependencies: [Dependency.make("other")], tags: ["a tag"] } })
      assert.deepStrictEqual([yield* tier(1), yield* tier(2)], ["memory", "memory"])
      yield* tell({ _tag: "Changed", change: "everything" })
      assert.deepStrictEqual([yield* tier(1), yield* tier(2)], ["source", "source"])
    })
  )

  it.effect("publishes its changes in the mutation's transaction", () =>
    Effect.gen(function* () {
      const { cache, published, set, sql } = yield* setup
      yield* set(1)
      assert.deepStrictEqual(published, [{ dependencies: [Dependency.make("prices", 1)], tags: [] }])
      yield* Effect.exit(set(-1))
      assert.lengthOf(published, 1)
      yield* sql.withTransaction(set(2))
      yield* cache.invalidateTags(["a tag"])
      yield* cache.invalidateDependencies([Dependency.make("other")])
      assert.deepStrictEqual(published.slice(2), [
        { dependencies: [], tags: ["a tag"] },
        { dependencies: [Dependency.make("other")], tags: [] }
      ])
    })
  )
})

interface Address {
  readonly host: string
  readonly port: number
}

/** A host: a cache with a store of its own, over a client of its own. */
const startHost = (database: string, address?: Address) =>
  Effect.gen(function* () {
    const server = { ...inject("postgres"), ...address }
    const client = ConnectionPool.layer({
      ...server,
      password: Redacted.make(server.password),
      database,
      maxConnections: 4,
      deadline: "1 second"
    })
    const context = yield* Layer.build(
      Layer.fresh(
        QueryCache.layerFeed({ namespace: "test" }).pipe(
          Layer.provideMerge(PostgresChangeFeed.layer({ heartbeat: "200 millis" })),
          Layer.provide(CacheStore.layerMemory()),
          Layer.provide(QueryExecutor.layer),
          Layer.provideMerge(client)
        )
      )
    )
    const { price, set } = Kit.queries(Kit.control())
    const cache = Context.get(context, QueryCache.QueryCache)
    const executor = Context.get(context, QueryExecutor.QueryExecutor)
    const get = cache.get(price, { shop: 1 })
    return {
      cache,
      feed: Context.get(context, ChangeFeed),
      sql: Context.get(context, PgClient.PgClient),
      get,
      set: (value: number) => executor.mutate(set, { shop: 1, price: value }),
      /** Reads until a result comes from memory, which later changes must invalidate. */
      keeping: Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), get), {
        until: ({ tier }) => tier === "memory"
      }),
      until: (price: number) =>
        Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), get), { until: ({ value }) => value === price })
    }
  })

const startHosts = Effect.gen(function* () {
  const database = yield* Postgres.createDatabase
  const here = yield* startHost(database)
  yield* here.sql`CREATE TABLE prices (shop INTEGER PRIMARY KEY, price INTEGER NOT NULL)`
  const proxy = yield* FaultProxy.make(inject("postgres"))
  const there = yield* startHost(database, proxy)
  return { here, there, proxy }
})

const many = (table: (i: number) => string) =>
  Array.from({ length: 1_000 }, (_, i) => Dependency.make(table(i), `scope ${i}`))

describe("hosts on one Postgres server", () => {
  it.live("receive each other's commits and no rolled back change", () =>
    Effect.gen(function* () {
      const { here, there } = yield* startHosts
      yield* here.keeping
      yield* there.keeping
      yield* here.set(1)
      yield* there.until(1)
      yield* there.keeping
      yield* there.sql.withTransaction(Effect.andThen(there.set(2), there.sql.withTransaction(there.set(3))))
      yield* here.until(3)
      yield* here.keeping
      yield* there.keeping
      yield* Effect.flip(here.sql.withTransaction(Effect.andThen(here.set(4), Effect.fail("no"))))
      // Notifications are ordered, so the rollback has sent none.
      yield* here.cache.invalidateTags(["done"])
      yield* Effect.sleep("50 millis")
      assert.deepInclude(yield* there.get, { value: 3, tier: "memory" })
    })
  )

  it.live("serve no earlier entry after the listening session was killed", () =>
    Effect.gen(function* () {
      const { here, there } = yield* startHosts
      yield* there.keeping
      yield* here.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query ILIKE 'listen%' AND pid <> pg_backend_pid()`
      yield* here.set(1)
      yield* there.until(1)
      yield* there.keeping
      yield* here.keeping
      yield* here.set(2)
      yield* there.until(2)
    })
  )

  it.live("serve no earlier entry after two silent heartbeats", () =>
    Effect.gen(function* () {
      const { here, proxy, there } = yield* startHosts
      yield* there.keeping
      yield* proxy.set({ _tag: "blackHole" })
      yield* here.set(1)
      // Its entries are not served: the read waits for the database without end.
      yield* Effect.repeat(Effect.andThen(Effect.sleep("20 millis"), Effect.timeoutOption(there.get, "200 millis")), {
        until: ({ _tag }) => _tag === "None"
      })
      yield* proxy.set({ _tag: "reset" })
      yield* proxy.set({ _tag: "pass" })
      yield* Effect.retry(there.until(1), Schedule.forever)
      yield* Effect.retry(there.keeping, Schedule.forever)
    })
  )

  it.live("coarsen a change beyond the payload limit, and treat an unreadable one as everything", () =>
    Effect.gen(function* () {
      const { here, there } = yield* startHosts
      yield* here.keeping
      yield* there.keeping
      const heard: Array<FeedEvent> = []
      yield* Effect.forkScoped(
        Stream.runForEach(there.feed.events, (event) => Effect.sync(() => void heard.push(event)))
      )
      const hear = (count: number) =>
        Effect.repeat(Effect.sleep("5 millis"), { until: () => Effect.sync(() => heard.length >= count) })
      yield* hear(1)
      yield* here.feed.publish({ dependencies: many(() => "prices"), tags: [] })
      yield* hear(2)
      yield* here.feed.publish({ dependencies: many((i) => `table ${i}`), tags: [] })
      yield* hear(3)
      yield* here.sql.notify("athena_hooks", "{ of another version")
      yield* hear(4)
      assert.deepStrictEqual(heard, [
        { _tag: "Connected" },
        { _tag: "Changed", change: { dependencies: [Dependency.make("prices")], tags: [] } },
        { _tag: "Changed", change: "everything" },
        { _tag: "Changed", change: "everything" }
      ])
    })
  )
})
