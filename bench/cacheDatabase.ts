/**
 * The cache over real databases: the cost of a miss through the whole stack, and reads of the memory, cold and warm.
 */
import * as path from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as CacheStore from "../src/cache/CacheStore.ts"
import * as QueryCache from "../src/cache/QueryCache.ts"
import * as MemoryBridge from "../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../src/memory/MemoryEvent.ts"
import * as Project from "../src/memory/Project.ts"
import * as MemorySchema from "../src/memory/MemorySchema.ts"
import * as Dependency from "../src/query/Dependency.ts"
import * as Query from "../src/query/Query.ts"
import * as QueryExecutor from "../src/query/QueryExecutor.ts"
import * as ConnectionPool from "../src/pool/ConnectionPool.ts"
import * as Sqlite from "../src/sql/Sqlite.ts"
import * as Items from "./cacheItems.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Row from "./Row.ts"

const address = (port: number) => ({
  host: "127.0.0.1",
  port,
  username: PostgresServer.username,
  password: Redacted.make(PostgresServer.password),
  database: PostgresServer.database
})

/** Reads seven rows; the number makes each read distinct. */
const rows = Query.make({
  name: "bench.rows",
  input: Schema.Struct({ projectId: Schema.Int, read: Schema.Int }),
  result: Items.Items,
  dependencies: ({ projectId }) => [Dependency.make("items", projectId)],
  run: Effect.fnUntraced(function* ({ projectId }) {
    const sql = yield* SqlClient.SqlClient
    return yield* Schema.decodeUnknownEffect(Items.Items)(
      yield* sql`SELECT id, title, score FROM items WHERE project_id = ${projectId}`
    )
  })
})

const fill = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE items (project_id int, id int, title text, score float8)`
  yield* sql`INSERT INTO items SELECT p, i, 'The title of memory number ' || i, i / 7.0
    FROM generate_series(1, 1000) p, generate_series(0, 6) i`
  yield* sql`CREATE INDEX items_project ON items (project_id)`
  yield* sql`ANALYZE items`
})

const reads = 500
let read = 0

/** Microseconds of one read with a new input. */
const perMiss = (one: (input: typeof rows.input.Type) => Effect.Effect<unknown, unknown>) => async () => {
  const program = Effect.gen(function* () {
    for (let n = 0; n < reads; n++) yield* one({ projectId: (n % 1_000) + 1, read: read++ })
  })
  const start = performance.now()
  await Effect.runPromise(program)
  return ((performance.now() - start) * 1_000) / reads
}

const misses = async function* (port: number, folder: string): AsyncGenerator<Row.Row> {
  const plain = await Items.build(PgClient.layer({ ...address(port), maxConnections: 10 }))
  await Effect.runPromise(Effect.provide(fill, plain))
  const rival = perMiss((input) => Effect.provide(rows.run(input), plain))
  const stack = (store: Layer.Layer<CacheStore.CacheStore>) =>
    Items.build(
      QueryCache.layer().pipe(
        Layer.provide([QueryExecutor.layer, store]),
        Layer.provide(ConnectionPool.layer({ ...address(port), maxConnections: 10, deadline: "5 seconds" })),
        Layer.fresh
      )
    )
  const file = CacheStore.layerSqlite({ filename: path.join(folder, "misses.db") })
  for (const [row, store, target] of [
    ["miss over Postgres, whole stack / plain sql-pg", file, { atMost: 1.1 }],
    ["miss over Postgres, one tier / plain sql-pg", CacheStore.layerNoop, undefined]
  ] as const) {
    const executor = Context.get(await stack(store), QueryExecutor.QueryExecutor)
    const ours = perMiss((input) => executor.query(rows, input))
    const samples = await Row.interleave({ rounds: 11, warmup: 4, ours, rival })
    yield Row.make({ bench: "cache", row, ...samples, unit: "us", target })
  }
}

const perSecond = (ms: ReadonlyArray<number>) => ms.map((one) => 1_000 / one)

/** The predecessor of this project reads memories 67.5 times as fast from its cache as from its database. */
const memories = async function* (
  database: string,
  sql: Layer.Layer<SqlClient.SqlClient, unknown>,
  store: string
): AsyncGenerator<Row.Row> {
  const context = await Items.build(
    MemoryBridge.layer.pipe(
      Layer.provideMerge(QueryCache.layer()),
      Layer.provide([QueryExecutor.layer, CacheStore.layerSqlite({ filename: store })]),
      Layer.provide(Layer.effectDiscard(MemorySchema.migrate)),
      Layer.provide(sql),
      Layer.fresh
    )
  )
  const memory = Context.get(context, MemoryBridge.MemoryBridge)
  const cache = Context.get(context, QueryCache.QueryCache)
  const run = Effect.runPromise
  const { id } = await run(memory.ensureProject(Project.make({ path: "/bench/shop", name: "shop" })))
  const events = Array.from({ length: 1_000 }, (_, n) =>
    MemoryEvent.make({
      projectId: id,
      sessionId: `s-${n % 20}`,
      type: "user_question",
      content: `Question ${n} of many`
    })
  )
  await run(memory.recordEvents(events))
  const perRead = (count: number, before: Effect.Effect<void>) => async () => {
    let time = 0
    const program = Effect.gen(function* () {
      for (let n = 0; n < count; n++) {
        yield* before
        const start = performance.now()
        yield* memory.getActiveMemories(id)
        time += performance.now() - start
      }
    })
    await run(program)
    return time / count
  }
  const cold = perRead(20, cache.clear)
  const warm = perRead(2_000, Effect.void)
  const times = await Row.interleave({ rounds: 9, warmup: 3, ours: warm, rival: cold })
  const row = (name: string) => `getActiveMemories on ${database}, ${name}`
  yield Row.make({ bench: "cache", row: row("warm / cold"), ...times, unit: "ms" })
  yield Row.make({
    bench: "cache",
    row: row("warm / cold, as throughput"),
    ours: perSecond(times.ours),
    rival: perSecond(times.rival),
    unit: "/s",
    target: { atLeast: 67.5 }
  })
}

export default async function* (folder: string): AsyncGenerator<Row.Row> {
  const sqlite = Sqlite.layer({ filename: path.join(folder, "memory.db") })
  yield* memories("SQLite", sqlite, path.join(folder, "memories.db"))
  const server = await PostgresServer.start()
  try {
    const pool = ConnectionPool.layer({ ...address(server.port), deadline: "5 seconds" })
    yield* memories("Postgres", pool, path.join(folder, "memories-of-postgres.db"))
    yield* misses(server.port, folder)
  } finally {
    await Items.close()
    await server.stop()
  }
}
