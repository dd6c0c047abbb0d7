/**
 * A worker that reads and writes prices through a cache and prints its observations. Argument: `Work` as JSON.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import { QueryCache } from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Generator from "../utils/Generator.ts"
import * as Worker from "../utils/Worker.ts"
import * as Kit from "./QueryCacheKit.ts"

export interface Work {
  readonly database: string
  readonly cache: string
  readonly shops: number
  readonly reads: number
  /** After how many reads it writes; never when zero. */
  readonly writeEvery: number
  readonly seed: number
  /** How long a write waits for the store to take its announcement. */
  readonly patienceMs: number
  readonly unannounced?: "proceed" | "fail"
}

export interface Report {
  readonly reads: number
  readonly writes: number
  /** Writes that were not carried out, because the store did not take their announcement. */
  readonly refused: number
  readonly loads: number
  /** Values that had been replaced before the read began. */
  readonly late: ReadonlyArray<string>
  readonly errors: ReadonlyArray<string>
  readonly storeFailures: number
}

const increment = Mutation.make({
  ...Kit.queries(Kit.control()).set,
  run: Effect.fnUntraced(function* ({ shop }: { readonly shop: number; readonly price: number }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO prices VALUES (${shop}, 1) ON CONFLICT (shop) DO UPDATE SET price = price + 1`
  })
})

const work = ({ reads, seed, shops, writeEvery }: Work) =>
  Effect.gen(function* () {
    const generator = Generator.make(seed)
    const control = Kit.control()
    const { price } = Kit.queries(control)
    const executor = yield* QueryExecutor
    const cache = yield* QueryCache
    const sql = yield* SqlClient.SqlClient
    const late: Array<string> = []
    const errors: Array<string> = []
    let writes = 0
    let refused = 0
    const noted = (what: string) =>
      Effect.catchCause((cause) => Effect.sync(() => void errors.push(`${what}: ${String(cause)}`)))
    for (let i = 1; i <= reads; i++) {
      const shop = generator.int(shops)
      yield* Effect.gen(function* () {
        const rows = yield* sql<{ price: number }>`SELECT price FROM prices WHERE shop = ${shop}`
        const value = (yield* executor.query(price, { shop })) ?? 0
        if (value < (rows[0]?.price ?? 0)) late.push(`${value} after ${rows[0]?.price} in shop ${shop}`)
      }).pipe(noted("read"))
      if (writeEvery > 0 && i % writeEvery === 0) {
        writes++
        yield* executor.mutate(increment, { shop: generator.int(shops), price: 0 }).pipe(
          Effect.catchIf(
            (error) => error._tag === "SqlError" && error.reason.operation === "announce",
            () => Effect.sync(() => void refused++)
          ),
          noted("write")
        )
      }
    }
    const { storeFailures } = yield* cache.stats
    return { reads, writes, refused, loads: control.loads, late, errors, storeFailures } satisfies Report
  })

if (process.argv[1] === import.meta.filename) {
  const task = JSON.parse(process.argv[2]!) as Work
  const program = Effect.gen(function* () {
    yield* Worker.ready
    return yield* work(task)
  }).pipe(
    Effect.provide(
      Kit.layer(
        { announceTimeout: task.patienceMs, storeBreakerResetTimeout: "50 millis", unannounced: task.unannounced },
        CacheStore.layerSqlite({ filename: task.cache }),
        task.database
      )
    )
  )
  process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
  process.exit(0)
}
