/**
 * Generated sequences of what can happen to transactions, on one pool at once: the tables hold what the model says, and
 * every connection goes on working.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Generator from "../utils/Generator.ts"
import * as Postgres from "../utils/Postgres.ts"

type Step =
  | { readonly _tag: "insert" | "insertRaw" | "unconnected"; readonly n: number }
  | { readonly _tag: "duplicate" | "syntax" | "stream" | "terminated" | "late" | "yield" | "begin" }
  | { readonly _tag: "nested"; readonly transaction: Transaction }

interface Transaction {
  readonly steps: ReadonlyArray<Step>
  readonly end: "succeed" | "fail" | "die" | "interrupt" | "interrupted"
}

/** What is done at once: a transaction, or one statement outside. */
type Unit = Transaction | Step

const schema = [
  "CREATE TABLE numbers (n int PRIMARY KEY)",
  "INSERT INTO numbers VALUES (0)",
  "CREATE TABLE child (n int PRIMARY KEY, parent int REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)"
]

const makeSteps = (random: Generator.Generator, next: () => number, depth: number): ReadonlyArray<Step> =>
  Array.from({ length: 1 + random.int(5) }, (): Step => {
    const kind = random.int(depth < 3 ? 17 : 14)
    if (kind < 5) return { _tag: "insert", n: next() }
    if (kind === 5) return { _tag: "insertRaw", n: next() }
    if (kind === 6) return random.chance(0.5) ? { _tag: "unconnected", n: next() } : { _tag: "insert", n: next() }
    if (kind === 7) return { _tag: "duplicate" }
    if (kind === 8) return { _tag: "syntax" }
    if (kind === 9) return { _tag: "stream" }
    if (kind === 10) return { _tag: random.chance(0.3) ? "terminated" : "yield" }
    if (kind === 11) return { _tag: random.chance(0.3) ? "late" : "yield" }
    if (kind < 14) return { _tag: "yield" }
    return { _tag: "nested", transaction: makeTransaction(random, next, depth + 1) }
  })

const makeTransaction = (random: Generator.Generator, next: () => number, depth: number): Transaction => {
  const ends = ["succeed", "succeed", "succeed", "succeed", "fail", "die", "interrupt"] as const
  const isInterrupted = depth === 0 && random.chance(0.15)
  return { steps: makeSteps(random, next, depth), end: isInterrupted ? "interrupted" : ends[random.int(ends.length)]! }
}

/** Outside of a transaction, one that ends its session takes what others have on it with it where they share it. */
const makeUnits = (seed: number, multiplex: boolean): ReadonlyArray<Unit> => {
  const random = Generator.make(seed)
  let count = 0
  const next = () => ++count
  return Array.from({ length: 14 }, (): Unit => {
    if (random.chance(0.7)) return makeTransaction(random, next, 0)
    const step = random.chance(0.2) ? ({ _tag: "begin" } as const) : makeSteps(random, next, 3)[0]!
    return multiplex && step._tag === "terminated" ? { _tag: "yield" } : step
  })
}

// The model: what is in the tables when everything has ended.

type Row = `${"numbers" | "child"} ${number}`

/** `failed` where the server takes no more statements of it, `lost` where its session is gone. */
type State = "open" | "failed" | "lost"

interface Model {
  readonly rows: ReadonlyArray<Row>
  readonly state: State
}

const rowOf = (step: Step): ReadonlyArray<Row> => {
  if (step._tag === "insert" || step._tag === "insertRaw") return [`numbers ${step.n}`]
  return step._tag === "unconnected" ? [`child ${step.n}`] : []
}

const modelOfStep = (step: Step): Model => {
  switch (step._tag) {
    case "nested":
      return modelOf(step.transaction)
    case "duplicate":
    case "syntax":
      return { rows: [], state: "failed" }
    case "terminated":
    case "late":
      return { rows: [], state: "lost" }
    default:
      return { rows: rowOf(step), state: "open" }
  }
}

/** What a transaction leaves of itself. One that is rolled back to its savepoint is open again. */
const modelOf = ({ end, steps }: Transaction): Model => {
  const rows: Array<Row> = []
  let state: State = "open"
  for (const step of steps) {
    if (state !== "open") break
    const inner = modelOfStep(step)
    rows.push(...inner.rows)
    state = inner.state
  }
  if (state === "lost") return { rows: [], state }
  if (end !== "succeed") return { rows: [], state: "open" }
  return state === "failed" ? { rows: [], state } : { rows, state }
}

/** Whether its COMMIT succeeds: nothing failed, and no constraint that is checked there. */
const isCommitted = (unit: Transaction): boolean => {
  const { rows, state } = modelOf(unit)
  return unit.end === "succeed" && state === "open" && !rows.some((row) => row.startsWith("child"))
}

const modelOfUnit = (unit: Unit): ReadonlyArray<Row> => {
  if ("steps" in unit) return isCommitted(unit) ? modelOf(unit).rows : []
  return unit._tag === "unconnected" ? [] : rowOf(unit)
}

// The same on the pool.

