import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as ProfileReport from "../../src/profiler/ProfileReport.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import { RetainingRegistry } from "../../src/profiler/ProfileRecord.ts"
import { recorderOf } from "../../src/profiler/internal/callRecorder.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Virtual from "./VirtualReadings.ts"

/** Simulates a statement of `effect/sql` with these durations of waiting and execution. */
const statement = (
  virtual: Virtual.Virtual,
  text: string,
  ms: number,
  options: { readonly waitMs?: number; readonly rows?: number; readonly fails?: boolean } = {}
) =>
  Effect.useSpan("db", { kind: "client" }, (span) =>
    Effect.suspend(() => {
      span.attribute("db.query.text", text)
      span.attribute("db.system.name", "postgresql")
      if (options.waitMs !== undefined) span.attribute("db.client.connection.wait_time_ms", options.waitMs)
      virtual.work(ms)
      return options.fails === true ? Effect.fail("no") : Effect.succeed(Array.from({ length: options.rows ?? 0 }))
    })
  )

const profiled = <A, E, R>(
  options: Profiler.ProfilerOptions,
  program: (virtual: Virtual.Virtual) => Effect.Effect<A, E, R>
) =>
  Effect.suspend(() => {
    const virtual = Virtual.make()
    const profiler = Profiler.layer(options).pipe(Layer.provide(Virtual.layer(virtual)))
    return program(virtual).pipe(Effect.provide(Layer.provideMerge(Profiler.layerTracer, profiler)))
  })

const Rows = Schema.Array(Schema.Struct({ n: Schema.Finite }))

const above = Query.make({
  name: "numbers.above",
  input: Schema.Struct({ than: Schema.Finite }),
  result: Rows,
  dependencies: () => [Dependency.make("numbers")],
  run: Effect.fnUntraced(function* ({ than }) {
    const sql = yield* SqlClient.SqlClient
    return yield* Schema.decodeUnknownEffect(Rows)(yield* sql`SELECT n FROM numbers WHERE n > ${than}`)
  })
})

const database = Layer.effectDiscard(SqlClient.SqlClient.use((sql) => sql`CREATE TABLE numbers (n INTEGER)`)).pipe(
  Layer.provideMerge(Sqlite.layer({ filename: ":memory:" }))
)

/** A statement with this result. */
const answered = (rows: ReadonlyArray<unknown>) =>
  Effect.useSpan("db", (span) =>
    Effect.sync(() => {
      span.attribute("db.query.text", "SELECT a, b, c, d FROM t")
      return rows
    })
  )

