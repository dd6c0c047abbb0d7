/** Opens connections on demand, with a limit on concurrent opens, retries, and a circuit breaker. */
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

/** More would often open connections that are no longer needed. */
const maxConcurrentOpens = 2

const breakerKey = "connect"

const makeBreaker = (core: PoolCore): Effect.Effect<CircuitBreaker.CircuitBreaker, never, Scope.Scope> =>
  CircuitBreaker.layer({
    tripPolicy: CircuitBreaker.consecutive(core.settings.breakerFailures),
    openDuration: core.settings.breakerResetTimeoutMs
  }).pipe(
    Layer.provide(CircuitBreaker.layerStoreMemory()),
    Layer.build,
    Effect.map((context) => Context.get(context, CircuitBreaker.CircuitBreaker))
  )

/** A failed attempt, or one that the breaker prevented. */
interface Attempt extends ConnectFailure {
  readonly breakerOpen: boolean
}

const connectFailure = (error: SqlError, at: number): ConnectFailure => ({
  problem: isNoMatch(error) ? "noMatch" : connectProblem(error),
  cause: error,
  at
})

const timed = <A, E, R>(core: PoolCore, open: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const startedAt = core.now()
    return Effect.tap(open, () => Effect.sync(() => core.counters.create.record(core.now() - startedAt)))
  })

/** The interval and timeout of probes while a connect has no response, in milliseconds. */
const probeIntervalMs = 500

/** Completes when the server responds after it did not; never while it responds throughout. */
const serverRecovered = (core: PoolCore): Effect.Effect<void> =>
  Effect.gen(function* () {
    let wasSilent = false
    for (;;) {
      yield* Effect.sleep(probeIntervalMs)
      const responded = yield* Effect.timeoutOption(core.connector.probe, probeIntervalMs)
      const isSilent = !Option.getOrElse(responded, () => false)
      if (wasSilent && !isSilent) return
      wasSilent = isSilent
    }
  })

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
   * A network outage leaves connects that wait for lost responses. They restart when the server responds to a probe
   * again, instead of waiting for the connect timeout.
   */
  const open = Effect.flatMap(
    Effect.raceFirst(Effect.asSome(core.connector.open), Effect.as(serverRecovered(core), Option.none<Session>())),
    Option.match({ onNone: () => core.connector.open, onSome: Effect.succeed })
  )

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
    // An Effect that supplies passwords may supply the right one next time.
    return failure.problem !== "authentication" || settings.rotatesPassword
  }

  const attempts = Effect.retry(attempt, {
    while: isWorthRetrying,
    times: settings.connectRetries,
    schedule: Schedule.exponential(settings.connectBackoffMs).pipe(Schedule.jittered)
  })

  /**
   * Whether to report a failure to a caller that waits while no connection is open. Otherwise the opening continues in
   * the background: a failure without a receiver would remain in the pool and count as a connection.
   */
  const shouldFail = (): boolean => core.isClosed || (core.pool.state.waiters.size > 0 && core.sessions.size === 0)

  const isNeeded = (): boolean => core.pool.state.waiters.size > 0 || core.sessions.size < settings.min

  /**
   * Waits for another connection to open, which proves that the database recovered, or for a caller that needs the
   * failure.
   */
  const pause = Effect.suspend(() => {
    const { created } = core.counters
    return Effect.timeoutOption(
      core.awaitChange(() => core.counters.created > created || shouldFail()),
      settings.breakerResetTimeoutMs
    )
  })

  /** Makes no attempts until a connection is needed again. */
  const awaitDemand = Effect.suspend(() => {
    core.opening--
    return Effect.onExit(core.awaitChange(isNeeded), () => Effect.sync(() => core.opening++))
  })

  /** A reported failure ends the opening of the minimum's connections; a request for one restarts it. */
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

  /** Holds a slot until the socket is closed, so that the maximum is never exceeded. */
  const acquire: ConnectionFactory["acquire"] = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const exit = yield* Effect.exit(restore(openRegistered))
      if (Exit.isFailure(exit)) yield* slots.release(1)
      return yield* exit
    })
  ).pipe(Effect.ensuring(openPermits.release(1)), Effect.provideService(Clock.Clock, core.clock))

  /** An idle connection instead of a new one, if the waiting callers have been served meanwhile. */
  const idleReplacement = (pool: Pool.Pool<PooledConnection, SqlError>) => {
    const { availableHead, invalidated, items, usage } = pool.state
    // Evicted connections in use count in `usage` but not as open; the pool would request replacements endlessly.
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
