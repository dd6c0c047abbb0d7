/**
 * The query cache: hits in memory and in the store, what a miss costs, and what stays in a full memory.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as CacheStore from "../src/cache/CacheStore.ts"
import * as Sieve from "../src/cache/internal/sieve.ts"
import * as QueryCache from "../src/cache/QueryCache.ts"
import * as Dependency from "../src/query/Dependency.ts"
import * as Query from "../src/query/Query.ts"
import * as QueryExecutor from "../src/query/QueryExecutor.ts"
import * as Row from "./Row.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
const filename = path.join(folder, "cache.db")

const Item = Schema.Struct({ id: Schema.Int, title: Schema.String, score: Schema.Finite })
const items = Array.from({ length: 7 }, (_, id) => ({ id, title: `The title of memory number ${id}`, score: id / 7 }))

/** A result as a hook reads it: seven rows of three columns. */
export const query = Query.make({
  name: "bench.items",
  input: Schema.Struct({ projectId: Schema.Int }),
  result: Schema.Array(Item),
  dependencies: ({ projectId }) => [Dependency.make("items", projectId)],
  run: () => Effect.succeed(items)
})

/** Holds what the caches run in the background. */
const scope = Scope.makeUnsafe()

const executorOf = (store: Layer.Layer<CacheStore.CacheStore>, options: QueryCache.QueryCacheOptions = {}) =>
  Effect.runSync(
    Effect.map(
      Layer.build(
        QueryCache.layer(options).pipe(
          Layer.provide(store),
          Layer.provide(QueryExecutor.layerTest({ "bench.items": () => items }))
        )
      ).pipe(Scope.provide(scope)),
      (context) => Context.get(context, QueryExecutor.QueryExecutor)
    )
  )

const keys = 100

/** The time of one of many, in microseconds. */
const perOperation =
  (count: number, operation: (n: number) => Effect.Effect<unknown, unknown>) => async (): Promise<number> => {
    const program = Effect.gen(function* () {
      for (let n = 0; n < count; n++) yield* operation(n % keys)
    })
    const start = performance.now()
    await Effect.runPromise(program)
    return ((performance.now() - start) * 1_000) / count
  }

const hits = async function* (): AsyncGenerator<Row.Row> {
  const alone = executorOf(CacheStore.layerNoop)
  const shared = executorOf(CacheStore.layerSqlite({ filename }))
  const cache = await Effect.runPromise(
    Cache.make({
      capacity: 1_000,
      timeToLive: "5 minutes",
      lookup: (_: { projectId: number }) => Effect.succeed(items)
    })
  )
  const rival = perOperation(50_000, (projectId) => Cache.get(cache, { projectId }))
  for (const [row, executor, asked] of [
    ["hit in memory, one process / Cache.get", alone, { atMost: 1 }],
    ["hit in memory, checked against the file / Cache.get", shared, undefined]
  ] as const) {
    const samples = await Row.interleave({
      rounds: 11,
      warmup: 3,
      ours: perOperation(50_000, (projectId) => executor.query(query, { projectId })),
      rival
    })
    yield Row.make({ bench: "cache", row, ...samples, unit: "us", asked })
  }
  const named = await Effect.runPromise(
    Cache.make({ capacity: 1_000, timeToLive: "5 minutes", lookup: (_: string) => Effect.succeed(items) })
  )
  const byText = await Row.interleave({
    rounds: 11,
    warmup: 3,
    ours: perOperation(50_000, (projectId) => alone.query(query, { projectId })),
    rival: perOperation(50_000, (projectId) => Cache.get(named, `bench.items ${projectId}`))
  })
  yield Row.make({ bench: "cache", row: "hit in memory, one process / Cache.get by a text", ...byText, unit: "us" })
  const uncached = executorOf(CacheStore.layerSqlite({ filename }), { memoryTimeToLive: 0 })
  await perOperation(keys, (projectId) => uncached.query(query, { projectId }))()
  const db = new DatabaseSync(filename)
  const get = db.prepare("SELECT value FROM entry WHERE rowid = ?")
  const samples = await Row.interleave({
    rounds: 11,
    warmup: 3,
    ours: perOperation(2_000, (projectId) => uncached.query(query, { projectId })),
    rival: perOperation(2_000, (n) => Effect.sync(() => JSON.parse((get.get(n + 1) as { value: string }).value)))
  })
  yield Row.make({
    bench: "cache",
    row: "hit in the file, process at work / raw get + JSON.parse",
    ...samples,
    unit: "us"
  })
  db.close()
}

