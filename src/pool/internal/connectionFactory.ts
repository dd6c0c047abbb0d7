/**
 * Opens connections for the pool: within its size, not faster than needed, and not against a database that is down.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Option from "effect/Option"
import * as Pool from "effect/Pool"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import { isNoMatch } from "./connector.ts"
import type { Session } from "./pgSession.ts"
import type { PoolCore } from "./poolCore.ts"
import { PooledConnection } from "./pooledConnection.ts"
import type { ConnectFailure } from "./poolErrors.ts"
import { connectProblem } from "../PoolError.ts"

/** Connections opened at the same time at most; by the time they are there, the rest may not be needed any more. */
const maxConcurrentOpens = 2

const breakerKey = "connect"

/** The breaker in front of the database, with its state in memory. */
const makeBreaker = (core: PoolCore): Effect.Effect<CircuitBreaker.CircuitBreaker, never, Scope.Scope> =>
  CircuitBreaker.layer({
    tripPolicy: CircuitBreaker.consecutive(core.settings.breakerFailures),
    openDuration: core.settings.breakerResetTimeoutMs
  }).pipe(
    Layer.provide(CircuitBreaker.layerStoreMemory()),
    Layer.build,
    Effect.map((context) => Context.get(context, CircuitBreaker.CircuitBreaker))
  )

/** A failed attempt, and whether it was one at all. */
interface Attempt extends ConnectFailure {
  readonly breakerOpen: boolean
}

const connectFailure = (error: SqlError, at: number): ConnectFailure => ({
  problem: isNoMatch(error) ? "noMatch" : connectProblem(error),
  cause: error,
  at
})

/** Counts how long a connection took to open; failures are not counted. */
const timed = <A, E, R>(core: PoolCore, open: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const startedAt = core.now()
    return Effect.tap(open, () => Effect.sync(() => core.counters.create.record(core.now() - startedAt)))
  })

/** How often a connect that is not answered looks whether the server answers others, in milliseconds. */
const probeIntervalMs = 500

/** Waits until the server answers that did not before; for ever where it answers all the time. */
const serverRecovered = (core: PoolCore): Effect.Effect<void> =>
  Effect.gen(function* () {
    let wasSilent = false
    for (;;) {
      yield* Effect.sleep(probeIntervalMs)
      const answered = yield* Effect.timeoutOption(core.connector.probe, probeIntervalMs)
      const isSilent = !Option.getOrElse(answered, () => false)
      if (wasSilent && !isSilent) return
      wasSilent = isSilent
    }
  })

/** How the pool gets a connection, and when it does not need to. */
export interface ConnectionFactory {
  readonly acquire: Effect.Effect<PooledConnection, SqlError, Scope.Scope>
  readonly reclaim: Pool.Strategy<PooledConnection, SqlError>["reclaim"]
}

