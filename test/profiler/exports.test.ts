import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as SqlClient from "effect/sql/SqlClient"
import * as ProfileExport from "../../src/profiler/ProfileExport.ts"
import * as ProfileMetrics from "../../src/profiler/ProfileMetrics.ts"
import * as ProfilePlans from "../../src/profiler/ProfilePlans.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import { recorderOf } from "../../src/profiler/internal/callRecorder.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as Virtual from "./VirtualReadings.ts"

const profiler = (virtual: Virtual.Virtual, options: Profiler.ProfilerOptions = {}) =>
  Profiler.layer(options).pipe(Layer.provide(Virtual.layer(virtual)))

const calls = (virtual: Virtual.Virtual) =>
  Effect.gen(function* () {
    for (const ms of [1, 20, 300]) yield* Profiler.track(virtual.busy(ms), "work")
    yield* Profiler.track(Effect.fail("no"), "work").pipe(Effect.ignore)
  })

/** A collector that records the names of the metrics in each export. */
const collectorOf = (bodies: Array<string>) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.sync(() => {
        const { body } = request
        if (request.url.endsWith("/v1/metrics") && body._tag === "Uint8Array") {
          bodies.push(new TextDecoder().decode(body.body))
        }
        return HttpClientResponse.fromWeb(request, new Response("{}"))
      })
    )
  )
const metricsOf = (body: string) =>
  JSON.parse(body).resourceMetrics[0].scopeMetrics[0].metrics as ReadonlyArray<{ name: string; histogram: any }>
const resource = { serviceName: "test" }
const exporter = ProfileExport.layerOtlp({ url: "http://collector.test/v1/metrics", resource })

