/**
 * Ends the statements that callers abandon: by a cancel request on an exclusive connection, by terminating the session
 * of a shared one.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type { Connector } from "./connector.ts"
import type { DeadlineTimer } from "./deadlines.ts"
import type { PooledConnection } from "./pooledConnection.ts"
import type { PoolRequest } from "./poolRequest.ts"
import type { Settings } from "./poolSettings.ts"
import type { CloseReason } from "./poolStats.ts"

/**
 * The time for the server to confirm a cancel before the connection is destroyed, in milliseconds. On a slow network the
 * cancel request itself may arrive later.
 */
export const cancelGraceMs = 250

/** The pause between two attempts to terminate a session, in milliseconds. */
const terminateRetryMs = 100

/** The pool, as cancellation uses it. */
interface Pool {
  readonly settings: Pick<Settings, "concurrency" | "validationTimeoutMs">
  readonly connector: Pick<Connector, "openForTermination">
  readonly deadlines: DeadlineTimer
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly now: () => number
  readonly evictLater: (connection: PooledConnection, reason: CloseReason) => void
}

export class Cancellation {
  private readonly pool: Pool

  constructor(pool: Pool) {
    this.pool = pool
  }

  /** Ends the statement of a request whose caller has left. */
  cancel(request: PoolRequest, connection: PooledConnection): void {
    const { deadlines, settings } = this.pool
    if (settings.concurrency > 1 && !request.running) return
    if (!request.exclusive) return this.abandonShared(connection)
    // The fiber's interruption sends the cancel request and awaits the server's confirmation, but without a bound.
    deadlines.add(this.pool.now() + cancelGraceMs, {
      expire: () => {
        if (!request.hasEnded) connection.session.destroy()
      }
    })
    this.pool.evictLater(connection, "cancelled")
  }

  /** One caller less awaits a result on the connection. */
  callerDone(connection: PooledConnection): void {
    connection.pendingCallers--
    this.terminateIfIdle(connection)
  }

  /**
   * Holds an abandoned session in the pool until it has ended, for its process id could be reused by then. Only the first
   * caller that abandons it has to wait.
   */
  holdUntilTerminated(connection: PooledConnection): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (connection.isHeldForTermination) return Effect.void
      connection.isHeldForTermination = true
      return connection.whenClosed
    })
  }

  /**
   * A cancel request ends whatever the server runs when it arrives, which may be another caller's statement. So the
   * connection accepts no new callers, and the server terminates the session once no caller awaits a result.
   */
  private abandonShared(connection: PooledConnection): void {
    connection.isAbandoned = true
    this.pool.evictLater(connection, "cancelled")
    this.callerDone(connection)
  }

  private terminateIfIdle(connection: PooledConnection): void {
    if (!connection.isAbandoned || connection.pendingCallers > 0 || connection.isTerminating) return
    connection.isTerminating = true
    const { session } = connection
    // A pooler assigns its own process ids, which identify other processes in the server.
    if (session.isPooled) return session.destroy()
    const { connector, settings } = this.pool
    const terminate = Effect.gen(function* () {
      const other = yield* connector.openForTermination(session)
      // Bounds the wait for the response: it ends with the session.
      yield* Effect.forkScoped(Effect.delay(Effect.sync(other.destroy), settings.validationTimeoutMs))
      yield* other.connection.queryValues(terminateStatement, [session.connection.processId])
    })
    // A full server may soon have a slot again.
    const retries = Schedule.spaced(terminateRetryMs).pipe(Schedule.upTo({ duration: settings.validationTimeoutMs }))
    const terminated = Effect.retry(Effect.scoped(terminate), retries)
    this.pool.fork(Effect.ensuring(Effect.ignore(terminated), Effect.sync(session.destroy)))
  }
}

/** Terminates a session only if it belongs to the same program. */
export const terminateStatement =
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = session_user " +
  "AND datname = current_database() AND application_name = current_setting('application_name')"
