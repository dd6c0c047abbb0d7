/**
 * Finds a server that answers and has the role asked for.
 */
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

/** Opens sessions. The pool knows nothing else of the network. */
export interface Connector {
  /** Opens a session to a server of the role asked for. */
  readonly open: Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
  /** Opens another session to the same server, whatever its role, to cancel a statement there. */
  readonly openForTermination: (session: PgSession.Session) => Effect.Effect<PgSession.Session, SqlError, Scope.Scope>
  /** Whether any of the servers answers at all; without an end while none does and none refuses. */
  readonly probe: Effect.Effect<boolean>
  /** Opens a session past a pooler, for a listener; absent where listeners use sessions of the pool. */
  readonly openDirect: Effect.Effect<PgSession.Session, SqlError, Scope.Scope> | undefined
}

/** Every server answered and none had the role. */
export const noMatch = "no server has the role asked for"

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
 * Asks a new session for the role of its server, and for the number of its process there. A pooler gives its clients
 * numbers of its own, so a session whose number is another's has one between it and the server.
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

/** Ends a session that gives no answer in time. Interrupting a query waits for the server; ending the socket does not. */
const destroyAfter = <A, E>(
  session: PgSession.Session,
  leftMs: number,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.flatMap(Effect.forkScoped(Effect.delay(Effect.sync(session.destroy), leftMs)), (timer) =>
    Effect.tap(effect, () => Fiber.interrupt(timer))
  )

/**
 * Tries the addresses in turn, starting with the one that worked last. The connect timeout is for all of it: each try
 * may take an equal share of the time that those before it have left, so a dead first server leaves time for the
 * second.
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
  /** Not known until a session has asked. */
  let isPooled: boolean | undefined

  /** Named statements are not used behind a pooler, unless the user says that it has them. */
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

  /** Opens a session to one server, checks its role and sets it up, all within a time. */
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
      // A server that could not be reached says more than one that answered with the wrong role.
      if (failure === undefined || isNoMatch(failure)) failure = result.failure
    }
    if (!acceptsAnyRole || other === undefined) return yield* failure!
    return yield* Effect.fromResult(yield* attempt(other, undefined, 1))
  })

  return {
    open,
    probe: Effect.raceAll(
      addresses.map((address) => Effect.filterOrFail(PgSession.probe(config, address), (answered) => answered))
    ).pipe(Effect.isSuccess),
    openForTermination: (session) => PgSession.open(config, session.address, connectTimeoutMs),
    openDirect:
      direct &&
      PgSession.open({ client: direct.client, keepAliveMs: config.keepAliveMs }, direct.address, connectTimeoutMs)
  }
}

const connectionError = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

/** Whether a failure says that every server answered, none with the role asked for. */
export const isNoMatch = (error: SqlError): boolean =>
  error.reason.cause instanceof Error && error.reason.cause.message === noMatch
