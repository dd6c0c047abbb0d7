/**
 * Generated sequences of transactions on two clients of one file: the tables have the rows of the model, and both
 * clients remain usable.
 */
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as TransactionSequences from "../utils/TransactionSequences.ts"

const base = 2n ** 53n

const schema = `
  CREATE TABLE numbers (n INTEGER PRIMARY KEY);
  INSERT INTO numbers VALUES (0);
  CREATE TABLE large (id INTEGER PRIMARY KEY);
  CREATE TABLE child (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED);
  CREATE TABLE refused (n INTEGER);
  CREATE TRIGGER refuse BEFORE INSERT ON refused BEGIN SELECT RAISE(ROLLBACK, 'refused'); END;`

const sequences = TransactionSequences.make<"large" | "orRollback" | "raise">({
  weights: {
    insert: 45,
    insertRaw: 10,
    large: 10,
    unconnected: 5,
    duplicate: 10,
    syntax: 10,
    stream: 10,
    orRollback: 3,
    raise: 3,
    yield: 24
  },
  statements: {
    large: (sql, n) => sql`INSERT INTO large VALUES (${base + BigInt(n)})`,
    orRollback: (sql) => sql`INSERT OR ROLLBACK INTO numbers VALUES (0)`,
    raise: (sql) => sql`INSERT INTO refused VALUES (1)`
  },
  stateAfter: (tag) => (tag === "orRollback" || tag === "raise" ? "lost" : "open"),
  tableOf: (tag) => (tag === "large" ? tag : TransactionSequences.commonTable(tag)),
  failing: new Set(["duplicate", "syntax", "orRollback", "raise"]),
  untilInterrupted: () => Effect.never
})

/** Twelve units and the client of each. */
const unitsOf = (seed: number) => {
  const { random, step, transaction } = sequences.generate(seed)
  return Array.from({ length: 12 }, () => ({
    client: random.int(2),
    unit: random.chance(0.7) ? transaction() : step()
  }))
}

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
const { first } = TransactionSequences

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
            const units = unitsOf(seed)
            yield* Effect.forEach(units, ({ client, unit }) => sequences.run(clients[client]!, unit), {
              concurrency: 4,
              discard: true
            })
            const expected = units.flatMap(({ unit }) => sequences.rowsOf(unit))
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
