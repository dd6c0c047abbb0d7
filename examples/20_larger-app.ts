/**
 * @title The Layers inside a larger app
 *
 * An app with its own tables: its queries are values, a middleware measures them, and the agents' memory uses the same
 * database and the same middleware.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Context, Effect, Layer, Ref, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
import * as MemoryEvent from "athena-hooks/memory/MemoryEvent"
import * as MemorySchema from "athena-hooks/memory/MemorySchema"
import * as Project from "athena-hooks/memory/Project"
import * as Dependency from "athena-hooks/query/Dependency"
import * as Mutation from "athena-hooks/query/Mutation"
import * as Query from "athena-hooks/query/Query"
import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
import * as Sqlite from "athena-hooks/sql/Sqlite"

const Order = Schema.Struct({ id: Schema.Int, item: Schema.String })
const Orders = Schema.Array(Order)

/** A query: its input, result, dependencies, and a program over SQL. */
const ordersOf = Query.make({
  name: "orders.ofShop",
  input: Schema.Struct({ shop: Schema.Int }),
  result: Orders,
  dependencies: ({ shop }) => [Dependency.make("orders", shop)],
  run: Effect.fnUntraced(function* ({ shop }) {
    const sql = yield* SqlClient.SqlClient
    return yield* Schema.decodeUnknownEffect(Orders)(yield* sql`SELECT id, item FROM orders WHERE shop = ${shop}`)
  })
})

/** A mutation: it names its changes with the dependencies of queries. */
const placeOrder = Mutation.make({
  name: "orders.place",
  input: Schema.Struct({ shop: Schema.Int, item: Schema.NonEmptyString }),
  changes: ({ shop }) => [Dependency.make("orders", shop)],
  run: Effect.fnUntraced(function* ({ item, shop }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO orders (shop, item) VALUES (${shop}, ${item})`
  })
})

/** A middleware: it needs a `QueryExecutor` and provides one. This one records the duration of every query. */
class Timings extends Context.Service<Timings, Ref.Ref<ReadonlyArray<string>>>()("app/Timings") {
  static readonly layer = Layer.effect(Timings, Ref.make<ReadonlyArray<string>>([]))

  static readonly layerQueries = Layer.effect(
    QueryExecutor.QueryExecutor,
    Effect.gen(function* () {
      const inner = yield* QueryExecutor.QueryExecutor
      const timings = yield* Timings
      const timed = <A, E>(name: string, effect: Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          const start = yield* Clock.currentTimeNanos
          const result = yield* effect
          const micros = Number((yield* Clock.currentTimeNanos) - start) / 1000
          yield* Ref.update(timings, (all) => [...all, `${name} ${micros.toFixed(0)} us`])
          return result
        })
      return QueryExecutor.QueryExecutor.of({
        ...inner,
        query: (query, input) => timed(query.name, inner.query(query, input)),
        mutate: (mutation, input) => timed(mutation.name, inner.mutate(mutation, input))
      })
    })
  )
}

const Tables = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, shop INTEGER NOT NULL, item TEXT NOT NULL)`
    yield* MemorySchema.migrate
  })
)

const App = MemoryBridge.layer.pipe(
  Layer.provideMerge(Timings.layerQueries),
  Layer.provide(QueryExecutor.layer),
  Layer.provideMerge(Timings.layer),
  Layer.provide(Tables),
  Layer.provide(Sqlite.layer({ filename: ":memory:" }))
)

const program = Effect.gen(function* () {
  const executor = yield* QueryExecutor.QueryExecutor
  yield* executor.mutate(placeOrder, { shop: 1, item: "tea" })
  yield* Console.log(yield* executor.query(ordersOf, { shop: 1 }))

  const memory = yield* MemoryBridge.MemoryBridge
  const project = yield* memory.ensureProject(Project.make({ path: "/repos/shop", name: "shop" }))
  yield* memory.recordEvent(
    MemoryEvent.make({ projectId: project.id, sessionId: "s1", type: "note", content: "Tea sells best." })
  )
  const found = yield* memory.searchMemories(project.id, "tea")
  yield* Console.log(found.results.map((result) => result.content))

  for (const line of yield* Ref.get(yield* Timings)) yield* Console.log(line)
})

program.pipe(Effect.provide(App), NodeRuntime.runMain)