const statementOf = (
  sql: SqlClient.SqlClient,
  step: Exclude<Step, { readonly _tag: "nested" }>
): Effect.Effect<unknown, unknown> => {
  switch (step._tag) {
    case "insert":
      return sql`INSERT INTO numbers VALUES (${step.n})`
    case "insertRaw":
      return sql`INSERT INTO numbers VALUES (${step.n})`.raw
    case "unconnected":
      return sql`INSERT INTO child VALUES (${step.n}, -1)`
    case "duplicate":
      return sql`INSERT INTO numbers VALUES (0)`
    case "syntax":
      return sql`INSRT INTO numbers VALUES (0)`.unprepared
    case "stream":
      return sql`SELECT n FROM numbers ORDER BY n`.stream.pipe(Stream.runDrain)
    case "terminated":
      return sql`SELECT pg_terminate_backend(pg_backend_pid())`
    case "late":
      return sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("50 millis"))
    case "begin":
      return sql`BEGIN`
    case "yield":
      return Effect.yieldNow
  }
}

const failing = new Set<Step["_tag"]>(["duplicate", "syntax", "terminated", "late", "begin"])

const runStep = (sql: SqlClient.SqlClient, step: Step): Effect.Effect<void> => {
  if (step._tag === "nested") return Effect.asVoid(Effect.exit(runTransaction(sql, step.transaction, Effect.void)))
  return Effect.map(Effect.exit(statementOf(sql, step)), (exit) => {
    if (failing.has(step._tag)) assert.isTrue(Exit.isFailure(exit), step._tag)
    if (Exit.isFailure(exit)) assert.isFalse(Exit.hasDies(exit), `${step._tag} is no defect: ${String(exit)}`)
  })
}

const runTransaction = (sql: SqlClient.SqlClient, { end, steps }: Transaction, reached: Effect.Effect<unknown>) =>
  Effect.forEach(steps, (step) => runStep(sql, step), { discard: true }).pipe(
    Effect.andThen((): Effect.Effect<unknown, unknown> => {
      switch (end) {
        case "succeed":
          return Effect.void
        case "fail":
          return Effect.fail("as it was meant to")
        case "die":
          return Effect.die("as it was meant to")
        case "interrupt":
          return Effect.interrupt
        case "interrupted":
          // While the server works on a statement.
          return Effect.andThen(reached, Effect.andThen(Effect.ignore(sql`SELECT pg_sleep(60)`), Effect.never))
      }
    }),
    sql.withTransaction
  )

const runUnit = (sql: SqlClient.SqlClient, unit: Unit) =>
  Effect.gen(function* () {
    if (!("steps" in unit)) return yield* runStep(sql, unit)
    const reached = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(runTransaction(sql, unit, Deferred.succeed(reached, undefined)))
    if (unit.end === "interrupted") {
      yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(fiber))
      yield* Fiber.interrupt(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    assert.strictEqual(Exit.isSuccess(exit), isCommitted(unit), String(exit))
    if (unit.end !== "die") assert.isFalse(Exit.hasDies(exit), `no defect: ${String(exit)}`)
  })

const contents = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{
      row: string
    }>`SELECT 'numbers ' || n AS row FROM numbers WHERE n > 0 UNION ALL SELECT 'child ' || n FROM child`,
    (rows) => rows.map(({ row }) => row).toSorted()
  )

const connections = 3

const later = Array.from({ length: connections }, (_, index) => 1_000 + index)

const rounds = 12
const first = Number(process.env["ATHENA_SEED"] ?? Math.floor(Math.random() * 1_000_000))

for (const multiplex of [false, true]) {
  it.live(
    `survives ${rounds} generated sequences from seed ${first} (ATHENA_SEED), multiplex ${multiplex}`,
    () =>
      Effect.gen(function* () {
        const server = inject("postgres")
        for (let seed = first; seed < first + rounds; seed++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { client: sql, stats } = yield* ConnectionPool.make({
                ...server,
                password: Redacted.make(server.password),
                database: yield* Postgres.createDatabase,
                maxConnections: connections,
                acquireTimeout: "30 seconds",
                validationTimeout: "10 seconds",
                drainTimeout: "1 second",
                multiplex
              })
              for (const statement of schema) yield* sql.unsafe(statement)
              const units = makeUnits(seed, multiplex)
              yield* Effect.forEach(units, (unit) => runUnit(sql, unit), { concurrency: 5, discard: true })
              const expected = units.flatMap(modelOfUnit)
              assert.deepStrictEqual(yield* contents(sql), expected.toSorted(), `seed ${seed}`)
              const insert = (n: number) => sql`INSERT INTO numbers VALUES (${n})`
              yield* Effect.forEach(later, (n) => sql.withTransaction(insert(n)), { concurrency: "unbounded" })
              yield* insert(2_000)
              const all = [...expected, ...later.map((n) => `numbers ${n}`), "numbers 2000"]
              assert.deepStrictEqual(yield* contents(sql), all.toSorted(), `after seed ${seed}`)
              const atRest = Effect.filterOrFail(stats, ({ inUse, waiting }) => inUse + waiting === 0)
              yield* Effect.retry(atRest, Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })))
            })
          )
        }
      }).pipe(Effect.provide(Reactivity.layer)),
    { timeout: 120_000 }
  )
}
