/**
 * The query cache and other caches: memory and store hits, writes, the cost of a miss, concurrent processes, eviction,
 * and a change during a load.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { bentostore, BentoCache } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { Cacheable } from "cacheable"
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { LRUCache } from "lru-cache"
import * as CacheStore from "../src/cache/CacheStore.ts"
import type { QueryCache } from "../src/cache/QueryCache.ts"
import { QueryExecutor } from "../src/query/QueryExecutor.ts"
import databaseRows from "./cacheDatabase.ts"
import * as Items from "./cacheItems.ts"
import raceRows from "./cacheRace.ts"
import type { FirstRead } from "./cacheWorker.ts"
import hitRateRows from "./hitRates.ts"
import * as Persisted from "./persistedCache.ts"
import * as Row from "./Row.ts"

const { items, query } = Items

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
const filename = path.join(folder, "cache.db")

const keys = 100
const ttl = 300_000

/** Microseconds per operation. */
const perOperation =
  (count: number, operation: (n: number) => Effect.Effect<unknown, unknown>) => async (): Promise<number> => {
    const program = Effect.gen(function* () {
      for (let n = 0; n < count; n++) yield* operation(n % keys)
    })
    const start = performance.now()
    await Effect.runPromise(program)
    return ((performance.now() - start) * 1_000) / count
  }

/** The same for a cache of promises or plain values. */
const perCall = (count: number, operation: (n: number) => unknown) => async (): Promise<number> => {
  const start = performance.now()
  for (let n = 0; n < count; n++) await operation(n % keys)
  return ((performance.now() - start) * 1_000) / count
}

const perPlainCall = (count: number, operation: (n: number) => unknown) => (): Promise<number> => {
  const start = performance.now()
  for (let n = 0; n < count; n++) operation(n % keys)
  return Promise.resolve(((performance.now() - start) * 1_000) / count)
}

type Sample = () => Promise<number>

const compare = async (row: string, ours: Sample, rival: Sample, target?: Row.Target): Promise<Row.Row> => {
  const samples = await Row.interleave({ rounds: 11, warmup: 3, ours, rival })
  return Row.make({ bench: "cache", row, ...samples, unit: "us", target })
}

const many = 20_000

interface Rival {
  readonly hit: Sample
  readonly set: Sample
}

/** Other caches, with all keys in memory. */
const rivals = async (): Promise<Readonly<Record<string, Rival>>> => {
  const byInput = await Effect.runPromise(
    Cache.make({ capacity: 1_000, timeToLive: ttl, lookup: (_: { projectId: number }) => Effect.succeed(items) })
  )
  const byText = await Effect.runPromise(
    Cache.make({ capacity: 1_000, timeToLive: ttl, lookup: (_: string) => Effect.succeed(items) })
  )
  const persisted = await Persisted.make(Persisted.layerMemory, () => Effect.succeed(items))
  const store = bentostore().useL1Layer(memoryDriver({ maxItems: 1_000, serialize: false }))
  const bento = new BentoCache({ default: "one", stores: { one: store } })
  const cacheable = new Cacheable({ ttl })
  const lru = new LRUCache<string, typeof items>({ max: 1_000, ttl })
  for (let n = 0; n < keys; n++) lru.set(`items ${n}`, items)
  return {
    "Cache.get": {
      hit: perOperation(many, (projectId) => Cache.get(byInput, { projectId })),
      set: perOperation(many, (projectId) => Cache.set(byInput, { projectId }, items))
    },
    "Cache.get by a ready text": {
      hit: perOperation(many, (n) => Cache.get(byText, `items ${n}`)),
      set: perOperation(many, (n) => Cache.set(byText, `items ${n}`, items))
    },
    PersistedCache: {
      hit: perOperation(many, (n) => persisted.get(Persisted.key(n))),
      set: perOperation(many / 10, (n) =>
        Effect.andThen(persisted.invalidate(Persisted.key(n)), persisted.get(Persisted.key(n)))
      )
    },
    "lru-cache": {
      hit: perPlainCall(many, (n) => lru.get(`items ${n}`)),
      set: perPlainCall(many, (n) => lru.set(`items ${n}`, items))
    },
    bentocache: {
      hit: perCall(many, (n) => bento.getOrSet({ key: `items ${n}`, ttl, factory: () => items })),
      set: perCall(many, (n) => bento.set({ key: `items ${n}`, value: items, ttl }))
    },
    cacheable: {
      hit: perCall(many / 10, (n) => cacheable.getOrSet(`items ${n}`, () => Promise.resolve(items))),
      set: perCall(many / 10, (n) => cacheable.set(`items ${n}`, items))
    }
  }
}

