/**
 * Generated sequences of transactions on one pool: the tables have the rows of the model, and every connection remains
 * usable.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TransactionSequences from "../utils/TransactionSequences.ts"

const schema = [
  "CREATE TABLE numbers (n int PRIMARY KEY)",
  "INSERT INTO numbers VALUES (0)",
  "CREATE TABLE child (n int PRIMARY KEY, parent int REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)"
]

const states: Readonly<Record<string, TransactionSequences.State>> = {
  duplicate: "failed",
  syntax: "failed",
  terminated: "lost",
  expired: "lost"
}

type Own = "terminated" | "expired" | "begin"

const sequences = TransactionSequences.make<Own>({
  weights: {
    insert: 55,
    insertRaw: 10,
    unconnected: 5,
    duplicate: 10,
    syntax: 10,
    stream: 10,
    terminated: 3,
    expired: 3,
    begin: 0,
    yield: 34
  },
  statements: {
    terminated: (sql) => sql`SELECT pg_terminate_backend(pg_backend_pid())`,
    expired: (sql) => sql`SELECT pg_sleep(2)`.pipe(ConnectionPool.withDeadline("50 millis")),
    begin: (sql) => sql`BEGIN`
  },
  stateAfter: (tag) => states[tag] ?? "open",
  tableOf: TransactionSequences.commonTable,
  failing: new Set(["duplicate", "syntax", "terminated", "expired", "begin"]),
  // The server works on a statement when it is interrupted.
  untilInterrupted: (sql) => Effect.andThen(Effect.ignore(sql`SELECT pg_sleep(60)`), Effect.never)
})

/** A single statement that ends a shared session would end the statements of others, so it runs only exclusively. */
const unitsOf = (seed: number, multiplex: boolean): ReadonlyArray<TransactionSequences.Unit<Own>> => {
  const { random, step, transaction } = sequences.generate(seed)
  return Array.from({ length: 14 }, () => {
    if (random.chance(0.7)) return transaction()
    const single = step()
    if (random.chance(0.2)) return { ...single, _tag: "begin" }
    return multiplex && single._tag === "terminated" ? { ...single, _tag: "yield" } : single
  })
}

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
const { first } = TransactionSequences

for (const multiplex of [false, true]) {
  it.live(
    `survives ${rounds} generated sequences from seed ${first} (ATHENA_SEED), multiplex ${multiplex}`,
    () =>
      Effect.gen(function* () {
        const server = inject("postgres")
        const round = (seed: number) =>
          Effect.scoped(
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
              const units = unitsOf(seed, multiplex)
              yield* Effect.forEach(units, (unit) => sequences.run(sql, unit), { concurrency: 5, discard: true })
              const expected = units.flatMap(sequences.rowsOf)
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
        // Most of a round is a wait for the server.
        yield* Effect.forEach(
          Array.from({ length: rounds }, (_, index) => first + index),
          round,
          { concurrency: 4, discard: true }
        )
      }).pipe(Effect.provide(Reactivity.layer)),
    { timeout: 120_000 }
  )
}
