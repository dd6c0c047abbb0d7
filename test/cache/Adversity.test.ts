/**
 * What goes wrong at the worst moment: stores that hang or can't be written, parts of transactions that are given up,
 * files that are replaced, feeds that die.
 */
import fsDefault, * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { ChangeFeed, type FeedEvent } from "../../src/cache/ChangeFeed.ts"
import * as QC from "../../src/cache/QueryCache.ts"
import { QueryCache, type QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Executor from "../../src/query/QueryExecutor.ts"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Redacted from "effect/Redacted"
import { inject } from "vitest"
import * as PostgresChangeFeed from "../../src/cache/PostgresChangeFeed.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./QueryCacheKit.ts"

const { begin, rest, setup } = Kit

const test = (
  what: string,
  body: Effect.Effect<void, unknown, Kit.Services | Scope.Scope>,
  options: QueryCacheOptions = {},
  store: Layer.Layer<CacheStore.CacheStore> = CacheStore.layerMemory()
) => it.effect(what, () => Effect.provide(body, Kit.layer(options, store)), 10_000)

/** A memory store with some operations replaced. */
const storeWith = (change: (store: CacheStore.CacheStoreShape) => Partial<CacheStore.CacheStoreShape>) =>
  Layer.effect(
    CacheStore.CacheStore,
    Effect.map(CacheStore.CacheStore, (store) => ({ ...store, ...change(store) }))
  ).pipe(Layer.provide(CacheStore.layerMemory()))

/** Advances the time in steps until the fiber has ended, up to a maximum, and returns the milliseconds. */
const timed = <A, E>(fiber: Fiber.Fiber<A, E>, longest: number, step = 10) =>
  Effect.gen(function* () {
    let passed = 0
    yield* rest
    while (fiber.pollUnsafe() === undefined && passed < longest) {
      yield* TestClock.adjust(step)
      yield* rest
      passed += step
    }
    return fiber.pollUnsafe() === undefined ? Infinity : passed
  })

describe("release", () => {
  test(
    "a failed load fails its readers within storeTimeout though the lease is never released",
    Effect.gen(function* () {
      const { control, get } = yield* setup
      control.afterRead = Effect.fail(Kit.failure)
      const fiber = yield* Effect.forkDetach(Effect.exit(get), { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 5_000), 100)
    }),
    {},
    storeWith(() => ({ release: () => Effect.never }))
  )
})

describe("in uninterruptible regions", () => {
  test(
    "a read in an uninterruptible region observes storeTimeout",
    Effect.gen(function* () {
      const { get } = yield* setup
      const fiber = yield* Effect.forkDetach(Effect.uninterruptible(Effect.andThen(get, get)), {
        startImmediately: true
      })
      assert.isAtMost(yield* timed(fiber, 5_000), 500)
    }),
    {},
    storeWith(() => ({ stamp: () => Effect.never, generation: () => undefined }))
  )

  test(
    "a mutation in an uninterruptible region observes announceTimeout",
    Effect.gen(function* () {
      const { set } = yield* setup
      const fiber = yield* Effect.forkDetach(Effect.uninterruptible(set(1)), { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 5_000), 1_000)
    }),
    {},
    storeWith(() => ({ announce: () => Effect.never }))
  )

  test(
    "a read in an uninterruptible region returns a stale result after softTimeout",
    Effect.gen(function* () {
      const { control, get } = yield* setup
      yield* get
      yield* TestClock.adjust("1 minute")
      control.afterRead = Effect.never
      const fiber = yield* Effect.forkDetach(Effect.uninterruptible(get), { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 5_000), 500)
    }),
    { grace: "10 minutes", softTimeout: "100 millis", memoryTimeToLive: "1 minute", storeTimeToLive: "1 minute" }
  )
})

describe("pending invalidations", () => {
  const away = { is: false }
  for (const tags of [["t"], ["t", "t"]])
    test(
      `tags ${tags.join()} that were invalidated while the store was away: results are cached again when it is back`,
      Effect.gen(function* () {
        const { cache, get } = yield* setup
        yield* get
        away.is = true
        yield* cache.invalidateTags(tags)
        away.is = false
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
        yield* get
        assert.strictEqual((yield* get).tier, "memory")
      }),
      { policies: [QC.policy(Kit.queries(Kit.control()).price, { tags: () => ["t"] })] },
      storeWith((store) => ({
        resolve: (...args) =>
          Effect.suspend(() =>
            away.is
              ? Effect.fail(new CacheStore.CacheStoreError({ operation: "resolve", cause: new Error("away") }))
              : store.resolve(...args)
          )
      }))
    )
})

describe("early refresh and grace", () => {
  const options: QueryCacheOptions = {
    grace: "10 minutes",
    softTimeout: "100 millis",
    earlyRefresh: 0.5,
    memoryTimeToLive: "10 seconds",
    storeTimeToLive: "10 seconds"
  }
  test(
    "a read that joins a hanging early refresh returns a stale result after softTimeout",
    Effect.gen(function* () {
      const { control, get } = yield* setup
      yield* get
      yield* TestClock.adjust("6 seconds")
      control.afterRead = Effect.never
      assert.strictEqual((yield* get).tier, "memory")
      yield* rest
      yield* TestClock.adjust("5 seconds")
      const fiber = yield* Effect.forkDetach(get, { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 60_000, 100), 500)
    }),
    options
  )
  test(
    "a read that joins a failing early refresh returns a stale result",
    Effect.gen(function* () {
      const { control, get } = yield* setup
      yield* get
      yield* TestClock.adjust("6 seconds")
      const gate = yield* Kit.gate
      control.afterRead = Effect.andThen(gate.wait, Effect.fail(Kit.failure))
      assert.strictEqual((yield* get).tier, "memory")
      yield* gate.reached
      yield* TestClock.adjust("5 seconds")
      const fiber = yield* begin(Effect.exit(get))
      yield* gate.open
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
    }),
    { ...options, softTimeout: undefined }
  )
  test(
    "a read that joins a hanging refresh returns a stale result after softTimeout",
    Effect.gen(function* () {
      const { cache, control, get, queries } = yield* setup
      yield* get
      yield* TestClock.adjust("11 seconds")
      control.afterRead = Effect.never
      yield* begin(cache.refresh(queries.price, { shop: 1 }))
      const fiber = yield* Effect.forkDetach(get, { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 60_000, 100), 500)
    }),
    { ...options, earlyRefresh: 1 }
  )
})

describe("load leases", () => {
  for (const loadLease of [0, 1_000])
    test(
      `fails the reads of all processes at hardTimeout, with a load lease of ${loadLease} ms`,
      Effect.gen(function* () {
        const { control, queries } = yield* setup
        control.afterRead = Effect.never
        const fibers = []
        for (let i = 0; i < 6; i++) {
          const { cache } = yield* Kit.another({ hardTimeout: "500 millis", loadLease })
          fibers.push(
            yield* Effect.forkDetach(Effect.exit(cache.get(queries.price, { shop: 1 })), { startImmediately: true })
          )
          yield* rest
        }
        const ended: Array<number> = []
        for (let ms = 0; ms < 10_000 && ended.length < 6; ms += 50) {
          yield* TestClock.adjust(50)
          yield* rest
          while (ended.length < fibers.filter((fiber) => fiber.pollUnsafe() !== undefined).length) ended.push(ms + 50)
        }
        // [ms at which each of six processes got its timeout]
        assert.isAtMost(Math.max(...ended), 1_100, `ended at ${ended.join(", ")}`)
      })
    )
})

describe("breaker", () => {
  test(
    "stops writing to a store after three failed writes",
    Effect.gen(function* () {
      const { cache, control, queries } = yield* setup
      control.afterRead = Effect.sleep(10)
      const times: Array<number> = []
      for (let shop = 1; shop <= 12; shop++) {
        const fiber = yield* Effect.forkDetach(cache.get(queries.price, { shop }), { startImmediately: true })
        times.push(yield* timed(fiber, 1_000))
        // The load behind ends too.
        yield* TestClock.adjust(60)
        yield* rest
      }
      assert.isAtMost(times[11]!, 20, `waited ${times.join(", ")}`)
    }),
    {},
    storeWith(() => ({ claim: () => Effect.never, set: () => Effect.never, release: () => Effect.never }))
  )
})

describe("rolled back mutations", () => {
  const away = { is: false }
  test(
    "bounds a read after the rollback of many mutations by the store's timeout",
    Effect.gen(function* () {
      const { executor, get, queries, sql } = yield* setup
      yield* get
      yield* Effect.exit(
        sql.withTransaction(
          Effect.gen(function* () {
            for (let i = 0; i < 20; i++) yield* executor.mutate(queries.set, { shop: 1, price: i })
            away.is = true
            return yield* Effect.fail("no")
          })
        )
      )
      const fiber = yield* Effect.forkDetach(get, { startImmediately: true })
      assert.isAtMost(yield* timed(fiber, 10_000), 120)
    }),
    {},
    storeWith((store) => ({
      resolve: (...args) => Effect.suspend(() => (away.is ? Effect.never : store.resolve(...args)))
    }))
  )
})

const withFeed = (store: Layer.Layer<CacheStore.CacheStore>, feed: Stream.Stream<FeedEvent>) =>
  Effect.gen(function* () {
    const control = Kit.control()
    const { price, set } = Kit.queries(control)
    const context = yield* Layer.build(
      QC.layerFeed({ jitter: 0 }).pipe(
        Layer.provide(Layer.succeed(ChangeFeed, { publish: () => Effect.void, events: feed })),
        Layer.provide(Executor.layer),
        Layer.provideMerge(store),
        Layer.provideMerge(Kit.database())
      )
    )
    const cache = Context.get(context, QueryCache)
    return { control, cache, price, set, get: cache.get(price, { shop: 1 }) }
  })

describe("a subscribed feed", () => {
  it.effect(
    "applies a change of another host immediately while the store hangs",
    () =>
      Effect.gen(function* () {
        const busy = { is: false }
        const events = yield* Queue.unbounded<FeedEvent>()
        const { get } = yield* withFeed(
          storeWith((store) => ({
            resolve: (...args) => Effect.suspend(() => (busy.is ? Effect.never : store.resolve(...args)))
          })),
          Stream.fromQueue(events)
        )
        yield* Queue.offer(events, { _tag: "Connected" })
        yield* rest
        yield* get
        assert.strictEqual((yield* get).tier, "memory")
        busy.is = true
        for (let i = 0; i < 100; i++) {
          yield* Queue.offer(events, {
            _tag: "Changed",
            change: { dependencies: [Dependency.make("other", i)], tags: [] }
          })
        }
        yield* Queue.offer(events, {
          _tag: "Changed",
          change: { dependencies: [Dependency.make("prices", 1)], tags: [] }
        })
        yield* Queue.offer(events, { _tag: "Lost" })
        yield* rest
        let late = 0
        for (; late < 20_000; late += 50) {
          yield* TestClock.adjust(50)
          yield* rest
          if ((yield* get).tier === "source") break
        }
        busy.is = false
        yield* TestClock.adjust("1 minute")
        yield* rest
        assert.isAtMost(late, 100)
      }),
    10_000
  )

  it.effect("treats a feed that dies as lost", () =>
    Effect.gen(function* () {
      const die = yield* Kit.gate
      const { get } = yield* withFeed(
        CacheStore.layerMemory(),
        Stream.concat(
          Stream.make<[FeedEvent]>({ _tag: "Connected" }),
          Stream.fromEffect(Effect.andThen(die.wait, Effect.die(new Error("a defect")))) as never
        )
      )
      yield* die.reached
      yield* rest
      yield* get
      assert.strictEqual((yield* get).tier, "memory")
      yield* die.open
      yield* rest
      assert.strictEqual((yield* get).tier, "source")
    })
  )
})

/** As a caller outside of the transaction. */
const outside = <A, E>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.updateContext(effect, Context.omit(sql.transactionService) as never)

describe("a nested transaction that rolls back late", () => {
  for (const givenUp of [false, true])
    it.live(`serves no replaced result to other processes after the commit, rolled back: ${givenUp}`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const database = path.join(folder, "source.db")
        const store = CacheStore.layerSqlite({ filename: path.join(folder, "cache.db") })
        const connection = Effect.map(Layer.build(Layer.fresh(Kit.database(database, 0))), (context) =>
          Context.get(context, SqlClient.SqlClient)
        )
        const { price, set } = Kit.queries(Kit.control())
        const gate = yield* Kit.gate
        // A middleware below the cache that has something to do after a mutation, as a profiler may.
        const sql = yield* connection
        const context = yield* Layer.build(
          QC.layer({ jitter: 0 }).pipe(
            Layer.provide(
              Layer.effect(
                QueryExecutor,
                Effect.map(QueryExecutor, (inner) => ({
                  ...inner,
                  mutate: (mutation, input) => Effect.tap(inner.mutate(mutation, input), () => gate.wait)
                }))
              )
            ),
            Layer.provide(Layer.fresh(Executor.layer)),
            Layer.provide([Layer.succeed(SqlClient.SqlClient, sql), Layer.fresh(store)])
          )
        )
        const executor = Context.get(context, QueryExecutor)
        const other = yield* Kit.another({}, store, yield* connection)
        const read = other.cache.get(price, { shop: 1 })
        let seen: unknown
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql.afterCommit(
              Effect.map(Effect.orDie(read), (traced) => {
                seen = traced.value
              })
            )
            const part = yield* Effect.forkChild(executor.mutate(set, { shop: 1, price: 10 }))
            yield* gate.reached
            if (givenUp) yield* Fiber.interrupt(part)
            else yield* Effect.andThen(gate.open, Fiber.join(part))
            // Another process reads the earlier state, which is right until the commit.
            yield* outside(sql, read)
          })
        )
        assert.deepStrictEqual(yield* sql`SELECT price FROM prices`, [{ price: 10 }])
        assert.strictEqual(seen, 10)
      }).pipe(Effect.scoped, Effect.provide(Kit.layer()))
    )
})

