/**
 * Each acknowledged event is stored once after processes were killed with SIGKILL at any instant.
 *
 * `ATHENA_KILL_ROUNDS` sets how many rounds, `ATHENA_TEST_SEED` the seed of the first.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as esbuild from "esbuild"
import { inject } from "vitest"
import type { Failpoint } from "../../src/events/internal/failpoints.ts"
import * as Generator from "../utils/Generator.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import { database, type Orders } from "./killedProducer.ts"
import * as Damage from "./Damage.ts"
import * as Kit from "./RecorderKit.ts"

const rounds = Number(process.env["ATHENA_KILL_ROUNDS"] ?? 5)
const firstSeed = Number(process.env["ATHENA_TEST_SEED"] ?? Math.floor(performance.timeOrigin) % 1_000_000)

const failpoints: ReadonlyArray<Failpoint> = [
  "before append",
  "inside append",
  "after append",
  "before delivery",
  "after delivery",
  "inside acknowledge",
  "after acknowledge"
]

/** One file, because a process that loads hundreds takes longer to start than to be killed. */
const bundle = Effect.gen(function* () {
  const folder = yield* TempFolder.make
  const outfile = path.join(folder, "producer.cjs")
  yield* Effect.promise(() =>
    esbuild.build({
      entryPoints: [path.join(import.meta.dirname, "killedProducer.ts")],
      outfile,
      bundle: true,
      platform: "node",
      format: "cjs",
      logLevel: "error"
    })
  )
  return outfile
})

/** Runs a producer to its end; kills it some time after it began to record, where it is not to do so itself. */
const produce = (script: string, orders: Orders, killAfterMs: number | undefined): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [script, JSON.stringify(orders)])
    let output = ""
    let timer: NodeJS.Timeout | undefined
    child.stdout.on("data", () => {
      if (killAfterMs !== undefined) timer ??= setTimeout(() => child.kill("SIGKILL"), killAfterMs)
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      resume(Effect.succeed(signal === "SIGKILL" || code === 0 ? "" : `${output} ${String(signal)}`))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The ids that a log says were begun, and those that were acknowledged. A last line may be torn. */
const logged = (folder: string) => {
  const lines = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .flatMap((name) => fs.readFileSync(path.join(folder, name), "utf8").split("\n"))
    .filter((line) => /^[?+] \S+-\d+$/.test(line))
  const after = (mark: string) => lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(2))
  return { begun: new Set(after("?")), acknowledged: after("+") }
}

/** Kills two processes on one spool, one at a failpoint and one after a time; then delivers the spool. */
const round = (script: string, seed: number, postgres: Orders["postgres"]) =>
  Effect.gen(function* () {
    const random = Generator.make(seed)
    const folder = yield* TempFolder.make
    const orders = (name: string, failpoint: Failpoint | undefined): Orders => ({
      folder,
      name,
      seed: random.int(1e9),
      failpoint,
      occurrence: 1 + random.int(8),
      postgres
    })
    const target = Layer.fresh(database(orders("", undefined)))
    yield* Effect.provide(Kit.table, target)
    const failpoint = failpoints[random.int(failpoints.length)]
    const ends = yield* Effect.all(
      [
        produce(script, orders(`a${seed}`, failpoint), undefined),
        produce(script, orders(`b${seed}`, undefined), random.int(150))
      ],
      { concurrency: 2 }
    )
    const damaged = random.chance(0.3)
    const where = `seed ${seed}, ${failpoint}${damaged ? ", damaged" : ""}`
    assert.deepStrictEqual(ends, ["", ""], where)
    if (damaged) {
      // A table without events, so that all of them can be rescued.
      Damage.tableOf(Kit.spoolOf(folder), "spool")
      const between = random.chance(0.5) ? "inside quarantine" : "inside rescue"
      const rescuing = produce(script, { ...orders(`c${seed}`, between), occurrence: 1 }, undefined)
      assert.strictEqual(yield* rescuing, "", where)
    }

    yield* Kit.reset
    const context = yield* Layer.build(
      Layer.fresh(Kit.recorder(folder, { drain: false, lease: "100 millis", deadline: "20 seconds" })).pipe(
        Layer.provideMerge(target)
      )
    )
    const recorder = Context.get(context, Kit.Ticks)
    const isOfRound = (id: string): boolean => new RegExp(`^[abc]${seed}-`).test(id)
    const flushed = yield* recorder.flush()
    assert.strictEqual(flushed.left, 0, where)
    const stored = (yield* Kit.stored.pipe(Effect.provide(context))).filter(({ id }) => isOfRound(id))
    const dead = (yield* recorder.deadLetters.list(10_000)).map(({ id }) => id)
    const ids = [...stored.map(({ id }) => id), ...dead]
    const { acknowledged, begun } = logged(folder)
    const found = new Set(ids)
    assert.deepStrictEqual(
      acknowledged.filter((id) => !found.has(id)),
      [],
      `lost: ${where}`
    )
    assert.strictEqual(found.size, ids.length, `twice: ${where}`)
    assert.deepStrictEqual(
      ids.filter((id) => !begun.has(id)),
      [],
      `made up: ${where}`
    )
    const last = new Map<string, number>()
    for (const { n, session } of stored) {
      assert.isAbove(n, last.get(session) ?? 0, `out of order: ${session}, ${where}`)
      last.set(session, n)
    }
    assert.strictEqual((yield* recorder.stats).damaged, 0, where)
    return acknowledged.length
  }).pipe(Effect.scoped)

const harness = (postgres: Effect.Effect<Orders["postgres"], unknown>) =>
  Effect.gen(function* () {
    const script = yield* bundle
    const target = yield* postgres
    let acknowledged = 0
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) acknowledged += yield* round(script, seed, target)
    yield* Effect.log(`${rounds} rounds from seed ${firstSeed}, ${acknowledged} events acknowledged`)
    assert.isAbove(acknowledged, rounds)
  })

describe("killed processes lose no acknowledged event", () => {
  const timeout = { timeout: 60_000 + rounds * 10_000 }

  it.live("with a SQLite database", () => harness(Effect.undefined), timeout)

  it.live(
    "with a Postgres database",
    () => harness(Effect.map(Postgres.createDatabase, (database) => ({ ...inject("postgres"), database }))),
    timeout
  )
})