export const make = Effect.fnUntraced(function* (core: PoolCore) {
  const { settings } = core
  const scope = yield* Effect.scope
  const breaker = yield* makeBreaker(core)
  const slots = Semaphore.makeUnsafe(settings.max)
  const openPermits = Semaphore.makeUnsafe(maxConcurrentOpens)

  /**
   * A line that was dead leaves connects behind that wait for answers which were lost with it. Once the server is seen to
   * answer again they are begun anew, and not when their time is up.
   */
  const open = Effect.flatMap(
    Effect.raceFirst(Effect.asSome(core.connector.open), Effect.as(serverRecovered(core), Option.none<Session>())),
    Option.match({ onNone: () => core.connector.open, onSome: Effect.succeed })
  )

  /** One try behind the breaker. */
  const attempt: Effect.Effect<Session, Attempt, Scope.Scope> = breaker
    .execute(timed(core, open), { key: breakerKey })
    .pipe(
      Effect.mapError((error): Attempt => {
        if (error._tag === "SqlError") return { ...connectFailure(error, core.now()), breakerOpen: false }
        const last = core.lastFailure
        return last === undefined
          ? { problem: "unreachable", cause: undefined, breakerOpen: true, at: core.now() }
          : { ...last, breakerOpen: true }
      }),
      Effect.tapError((failure) =>
        Effect.sync(() => {
          if (!failure.breakerOpen) core.lastFailure = failure
        })
      )
    )

  const isWorthRetrying = (failure: Attempt): boolean => {
    if (failure.breakerOpen || failure.problem === "rejected" || failure.problem === "tls") return false
    // A password that is made anew for each try may be right the next time.
    return failure.problem !== "authentication" || settings.rotatesPassword
  }

  const attempts = Effect.retry(attempt, {
    while: isWorthRetrying,
    times: settings.connectRetries,
    schedule: Schedule.exponential(settings.connectBackoffMs).pipe(Schedule.jittered)
  })

  /**
   * Whether a failure must be told now, to a caller who waits with nothing open. In all other cases the opening goes
   * on by itself: a failure that nobody takes would stay in the pool and count as a connection.
   */
  const shouldFail = (): boolean => core.isClosed || (core.pool.state.waiters.size > 0 && core.sessions.size === 0)

  const isNeeded = (): boolean => core.pool.state.waiters.size > 0 || core.sessions.size < settings.min

  /**
   * Waits for the database to get better, which another connection that opened is the proof of, or for a caller who would
   * like to know now that it is not.
   */
  const pause = Effect.suspend(() => {
    const { created } = core.counters
    return Effect.timeoutOption(
      core.awaitChange(() => core.counters.created > created || shouldFail()),
      settings.breakerResetTimeoutMs
    )
  })

  /** Waits until a connection is wanted again; until then the database is left alone. */
  const awaitDemand = Effect.suspend(() => {
    core.opening--
    return Effect.onExit(core.awaitChange(isNeeded), () => Effect.sync(() => core.opening++))
  })

  /** Once a caller has been told, nobody opens the connections of the minimum any more; asking for one does it. */
  const refill = Effect.suspend(() =>
    core.sessions.size < settings.min ? Effect.ignore(Pool.use(core.pool, () => Effect.void)) : Effect.void
  )

  let refilling = false
  const refillLater = Effect.suspend(() => {
    if (refilling || settings.min === 0) return Effect.void
    refilling = true
    const ended = Effect.sync(() => {
      refilling = false
    })
    return Effect.forkIn(Effect.andThen(Effect.delay(ended, settings.breakerResetTimeoutMs), refill), scope)
  })

  const openWithRetries: Effect.Effect<Session, SqlError, Scope.Scope> = Effect.suspend(() =>
    Effect.catch(attempts, (failure) => {
      if (shouldFail()) {
        const error = core.errors.unavailable(failure, failure.breakerOpen, "connect")
        return Effect.andThen(refillLater, Effect.fail(error))
      }
      return Effect.andThen(isNeeded() ? pause : awaitDemand, openWithRetries)
    })
  )

  const onClosed = (connection: PooledConnection): void => {
    if (!core.sessions.delete(connection)) return
    core.counters.closed[connection.closeReason ?? (core.isClosed ? "shutdown" : "lost")]++
    core.fork(Effect.andThen(slots.release(1), core.evict(connection, core.isClosed ? "shutdown" : "lost")))
    core.notifyChange()
  }

  const register = (session: Session): Effect.Effect<PooledConnection> =>
    Effect.map(Random.next, (random) => {
      const now = core.now()
      const lifetimeMs = settings.maxLifetimeMs * (1 - random * settings.lifetimeJitter)
      const connection = new PooledConnection(session, now, lifetimeMs)
      core.lastFailure = undefined
      core.counters.created++
      core.sessions.add(connection)
      core.notifyChange()
      session.onClosed(() => onClosed(connection))
      return connection
    })

  const openRegistered = Effect.suspend(() => {
    core.opening++
    return Effect.flatMap(openWithRetries, register).pipe(Effect.onExit(() => Effect.sync(() => core.opening--)))
  })

  /** Takes a slot first and gives it back when the socket is closed, so that there are never more than the maximum. */
  const acquire: ConnectionFactory["acquire"] = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const exit = yield* Effect.exit(restore(openRegistered))
      if (Exit.isFailure(exit)) yield* slots.release(1)
      return yield* exit
    })
  ).pipe(Effect.ensuring(openPermits.release(1)), Effect.provideService(Clock.Clock, core.clock))

  /** Lets an idle connection stand for a new one when those who waited have been served meanwhile. */
  const idleReplacement = (pool: Pool.Pool<PooledConnection, SqlError>) => {
    const { availableHead, invalidated, items, usage } = pool.state
    // Those that are closed when they come back are in use but do not count as open; the pool would ask for ever.
    const wanted = Math.max(settings.min, Math.ceil(usage / settings.concurrency))
    if (core.waiting.size > 0 || items.size - invalidated.size < wanted) return undefined
    return availableHead?.exit._tag === "Success" ? availableHead : undefined
  }

  const reclaim: ConnectionFactory["reclaim"] = (pool) =>
    Effect.flatMap(openPermits.take(1), () => {
      const item = idleReplacement(pool)
      return item === undefined ? Effect.undefined : Effect.as(openPermits.release(1), item)
    })

  return { acquire, reclaim } satisfies ConnectionFactory
})