/** The tier of a read after a savepoint was rolled back. */
const tierAfterRollback = (isTraced: boolean) =>
  Effect.gen(function* () {
    const { executor, get, queries, sql } = yield* setup
    yield* get
    yield* sql
      .withTransaction(
        Effect.gen(function* () {
          yield* Effect.exit(
            sql.withTransaction(
              Effect.andThen(executor.mutate(queries.set, { shop: 1, price: 1 }), Effect.fail("undo"))
            )
          )
        })
      )
      .pipe(Effect.withTracerEnabled(isTraced))
    // From within a savepoint the end of the transaction is unknown: it counts as open for twenty leases.
    yield* TestClock.adjust("11 minutes")
    yield* rest
    yield* get
    return (yield* get).tier
  })
describe("a rolled back savepoint", () => {
  test(
    "counts as a change after twenty leases, with tracing",
    Effect.gen(function* () {
      assert.strictEqual(yield* tierAfterRollback(true), "memory")
    })
  )
  test(
    "counts as a change after twenty leases, without tracing",
    Effect.gen(function* () {
      assert.strictEqual(yield* tierAfterRollback(false), "memory")
    })
  )
})

describe("counters", () => {
  test(
    "does not count an interrupted load as a failure",
    Effect.gen(function* () {
      const { cache, control, get } = yield* setup
      control.afterRead = Effect.never
      const fiber = yield* begin(get)
      yield* Fiber.interrupt(fiber)
      yield* rest
      assert.strictEqual((yield* cache.stats).queries["price"]?.loadFailures, 0)
    })
  )
})

