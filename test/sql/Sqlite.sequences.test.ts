/**
 * Generated sequences of what can happen to transactions, on two clients of one file at once: the tables hold what the
 * model says, and both clients go on working.
 */
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Generator from "../utils/Generator.ts"
import * as TempFolder from "../utils/TempFolder.ts"

type Step =
  | { readonly _tag: "insert" | "insertRaw" | "large" | "unconnected"; readonly n: number }
  | { readonly _tag: "duplicate" | "syntax" | "stream" | "orRollback" | "raise" | "yield" }
  | { readonly _tag: "nested"; readonly transaction: Transaction }

interface Transaction {
  readonly steps: ReadonlyArray<Step>
  readonly end: "succeed" | "fail" | "die" | "interrupt" | "interrupted"
}

/** What is done at once: a transaction, or one statement outside. */
type Unit = { readonly client: number; readonly body: Transaction | Step }

const base = 2n ** 53n

const schema = `
  CREATE TABLE numbers (n INTEGER PRIMARY KEY);
  INSERT INTO numbers VALUES (0);
  CREATE TABLE large (id INTEGER PRIMARY KEY);
  CREATE TABLE child (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED);
  CREATE TABLE refused (n INTEGER);
  CREATE TRIGGER refuse BEFORE INSERT ON refused BEGIN SELECT RAISE(ROLLBACK, 'refused'); END;`

const makeSteps = (random: Generator.Generator, next: () => number, depth: number): ReadonlyArray<Step> =>
  Array.from({ length: 1 + random.int(6) }, (): Step => {
    const kind = random.int(depth < 3 ? 16 : 13)
    if (kind < 4) return { _tag: "insert", n: next() }
    if (kind === 4) return { _tag: "insertRaw", n: next() }
    if (kind === 5) return { _tag: "large", n: next() }
    if (kind === 6) return random.chance(0.5) ? { _tag: "unconnected", n: next() } : { _tag: "insert", n: next() }
    if (kind === 7) return { _tag: "duplicate" }
    if (kind === 8) return { _tag: "syntax" }
    if (kind === 9) return { _tag: "stream" }
    if (kind === 10) return { _tag: random.chance(0.3) ? "orRollback" : "yield" }
    if (kind === 11) return { _tag: random.chance(0.3) ? "raise" : "yield" }
    if (kind === 12) return { _tag: "yield" }
    return { _tag: "nested", transaction: makeTransaction(random, next, depth + 1) }
  })

const makeTransaction = (random: Generator.Generator, next: () => number, depth: number): Transaction => {
  const ends = ["succeed", "succeed", "succeed", "succeed", "fail", "die", "interrupt"] as const
  const isInterrupted = depth === 0 && random.chance(0.15)
  return { steps: makeSteps(random, next, depth), end: isInterrupted ? "interrupted" : ends[random.int(ends.length)]! }
}

const makeUnits = (seed: number): ReadonlyArray<Unit> => {
  const random = Generator.make(seed)
  let count = 0
  const next = () => ++count
  return Array.from({ length: 12 }, () => ({
    client: random.int(2),
    body: random.chance(0.7)
      ? makeTransaction(random, next, 0)
      : makeSteps(random, next, 3).find((step) => step._tag !== "nested")!
  }))
}

// The model: what is in the tables when everything has ended.

type Row = `${"numbers" | "large" | "child"} ${number}`

const rowOf = (step: Step): Row | undefined => {
  if (step._tag === "insert" || step._tag === "insertRaw") return `numbers ${step.n}`
  if (step._tag === "large") return `large ${step.n}`
  return step._tag === "unconnected" ? `child ${step.n}` : undefined
}

/** What a transaction leaves of itself; `lost` where SQLite has ended it. */
const modelOf = ({ end, steps }: Transaction): { readonly rows: ReadonlyArray<Row>; readonly lost: boolean } => {
  const rows: Array<Row> = []
  for (const step of steps) {
    if (step._tag === "orRollback" || step._tag === "raise") return { rows: [], lost: true }
    const inner = step._tag === "nested" ? modelOf(step.transaction) : { rows: [rowOf(step) ?? []].flat(), lost: false }
    if (inner.lost) return inner
    rows.push(...inner.rows)
  }
  return { rows: end === "succeed" ? rows : [], lost: false }
}

const modelOfUnit = ({ body }: Unit): ReadonlyArray<Row> => {
  const rows = "steps" in body ? modelOf(body).rows : [rowOf(body) ?? []].flat()
  return rows.some((row) => row.startsWith("child")) ? [] : rows
}

// The same on the clients.

