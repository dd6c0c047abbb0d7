/**
 * Measurements in a separate process: `first SIDE FILE KEY` for a first read, and `stampede SIDE FOLDER` for one of
 * many processes that read the same key concurrently.
 */
import * as path from "node:path"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import { bentostore, BentoCache } from "bentocache"
import { fileDriver } from "bentocache/drivers/file"
import { memoryDriver } from "bentocache/drivers/memory"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as CacheStore from "../src/cache/CacheStore.ts"
import * as Sqlite from "../src/sql/Sqlite.ts"
import * as Items from "./cacheItems.ts"
import * as Persisted from "./persistedCache.ts"

/** Milliseconds of the opening, of the first read, and of a following read of another key. */
export interface FirstRead {
  readonly opening: number
  readonly first: number
  readonly next: number
}

const timed = async (action: () => unknown): Promise<number> => {
  const start = performance.now()
  await action()
  return performance.now() - start
}

const first = async (side: string, file: string, keys: ReadonlyArray<string>): Promise<FirstRead> => {
  if (side === "raw") {
    const opened: Array<StatementSync> = []
    const opening = await timed(() =>
      opened.push(new DatabaseSync(file).prepare("SELECT value FROM entry WHERE key = ?"))
    )
    const read = (key: string) => timed(() => JSON.parse((opened[0]!.get(key) as { value: string }).value))
    return { opening, first: await read(keys[0]!), next: await read(keys[1]!) }
  }
  const { executor, store } = await Items.cacheOver(CacheStore.layerSqlite({ filename: file }))
  const read = (projectId: number) => timed(() => Effect.runPromise(executor.query(Items.query, { projectId })))
  // Any operation opens the file.
  const opening = await timed(() => Effect.runPromise(store.stamp([], 0)))
  return { opening, first: await read(0), next: await read(1) }
}

/** Milliseconds of a load: longer than all processes need to start their reads. */
const sourceTakes = 500

let runs = 0

const load = async () => {
  runs++
  await delay(sourceTakes)
  return Items.items
}

/** Prepares a read for each side. */
const sides: Readonly<Record<string, (folder: string) => Promise<() => Promise<unknown>>>> = {
  ours: async (folder) => {
    const { executor, store } = await Items.cacheOver(
      CacheStore.layerSqlite({ filename: path.join(folder, "stampede.db") }),
      {},
      Items.source(() => Effect.promise(load))
    )
    // Processes that open the file concurrently may find it locked.
    await Effect.runPromise(Effect.retry(store.stats, { times: 20, schedule: Schedule.spaced("50 millis") }))
    return () => Effect.runPromise(executor.query(Items.query, { projectId: 1 }))
  },
  PersistedCache: async (folder) => {
    const sql = Sqlite.layer({ filename: path.join(folder, "persisted.db") })
    const cache = await Persisted.make(Layer.provide(Persisted.layerSql, sql), () => Effect.promise(load))
    await Effect.runPromise(cache.get(Persisted.key(2)))
    runs = 0
    return () => Effect.runPromise(cache.get(Persisted.key(1)))
  },
  bentocache: (folder) => {
    const store = bentostore()
      .useL1Layer(memoryDriver({}))
      .useL2Layer(fileDriver({ directory: path.join(folder, "bento"), pruneInterval: false }))
    const bento = new BentoCache({ default: "two", stores: { two: store } })
    return Promise.resolve(() => bento.getOrSet({ key: "items", ttl: "1h", factory: load }))
  }
}

const stampede = async (side: string, folder: string): Promise<number> => {
  const read = await sides[side]!(folder)
  await new Promise<void>((resolve) => {
    process.stdin.once("data", () => resolve())
    process.stdout.write("ready\n")
  })
  await read()
  return runs
}

if (process.argv[1] === import.meta.filename) {
  const [what, side, file, ...keys] = process.argv.slice(2) as [string, string, string, ...Array<string>]
  const result = await (what === "first" ? first(side, file, keys) : stampede(side, file))
  process.stdout.write(JSON.stringify(result))
  process.exit(0)
}
