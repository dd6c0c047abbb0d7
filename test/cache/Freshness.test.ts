/**
 * What a cache must never do: serve what was replaced before the read began. Prices only ever rise, so a read is right
 * when it is not below what the database holds just before it.
 */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Generator from "../utils/Generator.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"
import * as Kit from "./QueryCacheKit.ts"

const shops = 3

const pause = (turns: number) => Effect.yieldNow.pipe(Effect.repeat({ times: turns }))

/**
 * A process: a cache over a store of its own on the shared file, which can be killed at the end of its commits. It has a
 * connection of its own, so that it reads beside the open transactions of others, or shares one.
 */
const startProcess = (filename: string, database: string | undefined) =>
  Effect.gen(function* () {
    const sql =
      database === undefined
        ? yield* SqlClient.SqlClient
        : Context.get(yield* Layer.build(Layer.fresh(Kit.database(database, 0))), SqlClient.SqlClient)
    const state = { killed: false, killAtResolve: false }
    const store = Layer.effect(
      CacheStore.CacheStore,
      Effect.map(CacheStore.CacheStore, (store) => ({
        ...store,
        announce: (...args: Parameters<typeof store.announce>) =>
          state.killed ? Effect.void : store.announce(...args),
        resolve: (...args: Parameters<typeof store.resolve>) =>
          Effect.suspend(() => {
            state.killed ||= state.killAtResolve
            return state.killed ? Effect.void : store.resolve(...args)
          })
      }))
    ).pipe(Layer.provide(CacheStore.layerSqlite({ filename })))
    return { ...(yield* Kit.another({ announcementLease: "1 second" }, store, sql)), state, sql }
  })

/** A killed process commits nothing any more. */
const alive = (state: { readonly killed: boolean }) =>
  Effect.suspend(() => (state.killed ? Effect.fail(Kit.failure) : Effect.void))

const interleave = (seed: number, ownConnections: boolean) =>
  Effect.gen(function* () {
    const generator = Generator.make(seed)
    const folder = yield* TempFolder.make
    const filename = path.join(folder, "cache.db")
    const database = ownConnections ? path.join(folder, "source.db") : undefined
    const start = startProcess(filename, database)
    const base = Kit.queries(Kit.control())
    const slowly = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.tap(effect, () => pause(generator.int(12)))
    const price = Query.make({ ...base.price, run: (input) => slowly(base.price.run(input)) })
    const total = Query.make({ ...base.total, run: (input) => slowly(base.total.run(input)) })
    const increment = (state: { readonly killed: boolean }) =>
      Mutation.make({
        ...base.set,
        run: Effect.fnUntraced(function* ({ price, shop }) {
          const sql = yield* SqlClient.SqlClient
          yield* sql`INSERT INTO prices VALUES (${shop}, 1) ON CONFLICT (shop) DO UPDATE SET price = price + 1`
          yield* pause(generator.int(6))
          if (price < 0) return yield* Kit.failure
          yield* alive(state)
        })
      })
    const processes = [yield* start, yield* start]
    const late: Array<string> = []

    const write = Effect.suspend(() => {
      const at = generator.int(processes.length)
      const { executor, sql, state } = processes[at]!
      const mutate = executor.mutate(increment(state), {
        shop: generator.int(shops),
        price: generator.chance(0.2) ? -1 : 0
      })
      if (generator.chance(0.1)) state.killAtResolve = true
      const nested = generator.int(4)
      const inTransaction =
        nested === 0
          ? mutate
          : nested === 1
            ? sql.withTransaction(
                Effect.ignore(mutate).pipe(Effect.andThen(pause(generator.int(6))), Effect.andThen(alive(state)))
              )
            : nested === 2
              ? sql.withTransaction(Effect.andThen(Effect.ignore(sql.withTransaction(mutate)), alive(state)))
              : sql.withTransaction(Effect.andThen(mutate, Effect.fail("rolled back")))
      return Effect.ignoreCause(inTransaction)
    })

    const read = Effect.suspend(() => {
      const { executor, sql, state } = processes[generator.int(processes.length)]!
      if (state.killed) return Effect.void
      const shop = generator.int(shops)
      const all = generator.chance(0.3)
      return Effect.gen(function* () {
        const rows = yield* sql<{ n: number }>`SELECT coalesce(sum(price), 0) AS n FROM prices
          WHERE ${all ? 1 : 0} OR shop = ${shop}`
        const before = rows[0]!.n
        const value = (yield* all ? executor.query(total, {}) : executor.query(price, { shop })) ?? 0
        if (value < before && !state.killed) late.push(`${all ? "total" : `shop ${shop}`}: ${value} after ${before}`)
      })
    })

    const restart = Effect.gen(function* () {
      for (const [at, process] of processes.entries()) {
        if (process.state.killed) processes[at] = yield* start
      }
      if (generator.chance(0.5)) yield* TestClock.adjust("700 millis")
    })

    const worker = Effect.gen(function* () {
      for (let i = 0; i < 25; i++) {
        yield* generator.chance(0.25) ? write : read
        if (generator.chance(0.1)) yield* restart
        yield* pause(generator.int(3))
      }
    })
    yield* Effect.forkChild(Effect.forever(Effect.andThen(pause(20), TestClock.adjust("1 millis"))))
    yield* Effect.all(
      Array.from({ length: 6 }, () => worker),
      { concurrency: "unbounded", discard: true }
    )
    assert.deepStrictEqual(late, [], `seed ${seed}`)
  })