describe("the end of a scope", () => {
  it.live("does not reopen the file of a closed store", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = path.join(folder, "cache.db")
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(CacheStore.layerSqlite({ filename }), scope)
      const store = Context.get(context, CacheStore.CacheStore)
      yield* store.stats
      yield* Scope.close(scope, Exit.void)
      fs.rmSync(filename, { force: true })
      yield* Effect.exit(store.announce("id", ["key"], Date.now() + 1_000))
      assert.isFalse(fs.existsSync(filename))
    }).pipe(Effect.scoped)
  )
})

describe("a rolled back savepoint", () => {
  for (const [traced, root] of [
    [true, false],
    [false, false],
    [true, true]
  ] as const) {
    it.effect(`serves no replaced result of a savepoint after the commit, tracing ${traced}, root span ${root}`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const database = path.join(folder, "source.db")
        const connection = Effect.map(Layer.build(Layer.fresh(Kit.database(database, 0))), (context) =>
          Context.get(context, SqlClient.SqlClient)
        )
        const { price, set } = Kit.queries(Kit.control())
        const sql = yield* connection
        const writer = yield* Kit.another({}, undefined, sql)
        const reader = yield* Kit.another({}, undefined, yield* connection)
        const read = reader.cache.get(price, { shop: 1 })
        let seen: unknown
        yield* sql
          .withTransaction(
            Effect.gen(function* () {
              yield* sql.afterCommit(
                Effect.map(Effect.orDie(read), (traced) => {
                  seen = traced.value
                })
              )
              const write = writer.executor.mutate(set, { shop: 1, price: 10 })
              yield* sql.withTransaction(root ? Effect.withSpan(write, "job", { root: true }) : write)
              for (let i = 0; i < 12; i++) {
                yield* TestClock.adjust("1 second")
                yield* rest
              }
              yield* outside(sql, read)
            })
          )
          .pipe(Effect.withTracerEnabled(traced))
        assert.strictEqual(seen, 10)
      }).pipe(Effect.scoped, Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
    )
  }
})