const statementOf = (sql: SqlClient.SqlClient, step: Exclude<Step, { readonly _tag: "nested" }>) => {
  switch (step._tag) {
    case "insert":
      return sql`INSERT INTO numbers VALUES (${step.n})`
    case "insertRaw":
      return sql`INSERT INTO numbers VALUES (${step.n})`.raw
    case "large":
      return sql`INSERT INTO large VALUES (${base + BigInt(step.n)})`
    case "unconnected":
      return sql`INSERT INTO child VALUES (${step.n}, -1)`
    case "duplicate":
      return sql`INSERT INTO numbers VALUES (0)`
    case "syntax":
      return sql`INSRT INTO numbers VALUES (0)`.unprepared
    case "stream":
      return sql`SELECT n FROM numbers ORDER BY n`.stream.pipe(Stream.take(1), Stream.runDrain)
    case "orRollback":
      return sql`INSERT OR ROLLBACK INTO numbers VALUES (0)`
    case "raise":
      return sql`INSERT INTO refused VALUES (1)`
    case "yield":
      return Effect.yieldNow
  }
}

const failing = new Set<Step["_tag"]>(["duplicate", "syntax", "orRollback", "raise"])

const runStep = (sql: SqlClient.SqlClient, step: Step): Effect.Effect<void> => {
  if (step._tag === "nested") return Effect.asVoid(Effect.exit(runTransaction(sql, step.transaction, Effect.void)))
  return Effect.map(Effect.exit(statementOf(sql, step)), (exit) => {
    if (failing.has(step._tag)) assert.isTrue(Exit.isFailure(exit), step._tag)
    if (Exit.isFailure(exit)) assert.isFalse(Exit.hasDies(exit), `${step._tag} is no defect: ${String(exit)}`)
  })
}

const runTransaction = (sql: SqlClient.SqlClient, { end, steps }: Transaction, reached: Effect.Effect<unknown>) =>
  Effect.forEach(steps, (step) => runStep(sql, step), { discard: true }).pipe(
    Effect.andThen(() => {
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
          return Effect.andThen(reached, Effect.never)
      }
    }),
    sql.withTransaction
  )

const runUnit = (clients: ReadonlyArray<SqlClient.SqlClient>, { body, client }: Unit) =>
  Effect.gen(function* () {
    const sql = clients[client]!
    if (!("steps" in body)) return yield* runStep(sql, body)
    const reached = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(runTransaction(sql, body, Deferred.succeed(reached, undefined)))
    if (body.end === "interrupted") {
      yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(fiber))
      yield* Fiber.interrupt(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    const { lost, rows } = modelOf(body)
    const fails = lost || body.end !== "succeed" || rows.some((row) => row.startsWith("child"))
    assert.strictEqual(Exit.isFailure(exit), fails, String(exit))
    if (body.end !== "die") assert.isFalse(Exit.hasDies(exit), `no defect: ${String(exit)}`)
  })

const contents = (filename: string): ReadonlyArray<string> => {
  const database = new DatabaseSync(filename, { readOnly: true })
  const rows = database
    .prepare(
      `SELECT 'numbers ' || n AS row FROM numbers WHERE n > 0
      UNION ALL SELECT 'large ' || (id - ${base}) FROM large
      UNION ALL SELECT 'child ' || n FROM child`
    )
    .all() as unknown as ReadonlyArray<{ readonly row: string }>
  database.close()
  return rows.map(({ row }) => row).toSorted()
}

const open = (filename: string) =>
  Effect.map(Layer.build(Layer.fresh(Sqlite.layer({ filename }))), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )

const rounds = 60
const first = Number(process.env["ATHENA_SEED"] ?? Math.floor(Math.random() * 1_000_000))

it.live(
  `survives ${rounds} generated sequences from seed ${first} (ATHENA_SEED)`,
  () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      for (let seed = first; seed < first + rounds; seed++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const filename = path.join(folder, `${seed}.db`)
            const clients = [yield* open(filename), yield* open(filename)]
            for (const statement of schema.split(/;\n(?=  [A-Z])/)) yield* clients[0]!.unsafe(statement)
            const units = makeUnits(seed)
            yield* Effect.forEach(units, (unit) => runUnit(clients, unit), { concurrency: 4, discard: true })
            const expected = units.flatMap(modelOfUnit)
            assert.deepStrictEqual(contents(filename), expected.toSorted(), `seed ${seed}`)
            for (const [at, sql] of clients.entries()) {
              yield* sql`INSERT INTO numbers VALUES (${1_000 + at})`
              yield* sql.withTransaction(sql`INSERT INTO numbers VALUES (${2_000 + at})`)
            }
            const later = ["numbers 1000", "numbers 1001", "numbers 2000", "numbers 2001"]
            assert.deepStrictEqual(contents(filename), [...expected, ...later].toSorted(), `after seed ${seed}`)
          })
        )
      }
    }),
  { timeout: 120_000 }
)
