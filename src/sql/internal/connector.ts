/**
 * Finds a server that answers and has the role asked for.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { monotonicMs } from "./monotonic.ts"
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

/** Opens a session to one server and checks its role, both within a time. */
const openMatching = (
  config: PgSession.SessionConfig,
  address: PgSession.Address,
  wanted: boolean | undefined,
  timeoutMs: number
): Effect.Effect<PgSession.Session, SqlError, Scope.Scope> =>
  allOrNothing(
    Effect.gen(function* () {
      const startedAt = monotonicMs(yield* Clock.Clock)
      const session = yield* PgSession.open(config, address, timeoutMs)
      if (wanted === undefined) return session
      const leftMs = Math.max(0, startedAt + timeoutMs - monotonicMs(yield* Clock.Clock))
      // Interrupting a query waits for the server; ending the socket does not.
      const timer = yield* Effect.forkScoped(Effect.delay(Effect.sync(session.destroy), leftMs))
      const rows = yield* session.connection.queryValues("SELECT pg_is_in_recovery()")
      yield* Fiber.interrupt(timer)
      return rows[0]?.[0] === wanted ? session : yield* connectionError(noMatch)
    })
  )

/**
 * Tries the addresses in turn, starting with the one that worked last. The connect timeout is for all of it: each try
 * may take an equal share of the time that those before it have left, so a dead first server leaves time for the
 * second.
 */
export const make = (options: {
  readonly config: PgSession.SessionConfig
  readonly addresses: ReadonlyArray<PgSession.Address>
  readonly target: Target
  readonly connectTimeoutMs: number
}): Connector => {
  const { addresses, config, connectTimeoutMs, target } = options
  const wanted = wantsRecovery(target)
  const settles = target === "preferPrimary" || target === "preferStandby"
  let first = 0

  const open = Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const deadlineAt = monotonicMs(clock) + connectTimeoutMs
    const attempt = (index: number, role: boolean | undefined, shares: number) => {
      const timeoutMs = Math.max(0, deadlineAt - monotonicMs(clock)) / shares
      return Effect.result(openMatching(config, addresses[index]!, role, timeoutMs))
    }
    let failure: SqlError | undefined
    let other: number | undefined
    for (let step = 0, start = first; step < addresses.length; step++) {
      const index = (start + step) % addresses.length
      const result = yield* attempt(index, wanted, addresses.length - step + (settles ? 1 : 0))
      if (result._tag === "Success") {
        first = index
        return result.success
      }
      if (isNoMatch(result.failure)) other ??= index
      // A server that could not be reached says more than one that answered with the wrong role.
      if (failure === undefined || isNoMatch(failure)) failure = result.failure
    }
    if (!settles || other === undefined) return yield* failure!
    return yield* Effect.fromResult(yield* attempt(other, undefined, 1))
  })

  return { open, openBeside: (session) => PgSession.open(config, session.address, connectTimeoutMs) }
}

const connectionError = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

/** Whether a failure says that every server answered, none with the role asked for. */
export const isNoMatch = (error: SqlError): boolean =>
  error.reason.cause instanceof Error && error.reason.cause.message === noMatch