const inMemory = async function* (): AsyncGenerator<Row.Row> {
  const alone = await Items.cacheOver(CacheStore.layerNoop)
  const shared = await Items.cacheOver(CacheStore.layerSqlite({ filename }))
  const others = await rivals()
  const hit = perOperation(many, (projectId) => alone.executor.query(query, { projectId }))
  for (const [name, rival] of Object.entries(others)) {
    yield await compare(`hit in memory / ${name}`, hit, rival.hit, name === "Cache.get" ? { atMost: 1 } : undefined)
  }
  yield await compare(
    "hit in memory, checked against the file / Cache.get",
    perOperation(many, (projectId) => shared.executor.query(query, { projectId })),
    others["Cache.get"]!.hit
  )
  // Our equivalent of a set is a load whose result is stored with its dependencies.
  const set = perOperation(many, (projectId) => alone.cache.refresh(query, { projectId }))
  for (const [name, rival] of Object.entries(others)) {
    yield await compare(`load and keep in memory / set, ${name.replace(".get", ".set")}`, set, rival.set)
  }
}

/** Reads of a hundred keys, in one call and one by one. The time is for all hundred. */
const atOnce = async function* (): AsyncGenerator<Row.Row> {
  const inputs = Array.from({ length: keys }, (_, projectId) => ({ projectId }))
  const many = (cache: QueryCache["Service"]) => Effect.asVoid(cache.getMany(query, inputs))
  const each = (cache: QueryCache["Service"]) =>
    Effect.forEach(inputs, (input) => cache.get(query, input), { discard: true })
  const filled = CacheStore.layerSqlite({ filename: path.join(folder, "many.db") })
  for (const [where, store, options] of [
    ["in memory", CacheStore.layerNoop, {}],
    ["in the file", filled, { memoryTimeToLive: 0 }]
  ] as const) {
    const { cache } = await Items.cacheOver(store, options)
    await Effect.runPromise(each(cache))
    yield await compare(
      `${keys} reads at once / one by one, hits ${where}`,
      perOperation(20, () => many(cache)),
      perOperation(20, () => each(cache))
    )
  }
}

/** The keys of the entries in the file, for a raw read. */
const keysOf = (file: string): ReadonlyArray<string> => {
  const db = new DatabaseSync(file)
  const rows = db.prepare("SELECT key FROM entry ORDER BY key").all() as Array<{ key: string }>
  db.close()
  return rows.map(({ key }) => key)
}

const inFile = async function* (): AsyncGenerator<Row.Row> {
  const { cache, executor } = await Items.cacheOver(CacheStore.layerSqlite({ filename }), { memoryTimeToLive: 0 })
  await perOperation(keys, (projectId) => executor.query(query, { projectId }))()
  const known = keysOf(filename)
  const db = new DatabaseSync(filename)
  const get = db.prepare("SELECT value FROM entry WHERE key = ?")
  yield await compare(
    "hit in the file, process at work / raw get + JSON.parse",
    perOperation(2_000, (projectId) => executor.query(query, { projectId })),
    perOperation(2_000, (n) => Effect.sync(() => JSON.parse((get.get(known[n]!) as { value: string }).value)))
  )
  db.close()
  const raw = new DatabaseSync(path.join(folder, "raw.db"))
  raw.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
  raw.exec("CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID")
  const put = raw.prepare(
    "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
  )
  yield await compare(
    "load and keep in the file / JSON.stringify + raw upsert",
    perOperation(1_000, (projectId) => cache.refresh(query, { projectId })),
    perOperation(1_000, (n) => Effect.sync(() => put.run(known[n]!, JSON.stringify(items), ttl)))
  )
  raw.close()
}