describe("profiler statements", () => {
  it.effect("separates the wait for a connection and counts rows and outcomes", () =>
    profiled({}, (virtual) =>
      Effect.gen(function* () {
        const select = "SELECT * FROM t WHERE id = $1"
        yield* statement(virtual, select, 10, { waitMs: 4, rows: 3 })
        yield* statement(virtual, select, 10, { waitMs: 0, rows: 5 })
        yield* statement(virtual, select, 10, { fails: true }).pipe(Effect.ignore)
        const { statements } = yield* Profiler.report
        assert.strictEqual(statements.length, 1)
        const [found] = statements
        assert.deepInclude(found, {
          fingerprint: "SELECT * FROM t WHERE id = ?",
          system: "postgresql",
          countedCalls: 2,
          rows: 8,
          maxRows: 5,
          slow: 0
        })
        assert.deepStrictEqual(found!.outcomes, { success: 2, failure: 1, defect: 0, interrupted: 0 })
        assert.strictEqual(found!.wall.sum, 30)
        assert.deepInclude(found!.wait, { count: 2, sum: 4, max: 4 })
        assert.deepInclude(found!.execution, { count: 2, sum: 16, max: 10 })
      })
    )
  )

  it.effect("estimates result sizes on 1 execution of 16 from the first rows", () =>
    profiled({}, () =>
      Effect.gen(function* () {
        const row = { a: "four", b: 1, c: new Uint8Array(20), d: null }
        yield* answered(Array.from({ length: 100 }, (_, at) => (at < 10 ? row : null)))
        for (let i = 0; i < 15; i++) yield* answered([])
        yield* answered([[row.a], [row.b]])
        assert.deepInclude((yield* Profiler.report).statements[0], {
          countedCalls: 17,
          sizedCalls: 2,
          bytes: 3_200 + 12
        })
      })
    )
  )

  it.effect("records one fingerprint for all values and stores no value", () =>
    profiled({}, (virtual) =>
      Effect.gen(function* () {
        for (const value of ["'ghp_secret'", "42", "$1"]) {
          yield* statement(virtual, `SELECT a FROM t WHERE b = ${value}`, 1)
        }
        const { statements } = yield* Profiler.report
        assert.deepStrictEqual(
          statements.map(({ fingerprint, wall }) => [fingerprint, wall.count]),
          [["SELECT a FROM t WHERE b = ?", 3]]
        )
      })
    )
  )

  it.effect("bounds statements, evicts the least recently seen and counts evictions", () =>
    profiled({ maxStatements: 3 }, (virtual) =>
      Effect.gen(function* () {
        yield* statement(virtual, "SELECT a0", 1)
        yield* statement(virtual, "SELECT a0", 1)
        yield* statement(virtual, "SELECT b0", 1)
        for (const name of ["c", "d", "e"]) {
          yield* statement(virtual, `SELECT ${name}0`, 1)
          yield* statement(virtual, "SELECT b0", 1)
        }
        yield* statement(virtual, "SELECT a0", 1)
        const { evicted, statements } = yield* Profiler.report
        assert.sameMembers(
          statements.map(({ fingerprint, wall }) => `${fingerprint} ${wall.count}`),
          ["SELECT b0 4", "SELECT e0 1", "SELECT a0 1"]
        )
        assert.deepStrictEqual(evicted, { statements: 3, calls: 4 })
      })
    )
  )

  it.effect("detects a statement repeated under one span", () =>
    profiled({ repeatThreshold: 5 }, (virtual) =>
      Effect.gen(function* () {
        const times = (count: number) =>
          Effect.forEach(
            Array.from({ length: count }),
            () => statement(virtual, "SELECT n FROM items WHERE parent = ?", 1),
            { discard: true }
          ).pipe(Effect.withSpan("page"))
        yield* times(4)
        yield* times(4)
        assert.strictEqual((yield* Profiler.report).statements[0]!.repeatedParents, 0)
        yield* times(5)
        yield* times(12)
        assert.deepInclude((yield* Profiler.report).statements[0], { repeatedParents: 2, maxRepeats: 12 })
        const slowly = Effect.andThen(statement(virtual, "SELECT rare", 1), virtual.busy(3_000))
        yield* Effect.repeat(slowly, { times: 20 }).pipe(Effect.withSpan("server"))
        const rare = (yield* Profiler.report).statements.find(({ fingerprint }) => fingerprint === "SELECT rare")
        assert.strictEqual(rare!.repeatedParents, 0, "a span that stays open adds nothing up")
      })
    )
  )

  it.effect("records slow executions over the threshold and outliers", () =>
    profiled({ maxSlow: 2 }, (virtual) =>
      Effect.gen(function* () {
        const usual = statement(virtual, "SELECT usual", 3, { rows: 1 })
        yield* Effect.repeat(usual, { times: 59 })
        yield* statement(virtual, "SELECT usual", 11)
        assert.deepStrictEqual((yield* Profiler.report).slow, [])
        yield* statement(virtual, "SELECT usual", 13, { rows: 2 }).pipe(Effect.withSpan("page"))
        yield* statement(virtual, "SELECT other", 99)
        yield* statement(virtual, "SELECT other", 100, { waitMs: 90, fails: true }).pipe(Effect.ignore)
        const report = yield* Profiler.report
        assert.deepStrictEqual(
          report.slow.map(({ at: _, ...slow }) => slow),
          [
            { fingerprint: "SELECT usual", ms: 13, waitMs: null, rows: 2, parent: "page", why: "outlier" },
            { fingerprint: "SELECT other", ms: 100, waitMs: 90, rows: null, parent: null, why: "limit" }
          ]
        )
        assert.strictEqual(report.slow[1]!.at - report.slow[0]!.at, 199)
        yield* statement(virtual, "SELECT other", 200)
        const later = yield* Profiler.report
        assert.deepStrictEqual(
          later.slow.map(({ ms }) => ms),
          [100, 200]
        )
        assert.strictEqual(later.slowDropped, 1)
      })
    )
  )

  it.effect("measures queries by name, with their statements and cache tiers", () =>
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO numbers VALUES (${"4711"})`
      for (const than of [1, 1, 1, 2]) yield* executor.query(above, { than })
      yield* executor.query(above, { than: "ghp_secret" as never }).pipe(Effect.ignore)
      const report = yield* Profiler.report
      const query = report.operations.find(({ kind }) => kind === "query")!
      assert.strictEqual(query.name, "numbers.above")
      assert.deepInclude(query.outcomes, { success: 4, failure: 1 })
      const select = report.statements.find(({ fingerprint }) => fingerprint.startsWith("SELECT n"))!
      assert.strictEqual(select.wall.count, 2, "two of the four were answered by the cache")
      assert.deepInclude(select, { system: "sqlite", countedCalls: 2, rows: 2 })
      assert.strictEqual(select.wait.count, 2)
      const level = (name: string) =>
        report.metrics.find((one) => one.name === name && one.attributes["query"] === "numbers.above")?.value
      assert.strictEqual(level("athena_cache_memory_hits_total"), 2)
      assert.strictEqual(level("athena_cache_misses_total"), 3)
      const written = JSON.stringify(report)
      assert.notInclude(written, "4711")
      assert.notInclude(written, "ghp_secret")
      const text = yield* Schema.encodeEffect(ProfileReport.Json)(report)
      assert.deepStrictEqual(yield* Schema.decodeEffect(ProfileReport.Json)(text), report)
    }).pipe(
      Effect.provide(
        Layer.merge(Profiler.layerQueries, Profiler.layerTracer).pipe(
          Layer.provideMerge(QueryCache.layer()),
          Layer.provide(CacheStore.layerNoop),
          Layer.provide(QueryExecutor.layer),
          Layer.provideMerge(database),
          Layer.provideMerge(Profiler.layer())
        )
      )
    )
  )

  it.effect("includes metrics of Layers closed before the report", () =>
    Effect.gen(function* () {
      const cached = QueryCache.layer().pipe(
        Layer.provide(CacheStore.layerNoop),
        Layer.provide(QueryExecutor.layer),
        Layer.provide(database)
      )
      const reads = QueryExecutor.QueryExecutor.use((executor) =>
        Effect.forEach([1, 1, 1], (than) => executor.query(above, { than }))
      )
      yield* Effect.provide(reads, cached)
      yield* Effect.provide(reads, cached)
      const report = yield* Profiler.report
      const hits = report.metrics.filter(({ name }) => name === "athena_cache_memory_hits_total")
      assert.deepStrictEqual(
        hits.map(({ attributes, value }) => [attributes["query"], value]),
        [["numbers.above", 2]]
      )
    }).pipe(Effect.provide(Profiler.layer()), Effect.provideService(Metric.MetricRegistry, new RetainingRegistry()))
  )

  it.effect("counts queries beyond the name bound once and reports no repetition", () =>
    profiled({ maxNames: 1 }, () =>
      Effect.gen(function* () {
        const profiler = yield* Profiler.Profiler
        const executor = profiler.executor(
          QueryExecutor.fromOperations({ query: () => Effect.never, mutate: () => Effect.never })
        )
        const ask = (name: string) => {
          const query = Query.make({
            name,
            input: Schema.Struct({}),
            result: Schema.Finite,
            dependencies: () => [],
            run: () => Effect.succeed(1)
          })
          return Effect.timeoutOption(executor.query(query, {}), 0)
        }
        yield* Effect.forEach(
          Array.from({ length: 12 }, (_, i) => `query ${i}`),
          ask,
          { discard: true, concurrency: 12 }
        ).pipe(Effect.withSpan("parent"))
        const report = yield* Profiler.report
        const others = report.operations.find(({ kind }) => kind === "query")!
        assert.deepInclude(others, { name: "(others)", repeatedParents: 0 })
        assert.strictEqual(others.wall.count, 12)
        assert.strictEqual(report.overflowed, 12)
      })
    )
  )

  it.effect("requests the plan of an evicted statement once", () =>
    profiled({ slowThreshold: 0, maxStatements: 1 }, (virtual) =>
      Effect.gen(function* () {
        const observed: Array<string> = []
        const { statements } = recorderOf(yield* Profiler.Profiler)!
        statements.observe(({ fingerprint }) => void observed.push(fingerprint))
        for (const text of ["SELECT a", "SELECT b", "SELECT a", "SELECT b"]) yield* statement(virtual, text, 1)
        assert.deepStrictEqual(observed, ["SELECT a", "SELECT b"])
      })
    )
  )

  it.effect("executes no getter of a result", () =>
    profiled({}, () =>
      Effect.gen(function* () {
        let read = 0
        const row = {
          get token() {
            return ++read
          }
        }
        yield* answered([row])
        assert.strictEqual((yield* Profiler.report).statements[0]!.sizedCalls, 1)
        assert.strictEqual(read, 0)
      })
    )
  )

  it.effect("truncates database and span names", () =>
    profiled({ slowThreshold: 0 }, () =>
      Effect.gen(function* () {
        const attributes = { "db.query.text": "SELECT 1", "db.system.name": "s".repeat(10_000) }
        yield* Effect.withSpan(Effect.void, "db", { attributes }).pipe(Effect.withSpan("p".repeat(10_000)))
        const { slow, statements } = yield* Profiler.report
        assert.strictEqual(slow[0]!.parent!.length, 200)
        assert.strictEqual(statements[0]!.system.length, 200)
      })
    )
  )

  it.effect("omits only metrics that fail or are not numbers", () =>
    Effect.gen(function* () {
      yield* Metric.update(Metric.counter("athena_good"), 1)
      yield* Metric.update(Metric.gauge("athena_infinite"), Infinity)
      const broken = {
        get: () => {
          throw new Error("broken")
        },
        update: () => undefined,
        modify: () => undefined
      }
      Metric.registerUnsafe(Metric.gauge("athena_broken"), yield* Effect.context<never>(), broken)
      yield* Metric.update(Metric.counter("athena_last"), 2)
      const profiler = yield* Profiler.Profiler
      yield* profiler.record("endless", "Infinity")
      yield* profiler.record("endless", "Infinity")
      const report = yield* profiler.report
      assert.deepStrictEqual(
        report.metrics.map(({ name }) => name),
        ["athena_good", "athena_last"]
      )
      assert.strictEqual(report.cost.failures, 1)
      const json = yield* Schema.encodeEffect(ProfileReport.Json)(report)
      assert.deepStrictEqual(yield* Schema.decodeEffect(ProfileReport.Json)(json), report)
    }).pipe(Effect.provide(Profiler.layer()), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("detects a query repeated under one span", () =>
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      const page = Effect.forEach(Array.from({ length: 10 }), (_, than) => executor.query(above, { than }))
      yield* page
      yield* Effect.withSpan(page, "page")
      const { operations } = yield* Profiler.report
      const query = operations.find(({ kind }) => kind === "query")
      assert.deepInclude(query, { repeatedParents: 1, maxRepeats: 10 })
    }).pipe(
      Effect.provide(
        Profiler.layerQueries.pipe(
          Layer.provide(QueryExecutor.layer),
          Layer.provide(database),
          Layer.provideMerge(Profiler.layer())
        )
      )
    )
  )
})
