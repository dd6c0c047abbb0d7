/**
 * The cost of profiling an operation, compared with Effect's own measurements, and the accuracy of the figures for
 * known work.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import * as esbuild from "esbuild"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import * as Histogram from "../src/profiler/internal/histogram.ts"
import * as Profiler from "../src/profiler/Profiler.ts"
import * as Row from "./Row.ts"

type Level = NonNullable<Profiler.ProfilerOptions["level"]>

const body = Effect.sync(() => 1)

v8.setFlagsFromString("--expose-gc")
const collect = vm.runInNewContext("gc") as () => void

/** Nanoseconds of one run in a loop. */
const each = (count: number, effect: Effect.Effect<unknown>) => async (): Promise<number> => {
  const loop = Effect.gen(function* () {
    for (let i = 0; i < count; i++) yield* effect
  })
  const started = performance.now()
  await Effect.runPromise(loop)
  return ((performance.now() - started) / count) * 1e6
}

const profiler = (level: Level) => Effect.runSync(Profiler.make({ level }))

const spin = (ms: number): number => {
  const started = performance.now()
  while (performance.now() - started < ms);
  return performance.now() - started
}

async function* costs(): AsyncGenerator<Row.Row> {
  const count = 50_000
  const span = each(count, Effect.withSpan(body, "work"))
  const duration = each(count, Effect.trackDuration(body, Metric.timer("bench")))
  const rows: ReadonlyArray<[string, Effect.Effect<unknown>, () => Promise<number>, Row.Target?]> = [
    ["wall / Effect.withSpan", profiler("wall").track("work")(body), span, { atMost: 0.5 }],
    ["wall / Effect.trackDuration", profiler("wall").track("work")(body), duration],
    ["standard / Effect.withSpan", profiler("standard").track("work")(body), span],
    ["deep / Effect.withSpan", profiler("deep").track("work")(body), span],
    [
      "a span that is profiled, wall / Effect.withSpan",
      Effect.withSpan(body, "work").pipe(
        Effect.provideService(Tracer.Tracer, profiler("wall").tracer(Tracer.nativeTracer))
      ),
      span
    ]
  ]
  for (const [row, effect, rival, target] of rows) {
    const samples = await Row.interleave({ rounds: 15, warmup: 3, ours: each(count, effect), rival })
    yield Row.make({ bench: "profiler", row: `a call, ${row}`, ...samples, unit: "ns", target })
  }

  const primitives = Effect.gen(function* () {
    for (let i = 0; i < 100; i++) yield* Effect.flatMap(body, () => body)
  })
  const hooked = await Row.interleave({
    rounds: 15,
    warmup: 3,
    ours: each(1_000, profiler("deep").track("work")(primitives)),
    rival: each(1_000, primitives)
  })
  yield Row.make({ bench: "profiler", row: "100 flatMaps of nothing, deep / bare", ...hooked, unit: "ns" })
}

/** The faster half of the samples, which other load has disturbed least. */
const faster = (samples: ReadonlyArray<number>): ReadonlyArray<number> =>
  samples.toSorted((a, b) => a - b).slice(0, Math.ceil(samples.length / 2))

/** An operation of a millisecond, alternating with and without the profiler. */
async function* part(): AsyncGenerator<Row.Row> {
  const work = Effect.sync(() => {
    let sum = 0
    for (let i = 0; i < 600_000; i++) sum += Math.sqrt(i)
    return sum
  })
  for (const level of ["wall", "standard", "deep"] as const) {
    const tracked = profiler(level).track("work")(work)
    const ours: Array<number> = []
    const rival: Array<number> = []
    for (let i = 0; i < 1_500; i++) {
      const a = await each(1, tracked)()
      const b = await each(1, work)()
      if (i < 200) continue
      ours.push(a / 1e6)
      rival.push(b / 1e6)
    }
    const target = level === "standard" ? { atMost: 1.01 } : undefined
    yield Row.make({
      bench: "profiler",
      row: `an operation of about 1 ms, ${level} / bare`,
      ours: faster(ours),
      rival: faster(rival),
      unit: "ms",
      target
    })
  }
}