/** The cost of a miss, over an executor that responds immediately. */
const missRows = async function* (): AsyncGenerator<Row.Row> {
  const source = Context.get(await Items.build(Items.source()), QueryExecutor)
  const rival = perOperation(1_000, (projectId) => source.query(query, { projectId }))
  let read = 0
  for (const [row, store] of [
    ["miss, one tier / executor alone", CacheStore.layerNoop],
    ["miss, looked up and kept in the file / executor alone", CacheStore.layerSqlite({ filename })]
  ] as const) {
    const { executor } = await Items.cacheOver(store)
    yield await compare(
      row,
      perOperation(1_000, () => executor.query(query, { projectId: 1_000 + read++ })),
      rival
    )
  }
}

const worker = path.join(import.meta.dirname, "cacheWorker.ts")

/** Measures the first reads in a separate process. */
const firstReads = (side: "ours" | "raw", known: ReadonlyArray<string>): FirstRead =>
  JSON.parse(
    execFileSync(process.execPath, [worker, "first", side, filename, ...known.slice(0, 2)], { encoding: "utf8" })
  ) as FirstRead

const fresh = async function* (): AsyncGenerator<Row.Row> {
  const known = keysOf(filename)
  const times: Record<"ours" | "raw", Array<FirstRead>> = { ours: [], raw: [] }
  for (let round = 0; round < 17; round++) {
    for (const side of ["ours", "raw"] as const) {
      const measured = firstReads(side, known)
      if (round >= 2) times[side].push(measured)
    }
  }
  const row = (name: string, part: (times: FirstRead) => number, target?: Row.Target) =>
    Row.make({
      bench: "cache",
      row: `fresh process: ${name}`,
      ours: times.ours.map(part),
      rival: times.raw.map(part),
      unit: "ms",
      target
    })
  yield row("first read, file open / raw get + parse", ({ first }) => first, { atMost: 2.5 })
  yield row("opening / raw open + prepare", ({ opening }) => opening)
  yield row("opening and first read / the same raw", ({ first, opening }) => opening + first)
  yield row("second key / raw get + parse", ({ next }) => next)
}

const processes = 16

/** Releases waiting processes that read the same key concurrently, and counts the loads. */
const sourceRuns = async (side: string): Promise<number> => {
  const children = Array.from({ length: processes }, () =>
    spawn(process.execPath, [worker, "stampede", side, folder], { stdio: ["pipe", "pipe", "inherit"] })
  )
  const ready = children.map((child) => new Promise((resolve) => child.stdout.once("data", resolve)))
  const answers = children.map((child) => {
    const { promise, reject, resolve } = Promise.withResolvers<string>()
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part))
    child.on("close", (code) =>
      code === 0 ? resolve(text) : reject(new Error(`a process of ${side} ended by ${code}`))
    )
    return promise
  })
  try {
    await Promise.race([Promise.all(ready), Promise.all(answers)])
    for (const child of children) child.stdin.write("go\n")
    const texts = await Promise.all(answers)
    return texts.reduce((sum, text) => sum + Number(text.replace("ready\n", "")), 0)
  } finally {
    for (const child of children) child.kill()
  }
}

const stampede = async function* (): AsyncGenerator<Row.Row> {
  const ours = await sourceRuns("ours")
  const row = (name: string, rival: number, target?: Row.Target) =>
    Row.make({
      bench: "cache",
      row: `source runs for ${processes} processes / ${name}`,
      ours: [ours],
      rival: [rival],
      unit: "runs",
      target
    })
  yield row("processes", processes, { atMost: 1 / processes })
  for (const rival of ["PersistedCache", "bentocache"]) yield row(rival, await sourceRuns(rival))
}

export default async function* (): AsyncGenerator<Row.Row> {
  let files = 0
  try {
    yield* inMemory()
    yield* atOnce()
    yield* inFile()
    yield* fresh()
    yield* missRows()
    yield* stampede()
    yield* raceRows(() => path.join(folder, `race-${++files}.db`))
    yield* hitRateRows()
    yield* databaseRows(folder)
  } finally {
    await Items.close()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