describe("profiler exports", () => {
  it.effect("exports outcome counters and histograms in seconds to Prometheus", () =>
    Effect.suspend(() => {
      const virtual = Virtual.make()
      return Effect.gen(function* () {
        yield* calls(virtual)
        const lines = (yield* ProfileExport.prometheus).split("\n")
        const of = (start: string) => lines.filter((line) => line.startsWith(start))
        assert.lengthOf(of('athena_profiler_calls_total{kind="operation",operation="work",outcome="success"} 3'), 1)
        assert.lengthOf(of('athena_profiler_calls_total{kind="operation",operation="work",outcome="failure"} 1'), 1)
        const sum = of("athena_profiler_wall_seconds_sum")[0]!
        assert.closeTo(Number(sum.split(" ").at(-1)), 0.321, 1e-9)
        const bucket = (bound: string) =>
          Number(
            of("athena_profiler_wall_seconds_bucket")
              .find((line) => line.includes(`le="${bound}"`))
              ?.split(" ")
              .at(-1)
          )
        assert.deepStrictEqual(["0.0005", "0.0025", "0.025", "0.5", "+Inf"].map(bucket), [1, 2, 3, 4, 4])
      }).pipe(Effect.provide(profiler(virtual)))
    })
  )

  it.effect("publishes metrics while the Layer is open, including later operations", () =>
    Effect.suspend(() => {
      const virtual = Virtual.make()
      const names = Effect.map(Metric.snapshot, (all) => new Set(all.map(({ id }) => id)))
      return Effect.gen(function* () {
        yield* Effect.gen(function* () {
          assert.deepStrictEqual([...(yield* names)], ["athena_profiler_cost_seconds"])
          yield* calls(virtual)
          assert.isTrue((yield* names).has("athena_profiler_active_seconds"))
          yield* (yield* Profiler.Profiler).reset
          yield* Profiler.track(Effect.void, "work")
          const found = (yield* Metric.snapshot).find(
            ({ id, attributes }) => id === "athena_profiler_calls_total" && attributes?.["outcome"] === "success"
          )
          assert.deepStrictEqual(found!.state, { count: 1, incremental: true })
        }).pipe(Effect.provide(ProfileMetrics.layer))
        assert.strictEqual((yield* names).size, 0)
      }).pipe(
        Effect.provide(profiler(virtual, { level: "deep" })),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
    })
  )

  it.effect("removes metrics on reset", () =>
    Effect.gen(function* () {
      const registry: Metric.MetricRegistry = new Map()
      yield* Effect.gen(function* () {
        const self = yield* Profiler.Profiler
        yield* self.track("before")(Effect.void)
        const { size } = registry
        yield* self.reset
        assert.strictEqual(registry.size, 1)
        yield* self.track("after")(Effect.void)
        assert.strictEqual(registry.size, size)
      }).pipe(
        Effect.provide(Layer.provideMerge(ProfileMetrics.layer, Profiler.layer())),
        Effect.provideService(Metric.MetricRegistry, registry)
      )
      assert.strictEqual(registry.size, 0)
    })
  )

  it.effect("exports to an OpenTelemetry collector before a short program ends", () =>
    Effect.gen(function* () {
      const virtual = Virtual.make()
      const bodies: Array<string> = []
      const exported = exporter.pipe(
        Layer.provide([collectorOf(bodies), OtlpSerialization.layerJson]),
        Layer.provideMerge(profiler(virtual))
      )
      yield* calls(virtual).pipe(Effect.provide(exported), Effect.provideService(Metric.MetricRegistry, new Map()))
      const metrics = metricsOf(bodies.at(-1)!)
      assert.include(
        metrics.map(({ name }) => name),
        "athena_profiler_calls_total"
      )
      const wall = metrics.find(({ name }) => name === "athena_profiler_wall_seconds")!.histogram.dataPoints[0]
      assert.strictEqual(Number(wall.count), 4)
      assert.closeTo(wall.sum, 0.321, 1e-9)
    })
  )

  it.effect("exports no metric twice beside the exporter of the program", () =>
    Effect.gen(function* () {
      const virtual = Virtual.make()
      const bodies: Array<string> = []
      const own = Metric.counter("app_requests_total")
      const exported = Layer.merge(exporter, Otlp.layerJson({ baseUrl: "http://collector.test", resource })).pipe(
        Layer.provide([collectorOf(bodies), OtlpSerialization.layerJson]),
        Layer.provideMerge(profiler(virtual))
      )
      yield* Effect.andThen(Metric.update(own, 1), calls(virtual)).pipe(
        Effect.provide(exported),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const last = bodies.slice(-2).map((body) => metricsOf(body).map(({ name }) => name))
      const names = last.flat()
      assert.includeMembers(names, ["app_requests_total", "athena_profiler_calls_total"])
      assert.sameMembers(names, [...new Set(names)])
    })
  )

  it.effect("exports folded stacks", () =>
    Effect.suspend(() => {
      const virtual = Virtual.make()
      return Effect.gen(function* () {
        const inner = Profiler.track(virtual.busy(2), "in; ner")
        yield* Profiler.track(Effect.andThen(virtual.busy(1.5), inner), "outer")
        yield* Profiler.track(virtual.busy(1), "")
        const lines = ProfileExport.folded(yield* Profiler.report).split("\n")
        assert.sameMembers(lines, ["outer 1500", "outer;in_ner 2000", "_ 1000"])
      }).pipe(Effect.provide(profiler(virtual, { level: "deep" })))
    })
  )
})

/** Runs slow statements, and returns the report once the last one has its plan. */
const planned = (statements: (sql: SqlClient.SqlClient) => ReadonlyArray<Effect.Effect<unknown, unknown>>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const recorder = recorderOf(yield* Profiler.Profiler)!
    yield* Effect.forEach(statements(sql), (statement) => Effect.exit(statement))
    // They are requested in order.
    const last = recorder.statements.all().findLast(({ plan }) => plan !== undefined)
    yield* Effect.yieldNow.pipe(Effect.repeat({ until: () => last!.plan!.length > 0 }), Effect.timeout("10 seconds"))
    return yield* Profiler.report
  })

/** The span of a statement, without a database. */
const ofPostgres = (text: string) =>
  Effect.withSpan(Effect.void, "db", { attributes: { "db.query.text": text, "db.system.name": "postgresql" } })

const withPlans = Layer.merge(Profiler.layerTracer, ProfilePlans.layer)

describe("ProfilePlans", () => {
  it.live("requests the plan of a slow read once, without values, on SQLite", () =>
    Effect.gen(function* () {
      const report = yield* planned((sql) => [
        sql`CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT)`,
        sql`INSERT INTO tasks (title) VALUES (${"ghp_secret"})`,
        sql`UPDATE tasks SET title = ${"ghp_secret"} WHERE id = ${1}`,
        sql`SELECT * FROM tasks WHERE id = ${1} AND title <> 'ghp_secret' LIMIT 5`,
        sql`SELECT * FROM tasks WHERE id = ${2} AND title <> 'ghp_other' LIMIT 7`
      ])
      const plans = report.statements.map(({ fingerprint, plan }) => [fingerprint.split(" ")[0], plan])
      assert.sameDeepMembers(plans, [
        ["CREATE", null],
        ["INSERT", null],
        ["UPDATE", null],
        ["SELECT", ["SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"]]
      ])
      assert.notInclude(JSON.stringify(report), "ghp_")
      assert.strictEqual(report.operations.find(({ name }) => name === "sqlite")!.wall.count, 5, "the plan is no span")
    }).pipe(
      Effect.provide(
        withPlans.pipe(
          Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
          Layer.provideMerge(Profiler.layer({ slowThreshold: 0 }))
        )
      )
    )
  )

  it.live("requests plans after a statement without a plan", () =>
    Effect.gen(function* () {
      const report = yield* planned((sql) => [
        ofPostgres("SELECT a FROM t WHERE b = 'costs $99999999999'"),
        ofPostgres("SELECT a FROM t WHERE c = $99999999999"),
        sql`SELECT name FROM sqlite_master`
      ])
      assert.deepStrictEqual(report.statements.map(({ plan, system }) => [system, plan !== null]).toSorted(), [
        ["postgresql", false],
        ["postgresql", false],
        ["sqlite", true]
      ])
    }).pipe(
      Effect.provide(
        withPlans.pipe(
          Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
          Layer.provideMerge(Profiler.layer({ slowThreshold: 0 }))
        )
      )
    )
  )

  it.live("requests the plan of a slow read once, without values, on Postgres", () =>
    Effect.gen(function* () {
      const report = yield* planned((sql) => [
        sql`SELECT 1 FROM no_such_table`,
        sql`SELECT relname FROM pg_class WHERE relname = 'ghp_secret' AND relname < interval '1 day'`,
        sql`SELECT relname FROM pg_class WHERE oid = ${1} AND relname <> 'ghp_secret' LIMIT 5`
      ])
      const found = report.statements.find(({ fingerprint }) => fingerprint.includes("oid ="))
      assert.match(found!.plan!.join("\n"), /Index Scan using pg_class_oid_index on pg_class/)
      assert.strictEqual(report.statements.find(({ fingerprint }) => fingerprint.includes("no_such_table"))!.plan, null)
      assert.notInclude(JSON.stringify(report), "ghp_")
    }).pipe(
      Effect.provide(
        withPlans.pipe(
          Layer.provideMerge(Layer.suspend(() => Postgres.layerDatabase("postgres"))),
          Layer.provideMerge(Profiler.layer({ slowThreshold: 0 }))
        )
      )
    )
  )
})