/** Measures the first read inside a process of its own, opening of the file included. */
const firstRead = (side: "ours" | "raw") => async (): Promise<number> =>
  Number(execFileSync(process.execPath, [import.meta.filename, side, filename], { encoding: "utf8" }))

const measureFirstRead = async (side: string, file: string): Promise<number> => {
  if (side === "raw") {
    const start = performance.now()
    const db = new DatabaseSync(file)
    const row = db.prepare("SELECT value FROM entry WHERE rowid = ?").get(1) as { value: string }
    JSON.parse(row.value)
    return performance.now() - start
  }
  const executor = executorOf(CacheStore.layerSqlite({ filename: file }))
  const start = performance.now()
  await Effect.runPromise(executor.query(query, { projectId: 1 }))
  return performance.now() - start
}

type Trace = ReadonlyArray<number>

const random = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const zipf = (length: number, keys: number, seed: number): Trace => {
  const sums: Array<number> = []
  for (let i = 1, sum = 0; i <= keys; i++) sums.push((sum += 1 / i))
  const next = random(seed)
  return Array.from({ length }, () => {
    const at = next() * sums.at(-1)!
    let [low, high] = [0, keys - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  })
}

const traces: Readonly<Record<string, Trace>> = {
  Zipf: zipf(200_000, 10_000, 1),
  "Zipf with scans": zipf(200_000, 10_000, 2).map((key, i) => (i % 2_000 < 600 ? 100_000 + i : key)),
  "a loop over 1.2 times the room": Array.from({ length: 200_000 }, (_, i) => i % 600)
}

const room = 500

const missRate = (trace: Trace, hit: (key: string) => boolean): number =>
  (trace.filter((key) => !hit(String(key))).length / trace.length) * 100

const sieve = (): ((key: string) => boolean) => {
  interface Node extends Sieve.Node {}
  const kept = Sieve.make<Node>(room, Infinity)
  return (key) => {
    const found = kept.get(key)
    if (found !== undefined) found.used = true
    else kept.set({ key, size: 1, used: false, newer: undefined, older: undefined })
    return found !== undefined
  }
}

const lru = (): ((key: string) => boolean) => {
  const kept = new Set<string>()
  return (key) => {
    const found = kept.delete(key)
    kept.add(key)
    if (kept.size > room) kept.delete(kept.values().next().value!)
    return found
  }
}

const rates = function* (): Generator<Row.Row> {
  for (const [name, trace] of Object.entries(traces)) {
    yield Row.make({
      bench: "cache",
      row: `misses, ${name} / LRU`,
      ours: [missRate(trace, sieve())],
      rival: [missRate(trace, lru())],
      unit: "%"
    })
  }
}

export default async function* (): AsyncGenerator<Row.Row> {
  try {
    yield* hits()
    const samples = await Row.interleave({ rounds: 15, warmup: 2, ours: firstRead("ours"), rival: firstRead("raw") })
    yield Row.make({
      bench: "cache",
      row: "first read of a fresh process / raw get + JSON.parse",
      ...samples,
      unit: "ms",
      asked: { atMost: 2.5 }
    })
    yield* rates()
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  console.log(await measureFirstRead(process.argv[2]!, process.argv[3]!))
  process.exit(0)
}
