/**
 * What goes when the memory grows too old or too large, what stays, and who notices.
 */
import { spawnSync } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, LockTimeoutError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as CachedMemory from "../../src/memory/CachedMemory.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as MemorySchema from "../../src/memory/MemorySchema.ts"
import * as Queries from "../../src/memory/queries/Retention.ts"
import * as Retention from "../../src/memory/Retention.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import type * as Database from "../../src/sql/Database.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as SqliteSpace from "../../src/sql/SqliteSpace.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RetentionKit.ts"

const inFile = Effect.map(TempFolder.make, (folder) => path.join(folder, "athena.db"))
const sqlite = Layer.unwrap(Effect.map(inFile, Kit.sqlite))
const postgres = Layer.effectDiscard(MemorySchema.migrate).pipe(
  Layer.provideMerge(QueryExecutor.layer),
  Layer.provideMerge(Postgres.layerFresh)
)

const prune = (options: Retention.PolicyOptions) => Effect.flatMap(Retention.policy(options), Retention.prune)

/** One event each fifth of a day. */
const past: Kit.Past = { events: 3_000, projects: 3, from: 600.1, to: 0.1 }

for (const [name, database] of Object.entries({ SQLite: sqlite, Postgres: postgres })) {
  describe(`Retention by age: ${name}`, () => {
    it.live("retains the mark that a session has its start context, as long as the session", () =>
      Effect.gen(function* () {
        yield* Kit.remember({ events: 100, projects: 1, from: 10.1, to: 0.1 })
        const sql = yield* SqlClient.SqlClient
        const mark = Number.MAX_SAFE_INTEGER
        yield* sql`INSERT INTO agent_session_memories (session_id, memory_id) VALUES ('s-9', ${mark}), ('s-9', 5000000)`
        assert.strictEqual((yield* prune({ maxAge: "300 days" })).injections, 1)
        const rows = yield* sql<{ id: unknown }>`SELECT memory_id AS id FROM agent_session_memories
          WHERE session_id = 's-9' AND memory_id > 100`
        assert.deepStrictEqual(
          rows.map(({ id }) => Number(id)),
          [mark]
        )
      }).pipe(Effect.provide(database))
    )

    it.live("deletes what is too old, with what belongs to it, and nothing else", () =>
      Effect.gen(function* () {
        yield* Kit.remember(past)
        const planned = yield* Retention.plan(yield* Retention.policy({ maxAge: "300 days" }))
        assert.deepStrictEqual([planned.events, planned.expired, planned.surplus], [3_000, 1_500, 0])
        const pruned = yield* prune({ maxAge: "300 days" })
        assert.deepStrictEqual([pruned.events, pruned.sessions, pruned.injections], [1_500, 150, 150])
        assert.deepStrictEqual(yield* Kit.counts, {
          events: 1_500,
          sessions: 150,
          injections: 150,
          projects: 3,
          goals: 3
        })
        assert.deepStrictEqual(
          yield* Kit.numbers,
          Array.from({ length: 1_500 }, (_, index) => index + 1_501)
        )
        assert.deepStrictEqual(yield* prune({ maxAge: "300 days" }), {
          events: 0,
          sessions: 0,
          injections: 0,
          bytes: 0
        })
      }).pipe(Effect.provide(database))
    )

    it.live("keeps a session that has an event left, and one that began a moment ago", () =>
      Effect.gen(function* () {
        yield* Kit.remember({ ...past, events: 20, perSession: 20, projects: 1 })
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT INTO agent_sessions VALUES ('fresh', 1, '/', ${Kit.now}), ('old', 1, '/', 0)`
        const pruned = yield* prune({ maxAge: "300 days" })
        assert.deepStrictEqual([pruned.events, pruned.sessions], [10, 1])
        const left = yield* sql<{ id: string }>`SELECT session_id AS id FROM agent_sessions ORDER BY session_id`
        assert.deepStrictEqual(
          left.map(({ id }) => id),
          ["fresh", "s-0"]
        )
      }).pipe(Effect.provide(database))
    )

    it.live("one transaction takes the oldest of one project", () =>
      Effect.gen(function* () {
        yield* Kit.remember({ ...past, events: 100, perSession: 1, projects: 2 })
        const executor = yield* QueryExecutor.QueryExecutor
        const input = { projectId: 1, before: Kit.now, limit: 10 }
        assert.strictEqual(yield* executor.mutate(Queries.deleteEvents, input), 10)
        const left = yield* Kit.numbers
        // Those of the first project have odd numbers.
        assert.deepStrictEqual(left.slice(0, 12), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 21, 22])
        assert.strictEqual(left.length, 90)
      }).pipe(Effect.provide(database))
    )

    it.live("retains everything under an infinite age and size", () =>
      Effect.gen(function* () {
        yield* Kit.remember({ ...past, events: 100 })
        assert.deepStrictEqual(yield* prune({ maxAge: Infinity, maxBytes: Infinity }), {
          events: 0,
          sessions: 0,
          injections: 0,
          bytes: 0
        })
        assert.strictEqual((yield* Kit.counts).events, 100)
      }).pipe(Effect.provide(database))
    )

    it.live("two that prune at once delete each event once and neither fails", () =>
      Effect.gen(function* () {
        yield* Kit.remember(past)
        const both = yield* Effect.all([prune({ maxAge: "300 days" }), prune({ maxAge: "300 days" })], {
          concurrency: 2
        })
        assert.strictEqual(both[0].events + both[1].events, 1_500)
        assert.strictEqual((yield* Kit.counts).events, 1_500)
      }).pipe(Effect.provide(database))
    )

    it.live("what is cached and was deleted is not answered; another project's results stay", () =>
      Effect.gen(function* () {
        const queried: Array<string> = []
        const counting = Kit.around((name, input, run) => {
          queried.push(`${name} ${input.projectId ?? ""}`)
          return run
        })
        yield* Effect.gen(function* () {
          yield* Kit.remember({ ...past, events: 20, perSession: 20, projects: 1 })
          const sql = yield* SqlClient.SqlClient
          yield* sql`INSERT INTO projects (name, path) VALUES ('other', '/p/2')`
          const memory = yield* MemoryBridge.MemoryBridge
          const read = (projectId: number) => memory.getActiveMemories(projectId, { limit: 100 })
          assert.strictEqual((yield* read(1)).count, 20)
          assert.strictEqual((yield* read(2)).count, 0)
          assert.strictEqual((yield* prune({ maxAge: "300 days" })).events, 10)
          queried.length = 0
          assert.strictEqual((yield* read(1)).count, 10)
          assert.strictEqual((yield* read(2)).count, 0)
          assert.deepStrictEqual(queried, ["memory.activeMemories 1"])
        }).pipe(
          Effect.provide(
            MemoryBridge.layer.pipe(
              Layer.provideMerge(CachedMemory.middleware()),
              Layer.provide(CacheStore.layerMemory()),
              Layer.provide(counting),
              Layer.provideMerge(database)
            )
          )
        )
      })
    )
  })
}

/** Stores one event per given number of days after now. */
const inDays = (...days: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const n of days) {
      yield* sql`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content, event_key)
        VALUES (1, 's-0', ${Kit.now + n * Kit.day}, 'action', 'with another clock', ${`later ${n}`})`
    }
  })

describe("Retention by age", () => {
  it.effect("deletes no more with a clock that is set far ahead than a day after the newest event", () =>
    Effect.gen(function* () {
      yield* Kit.remember({ ...past, events: 600 })
      yield* TestClock.setTime(Kit.now + 3_650 * Kit.day)
      const policy = yield* Retention.policy({ maxAge: "300 days" })
      assert.strictEqual((yield* Retention.plan(policy)).expired, 300)
      assert.strictEqual((yield* Retention.prune(policy)).events, 300)
      assert.deepStrictEqual((yield* Kit.numbers)[0], 301)
    }).pipe(Effect.provide(sqlite))
  )

  const expiredNow = Effect.gen(function* () {
    const { countedFrom, expired } = yield* Retention.plan(yield* Retention.policy({ maxAge: "300 days" }))
    return { expired, isClockAhead: countedFrom !== undefined }
  })

  for (const ahead of [31, 400, 3_650, 100_000]) {
    it.effect(
      `is counted from what is proven where the clock was ${ahead} days ahead and a few events were stored`,
      () =>
        Effect.gen(function* () {
          yield* Kit.remember({ ...past, events: 600 })
          yield* TestClock.setTime(Kit.now + (ahead + 6) * Kit.day)
          for (let n = 0; n < 6; n++) yield* inDays(ahead + n)
          assert.deepStrictEqual(yield* expiredNow, { expired: 300, isClockAhead: true })
          const { events } = yield* Retention.prune(yield* Retention.policy({ maxAge: "300 days" }))
          assert.strictEqual(events, 300)
          // The clock is set right: what was stored meanwhile is in the future and proves nothing.
          yield* TestClock.setTime(Kit.now)
          assert.deepStrictEqual(yield* expiredNow, { expired: 0, isClockAhead: false })
        }).pipe(Effect.provide(sqlite))
    )
  }

  it.effect("believes a clock behind a long gap once events of a week are there, and any without a gap", () =>
    Effect.gen(function* () {
      yield* Kit.remember({ ...past, events: 600 })
      yield* TestClock.setTime(Kit.now + 46 * Kit.day)
      yield* inDays(40, 41, 42, 43, 44, 45)
      assert.isTrue((yield* expiredNow).isClockAhead)
      yield* inDays(46)
      const { expired, isClockAhead } = yield* expiredNow
      assert.isFalse(isClockAhead)
      assert.isAbove(expired, 300)
      yield* TestClock.setTime(Kit.now + 70 * Kit.day)
      yield* inDays(70)
      assert.isFalse((yield* expiredNow).isClockAhead)
    }).pipe(Effect.provide(sqlite))
  )
})

describe("Retention by size", () => {
  const large: Kit.Past = { events: 20_000, projects: 3, from: 200, to: 0, length: 1_200 }
  const maxBytes = 20 * 1_048_576

  it.live("deletes the oldest until the database is well below the limit, and gives the space back", () =>
    Effect.gen(function* () {
      yield* Kit.remember(large)
      const before = yield* SqliteSpace.read
      assert.isAbove(before.live, maxBytes)
      const planned = yield* Retention.plan(yield* Retention.policy({ maxBytes }))
      const pruned = yield* prune({ maxBytes })
      const after = yield* SqliteSpace.read
      assert.isAtMost(after.live, maxBytes * 0.92)
      // What is deleted in excess is lost for nothing.
      assert.isAbove(after.live, maxBytes * 0.8)
      assert.closeTo(pruned.events, planned.surplus, 20_000 * 0.08)
      assert.isAtMost(after.free, 1_048_576)
      // The file grows while the index is merged.
      assert.isAtLeast(pruned.bytes, before.file - after.file)
      const left = yield* Kit.numbers
      assert.strictEqual(left.length, 20_000 - pruned.events)
      // Days come one after the other; within the last one, projects do.
      const first = 20_000 - left.length
      assert.isTrue(left.every((number) => number > first - 100))
      assert.strictEqual((yield* Kit.counts).injections, left.filter((number) => number % 10 === 0).length)
      assert.isAbove(pruned.sessions, 0)
      yield* Kit.assertSound
    }).pipe(Effect.provide(sqlite))
  )

  it.live("does nothing where the database is within its limit", () =>
    Effect.gen(function* () {
      yield* Kit.remember({ ...large, events: 1_000 })
      const { events } = yield* prune({ maxBytes })
      assert.strictEqual(events, 0)
    }).pipe(Effect.provide(sqlite))
  )
})

describe("Retention beside others", () => {
  it.live(
    "100,000 events go in transactions of at most 1,000 rows, and another process can write between any two",
    () =>
      Effect.gen(function* () {
        const filename = yield* inFile
        const sizes: Array<number> = []
        let writes = 0
        const other = yield* Effect.provide(Sqlite.make({ filename, busyTimeout: 0 }), Reactivity.layer)
        const watching = Kit.around((name, _, run) =>
          Effect.tap(run, (rows: number) =>
            name === "memory.pruneEvents"
              ? Effect.andThen(
                  Effect.sync(() => {
                    sizes.push(rows)
                    writes++
                  }),
                  other`INSERT INTO prospective_tasks (project_id, title) VALUES (1, 'meanwhile')`
                )
              : Effect.void
          )
        )
        yield* Effect.gen(function* () {
          yield* Kit.remember({ events: 101_000, projects: 2, perSession: 500, from: 800, to: 0, length: 1 })
          const { events } = yield* prune({ maxAge: "7 days" })
          assert.isAbove(events, 100_000)
          assert.isAtMost(Math.max(...sizes), 1_000)
          assert.isAbove(sizes.length, 100)
          assert.strictEqual((yield* Kit.counts).goals, 2 + writes)
          yield* Kit.assertSound
        }).pipe(Effect.provide(watching.pipe(Layer.provideMerge(Kit.sqlite(filename)))))
      }).pipe(Effect.scoped)
  )

  it.live("tries each step again that meets the lock of another", () =>
    Effect.gen(function* () {
      yield* Kit.remember({ ...past, length: 1_200 })
      const locked = new SqlError({
        reason: new LockTimeoutError({ cause: undefined, message: "database is locked", operation: "execute" })
      })
      const sql = yield* SqlClient.SqlClient
      let attempts = 0
      const locking: SqlClient.SqlClient = Object.assign(sql.bind(undefined), sql, {
        withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) =>
          Effect.suspend(() => (++attempts % 3 > 0 ? Effect.fail(locked) : sql.withTransaction(effect)))
      })
      const pruned = yield* prune({ maxAge: "300 days" }).pipe(Effect.provideService(SqlClient.SqlClient, locking))
      assert.strictEqual(pruned.events, 1_500)
      assert.isAbove(pruned.bytes, 0)
      // The merge and what gives space back, each once at least.
      assert.isAtLeast(attempts, 2 * 3)
      yield* Kit.assertSound
    }).pipe(Effect.provide(sqlite))
  )

  it.live("no statement of it reads a table of events or sessions from end to end", () =>
    Effect.gen(function* () {
      yield* Kit.remember({ ...past, events: 200 })
      const seen = new Set<string>()
      yield* prune({ maxAge: "300 days" }).pipe(
        Effect.provideService(Statement.CurrentTransformer, (statement) => {
          seen.add(statement.compile()[0])
          return Effect.succeed(statement)
        })
      )
      const sql = yield* SqlClient.SqlClient
      const plans = new Map<string, string>()
      for (const text of seen) {
        if (!/^\s*(SELECT|DELETE)/.test(text)) continue
        const rows = yield* sql.unsafe<{ detail: string }>(`EXPLAIN QUERY PLAN ${text.replaceAll("?", "1")}`)
        plans.set(text, rows.map((row) => row.detail).join("\n"))
      }
      assert.isAtLeast(plans.size, 6)
      for (const plan of plans.values()) assert.notMatch(plan, /SCAN (episodic_events|agent_session|e\b|m\b|s\b)/, plan)
    }).pipe(Effect.provide(sqlite))
  )

  it.live("a kill inside or after any deletion leaves a sound database, and the next run finishes", () =>
    Effect.gen(function* () {
      for (const [occurrence, moment] of [
        [1, "inside"],
        [1, "after"],
        [2, "inside"],
        [3, "after"],
        [5, "inside"]
      ] as const) {
        const filename = yield* inFile
        yield* Kit.remember(past).pipe(Effect.provide(Kit.sqlite(filename)))
        const worker = path.join(import.meta.dirname, "killedPruner.ts")
        const ended = spawnSync(process.execPath, [worker, filename, String(occurrence), moment], { encoding: "utf8" })
        assert.strictEqual(ended.signal, "SIGKILL", ended.stderr)
        yield* Effect.gen(function* () {
          yield* Kit.assertSound
          yield* prune({})
          yield* Kit.assertSound
          assert.deepStrictEqual(yield* Kit.counts, {
            events: 1_825,
            sessions: 183,
            injections: 183,
            projects: 3,
            goals: 3
          })
        }).pipe(Effect.provide(Kit.sqlite(filename)))
      }
    }).pipe(Effect.scoped)
  )
})

describe("Retention.run", () => {
  const policy: Retention.Policy = { maxAge: Duration.days(300), maxBytes: Infinity }

  interface Line {
    readonly level: string
    readonly text: string
  }

  const logging = (lines: Array<Line>) =>
    Logger.layer([
      Logger.make(({ fiber: _, logLevel, message }) => {
        lines.push({ level: logLevel, text: String(message) })
      })
    ])

  it.effect("prunes after a minute and then every six hours, says so where there was anything, and counts", () =>
    Effect.gen(function* () {
      const lines: Array<Line> = []
      let runs = 0
      const counting = Kit.around((name, input, run) => {
        if (name === "memory.orphanedInjections" && input.after.sessionId === "") runs++
        return run
      })
      yield* Effect.gen(function* () {
        yield* Kit.remember({ ...past, events: 600 })
        yield* TestClock.setTime(Kit.now)
        const fiber = yield* Effect.forkChild(Retention.run(policy).pipe(Effect.provide(logging(lines))))
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(runs, 0)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(runs, 1)
        assert.strictEqual((yield* Kit.counts).events, 300)
        assert.deepStrictEqual(lines, [{ level: "Info", text: "pruned the memory" }])
        yield* TestClock.adjust("4.7 hours")
        assert.strictEqual(runs, 1)
        yield* TestClock.adjust("2.5 hours")
        assert.strictEqual(runs, 2)
        assert.strictEqual(lines.length, 1)
        const sql = yield* SqlClient.SqlClient
        yield* sql`UPDATE episodic_events SET timestamp = ${Kit.now + 20 * Kit.day} WHERE event_key = 'key-600'`
        yield* TestClock.adjust("20 days")
        assert.strictEqual((yield* Kit.counts).events, 280)
        const counter = (yield* Metric.snapshot).find(({ id }) => id === "athena_retention_events")!
        assert.strictEqual((counter.state as { count: number }).count, 320)
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(counting.pipe(Layer.provideMerge(sqlite))))
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("tries again after some minutes where it failed, also with a defect", () =>
    Effect.gen(function* () {
      const lines: Array<Line> = []
      let queried = 0
      const away = new SqlError({
        reason: new ConnectionError({ cause: undefined, message: "away", operation: "open" })
      })
      const failing = Kit.around((_, __, run) => {
        queried++
        return queried === 1 ? Effect.fail(away) : queried === 2 ? Effect.die(new Error("broken")) : run
      })
      yield* Effect.gen(function* () {
        yield* Kit.remember({ ...past, events: 600 })
        yield* TestClock.setTime(Kit.now)
        const fiber = yield* Effect.forkChild(Retention.run(policy).pipe(Effect.provide(logging(lines))))
        yield* TestClock.adjust("1 minute")
        yield* TestClock.adjust("6 minutes")
        assert.strictEqual((yield* Kit.counts).events, 600)
        yield* TestClock.adjust("6 minutes")
        assert.strictEqual((yield* Kit.counts).events, 300)
        assert.deepStrictEqual(
          lines.map(({ level }) => level),
          ["Warn", "Warn", "Info"]
        )
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(failing.pipe(Layer.provideMerge(sqlite))))
    })
  )
})

const read = (settings: Database.Settings, env: Record<string, string> = {}) =>
  Retention.policyConfig(settings).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))))

describe("Retention's settings", () => {
  const embedded: Database.Settings = { _tag: "Embedded", home: "/home" }
  const server: Database.Settings = { _tag: "Postgres", url: Redacted.make("postgres://server/x") }
  it.effect("keeps a year and a gigabyte in the embedded database, and everything on a server", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* read(embedded), yield* Retention.policy())
      const all = { maxAge: Duration.infinity, maxBytes: Infinity }
      assert.deepStrictEqual(yield* read(server), all)
      assert.deepStrictEqual(yield* read(embedded, { ATHENA_KEEP_DAYS: "forever", ATHENA_MAX_MB: "unlimited" }), all)
      assert.deepStrictEqual(yield* read(embedded, { ATHENA_KEEP_DAYS: "30", ATHENA_MAX_MB: "16" }), {
        maxAge: Duration.days(30),
        maxBytes: 16 * 1_048_576
      })
      assert.deepStrictEqual(yield* read(server, { ATHENA_KEEP_DAYS: "30", ATHENA_MAX_MB: "16" }), {
        maxAge: Duration.days(30),
        maxBytes: Infinity
      })
    })
  )

  it.effect("names the variable and what it may be", () =>
    Effect.gen(function* () {
      for (const value of ["0", "-1", "1.5", "36501", "year", "Infinity", "1e3"]) {
        const error = yield* Effect.flip(read(embedded, { ATHENA_KEEP_DAYS: value }))
        assert.strictEqual(error._tag, "InvalidSettings")
        assert.strictEqual(error.message, "ATHENA_KEEP_DAYS must be a whole number of days from 1 to 36500, or forever")
      }
      for (const value of ["15", "1000001", "lots"]) {
        assert.include((yield* Effect.flip(read(embedded, { ATHENA_MAX_MB: value }))).message, "ATHENA_MAX_MB must be")
      }
    })
  )

  it.effect("refuses options that make no sense, by name", () =>
    Effect.gen(function* () {
      for (const maxAge of ["1 hour", -5, "soon" as "1 day"] as const) {
        assert.include((yield* Effect.flip(Retention.policy({ maxAge }))).message, "maxAge")
      }
      for (const maxBytes of [0, Number.NaN, 1_048_576]) {
        assert.include((yield* Effect.flip(Retention.policy({ maxBytes }))).message, "maxBytes")
      }
    })
  )
})
