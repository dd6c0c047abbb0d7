/**
 * Acquires a connection that no other caller uses.
 *
 * With multiplexing, the pool may return a connection that runs other callers' statements. The driver would wait for
 * those uninterruptibly, so the wait is here, before the driver is involved.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { PoolCore } from "./poolCore.ts"
import type { PooledConnection } from "./pooledConnection.ts"
import { Retry, type PoolRequest } from "./poolRequest.ts"

/** A connection that accepts no other caller until its scope closes. */
export interface ExclusiveConnection {
  readonly connection: PooledConnection
  readonly scope: Scope.Closeable
}

const reserveConnection = (core: PoolCore, connection: PooledConnection): Effect.Effect<void, never, Scope.Scope> =>
  Effect.andThen(
    Pool.reserve(core.pool, connection),
    Effect.acquireRelease(
      Effect.sync(() => {
        connection.isReserved = true
      }),
      () =>
        Effect.sync(() => {
          connection.isReserved = false
        })
    )
  )

const isExclusive = ({ connection }: ExclusiveConnection): boolean => connection.isIdle && connection.isReusable

/** The connections that one caller has reserved; it receives the first that becomes exclusive. */
export class ExclusiveAcquire {
  private readonly core: PoolCore
  private readonly request: PoolRequest
  private readonly reserved = new Set<ExclusiveConnection>()

  constructor(core: PoolCore, request: PoolRequest) {
    this.core = core
    this.request = request
  }

  /** Waits, interruptibly, for one exclusive connection and releases the other reservations. */
  acquire(): Effect.Effect<ExclusiveConnection, SqlError> {
    return Effect.flatMap(this.reserveNext(), (claimed) =>
      isExclusive(claimed) ? Effect.succeed(claimed) : this.choose()
    )
  }

  release(): Effect.Effect<void> {
    return this.releaseAll(this.reserved)
  }

  /** Reserves one more connection, a new one where the pool may grow: a reserved one counts as full. */
  private reserveNext(): Effect.Effect<ExclusiveConnection, SqlError> {
    const { core, request } = this
    const scope = Scope.makeUnsafe()
    const good = Effect.flatMap(Pool.get(core.pool), (connection) =>
      core.useValidated(request, connection, () => this.reserve({ connection, scope }))
    )
    const tried = Effect.onExit(Scope.provide(good, scope), (exit) => {
      if (Exit.isFailure(exit) || exit.value === Retry) return Scope.close(scope, exit)
      this.reserved.add(exit.value)
      return Effect.void
    })
    return Effect.flatMap(tried, (claimed) => (claimed === Retry ? this.reserveNext() : Effect.succeed(claimed)))
  }

  private reserve(claimed: ExclusiveConnection): Effect.Effect<ExclusiveConnection, never, Scope.Scope> {
    const { core } = this
    return core.settings.concurrency === 1
      ? Effect.succeed(claimed)
      : Effect.as(reserveConnection(core, claimed.connection), claimed)
  }

  private choose(): Effect.Effect<ExclusiveConnection, SqlError> {
    return Effect.suspend(() => {
      const all = Array.from(this.reserved)
      const alone = all.find(isExclusive)
      if (alone !== undefined) {
        return Effect.as(this.releaseAll(all.filter((claimed) => claimed !== alone)), alone)
      }
      const ending = all.filter(({ connection }) => !connection.isReusable)
      const more = ending.length < all.length ? this.awaitCandidate() : this.reserveNext()
      return this.releaseAll(ending).pipe(Effect.andThen(more), Effect.andThen(this.choose()))
    })
  }

  /** Waits until a reserved connection may be free. A failed attempt to reserve another does not affect those. */
  private awaitCandidate(): Effect.Effect<unknown> {
    const { concurrency, max } = this.core.settings
    const freed = Effect.raceAllFirst(Array.from(this.reserved, ({ connection }) => connection.whenIdle))
    if (concurrency === 1 || this.reserved.size >= max) return freed
    const another = Effect.catch(this.reserveNext(), () => Effect.never)
    return Effect.raceFirst(freed, another)
  }

  private releaseAll(dropped: Iterable<ExclusiveConnection>): Effect.Effect<void> {
    return Effect.forEach(
      Array.from(dropped),
      (claimed) => {
        this.reserved.delete(claimed)
        return Scope.close(claimed.scope, Exit.void)
      },
      { discard: true }
    )
  }
}