/** The heap after a million calls of ten names. */
const memory = async (): Promise<Row.Row> => {
  const { track } = profiler("standard")
  const names = Array.from({ length: 10 }, (_, i) => track(`work ${i}`)(body))
  const calls = (count: number) =>
    Effect.runPromise(
      Effect.gen(function* () {
        for (let i = 0; i < count; i++) yield* names[i % 10]!
      })
    )
  await calls(100_000)
  collect()
  const before = process.memoryUsage()
  await calls(1_000_000)
  collect()
  const after = process.memoryUsage()
  const grown = (after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers) / 2 ** 20
  return Row.make({
    bench: "profiler",
    row: "heap left by 1,000,000 calls / 2 MiB",
    ours: [Math.max(0, grown)],
    rival: [2],
    unit: "MiB",
    target: { atMost: 1 }
  })
}

/** The cost in a process that already runs Effect: the profiler's bundled modules, the Layer, the first call. */
async function* startUp(): AsyncGenerator<Row.Row> {
  const root = path.join(import.meta.dirname, "..")
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
  const contents = `
    import * as Effect from "effect/Effect"
    import * as Layer from "effect/Layer"
    import * as Metric from "effect/Metric"
    import * as Schema from "effect/Schema"
    import * as QueryExecutor from "./src/query/QueryExecutor.ts"
    globalThis.used = [Metric.counter, Schema.String, QueryExecutor.layer]
    const warm = Layer.succeed(QueryExecutor.QueryExecutor, {})
    await Effect.runPromise(Effect.provide(Effect.withSpan(Effect.void, "warm"), warm))
    const times = [performance.now()]
    const Profiler = await import("./src/profiler/Profiler.ts")
    for (let i = 0; i < 2; i++) {
      Effect.runSync(Effect.provide(Profiler.track(Effect.void, "first"), Profiler.layer({ level: "wall" })))
      times.push(performance.now())
    }
    console.log(JSON.stringify([times[1] - times[0], times[2] - times[1]]))`
  const outfile = path.join(folder, "start.mjs")
  try {
    const stdin = { contents, resolveDir: root, loader: "ts" } as const
    await esbuild.build({ stdin, outfile, bundle: true, format: "esm", platform: "node", minify: true })
    const run = () => JSON.parse(execFileSync(process.execPath, [outfile], { encoding: "utf8" })) as [number, number]
    const times = Array.from({ length: 31 }, run)
    const common = { bench: "profiler", rival: [1], unit: "ms", target: { atMost: 1 } } as const
    const cold = "start-up, cold: modules in a bundle, Layer, call / 1 ms"
    yield Row.make({ ...common, row: cold, ours: faster(times.map(([first]) => first)) })
    const again = "start-up again: Layer, call / 1 ms"
    yield Row.make({ ...common, row: again, ours: faster(times.map(([, second]) => second)) })
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** The worst percentile of values over six powers of ten, compared with Effect's summary metric. */
const accuracy = async (): Promise<Row.Row> => {
  const values = Array.from({ length: 65_536 }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
    return Math.exp(1.5 * normal)
  })
  const sorted = values.toSorted((a, b) => a - b)
  const quantiles = [0.5, 0.9, 0.95, 0.99]
  const worst = (found: (quantile: number) => number): number =>
    Math.max(
      ...quantiles.map((quantile) => {
        const exact = sorted[Math.ceil(quantile * sorted.length) - 1]!
        return (Math.abs(found(quantile) - exact) / exact) * 100
      })
    )
  const histogram = Histogram.make()
  for (const value of values) Histogram.record(histogram, value)
  const summary = Metric.summary("bench", { maxAge: "1 hour", maxSize: 1_000, quantiles })
  const snapshot = await Effect.runPromise(
    Effect.andThen(
      Effect.forEach(values, (value) => Metric.update(summary, value), { discard: true }),
      Metric.value(summary)
    )
  )
  const ofSummary = new Map(snapshot.quantiles.map(([quantile, value]) => [quantile, value ?? 0]))
  return Row.make({
    bench: "profiler",
    row: "worst error of p50 to p99 / Metric.summary of 1,000",
    ours: [worst((quantile) => Histogram.estimate(histogram, quantile))],
    rival: [worst((quantile) => ofSummary.get(quantile) ?? 0)],
    unit: "%"
  })
}

/**
 * Five concurrent operations that work for a known time and sleep: the mean error of their CPU time, by the profiler
 * and by the difference of the process's CPU time.
 */
const attribution = async (): Promise<Row.Row> => {
  const plan: Readonly<Record<string, readonly [slices: number, sleep: number]>> = {
    a: [5, 0],
    b: [10, 0],
    c: [2, 30],
    d: [5, 10],
    e: [1, 50]
  }
  const round = async (): Promise<readonly [ours: number, naive: number]> => {
    const worked: Record<string, number> = {}
    const naive: Record<string, number> = {}
    const work = (name: string, [slices, sleep]: readonly [number, number]) =>
      Effect.gen(function* () {
        const before = process.cpuUsage()
        for (let i = 0; i < slices; i++) {
          worked[name] = (worked[name] ?? 0) + spin(2)
          yield* Effect.yieldNow
        }
        yield* Effect.sleep(sleep)
        const { system, user } = process.cpuUsage(before)
        naive[name] = (user + system) / 1_000
      })
    const report = await Effect.runPromise(
      Effect.gen(function* () {
        const fibers = yield* Effect.forEach(Object.entries(plan), ([name, of]) =>
          Effect.forkChild(Profiler.track(work(name, of), name))
        )
        yield* Fiber.joinAll(fibers)
        return yield* Profiler.report
      }).pipe(Effect.provide(Profiler.layer({ level: "deep" })))
    )
    const off = (found: (name: string) => number): number =>
      Object.keys(plan).reduce((sum, name) => sum + Math.abs(found(name) / worked[name]! - 1), 0) / 5
    const self = (name: string) => report.operations.find((one) => one.name === name)!.thread!.self
    return [off(self) * 100, off((name) => naive[name]!) * 100]
  }
  await round()
  const rounds: Array<readonly [number, number]> = []
  for (let i = 0; i < 10; i++) rounds.push(await round())
  return Row.make({
    bench: "profiler",
    row: "error of time on the thread, 5 at once / process.cpuUsage",
    ours: rounds.map(([ours]) => ours),
    rival: rounds.map(([, naive]) => naive),
    unit: "%",
    target: { atMost: 0.1 }
  })
}

/** An operation's peak above the resident memory before it, compared with the buffer that it allocates. */
const peak = async (): Promise<Row.Row> => {
  const mebibytes = 128
  const buffer = Effect.sync(() => Buffer.alloc(mebibytes * 2 ** 20, 1).length)
  const over: Array<number> = []
  for (let i = 0; i < 5; i++) {
    const made = profiler("deep")
    await Effect.runPromise(made.track("warm")(Effect.void))
    collect()
    const before = process.memoryUsage.rss()
    await Effect.runPromise(made.track("work")(buffer))
    const work = Effect.runSync(made.report).operations.find(({ name }) => name === "work")
    over.push(((work?.memory?.peak ?? Number.NaN) - before) / 2 ** 20)
  }
  return Row.make({
    bench: "profiler",
    row: "peak of an operation over what was resident / its buffer",
    ours: over,
    rival: [mebibytes],
    unit: "MiB"
  })
}

/** The profiler's own cost as reported, compared with its measured cost. */
const selfCost = async (): Promise<Row.Row> => {
  const count = 100_000
  const bare = each(count, body)
  const made = profiler("standard")
  const tracked = each(count, made.track("work")(body))
  await tracked()
  const outside: Array<number> = []
  const inside: Array<number> = []
  for (let i = 0; i < 10; i++) {
    Effect.runSync(made.reset)
    const without = await bare()
    outside.push((await tracked()) - without)
    inside.push((Effect.runSync(made.report).cost.total * 1e6) / count)
  }
  return Row.make({
    bench: "profiler",
    row: "cost of a call: told by the report / seen from outside",
    ours: inside,
    rival: outside,
    unit: "ns"
  })
}

export default async function* (): AsyncGenerator<Row.Row> {
  yield* costs()
  yield* part()
  yield await selfCost()
  yield await memory()
  yield await peak()
  yield* startUp()
  yield await accuracy()
  yield await attribution()
}
