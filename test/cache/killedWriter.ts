/**
 * A process that writes through the cache and kills itself at a step of its last write.
 *
 * Arguments: the database, the file of the cache, the shop, the number of writes, the step.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Kit from "./QueryCacheKit.ts"

const [database, cache, shop, writes, moment] = process.argv.slice(2) as [string, string, string, string, string]

let last = false
const die = (at: string) =>
  Effect.sync(() => {
    if (last && at === moment) process.kill(process.pid, "SIGKILL")
  })

const store = Layer.effect(
  CacheStore.CacheStore,
  Effect.map(CacheStore.CacheStore, (store) => ({
    ...store,
    announce: (id: string, changed: ReadonlyArray<string>, until: number) =>
      die("before announcing").pipe(
        Effect.andThen(store.announce(id, changed, until)),
        Effect.andThen(die("after announcing"))
      ),
    resolve: (...args: Parameters<typeof store.resolve>) =>
      die("after committing").pipe(Effect.andThen(store.resolve(...args)), Effect.andThen(die("after resolving")))
  }))
).pipe(Layer.provide(CacheStore.layerSqlite({ filename: cache, busyTimeout: "1 second" })))

const increment = Mutation.make({
  ...Kit.queries(Kit.control()).set,
  run: Effect.fnUntraced(function* ({ shop }: { readonly shop: number; readonly price: number }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO prices VALUES (${shop}, 1) ON CONFLICT (shop) DO UPDATE SET price = price + 1`
    yield* die("before committing")
  })
})

const program = Effect.gen(function* () {
  const executor = yield* QueryExecutor
  const sql = yield* SqlClient.SqlClient
  for (let i = 1; i <= Number(writes); i++) {
    last = i === Number(writes)
    const write = executor.mutate(increment, { shop: Number(shop), price: 0 })
    yield* i % 3 === 0 ? sql.withTransaction(sql.withTransaction(write)) : write
  }
  process.kill(process.pid, "SIGKILL")
}).pipe(
  Effect.provide(
    Kit.layer(
      { announcementLease: "1 second", storeTimeout: "2 seconds", announceTimeout: "5 seconds" },
      store,
      database
    )
  )
)

void Effect.runPromise(program).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(1)
})