describe("a transaction of many mutations", () => {
  const away = { is: false }
  test(
    "commits within announceTimeout while the store hangs",
    Effect.gen(function* () {
      const { executor, queries, sql } = yield* setup
      const fiber = yield* Effect.forkDetach(
        sql.withTransaction(
          Effect.gen(function* () {
            for (let i = 0; i < 40; i++) yield* executor.mutate(queries.set, { shop: 1, price: i })
            away.is = true
          })
        ),
        { startImmediately: true }
      )
      assert.isAtMost(yield* timed(fiber, 10_000), 600)
    }),
    {},
    storeWith((store) => ({
      resolve: (...args) => Effect.suspend(() => (away.is ? Effect.never : store.resolve(...args)))
    }))
  )
})

describe("a feed that can't publish", () => {
  it.effect("publishes an invalidation later", () =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      let away = true
      const context = yield* Layer.build(
        QC.layerFeed({ jitter: 0 }).pipe(
          Layer.provide(
            Layer.succeed(ChangeFeed, {
              publish: (change) =>
                Effect.suspend(() => (away ? Effect.fail(Kit.failure) : Effect.sync(() => void told.push(change)))),
              events: Stream.concat(Stream.make<[FeedEvent]>({ _tag: "Connected" }), Stream.never)
            })
          ),
          Layer.provide(Executor.layer),
          Layer.provideMerge(CacheStore.layerMemory()),
          Layer.provideMerge(Kit.database())
        )
      )
      yield* Context.get(context, QueryCache).invalidateDependencies([Dependency.make("prices", 1)])
      away = false
      yield* TestClock.adjust("1 hour")
      yield* rest
      assert.lengthOf(told, 1)
    })
  )
})

