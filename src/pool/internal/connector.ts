/** Opens sessions to a server of the requested role. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { monotonicMsOf } from "../../internal/clock.ts"
import * as PgSession from "./pgSession.ts"
import type { Settings } from "./poolSettings.ts"
import type { Target } from "./poolOptions.ts"

/** The pool's only access to the network. */
export interface Connector {
  readonly open: Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
  /** Opens another session to the same server, whatever its role, to terminate the given one. */
  readonly openForTermination: (session: PgSession.Session) => Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
  /** Whether any server responds; does not complete while none responds and none refuses. */
  readonly probe: Effect.Effect<boolean>
  /** Opens a listener's session that bypasses the pooler; absent where listeners use sessions of the pool. */
  readonly openDirect: Effect.Effect<PgSession.Session, SqlError, Scope.Scope> | undefined
}

/** Every server responded, none with the requested role. */
export const noMatch = "no server has the requested role"

const requiresRecovery = (target: Target): boolean | undefined => {
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

/** Runs a scoped acquisition whose failure leaves nothing in the caller's scope. */
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
 * Reads the server's role and the process id of the session there. A pooler assigns its own process ids, so a
 * difference reveals it.
 */
const readIdentity = (session: PgSession.Session): Effect.Effect<Identity, SqlError> =>
  Effect.map(
    session.connection.queryValues("SELECT pg_is_in_recovery(), pg_backend_pid()", [], false),
    ([row]): Identity => ({
      inRecovery: row?.[0] === true,
      isPooled: Number(row?.[1]) !== session.connection.processId
    })
  )

interface Identity {
  readonly inRecovery: boolean
  readonly isPooled: boolean
}

/** Destroys the session at the timeout. Interrupting a query awaits the server; destroying the socket does not. */
const destroyAfter = <A, E>(
  session: PgSession.Session,
  leftMs: number,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.flatMap(Effect.forkScoped(Effect.delay(Effect.sync(session.destroy), leftMs)), (timer) =>
    Effect.tap(effect, () => Fiber.interrupt(timer))
  )

/**
 * Tries the addresses in order, beginning with the last successful one. Each attempt may use an equal share of the
 * remaining connect timeout, so a dead first server leaves time for the second.
 */
export const make = (
  settings: Pick<
    Settings,
    "addresses" | "client" | "connectTimeoutMs" | "direct" | "initSql" | "target" | "tcpKeepAliveMs"
  >
): Connector => {
  const { addresses, client, connectTimeoutMs, direct, initSql, target } = settings
  const config = { client, keepAliveMs: settings.tcpKeepAliveMs }
  const role = requiresRecovery(target)
  const acceptsAnyRole = target === "preferPrimary" || target === "preferStandby"
  let first = 0
  /** Absent until the first session was checked. */
  let isPooled: boolean | undefined

  /**
   * A pooler may run each statement on another session, so prepared statements are off there unless the options enable
   * them.
   */
  const initialize = Effect.fnUntraced(function* (session: PgSession.Session, role: boolean | undefined) {
    if (role !== undefined || (client.prepare === undefined && isPooled === undefined)) {
      const identity = yield* readIdentity(session)
      if (role !== undefined && identity.inRecovery !== role) return yield* connectionError(noMatch)
      isPooled = identity.isPooled
    }
    for (const sql of initSql) yield* session.connection.queryValues(sql, [], false)
    const found = { ...session, isPooled: isPooled === true }
    return (client.prepare ?? !found.isPooled) ? found : PgSession.unprepared(found)
  })

  /** Opens a session to one server, checks its role and initializes it within the timeout. */
  const openAt = (address: PgSession.Address, role: boolean | undefined, timeoutMs: number) =>
    allOrNothing(
      Effect.gen(function* () {
        const startedAt = monotonicMsOf(yield* Clock.Clock)
        const session = yield* PgSession.open(config, address, timeoutMs)
        const leftMs = Math.max(0, startedAt + timeoutMs - monotonicMsOf(yield* Clock.Clock))
        return yield* destroyAfter(session, leftMs, initialize(session, role))
      })
    )

  const open = Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const deadlineAt = monotonicMsOf(clock) + connectTimeoutMs
    const attempt = (index: number, role: boolean | undefined, shares: number) => {
      const timeoutMs = Math.max(0, deadlineAt - monotonicMsOf(clock)) / shares
      return Effect.result(openAt(addresses[index]!, role, timeoutMs))
    }
    let failure: SqlError | undefined
    let other: number | undefined
    for (let step = 0, start = first; step < addresses.length; step++) {
      const index = (start + step) % addresses.length
      const result = yield* attempt(index, role, addresses.length - step + (acceptsAnyRole ? 1 : 0))
      if (result._tag === "Success") {
        first = index
        return result.success
      }
      if (isNoMatch(result.failure)) other ??= index
      // An unreachable server is a better explanation than one with the wrong role.
      if (failure === undefined || isNoMatch(failure)) failure = result.failure
    }
    if (!acceptsAnyRole || other === undefined) return yield* failure!
    return yield* Effect.fromResult(yield* attempt(other, undefined, 1))
  })

  return {
    open,
    probe: Effect.raceAll(
      addresses.map((address) => Effect.filterOrFail(PgSession.probe(config, address), (hasResponded) => hasResponded))
    ).pipe(Effect.isSuccess),
    openForTermination: (session) => PgSession.open(config, session.address, connectTimeoutMs),
    openDirect:
      direct &&
      PgSession.open({ client: direct.client, keepAliveMs: config.keepAliveMs }, direct.address, connectTimeoutMs)
  }
}

const connectionError = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

export const isNoMatch = (error: SqlError): boolean =>
  error.reason.cause instanceof Error && error.reason.cause.message === noMatch
