/**
 * A SQL client over one connection of `node:sqlite`. It survives failed commits, rollbacks by SQLite itself, and locks
 * of other processes.
 *
 * It replaces `@effect/sql-sqlite-node`, whose only release for Effect 4, 4.0.0-beta.102, imports `effect/unstable/*`
 * and does not load with effect 4.1. It is built on the same parts, `SqlClient.make` and
 * `SqlClient.makeSqliteAcquirers`, with the driver's service key, type id, options and client members, which
 * `test/sql/SqliteDriver.test.ts` compares with the driver's source. A stable release of the driver can therefore
 * replace this module in `Sqlite.ts` alone, once it also handles the cases above.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Acquirer, Borrower, Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import * as SqliteConnection from "./sqliteConnection.ts"
import * as SqliteLock from "./sqliteLock.ts"

export interface Options extends SqliteConnection.Options {
  readonly busyTimeoutMs: number
  readonly spanAttributes?: Record<string, unknown> | undefined
  readonly transformResultNames?: ((name: string) => string) | undefined
  readonly transformQueryNames?: ((name: string) => string) | undefined
}

type Each = <A>(effect: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>

const through = (connection: Connection, each: Each): Connection => ({
  execute: (sql, params, transformRows) => each(connection.execute(sql, params, transformRows)),
  executeRaw: (sql, params) => each(connection.executeRaw(sql, params)),
  executeValues: (sql, params) => each(connection.executeValues(sql, params)),
  executeValuesUnprepared: (sql, params) => each(connection.executeValuesUnprepared(sql, params)),
  executeUnprepared: (sql, params, transformRows) => each(connection.executeUnprepared(sql, params, transformRows)),
  executeStream: (sql, params, transformRows) =>
    Stream.unwrap(Effect.as(each(Effect.void), connection.executeStream(sql, params, transformRows)))
})

const transactionLost = Effect.suspend(() =>
  Effect.fail(
    new SqlError({
      reason: new UnknownError({
        cause: new Error("no transaction is active"),
        message: "Sqlite: SQLite has rolled the transaction back; begin a new one",
        operation: "execute"
      })
    })
  )
)

const takesWriteLock = /^\s*BEGIN\s+(?:IMMEDIATE|EXCLUSIVE)\b/i

type Acquirers = ReturnType<typeof SqlClient.makeSqliteAcquirers<SqliteConnection.SqliteConnection>>

interface Parts {
  readonly connection: SqliteConnection.SqliteConnection
  readonly acquirers: Acquirers
  readonly lock: SqliteLock.SqliteLock
  /** The writers of this client wait for each other without a timeout. */
  readonly writer: Semaphore.Semaphore
  readonly begin: string
}

/** Runs one statement. While another process holds the lock, other statements may use the connection. */
const makeBorrower =
  ({ acquirers, lock, writer }: Parts): Borrower =>
  (use) => {
    const once = acquirers.borrower(use)
    return lock.whenBusy(once, (until) =>
      Effect.scoped(
        writer.takeScoped(1).pipe(Effect.andThen(lock.acquire(until)), Effect.andThen(lock.retryUntil(once, until)))
      )
    )
  }

/** Acquires the connection for the lifetime of the scope and begins a transaction, or releases it. */
const beginOnce = ({ acquirers, begin, connection }: Parts, statement: string | undefined) => {
  const control =
    statement === undefined
      ? connection.execute(begin, [], undefined)
      : connection.executeUnprepared(statement, [], undefined)
  /** A connection is never released with an open transaction. */
  const endTransaction = Effect.suspend(() =>
    connection.isTransaction() ? Effect.ignoreCause(acquirers.onCommitFailure(connection)) : Effect.void
  )
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const lease = yield* Scope.make()
      yield* restore(Scope.provide(acquirers.transactionAcquirer, lease)).pipe(
        Effect.andThen(control),
        Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(lease, exit) : Effect.void))
      )
      yield* Effect.addFinalizer((exit) => Effect.andThen(endTransaction, Scope.close(lease, exit)))
    })
  )
}