describe("the bytes of one entry", () => {
  for (const kind of ["memory", "file"]) {
    it.live(`match the size that the store reports: ${kind}`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const layer =
          kind === "memory"
            ? CacheStore.layerMemory({ maxEntryBytes: 100 })
            : CacheStore.layerSqlite({ filename: path.join(folder, "cache.db"), maxEntryBytes: 100 })
        const store = Context.get(yield* Layer.build(layer), CacheStore.CacheStore)
        const now = Date.now()
        const stamp = (yield* store.stamp(["w"], now))!
        const stored = yield* store.set({
          key: "k".repeat(43),
          query: "q".repeat(20),
          watched: ["w"],
          value: "v".repeat(90),
          stamp,
          storedAt: now,
          freshUntil: now + 1_000,
          expiresAt: now + 1_000
        })
        assert.isFalse(stored, "153 bytes of an entry of at most 100")
      }).pipe(Effect.scoped)
    )
  }
})

describe("a file that is set aside by another process while this one opens it", () => {
  for (const raced of [false, true]) {
    it.live(`shows an announcement to other processes, raced: ${raced}`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const filename = path.join(folder, "cache.db")
        const open = Effect.map(Layer.build(Layer.fresh(CacheStore.layerSqlite({ filename }))), (context) =>
          Context.get(context, CacheStore.CacheStore)
        )
        yield* Effect.scoped(Effect.flatMap(open, (store) => store.stats))
        const writer = yield* open
        const original = fsDefault.statSync
        let calls = 0
        if (raced) {
          fsDefault.statSync = ((name: string, options: never) => {
            // The first one is before the file is opened, the second one after.
            if (name === filename && ++calls === 2) {
              for (const suffix of ["-wal", "-shm", ""]) {
                if (fs.existsSync(filename + suffix)) fs.renameSync(filename + suffix, `${filename}.damaged-1${suffix}`)
              }
              fs.writeFileSync(filename, "")
            }
            return original(name, options)
          }) as never
          syncBuiltinESMExports()
        }
        yield* Effect.ensuring(
          writer.stats,
          Effect.sync(() => {
            fsDefault.statSync = original
            syncBuiltinESMExports()
          })
        )
        const other = yield* open
        const now = Date.now()
        yield* writer.announce("id", ["k"], now + 30_000)
        assert.isUndefined(yield* other.stamp(["k"], now))
      }).pipe(Effect.scoped)
    )
  }
})