const killedWriter = (...args: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [Worker.bundle(path.join(import.meta.dirname, "killedWriter.ts")), ...args])
    let output = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("close", (_, signal) => resume(Effect.succeed(signal === "SIGKILL" ? "" : output || String(signal))))
  })

const moments = [
  "before announcing",
  "after announcing",
  "before committing",
  "after committing",
  "after committing",
  "after resolving"
]

describe("freshness", () => {
  const first = Math.floor(performance.timeOrigin) % 1_000_000
  // More of them by `FRESHNESS_SEEDS=1000`.
  const count = Number(process.env["FRESHNESS_SEEDS"] ?? 20)
  for (let seed = first; seed < first + count; seed++) {
    const own = seed % 2 === 0
    const where = own ? "each on its connection" : "on one connection"
    it.effect(`holds for readers, writers, slow loads, rollbacks and killed processes, ${where}: seed ${seed}`, () =>
      Effect.provide(interleave(seed, own), Kit.layer())
    )
  }

  it.live(
    "holds when writers are killed at any point",
    () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const [database, cache] = [path.join(folder, "source.db"), path.join(folder, "cache.db")]
        const control = Kit.control()
        const { price } = Kit.queries(control)
        const late: Array<string> = []
        let reads = 0
        yield* Effect.gen(function* () {
          const executor = yield* QueryExecutor
          const sql = yield* SqlClient.SqlClient
          const read = Effect.gen(function* () {
            for (let shop = 0; shop < 2; shop++) {
              const rows = yield* sql<{ price: number }>`SELECT price FROM prices WHERE shop = ${shop}`
              const value = (yield* executor.query(price, { shop })) ?? 0
              reads++
              if (value < (rows[0]?.price ?? 0)) late.push(`${value} after ${rows[0]?.price}`)
            }
          })
          const reader = yield* Effect.forkChild(Effect.forever(Effect.andThen(read, Effect.sleep("1 millis"))))
          const ends = yield* Effect.forEach(
            [...moments, ...moments],
            (moment, i) => killedWriter(database, cache, String(i % 2), String(3 + (i % 4)), moment),
            { concurrency: 2 }
          )
          yield* Effect.sleep("1500 millis")
          yield* Fiber.interrupt(reader)
          yield* read
          assert.deepStrictEqual([...new Set(ends)], [""])
          // When all announcements have lapsed, the cache caches again.
          const loads = control.loads
          yield* read
          yield* read
          assert.isAtMost(control.loads - loads, 2)
        }).pipe(
          Effect.provide(
            Kit.layer(
              { announcementLease: "1 second", storeTimeout: "2 seconds" },
              CacheStore.layerSqlite({ filename: cache, busyTimeout: "1 second" }),
              database
            )
          )
        )
        assert.deepStrictEqual(late, [])
        assert.isAbove(reads, control.loads)
      }),
    { timeout: 180_000 }
  )
})
