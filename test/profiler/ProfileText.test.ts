import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ProfileReport } from "../../src/profiler/ProfileReport.ts"
import * as ProfileText from "../../src/profiler/ProfileText.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as Virtual from "./VirtualReadings.ts"

/** Clocks that advance only with the program are equal on every machine. */
const example = (level: "wall" | "standard" | "deep"): Effect.Effect<ProfileReport> =>
  Effect.suspend(() => {
    const virtual = Virtual.make()
    const { busy } = virtual
    return Effect.gen(function* () {
      for (let i = 1; i <= 300; i++) yield* Profiler.track(busy(i / 100), "often")
      yield* Profiler.track(busy(1_500), "once")
      yield* Profiler.track(Effect.andThen(busy(20), Effect.fail("no")), `odd\n\u001b[31m ${"n".repeat(90)}`).pipe(
        Effect.ignore
      )
      yield* Effect.useSpan("db", (span) =>
        Effect.sync(() => {
          span.attribute("db.query.text", "SELECT title FROM tasks WHERE id = $1")
          span.attribute("db.client.connection.wait_time_ms", 50)
          virtual.work(150)
          return [1, 2]
        })
      )
      return yield* Profiler.report
    }).pipe(
      Effect.provide(
        Profiler.layerTracer.pipe(Layer.provideMerge(Profiler.layer({ level })), Layer.provide(Virtual.layer(virtual)))
      )
    )
  })

describe("ProfileText", () => {
  it.effect("formats aligned sections and ends with the cost of profiling", () =>
    Effect.gen(function* () {
      const report = yield* example("wall")
      assert.deepStrictEqual(ProfileText.format(report, { width: 100 }).split("\n"), [
        "Profile",
        "  2.12 s from 1970-01-01T00:00:00.000Z, level wall",
        "  303 calls of 4 operations, 1 of 1 statements",
        "",
        "Operations by wall time",
        "  percentile error is at most 1.6 %; - means too few calls; nested calls count in both",
        "  operation             count    total     mean      min      p50      p90      p95      p99      max  parallel",
        "  once                      1   1.50 s   1.50 s   1.50 s        -        -        -        -   1.50 s         1",
        "  often                   300   452 ms  1.50 ms  10.0 us  1.52 ms  2.72 ms  2.84 ms  2.97 ms  3.00 ms         1",
        "  span db                   1   150 ms   150 ms   150 ms        -        -        -        -   150 ms         1",
        "  odd [31m nnnnnnnnnn…      1  20.0 ms  20.0 ms  20.0 ms        -        -        -        -  20.0 ms         1",
        "",
        "Operations that did not succeed",
        "  operation                                                    success  failure  defect  interrupted",
        "  odd [31m nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…        0        1       0            0",
        "",
        "Statements",
        "  without values; averages of the wait for a connection, the rows and their estimated bytes",
        "  statement                         count   total    mean  p95     max     wait  rows  bytes  failed",
        "  SELECT title FROM tasks WHERE i…      1  150 ms  150 ms    -  150 ms  50.0 ms     2   16 B       0",
        "",
        "Slow statements, newest first",
        "  statement                             in    took     wait  rows  why",
        "  SELECT title FROM tasks WHERE id = ?  -   150 ms  50.0 ms     2  over the limit",
        "",
        "Cost of profiling",
        "  0, 0.00 % of the time: bookkeeping 0, run loop 0, 0 samples 0, 0 thread switches 0"
      ])
    })
  )

  it.effect("emits colours only on request and escapes control characters in names", () =>
    Effect.gen(function* () {
      const report = yield* example("deep")
      const plain = ProfileText.format(report)
      assert.notInclude(plain, "\u001b")
      const colored = ProfileText.format(report, { colors: true })
      assert.notStrictEqual(colored, plain)
      // oxlint-disable-next-line no-control-regex
      assert.strictEqual(colored.replaceAll(/\u001b\[[0-9]m/g, ""), plain)
    })
  )

  it.effect("shows the first rows in the requested order and counts the rest", () =>
    Effect.gen(function* () {
      const report = yield* example("wall")
      const first = (sort: ProfileText.Sort) => {
        const lines = ProfileText.format(report, { sort, top: 1 }).split("\n")
        const at = lines.indexOf("Operations by wall time")
        assert.include(lines[at + 4], "... and 3 more")
        return lines[at + 3]!.trim().split(/ {2,}/)[0]
      }
      assert.strictEqual(first("total"), "once")
      assert.strictEqual(first("max"), "once")
      assert.strictEqual(first("p95"), "once")
      assert.strictEqual(first("count"), "often")
      assert.match(first("failures")!, /^odd /)
      assert.strictEqual(first("name"), "span db")
    })
  )

  it.effect("respects the width for names of any length", () =>
    Effect.gen(function* () {
      for (const level of ["wall", "deep"] as const) {
        const lines = ProfileText.format(yield* example(level), { width: 120 }).split("\n")
        assert.deepStrictEqual(
          lines.filter((line) => line.length > 120),
          [],
          level
        )
        assert.isTrue(lines.some((line) => line.includes("…")))
      }
    })
  )
})
