/**
 * Finds a server that answers and has the role asked for.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as PgSession from "./pgSession.ts"

/**
 * Which server of several to use. `primary` takes one that accepts writes, `standby` one in recovery; with the
 * `prefer` forms any other will do when there is none.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = "any" | "primary" | "standby" | "preferPrimary" | "preferStandby"

/** Opens sessions. The pool knows nothing else of the network. */
export interface Connector {
  /** Opens a session to a server of the role asked for. */
  readonly open: Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
  /** Opens another session to the same server, whatever its role, to cancel a statement there. */
  readonly openBeside: (session: PgSession.Session) => Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
}

/** Every server answered and none had the role. */
export const noMatch = "no server has the role asked for"

const wantsRecovery = (target: Target): boolean | undefined => {
  switch (target) {
    case "any":
      return undefined
    case "primary":
    case "preferPrimary":
      return false
    case "standby":
    case "preferStandby":
      return true
  }
}

/** Runs a scoped acquisition so that a failure leaves nothing behind in the caller's scope. */
const allOrNothing = <A>(effect: Effect.Effect<A, SqlError, Scope.Scope>): Effect.Effect<A, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const exit = yield* Effect.exit(restore(Scope.provide(effect, scope)))
      if (Exit.isFailure(exit)) yield* Scope.close(scope, exit)
      return yield* exit
    })
  )

/**
 * A round over the addresses, starting with the one that worked last. The connect timeout is for the whole round, so
 * a dead first server leaves time for the second.
 */
export const make = (options: {
  readonly config: PgSession.SessionConfig
  readonly addresses: ReadonlyArray<PgSession.Address>
  readonly target: Target
  readonly connectTimeoutMs: number
}): Connector => {
  const { addresses, config, target } = options
  const timeoutMs = options.connectTimeoutMs / addresses.length
  const recovery = wantsRecovery(target)
  let first = 0

  const openMatching = (address: PgSession.Address, wanted: boolean | undefined) =>
    allOrNothing(
      Effect.gen(function* () {
        const session = yield* PgSession.open(config, address, timeoutMs)
        if (wanted === undefined) return session
        // Interrupting a query waits for the server; ending the socket does not.
        const timer = yield* Effect.forkScoped(Effect.delay(Effect.sync(session.destroy), timeoutMs))
        const rows = yield* session.connection.queryValues("SELECT pg_is_in_recovery()")
        yield* Fiber.interrupt(timer)
        return rows[0]?.[0] === wanted ? session : yield* connectionError(noMatch)
      })
    )

  const round = (wanted: boolean | undefined): Effect.Effect<PgSession.Session, SqlError, Scope.Scope> =>
    Effect.gen(function* () {
      const start = first
      let failure: SqlError | undefined
      for (let step = 0; step < addresses.length; step++) {
        const index = (start + step) % addresses.length
        const result = yield* Effect.result(openMatching(addresses[index]!, wanted))
        if (result._tag === "Success") {
          first = index
          return result.success
        }
        // A server that could not be reached says more than one that answered with the wrong role.
        if (failure === undefined || isNoMatch(failure)) failure = result.failure
      }
      return yield* failure!
    })

  const preferred = target === "preferPrimary" || target === "preferStandby"
  return {
    open: preferred ? Effect.catch(round(recovery), () => round(undefined)) : round(recovery),
    openBeside: (session) => PgSession.open(config, session.address, timeoutMs)
  }
}

const connectionError = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

/** Whether a failure says that every server answered, none with the role asked for. */
export const isNoMatch = (error: SqlError): boolean =>
  error.reason.cause instanceof Error && error.reason.cause.message === noMatch