describe("a transaction of another database between", () => {
  for (const undone of [false, true]) {
    test(
      `serves no replaced result after its own transaction commits, the other one rolled back: ${undone}`,
      Effect.gen(function* () {
        const { executor, get, queries, sql } = yield* setup
        const another = Context.get(yield* Layer.build(Layer.fresh(Kit.database())), SqlClient.SqlClient)
        assert.strictEqual((yield* get).value, null)
        let seen: unknown
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql.afterCommit(
              Effect.map(Effect.orDie(get), (traced) => {
                seen = traced
              })
            )
            const write = executor.mutate(queries.set, { shop: 1, price: 10 })
            yield* Effect.exit(another.withTransaction(undone ? Effect.andThen(write, Effect.fail("undo")) : write))
          })
        )
        assert.deepStrictEqual(yield* sql`SELECT price FROM prices`, [{ price: 10 }])
        assert.deepInclude(seen, { value: 10 })
      })
    )
  }
})

describe("an invalidation inside a transaction", () => {
  it.live("takes effect when the transaction commits", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const database = path.join(folder, "source.db")
      const connection = Effect.map(Layer.build(Layer.fresh(Kit.database(database, 0))), (context) =>
        Context.get(context, SqlClient.SqlClient)
      )
      const { price } = Kit.queries(Kit.control())
      const sql = yield* connection
      const writer = yield* Kit.another({}, undefined, sql)
      const reader = yield* Kit.another({}, undefined, yield* connection)
      const read = reader.cache.get(price, { shop: 1 })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`INSERT INTO prices VALUES (1, 10)`
          yield* writer.cache.invalidateDependencies([Dependency.make("prices", 1)])
          yield* outside(sql, read)
        }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
      )
      assert.strictEqual((yield* read).value, 10)
    }).pipe(Effect.scoped, Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
  )
})

describe("announcements", () => {
  for (const announceWithin of [0, 1, 500]) {
    it.effect(`are made with an announceTimeout of ${announceWithin} ms`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const seen: Array<number> = []
        yield* Effect.gen(function* () {
          const { executor, queries } = yield* setup
          const store = yield* CacheStore.CacheStore
          yield* executor.mutate(
            {
              ...queries.set,
              run: (input) =>
                Effect.tap(queries.set.run(input), () =>
                  Effect.orDie(Effect.map(store.stats, ({ announcements }) => void seen.push(announcements)))
                )
            },
            { shop: 1, price: 1 }
          )
        }).pipe(
          Effect.provide(
            Kit.layer(
              { announceTimeout: announceWithin },
              CacheStore.layerSqlite({ filename: path.join(folder, "c.db") })
            )
          )
        )
        assert.deepStrictEqual(seen, [2])
      }).pipe(Effect.scoped)
    )
  }
})

