/** The driver's client over connections of the pool. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Borrower, Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Borrow from "./borrow.ts"
import type { Connector } from "./connector.ts"
import * as Lease from "./lease.ts"
import type { PoolCore } from "./poolCore.ts"

/** The fragment that the driver's compiler encodes as JSON. */
const pgJson = Statement.custom<Statement.Custom<"PgJson", unknown>>("PgJson")

const rolledBack = new SqlError({
  reason: new UnknownError({
    cause: new Error("COMMIT of an aborted transaction"),
    message: "ConnectionPool: the transaction had failed and was rolled back instead of committed",
    operation: "commit"
  })
})

/** A server responds to the `COMMIT` of a failed transaction with `ROLLBACK` and no error. */
const commit = (connection: Connection): Effect.Effect<void, SqlError> =>
  Effect.flatMap(connection.executeRaw("COMMIT", []), (result) =>
    (result as { readonly command: string }).command === "ROLLBACK" ? Effect.fail(rolledBack) : Effect.void
  )

const leaseSession = (core: PoolCore) =>
  Effect.gen(function* () {
    const { connection, pinned } = yield* Lease.acquire(core, { detectLeaks: false })
    if (connection.session.isPooled) yield* Effect.logWarning(listenBehindPooler)
    return { session: connection.session, listen: pinned.listen }
  })

const listenBehindPooler =
  "ConnectionPool: a listener behind a pooler in transaction mode receives no notifications: set directUrl to the URL of the server itself"

/** A session outside the pool that bypasses the pooler. */
const openDirectSession = (core: PoolCore, open: NonNullable<Connector["openDirect"]>) =>
  open.pipe(
    Effect.map((session) => ({ session, listen: session.connection.listen })),
    Effect.provideService(Clock.Clock, core.clock)
  )

/** Listens on a session of its own. Subscribing and unsubscribing await the server within a timeout. */
const listen = (core: PoolCore, channel: string) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { openDirect } = core.connector
      const found = yield* restore(
        openDirect === undefined ? leaseSession(core) : openDirectSession(core, openDirect)
      ).pipe(Effect.mapError((error) => core.errors.fromConnect(error)))
      const scope = yield* Scope.make()
      yield* Effect.addFinalizer(() =>
        core.withSessionTimeout(found, core.settings.validationTimeoutMs, Scope.close(scope, Exit.void))
      )
      const subscribed = core.withSessionTimeout(
        found,
        core.settings.acquireTimeoutMs,
        Scope.provide(found.listen(channel), scope)
      )
      return yield* Effect.mapError(restore(subscribed), (error) => core.errors.fromStatement(error, undefined))
    })
  )

export const evict = (core: PoolCore, connection: Connection): Effect.Effect<void> =>
  connection instanceof Lease.Lease && core.sessions.has(connection.connection)
    ? core.evict(connection.connection, "evicted")
    : Effect.void

const utf8 = new TextEncoder()

/** The server truncates a longer channel name silently; the driver fails, with the same message. */
const channelError = (channel: string): SqlError | undefined => {
  if (utf8.encode(channel).byteLength <= 63) return undefined
  const message = "PostgreSQL channel names must not exceed 63 UTF-8 bytes"
  return new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "notify" }) })
}

/** Notifies immediately, also within a transaction: it neither waits for the commit nor rolls back. */
const notify = (borrower: Borrower, channel: string, payload: string): Effect.Effect<void, SqlError> => {
  const invalid = channelError(channel)
  return invalid === undefined
    ? Effect.asVoid(borrower((connection) => connection.executeRaw("SELECT pg_notify($1, $2)", [channel, payload])))
    : Effect.fail(invalid)
}

export const make = Effect.fnUntraced(function* (core: PoolCore, config: PgClient.PgClientConfig) {
  const compiler = PgClient.makeCompiler(config.transformQueryNames, config.transformJson)
  const transformRows =
    config.transformResultNames === undefined
      ? undefined
      : Statement.defaultTransforms(config.transformResultNames, config.transformJson).array
  const exclusive = Lease.acquire(core, { detectLeaks: true })
  const borrower = Borrow.make(core)
  const address = core.settings.addresses[0]!
  const client = yield* SqlClient.make({
    // Streams, transactions and reservations; single statements borrow.
    acquirer: exclusive,
    transactionAcquirer: exclusive,
    borrower,
    compiler,
    driver: "pg",
    prepareTransactionControls: true,
    commit,
    isTransaction: (connection) => connection instanceof Lease.Lease && connection.isAlive,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [
      ...Object.entries(config.spanAttributes ?? {}),
      ["db.system.name", "postgresql"],
      ["db.namespace", core.settings.database],
      ["server.address", address.host],
      ["server.port", address.port]
    ],
    transformRows
  })
  return Object.assign(client, {
    [PgClient.TypeId]: PgClient.TypeId,
    config,
    json: (value: unknown) => Statement.fragment([pgJson(value)]),
    listen: (channel: string) => listen(core, channel),
    notify: (channel: string, payload: string) => notify(borrower, channel, payload)
  }) satisfies PgClient.PgClient
})
