/** Lends a connection for one statement. */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Pool from "effect/Pool"
import type { Borrower } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import { resetSession } from "./lease.ts"
import type { PoolCore } from "./poolCore.ts"
import { type PooledConnection, StatementConnection } from "./pooledConnection.ts"
import { effectsOf, dirtyMask, transactionControl } from "./sessionState.ts"
import type { PoolRequest } from "./poolRequest.ts"

/** Runs a statement that changes its session exclusively, and resets the session after it. */
const runAlone = <A>(
  core: PoolCore,
  connection: PooledConnection,
  effects: number,
  effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* Pool.reserve(core.pool, connection)
      const pinned = yield* connection.session.connection.pin
      const sent = Effect.suspend(() => {
        connection.statementSent(effects)
        return effect(pinned)
      })
      return yield* Effect.onExit(sent, () => resetSession(core, connection, pinned))
    })
  )

const makeShared = (core: PoolCore, connection: PooledConnection): StatementConnection =>
  new StatementConnection((sql, effect) => {
    const effects = effectsOf(sql)
    // The next statement could run on another connection and commit on its own.
    if ((effects & transactionControl) !== 0) return Effect.fail(core.errors.transactionStatementRefused())
    return (effects & dirtyMask) === 0
      ? effect(connection.session.connection)
      : runAlone(core, connection, effects, effect)
  })

export const make = (core: PoolCore): Borrower => {
  const exclusive = core.settings.concurrency === 1
  const shared = new WeakMap<PooledConnection, StatementConnection>()
  const sharedOf = (connection: PooledConnection): StatementConnection => {
    const known = shared.get(connection)
    if (known !== undefined) return known
    const made = makeShared(core, connection)
    shared.set(connection, made)
    return made
  }
  return <A, E, R>(f: (connection: StatementConnection) => Effect.Effect<A, E, R>) =>
    Effect.withFiber<A, E | SqlError, R>((fiber) => {
      const refused = core.admissionError()
      if (refused !== undefined) return Effect.fail(refused)
      const request = core.newRequest(fiber, exclusive)
      if (request.isExpired) return Effect.fail(core.queryTimeout(request))
      const begin = (request: PoolRequest, connection: PooledConnection) => {
        core.acquired(request)
        core.startRunning(request)
        const running = f(sharedOf(connection))
        return exclusive
          ? running
          : Effect.onInterrupt(running, () => core.cancellation.holdUntilTerminated(connection))
      }
      const attempt = Pool.use(core.pool, (connection) => core.useValidated(request, connection, begin))
      return request.run<A, E | SqlError, R>({ attempt: core.whenResumed(attempt) })
    })
}