describe("getMany", () => {
  it.live("reads while an announcement has lapsed and another process writes", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = path.join(folder, "cache.db")
      const open = Effect.map(
        Layer.build(Layer.fresh(CacheStore.layerSqlite({ filename, busyTimeout: 0 }))),
        (context) => Context.get(context, CacheStore.CacheStore)
      )
      const one = yield* open
      const now = Date.now()
      yield* one.announce("killed", ["a"], now - 1)
      const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
      const locker = new DatabaseSync(filename)
      locker.exec("BEGIN IMMEDIATE")
      const exit = yield* Effect.exit(
        one.getMany(
          [
            { key: "x", watched: ["a"] },
            { key: "y", watched: ["b"] }
          ],
          now
        )
      )
      const single = yield* Effect.exit(one.get("x", ["a"], now))
      locker.exec("ROLLBACK")
      locker.close()
      assert.deepStrictEqual([Exit.isSuccess(exit), Exit.isSuccess(single)], [true, true])
    }).pipe(Effect.scoped)
  )
})

const startHost = (database: string, maxConnections: number) =>
  Effect.gen(function* () {
    const server = inject("postgres")
    const context = yield* Layer.build(
      Layer.fresh(
        QC.layerFeed({ namespace: "test" }).pipe(
          Layer.provideMerge(PostgresChangeFeed.layer({ heartbeat: "200 millis" })),
          Layer.provide(CacheStore.layerMemory()),
          Layer.provide(Executor.layer),
          Layer.provideMerge(
            ConnectionPool.layer({ ...server, password: Redacted.make(server.password), database, maxConnections })
          )
        )
      )
    )
    const { price } = Kit.queries(Kit.control())
    return {
      sql: Context.get(context, PgClient.PgClient),
      get: Context.get(context, QueryCache).get(price, { shop: 1 })
    }
  })

describe("the feed of a busy pool", () => {
  it.live("stays connected while all connections are in use for longer than two heartbeats", () =>
    Effect.gen(function* () {
      const { get, sql } = yield* startHost(yield* Postgres.createDatabase, 3)
      yield* sql`CREATE TABLE prices (shop INTEGER PRIMARY KEY, price INTEGER NOT NULL)`
      yield* Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), get), { until: ({ tier }) => tier === "memory" })
      // Control: an idle pool for as long.
      yield* Effect.sleep("1 second")
      assert.strictEqual((yield* get).tier, "memory")
      for (let i = 0; i < 3; i++) yield* Effect.forkScoped(Effect.exit(sql`SELECT pg_sleep(3)`))
      yield* Effect.sleep("1 second")
      const traced = yield* Effect.timeoutOption(get, "500 millis")
      assert.deepInclude(traced, { _tag: "Some" }, "the read waits for the database")
    }).pipe(Effect.scoped)
  )

  it.live("leaves reads a connection of a pool of one", () =>
    Effect.gen(function* () {
      const { get, sql } = yield* startHost(yield* Postgres.createDatabase, 1)
      // The feed listens by now.
      yield* Effect.sleep("500 millis")
      const made = yield* Effect.timeoutOption(
        Effect.exit(sql`CREATE TABLE prices (shop INTEGER PRIMARY KEY, price INTEGER NOT NULL)`),
        "3 seconds"
      )
      assert.isTrue(made._tag === "Some" && Exit.isSuccess(made.value), String(made))
      yield* Effect.timeoutOption(Effect.exit(get), "3 seconds")
    }).pipe(Effect.scoped)
  )
})

describe("loads in the background", () => {
  it.effect("leave no fiber after they end", () =>
    Effect.gen(function* () {
      const base = yield* Clock.Clock
      let sleeping = 0
      const counting: Clock.Clock = Object.create(base, {
        sleep: {
          value: (duration: Duration.Duration) =>
            Duration.toMillis(duration) !== 30_000
              ? base.sleep(duration)
              : Effect.suspend(() => {
                  sleeping++
                  return Effect.ensuring(
                    base.sleep(duration),
                    Effect.sync(() => {
                      sleeping--
                    })
                  )
                })
        }
      })
      yield* Effect.gen(function* () {
        const { cache, get } = yield* setup
        for (let i = 0; i < 20; i++) {
          yield* get
          yield* rest
          yield* TestClock.adjust("600 millis")
        }
        assert.isAbove((yield* cache.stats).queries["price"]!.loads, 10)
        assert.isAtMost(sleeping, 1)
      }).pipe(
        Effect.provide(Kit.layer({ earlyRefresh: 0.5, memoryTimeToLive: "1 second", storeTimeToLive: "1 second" })),
        Effect.provideService(Clock.Clock, counting)
      )
    })
  )
})
