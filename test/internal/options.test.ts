/**
 * The rule for invalid options, for every owner: a defect that names the option in code, a ConfigError from Config.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import * as Options from "../../src/internal/options.ts"
import * as ProfileHistory from "../../src/profiler/ProfileHistory.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as ProfileText from "../../src/profiler/ProfileText.ts"
import * as LazyExecutor from "../../src/query/LazyExecutor.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"

class Notes extends EventRecorder.Service<Notes, string>()("test/Notes", {
  name: "notes",
  event: Schema.String,
  id: (note) => note,
  order: () => "",
  target: Mutation.make({
    name: "notes.store",
    input: Schema.Array(Schema.String),
    changes: () => [],
    run: () => Effect.void
  })
}) {}

type Build = Effect.Effect<unknown, unknown, Scope.Scope>

const executor = QueryExecutor.layerTest({})
const filename = ":memory:"

/** Builds a Layer with these options. */
const build = (layer: Layer.Layer<any, unknown, any>): Build =>
  Layer.build(layer.pipe(Layer.provide([executor, CacheStore.layerNoop]))) as Build

const history = { folder: "profiles" }
const spool = { filename: "notes.spool" }

const owners: ReadonlyArray<
  readonly [option: string, literal: Layer.Layer<any, unknown, any>, config: Layer.Layer<any, unknown, any> | undefined]
> = [
  [
    "busyTimeout",
    Sqlite.layer({ filename, busyTimeout: -1 }),
    Sqlite.layerConfig(Config.succeed({ filename, busyTimeout: -1 }))
  ],
  [
    "durability",
    Sqlite.layer({ filename, durability: "off; DROP TABLE x" as never }),
    Sqlite.layerConfig(Config.succeed({ filename, durability: "none" as never }))
  ],
  [
    "prepareCacheSize",
    Sqlite.layer({ filename, prepareCacheSize: -1 }),
    Sqlite.layerConfig(Config.succeed({ filename, prepareCacheSize: 0.5 }))
  ],
  ["maxNames", Profiler.layer({ maxNames: 0 }), Profiler.layerConfig({ maxNames: Config.succeed(0) })],
  [
    "maxAge",
    ProfileHistory.layer({ ...history, maxAge: "1 minute" }),
    ProfileHistory.layerConfig(Config.succeed({ ...history, maxAge: "1 minute" as const }))
  ],
  [
    "maxRows",
    ProfileHistory.layer({ ...history, maxRows: 0 }),
    ProfileHistory.layerConfig(Config.succeed({ ...history, maxRows: 1_000_001 }))
  ],
  ["jitter", QueryCache.layer({ jitter: 1 }), QueryCache.layerConfig({ jitter: Config.succeed(Number.NaN) })],
  [
    "unannounced",
    QueryCache.layer({ unannounced: "wait" as never }),
    QueryCache.layerConfig(Config.succeed({ unannounced: "wait" as never }))
  ],
  [
    "maxEntries",
    CacheStore.layerSqlite({ filename, maxEntries: 0 }),
    CacheStore.layerConfig(Config.succeed({ filename, maxEntries: 0 }))
  ],
  [
    "batchSize",
    EventRecorder.layer(Notes, { ...spool, batchSize: 11, maxBatchSize: 10 }),
    EventRecorder.layerConfig(Notes, Config.succeed({ ...spool, batchSize: 11, maxBatchSize: 10 }))
  ],
  [
    "maxEventBytes",
    EventRecorder.layer(Notes, { ...spool, maxBytes: 1_048_576, maxEventBytes: 600_000 }),
    EventRecorder.layerConfig(Notes, Config.succeed({ ...spool, maxEventBytes: 0 }))
  ],
  [
    "whenFull",
    EventRecorder.layerDirect(Notes, { whenFull: "drop" as never }),
    EventRecorder.layerConfig(Notes, Config.succeed({ ...spool, whenFull: "drop" as never }))
  ],
  ["openTimeout", LazyExecutor.layer(executor, { openTimeout: 0 }), undefined],
  ["retryAfter", LazyExecutor.layer(executor, { retryAfter: "soon" as never }), undefined]
]

it.effect.each(owners)("dies with a RangeError that names an invalid %s", ([option, literal]) =>
  Effect.gen(function* () {
    const error = Cause.squash(yield* Effect.flip(Effect.sandbox(build(literal))))
    assert.instanceOf(error, RangeError)
    assert.include((error as Error).message, option)
  })
)

it.effect.each(owners.filter(([, , config]) => config !== undefined))(
  "fails with a ConfigError that names an invalid %s",
  ([option, , config]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(build(config!))
      assert.instanceOf(error, Config.ConfigError)
      assert.include((error as Error).message, option)
    })
)

it.effect("lowers a default to the bound that another option sets", () =>
  Effect.gen(function* () {
    yield* build(EventRecorder.layerDirect(Notes, { maxBatchSize: 10 }))
    const small = { ...spool, maxBytes: 65_536, maxBatchSize: 10 }
    yield* build(EventRecorder.layerSpool(Notes, small))
  })
)

it("rejects a table without rows, and one narrower than 60 characters", () => {
  const report = { operations: [] } as never
  assert.throws(() => ProfileText.format(report, { top: 0 }), RangeError, "top is 0")
  assert.throws(() => ProfileText.format(report, { width: 59 }), RangeError, "width is 59")
})

it("names the bounds with their units", () => {
  const read = Options.reader("Owner")
  assert.throws(
    () => read.duration("pause", "2 hours", 10, 3_600_000),
    "Owner: pause is 7200000 ms; specify a duration"
  )
  assert.throws(() => read.duration("pause", -1, 0, Infinity), "Owner: pause is -1 ms; specify a duration of at least")
  assert.throws(() => read.whole("rows", 1.5, 1, 9), "Owner: rows is 1.5; specify a whole number from 1 to 9")
})
