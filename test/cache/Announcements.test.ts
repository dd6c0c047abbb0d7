/**
 * What a writer tells the store, and when: before it commits, while a transaction lasts, and what it could not tell.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Publisher from "../../src/cache/internal/invalidationPublisher.ts"
import * as InvalidationTracker from "../../src/cache/internal/invalidationTracker.ts"
import { QueryCache, type QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./QueryCacheKit.ts"

const { price, set } = Kit.queries(Kit.control())

const broken = Effect.fail(new CacheStore.CacheStoreError({ operation: "test", cause: new Error("away") }))

type Store = CacheStore.CacheStoreShape

const changedStore = (change: (store: Store) => Partial<Store>) =>
  Layer.effect(
    CacheStore.CacheStore,
    Effect.map(CacheStore.CacheStore, (store) => ({ ...store, ...change(store) }))
  ).pipe(Layer.provide(CacheStore.layerMemory()))

const services = Effect.gen(function* () {
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  return {
    executor,
    cache,
    get: cache.get(price, { shop: 1 }),
    set: (value: number) => executor.mutate(set, { shop: 1, price: value })
  }
})

const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, longest: number) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    let passed = 0
    for (; passed < longest && fiber.pollUnsafe() === undefined; passed += 10) yield* TestClock.adjust("10 millis")
    assert.isDefined(fiber.pollUnsafe(), `not done within ${longest} ms`)
    yield* Fiber.join(fiber)
    return passed
  })

describe("an announcement", () => {
  let failing = 0
  let tries = 0
  const busy = changedStore((store) => ({
    announce: (...args) => {
      tries++
      return failing-- > 0 ? broken : store.announce(...args)
    },
    resolve: (...args) => (failing > 0 ? broken : store.resolve(...args))
  }))

  it.effect("is retried beyond the readers' timeout on a busy store", () =>
    Effect.gen(function* () {
      const { cache, set } = yield* services
      const store = yield* CacheStore.CacheStore
      failing = 15
      tries = 0
      const writer = yield* Effect.forkChild(set(10))
      yield* TestClock.adjust("310 millis")
      yield* Fiber.join(writer)
      assert.strictEqual(tries, 16)
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
      assert.strictEqual((yield* store.stats).announcements, 0)
      assert.isAbove((yield* store.stats).versions, 0)
    }).pipe(Effect.provide(Kit.layer({ storeBreakerFailures: 3 }, busy)))
  )

  it.effect("delays every mutation for its full timeout", () =>
    Effect.gen(function* () {
      const { set } = yield* services
      failing = Infinity
      assert.isAtLeast(yield* inTime(set(1), 1_000), 490)
      for (let n = 2; n < 5; n++) assert.isAtLeast(yield* inTime(set(n), 1_000), 490)
      yield* TestClock.adjust("5 seconds")
      assert.isAtLeast(yield* inTime(set(5), 1_000), 490)
      failing = 0
    }).pipe(Effect.provide(Kit.layer({}, busy)))
  )

  it.effect("and its end reach the store while the readers' breaker is open", () => {
    let away = true
    const unreadable = changedStore((store) => ({
      get: (...args) => (away ? broken : store.get(...args)),
      generation: () => (away ? undefined : store.generation())
    }))
    return Effect.gen(function* () {
      const { cache, get, set } = yield* services
      const store = yield* CacheStore.CacheStore
      for (let i = 0; i < 4; i++) yield* get
      away = false
      yield* set(10)
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
      assert.deepInclude(yield* store.stats, { announcements: 0, versions: 2 })
    }).pipe(Effect.provide(Kit.layer({ storeBreakerFailures: 3 }, unreadable)))
  })

  it.effect("is renewed before the commit of a long mutation if the store can't confirm it", () => {
    const announced: Array<string> = []
    const noting = changedStore((store) => ({
      isAnnounced: undefined,
      announce: (id, ...args) => {
        announced.push(id)
        return store.announce(id, ...args)
      }
    }))
    return Effect.gen(function* () {
      const { executor, set: quick } = yield* services
      yield* quick(1)
      assert.lengthOf(announced, 1)
      const gate = yield* Kit.gate
      const slow = {
        ...set,
        run: (input: { shop: number; price: number }) => Effect.tap(Effect.orDie(set.run(input)), () => gate.wait)
      }
      const writer = yield* Effect.forkChild(executor.mutate(slow, { shop: 1, price: 2 }))
      yield* gate.reached
      yield* TestClock.adjust("200 millis")
      yield* gate.open
      yield* Fiber.join(writer)
      assert.deepStrictEqual(announced.slice(1), [announced[1]!, announced[1]!])
    }).pipe(Effect.provide(Kit.layer({}, noting)))
  })

  for (const unannounced of ["proceed", "fail"] as const) {
    it.effect(
      `that the store rejects lets a mutation ${unannounced}, and leaves nothing pending for a failed one`,
      () =>
        Effect.gen(function* () {
          const { cache, get, set } = yield* services
          const sql = yield* SqlClient.SqlClient
          failing = Infinity
          const writer = yield* Effect.forkChild(Effect.exit(set(1)), { startImmediately: true })
          yield* TestClock.adjust("1 second")
          const exit = yield* Fiber.join(writer)
          assert.strictEqual(Exit.isSuccess(exit), unannounced === "proceed")
          if (Exit.isFailure(exit)) assert.include(String(exit.cause), "LockTimeoutError")
          assert.strictEqual((yield* sql`SELECT * FROM prices`).length, unannounced === "proceed" ? 1 : 0)
          failing = 0
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
          assert.strictEqual((yield* (yield* CacheStore.CacheStore).stats).announcements, 0)
          assert.strictEqual((yield* get).value, unannounced === "proceed" ? 1 : null)
          yield* set(2)
          assert.strictEqual((yield* get).value, 2)
        }).pipe(Effect.provide(Kit.layer({ unannounced }, busy)))
    )

    it.live(`that was lost with the store's file is renewed before the commit, or else: ${unannounced}`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const filename = path.join(folder, "cache.db")
        const database = path.join(folder, "shop.db")
        const store = CacheStore.layerSqlite({ filename })
        // The announcement alone names the changes of the commit.
        const ofWriter = Layer.effect(
          CacheStore.CacheStore,
          Effect.map(CacheStore.CacheStore, (store) => ({ ...store, resolve: () => broken }))
        ).pipe(Layer.provide(store))
        yield* Effect.gen(function* () {
          const { executor, set: quick } = yield* services
          yield* quick(1)
          // Another process, with a connection of its own.
          const connection = Context.get(yield* Layer.build(Layer.fresh(Kit.database(database))), SqlClient.SqlClient)
          const other = yield* Kit.another({}, store, connection)
          const read = Effect.map(other.cache.get(price, { shop: 1 }), ({ value }) => value)
          let before = 1
          for (const lockedAgain of unannounced === "fail" ? [false, true, true] : [false, true]) {
            const price = before + 1
            const locks: Array<DatabaseSync> = []
            const slow = {
              ...set,
              run: (input: { shop: number; price: number }) =>
                Effect.tap(Effect.orDie(set.run(input)), () =>
                  Effect.gen(function* () {
                    for (const suffix of ["", "-wal", "-shm"]) fs.rmSync(`${filename}${suffix}`, { force: true })
                    // It recreates the file and stores its read there, which is valid until the commit.
                    assert.strictEqual(yield* Effect.orDie(read), before)
                    assert.strictEqual(yield* Effect.orDie(read), before)
                    if (!lockedAgain) return
                    const lock = new DatabaseSync(filename)
                    lock.exec("BEGIN IMMEDIATE")
                    locks.push(lock)
                  })
                )
            }
            const exit = yield* Effect.exit(executor.mutate(slow, { shop: 1, price }))
            for (const lock of locks) lock.close()
            assert.strictEqual(Exit.isSuccess(exit), !lockedAgain || unannounced === "proceed")
            if (Exit.isSuccess(exit)) before = price
            // Carried out unannounced, it may be missed.
            if (unannounced === "fail" || !lockedAgain) assert.strictEqual(yield* read, before)
          }
        }).pipe(Effect.provide(Kit.layer({ unannounced, announceTimeout: "100 millis" }, ofWriter, database)))
      })
    )
  }

  it.live("reaches a file after another process releases its lock", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = path.join(folder, "cache.db")
      yield* Effect.gen(function* () {
        const { get, set } = yield* services
        const other = yield* Kit.another({}, CacheStore.layerSqlite({ filename }))
        yield* other.cache.get(price, { shop: 1 })
        const lock = new DatabaseSync(filename)
        lock.exec("BEGIN IMMEDIATE")
        const writer = yield* Effect.forkChild(set(10), { startImmediately: true })
        // Longer than three of its attempts, after which readers would leave the store alone.
        yield* Effect.sleep("200 millis")
        lock.exec("ROLLBACK")
        lock.close()
        yield* Fiber.join(writer)
        assert.strictEqual((yield* other.cache.get(price, { shop: 1 })).value, 10)
        assert.strictEqual((yield* get).value, 10)
      }).pipe(
        Effect.provide(
          Kit.layer({ announceTimeout: "10 seconds" }, CacheStore.layerSqlite({ filename, busyTimeout: "20 millis" }))
        )
      )
    })
  )
})

describe("an unpublished invalidation", () => {
  it.effect("is published when the cache closes", () =>
    Effect.gen(function* () {
      let failing = true
      const scope = yield* Scope.make()
      const context = yield* Layer.build(
        Kit.layer(
          { announceTimeout: 0 },
          changedStore((store) => ({
            announce: () => broken,
            resolve: (...args) => (failing ? broken : store.resolve(...args))
          }))
        )
      ).pipe(Scope.provide(scope))
      const store = Context.get(context, CacheStore.CacheStore)
      yield* Context.get(context, QueryExecutor).mutate(set, { shop: 1, price: 10 })
      assert.strictEqual((yield* store.stats).versions, 0)
      failing = false
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* store.stats).versions, 2)
    })
  )

  it.effect("counts as announced, and readers share loads meanwhile", () =>
    Effect.gen(function* () {
      const { cache, set } = yield* services
      const control = Kit.control()
      const gate = yield* Kit.gate
      const get = cache.get(Kit.queries(control).price, { shop: 1 })
      yield* set(10)
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 2)
      control.afterRead = gate.wait
      const readers = yield* Effect.forkChild(Effect.all([get, get, get], { concurrency: "unbounded" }))
      yield* gate.reached
      yield* Effect.yieldNow.pipe(Effect.repeat({ times: 20 }))
      yield* gate.open
      for (const { tier, value } of yield* Fiber.join(readers)) assert.deepStrictEqual([value, tier], [10, "source"])
      assert.strictEqual(control.loads, 2)
    }).pipe(
      Effect.provide(
        Kit.layer(
          { announceTimeout: 0 },
          changedStore(() => ({ announce: () => broken, resolve: () => broken }))
        )
      )
    )
  )

  it.effect("is retried after a failed clear and a failed expire", () => {
    let failing = true
    return Effect.gen(function* () {
      const { cache, get } = yield* services
      yield* get
      yield* cache.clear
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 10_000)
      assert.strictEqual((yield* get).tier, "source")
      assert.strictEqual((yield* get).tier, "source")
      failing = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
      yield* get
      assert.strictEqual((yield* get).tier, "memory")
      failing = true
      const other = yield* Kit.another()
      assert.strictEqual((yield* other.cache.get(price, { shop: 1 })).tier, "store")
      yield* cache.expire(price, { shop: 1 })
      failing = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* other.cache.get(price, { shop: 1 })).tier, "source")
    }).pipe(
      Effect.provide(
        Kit.layer(
          {},
          changedStore((store) => ({
            clear: Effect.suspend(() => (failing ? broken : store.clear)),
            expire: (...args) => (failing ? broken : store.expire(...args))
          }))
        )
      )
    )
  })

  it.effect("is published before its announcement ends", () => {
    let failing: "changed" | "nothing" = "changed"
    const partly = changedStore((store) => ({
      resolve: (id, changed, outcome, until) =>
        outcome === failing ? broken : store.resolve(id, changed, outcome, until)
    }))
    return Effect.gen(function* () {
      const { cache, set } = yield* services
      const store = yield* CacheStore.CacheStore
      yield* set(10)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* store.stats).announcements, 1)
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 2)
      failing = "nothing"
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* store.stats, { announcements: 0, versions: 2 })
      assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
    }).pipe(Effect.provide(Kit.layer({}, partly)))
  })

  it("is tracked by key up to a limit, and then as everything", () => {
    const tracker = InvalidationTracker.make()
    const pending = Publisher.makePending(tracker)
    pending.add(["a", "b"])
    pending.add(["b", "c"])
    assert.strictEqual(pending.size(), 3)
    assert.isTrue(tracker.isPending(["b"]))
    const published = pending.pending()
    // Changed again after the publication started.
    pending.add(["b"])
    pending.published(published)
    assert.deepStrictEqual([tracker.isPending(["a"]), tracker.isPending(["b"])], [false, true])
    pending.add(Array.from({ length: 10_000 }, (_, i) => `key ${i}`))
    assert.strictEqual(pending.pending().keys, "all")
    assert.isTrue(tracker.isPending(["anything"]))
    const all = pending.pending()
    pending.add(["d"])
    pending.published(all)
    assert.isTrue(tracker.isSuspended())
    pending.published(pending.pending())
    pending.add(["twice", "twice"])
    pending.published(pending.pending())
    assert.isFalse(tracker.isPending(["twice"]))
    assert.deepStrictEqual([tracker.isSuspended(), tracker.isPending(["b"]), pending.size()], [false, false, 0])
  })
})

describe("a transaction that lasts longer than an announcement", () => {
  for (const [name, around] of [
    ["one level", <A, E, R>(_: SqlClient.SqlClient, effect: Effect.Effect<A, E, R>) => effect],
    [
      "in a savepoint that ends",
      <A, E, R>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E, R>) => sql.withTransaction(effect)
    ]
  ] as const) {
    it.effect(`${name}: other processes store nothing meanwhile, even if its process is killed at the commit`, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const [database, cache] = [path.join(folder, "source.db"), path.join(folder, "cache.db")]
        let killed = false
        const mortal = Layer.effect(
          CacheStore.CacheStore,
          Effect.map(CacheStore.CacheStore, (store) => ({
            ...store,
            announce: (...args: Parameters<typeof store.announce>) => (killed ? Effect.void : store.announce(...args)),
            resolve: (...args: Parameters<typeof store.resolve>) => (killed ? Effect.void : store.resolve(...args))
          }))
        ).pipe(Layer.provide(CacheStore.layerSqlite({ filename: cache })))
        const options: QueryCacheOptions = { announcementLease: "1 second" }
        const writer = yield* Layer.build(Layer.fresh(Kit.layer(options, mortal, database)))
        const reader = yield* Layer.build(
          Layer.fresh(Kit.layer(options, CacheStore.layerSqlite({ filename: cache }), database))
        )
        const sql = Context.get(writer, SqlClient.SqlClient)
        const gate = yield* Kit.gate
        const write = Context.get(writer, QueryExecutor).mutate(set, { shop: 1, price: 10 })
        const transaction = yield* Effect.forkChild(sql.withTransaction(Effect.andThen(around(sql, write), gate.wait)))
        yield* gate.reached
        yield* TestClock.adjust("5 seconds")
        const get = Context.get(reader, QueryCache).get(price, { shop: 1 })
        assert.deepInclude(yield* get, { value: null, reason: "written" })
        killed = true
        yield* gate.open
        yield* Fiber.join(transaction)
        assert.strictEqual((yield* get).value, 10)
        yield* TestClock.adjust("2 seconds")
        yield* get
        assert.deepInclude(yield* get, { value: 10, tier: "memory" })
      })
    )
  }

  it.effect("stays announced until it commits, without tracing", () =>
    Effect.gen(function* () {
      const { get, set } = yield* services
      const sql = yield* SqlClient.SqlClient
      const reader = yield* Kit.another()
      const gate = yield* Kit.gate
      const store = yield* CacheStore.CacheStore
      const transaction = yield* Effect.forkChild(
        sql
          .withTransaction(Effect.andThen(sql.withTransaction(set(10)), gate.wait))
          .pipe(Effect.withTracerEnabled(false))
      )
      yield* gate.reached
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(yield* store.stamp(["any:prices"], 5_000))
      yield* gate.open
      yield* Fiber.join(transaction)
      assert.isDefined(yield* store.stamp(["any:prices"], 5_000))
      assert.strictEqual((yield* get).value, 10)
      assert.strictEqual((yield* reader.cache.get(price, { shop: 1 })).value, 10)
    }).pipe(Effect.provide(Kit.layer({ announcementLease: "1 second" }, CacheStore.layerMemory())))
  )

  it.effect("counts as a change after twenty leases, and again at a later commit", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const [database, cache] = [path.join(folder, "source.db"), path.join(folder, "cache.db")]
      const options: QueryCacheOptions = { announcementLease: "1 second" }
      const start = Layer.build(Layer.fresh(Kit.layer(options, CacheStore.layerSqlite({ filename: cache }), database)))
      const [writer, reader] = [yield* start, yield* start]
      const sql = Context.get(writer, SqlClient.SqlClient)
      const gate = yield* Kit.gate
      const write = Context.get(writer, QueryExecutor).mutate(set, { shop: 1, price: 10 })
      const transaction = yield* Effect.forkChild(
        sql.withTransaction(Effect.andThen(sql.withTransaction(write), gate.wait)).pipe(Effect.withTracerEnabled(false))
      )
      yield* gate.reached
      const get = Context.get(reader, QueryCache).get(price, { shop: 1 })
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual((yield* get).reason, "written")
      yield* TestClock.adjust("3 seconds")
      yield* get
      assert.deepInclude(yield* get, { value: null, tier: "memory" })
      yield* gate.open
      yield* Fiber.join(transaction)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* get).value, 10)
    })
  )

  it.effect("of one level counts as a change within a lease after its rollback", () =>
    Effect.gen(function* () {
      const { get, set } = yield* services
      const sql = yield* SqlClient.SqlClient
      yield* sql
        .withTransaction(Effect.andThen(Effect.withSpan(set(10), "on its own", { root: true }), Effect.fail("no")))
        .pipe(Effect.flip)
      yield* TestClock.adjust("15 seconds")
      yield* get
      assert.deepInclude(yield* get, { value: null, tier: "memory" })
    }).pipe(Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
  )

  it.effect("counts as a change at the next read after its rollback", () =>
    Effect.gen(function* () {
      const { cache, get, set } = yield* services
      const sql = yield* SqlClient.SqlClient
      const store = yield* CacheStore.CacheStore
      yield* get
      yield* Effect.flip(sql.withTransaction(Effect.andThen(set(10), Effect.fail("no"))))
      assert.deepInclude(yield* get, { value: null, tier: "source" })
      assert.deepInclude(yield* get, { value: null, tier: "memory" })
      assert.strictEqual((yield* store.stats).announcements, 0)
      assert.strictEqual((yield* cache.stats).queries["price"]!.loads, 2)
    }).pipe(Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
  )
})

const faulty = (input: Schema.Codec<any, unknown>) =>
  Mutation.make({
    ...set,
    name: "faulty",
    input,
    changes: () => {
      throw new Error("no changes")
    }
  })

describe("a mutation", () => {
  it.effect("whose changes throw writes nothing and dies with the reason", () =>
    Effect.gen(function* () {
      const { executor, get } = yield* services
      const exit = yield* Effect.exit(executor.mutate(faulty(set.input), { shop: 1, price: 10 }))
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "changes(input) threw")
      assert.strictEqual((yield* get).value, null)
      assert.isTrue(
        Schema.isSchemaError(yield* Effect.flip(executor.mutate(faulty(Schema.String), { shop: 1, price: 10 })))
      )
    }).pipe(Effect.provide(Kit.layer()))
  )
})

describe("caches over different databases", () => {
  it.effect("share a store and invalidate only their own namespace", () =>
    Effect.gen(function* () {
      const store = Layer.succeed(CacheStore.CacheStore, yield* CacheStore.CacheStore)
      const [one, two] = [
        yield* Layer.build(Layer.fresh(Kit.layer({ namespace: "one" }, store))),
        yield* Layer.build(Layer.fresh(Kit.layer({ namespace: "two" }, store)))
      ]
      const write = (context: typeof one, value: number) =>
        Context.get(context, QueryExecutor).mutate(set, { shop: 1, price: value })
      const get = (context: typeof one) => Context.get(context, QueryCache).get(price, { shop: 1 })
      yield* write(one, 1)
      yield* write(two, 2)
      assert.strictEqual((yield* get(one)).value, 1)
      assert.strictEqual((yield* get(two)).value, 2)
      yield* write(two, 3)
      assert.deepInclude(yield* get(one), { value: 1, tier: "memory" })
      assert.strictEqual((yield* get(two)).value, 3)
      yield* Context.get(two, QueryCache).invalidateDependencies([Dependency.make("prices")])
      assert.deepInclude(yield* get(one), { value: 1, tier: "memory" })
    }).pipe(Effect.provide(CacheStore.layerMemory()))
  )

  it.effect("do not read each other's results", () =>
    Effect.gen(function* () {
      const store = Layer.succeed(CacheStore.CacheStore, yield* CacheStore.CacheStore)
      const [one, two] = [
        yield* Layer.build(Layer.fresh(Kit.layer({ namespace: "one" }, store))),
        yield* Layer.build(Layer.fresh(Kit.layer({ namespace: "two" }, store)))
      ]
      yield* Context.get(two, SqlClient.SqlClient)`INSERT INTO prices VALUES (1, 2)`
      const get = (context: typeof one) => Context.get(context, QueryCache).get(price, { shop: 1 })
      assert.strictEqual((yield* get(one)).value, null)
      assert.strictEqual((yield* get(two)).value, 2)
    }).pipe(Effect.provide(CacheStore.layerMemory()))
  )

  it.effect("read no results of another version, and receive its invalidations", () =>
    Effect.gen(function* () {
      const control = Kit.control()
      const { price } = Kit.queries(control)
      const [old, current] = [yield* Kit.another({ version: "1" }), yield* Kit.another({ version: "2" })]
      yield* old.cache.get(price, { shop: 1 })
      yield* current.cache.get(price, { shop: 1 })
      assert.strictEqual(control.loads, 2)
      yield* current.executor.mutate(set, { shop: 1, price: 10 })
      assert.strictEqual((yield* old.cache.get(price, { shop: 1 })).value, 10)
    }).pipe(Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
  )
})

describe("a read", () => {
  it.effect("loads from the database if its input has no key", () =>
    Effect.gen(function* () {
      const { executor } = yield* services
      const input = {
        get shop(): number {
          if (new Error().stack!.includes("canonical")) throw new Error("not now")
          return 1
        }
      }
      assert.strictEqual(yield* executor.query(price, input), null)
    }).pipe(Effect.provide(Kit.layer()))
  )

  it.effect("succeeds if a store does not know its generation", () =>
    Effect.gen(function* () {
      const { get } = yield* services
      yield* get
      assert.deepInclude(yield* get, { value: null, tier: "memory" })
    }).pipe(
      Effect.provide(
        Kit.layer(
          {},
          changedStore(() => ({
            generation: () => {
              throw new Error("no generation")
            }
          }))
        )
      )
    )
  )
})
