/**
 * Generated sequences of concurrent transactions, the model of their result, and their execution on a client. The tables
 * are `numbers (n)` with the row 0, and `child (n, parent)` with a deferred reference to `numbers`.
 */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Generator from "./Generator.ts"

type CommonTag = "insert" | "insertRaw" | "unconnected" | "duplicate" | "syntax" | "stream" | "yield"

export interface SingleStep<Own extends string> {
  readonly _tag: CommonTag | Own
  /** Unique in its sequence. */
  readonly n: number
}

interface NestedStep<Own extends string> {
  readonly transaction: Transaction<Own>
}

type Step<Own extends string> = SingleStep<Own> | NestedStep<Own>

export interface Transaction<Own extends string> {
  readonly steps: ReadonlyArray<Step<Own>>
  readonly end: "succeed" | "fail" | "die" | "interrupt" | "interrupted"
}

/** A transaction, or one statement outside of a transaction. */
export type Unit<Own extends string> = Transaction<Own> | SingleStep<Own>

/** `failed`: the server rejects further statements; `lost`: the transaction no longer exists. */
export type State = "open" | "failed" | "lost"

export interface Options<Own extends string> {
  /** How often a step occurs; `nested` occurs beside them, up to three levels deep. */
  readonly weights: Readonly<Record<CommonTag | Own, number>>
  readonly statements: Readonly<Record<Own, (sql: SqlClient.SqlClient, n: number) => Effect.Effect<unknown, unknown>>>
  /** The state of a transaction after a step. */
  readonly stateAfter: (tag: CommonTag | Own) => State
  /** The table of the row that a step inserts. */
  readonly tableOf: (tag: CommonTag | Own) => string | undefined
  readonly failing: ReadonlySet<string>
  /** Runs in a transaction until its interruption. */
  readonly untilInterrupted: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>
}

const ends = ["succeed", "succeed", "succeed", "succeed", "fail", "die", "interrupt"] as const

const ownTables: Readonly<Record<string, string>> = { insert: "numbers", insertRaw: "numbers", unconnected: "child" }

/** The table of the row that a common step inserts. */
export const commonTable = (tag: string): string | undefined => ownTables[tag]

const isConsistent = (rows: ReadonlyArray<string>): boolean => !rows.some((row) => row.startsWith("child"))

export const make = <Own extends string>(options: Options<Own>) => {
  const tags = Object.entries<number>(options.weights).flatMap(([tag, weight]) =>
    Array.from({ length: weight }, () => tag as CommonTag | Own)
  )

  const generate = (seed: number) => {
    const random = Generator.make(seed)
    let count = 0
    const step = (): SingleStep<Own> => ({ _tag: tags[random.int(tags.length)]!, n: ++count })
    const transaction = (depth = 0): Transaction<Own> => ({
      steps: Array.from({ length: 1 + random.int(6) }, () =>
        depth < 3 && random.chance(0.18) ? { transaction: transaction(depth + 1) } : step()
      ),
      end: depth === 0 && random.chance(0.15) ? "interrupted" : ends[random.int(ends.length)]!
    })
    return { random, step, transaction: () => transaction() }
  }

  const rowOf = ({ _tag, n }: SingleStep<Own>): ReadonlyArray<string> => {
    const table = options.tableOf(_tag)
    return table === undefined ? [] : [`${table} ${n}`]
  }

  /** One that is rolled back to its savepoint is open again. */
  const modelOf = ({
    end,
    steps
  }: Transaction<Own>): { readonly rows: ReadonlyArray<string>; readonly state: State } => {
    const rows: Array<string> = []
    let state: State = "open"
    for (const step of steps) {
      if (state !== "open") break
      const inner =
        "transaction" in step ? modelOf(step.transaction) : { rows: rowOf(step), state: options.stateAfter(step._tag) }
      rows.push(...inner.rows)
      state = inner.state
    }
    if (state === "lost") return { rows: [], state }
    if (end !== "succeed") return { rows: [], state: "open" }
    return state === "failed" ? { rows: [], state } : { rows, state }
  }

  /** Whether its COMMIT succeeds. */
  const isCommitted = (transaction: Transaction<Own>): boolean => {
    const { rows, state } = modelOf(transaction)
    return transaction.end === "succeed" && state === "open" && isConsistent(rows)
  }

  /** The rows of a unit in the tables. */
  const rowsOf = (unit: Unit<Own>): ReadonlyArray<string> => {
    if ("steps" in unit) return isCommitted(unit) ? modelOf(unit).rows : []
    return rowOf(unit).filter((row) => isConsistent([row]))
  }

  const statementOf = (sql: SqlClient.SqlClient, { _tag, n }: SingleStep<Own>): Effect.Effect<unknown, unknown> => {
    switch (_tag) {
      case "insert":
        return sql`INSERT INTO numbers VALUES (${n})`
      case "insertRaw":
        return sql`INSERT INTO numbers VALUES (${n})`.raw
      case "unconnected":
        return sql`INSERT INTO child VALUES (${n}, -1)`
      case "duplicate":
        return sql`INSERT INTO numbers VALUES (0)`
      case "syntax":
        return sql`INSRT INTO numbers VALUES (0)`.unprepared
      case "stream":
        return sql`SELECT n FROM numbers ORDER BY n`.stream.pipe(Stream.take(1), Stream.runDrain)
      case "yield":
        return Effect.yieldNow
      default:
        return options.statements[_tag as Own](sql, n)
    }
  }

  const runStep = (sql: SqlClient.SqlClient, step: Step<Own>): Effect.Effect<void> =>
    "transaction" in step
      ? Effect.asVoid(Effect.exit(runTransaction(sql, step.transaction, Effect.void)))
      : Effect.map(Effect.exit(statementOf(sql, step)), (exit) => {
          if (options.failing.has(step._tag)) assert.isTrue(Exit.isFailure(exit), step._tag)
          if (Exit.isFailure(exit)) assert.isFalse(Exit.hasDies(exit), `${step._tag} is no defect: ${String(exit)}`)
        })

  const runTransaction = (
    sql: SqlClient.SqlClient,
    { end, steps }: Transaction<Own>,
    reached: Effect.Effect<unknown>
  ): Effect.Effect<unknown, unknown> =>
    Effect.forEach(steps, (step) => runStep(sql, step), { discard: true }).pipe(
      Effect.andThen((): Effect.Effect<unknown, unknown> => {
        switch (end) {
          case "succeed":
            return Effect.void
          case "fail":
            return Effect.fail("a failure of the test")
          case "die":
            return Effect.die("a defect of the test")
          case "interrupt":
            return Effect.interrupt
          case "interrupted":
            return Effect.andThen(reached, options.untilInterrupted(sql))
        }
      }),
      sql.withTransaction
    )

  const run = (sql: SqlClient.SqlClient, unit: Unit<Own>) =>
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

  return { generate, rowsOf, run }
}

/** The seed of the first sequence. */
export const first = Number(process.env["ATHENA_SEED"] ?? Math.floor(Math.random() * 1_000_000))