const makeTransaction = (
  parts: Parts,
  transactionService: SqlClient.SqlClient["transactionService"],
  spanAttributes: ReadonlyArray<readonly [string, unknown]>
) => {
  const { acquirers, begin, connection, lock, writer } = parts
  const inTransaction = through(connection, (effect) =>
    Effect.suspend(() => (connection.isTransaction() ? lock.retryWhileBusy(effect) : transactionLost))
  )
  const control = (sql: string) => inTransaction.execute(sql, [], undefined)
  const cleanup = (sql: string) =>
    Effect.suspend(() => (connection.isTransaction() ? Effect.asVoid(control(sql)) : Effect.void))
  return SqlClient.makeWithTransaction({
    transactionService,
    spanAttributes,
    acquireConnection: (restore) =>
      Effect.gen(function* () {
        const statement = yield* SqlClient.BeginTransaction
        yield* restore(writer.takeScoped(1))
        const until = lock.deadline()
        if (takesWriteLock.test(statement ?? begin)) yield* restore(lock.acquire(until))
        yield* restore(lock.retryUntil(beginOnce(parts, statement), until))
        return inTransaction
      }),
    // Begun by `acquireConnection`, so that nothing is held during the wait for the lock.
    begin: () => Effect.void,
    commit: () => Effect.asVoid(control("COMMIT")),
    onCommitFailure: acquirers.onCommitFailure,
    // As after a failed commit: a connection that can't roll back is refused until it can.
    rollback: acquirers.onCommitFailure,
    savepoint: (_, id) => Effect.asVoid(control(`SAVEPOINT effect_sql_${id}`)),
    rollbackSavepoint: (_, id) => cleanup(`ROLLBACK TO SAVEPOINT effect_sql_${id}`),
    releaseSavepoint: (_, id) => cleanup(`RELEASE SAVEPOINT effect_sql_${id}`)
  })
}

const attributesOf = (options: Options): ReadonlyArray<readonly [string, unknown]> => [
  ...Object.entries(options.spanAttributes ?? {}),
  ["db.system.name", "sqlite"]
]

interface Extras {
  readonly backup: SqliteConnection.SqliteConnection["backup"]
  readonly loadExtension: SqliteConnection.SqliteConnection["loadExtension"]
}

export const make = (
  options: Options
): Effect.Effect<SqlClient.SqlClient & Extras, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const connection = yield* SqliteConnection.make(options)
    const lock = yield* SqliteLock.make(options.filename, options.busyTimeoutMs)
    const acquirers = SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore: Semaphore.makeUnsafe(1),
      isTransaction: () => connection.isTransaction()
    })
    const begin = options.readonly ? "BEGIN" : "BEGIN IMMEDIATE"
    const parts: Parts = { connection, acquirers, lock, writer: Semaphore.makeUnsafe(1), begin }
    const reserved = through(connection, lock.retryWhileBusy)
    const lease: Acquirer = Effect.as(acquirers.acquirer, reserved)
    const spanAttributes = attributesOf(options)
    const client = yield* SqlClient.make({
      driver: "sqlite-node",
      acquirer: lease,
      borrower: makeBorrower(parts),
      compiler: Statement.makeCompilerSqlite(options.transformQueryNames),
      spanAttributes,
      transformRows:
        options.transformResultNames === undefined
          ? undefined
          : Statement.defaultTransforms(options.transformResultNames).array
    })
    return Object.assign(client, {
      withTransaction: makeTransaction(parts, client.transactionService, spanAttributes),
      backup: (destination: string) =>
        Effect.scoped(Effect.andThen(acquirers.acquirer, connection.backup(destination))),
      loadExtension: (path: string) => Effect.scoped(Effect.andThen(acquirers.acquirer, connection.loadExtension(path)))
    })
  })
